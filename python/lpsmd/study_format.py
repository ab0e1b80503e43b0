"""The format of study files: sections, keys, types and bounds, checked by pydantic, and faults in plain words.

What is between keys (one or the other, a multiple of another, a file that must exist) is in `lpsmd.study_file`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field

from lpsmd.study import EnsembleName, StudyError, Thermostat

#: What becomes part of folder and file names.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_WORD_PATTERN = r"^\S+$"
_GPU_PATTERN = r"^[A-Za-z0-9][^\s,]*$"
_IN_WORDS = {
    NAME_PATTERN: "letters, digits and . _ -, a letter or digit first",
    _WORD_PATTERN: "one word without spaces",
    _GPU_PATTERN: "the number of a GPU, or its name as CUDA_VISIBLE_DEVICES takes it",
}

#: More than this was meant otherwise.
MAX_REPLICAS = 100_000

# Keys of older study files: what to write today.
_MOVED: Mapping[tuple[str | int, ...], str] = {
    ("ensemble", "processes"): "it is now `workers` in [executor]",
}


def _distinct(values: list[Any]) -> list[Any]:
    twice = [value for value in dict.fromkeys(values) if values.count(value) > 1]
    if twice:
        raise ValueError(f"each entry once, but {twice[0]!r} is there twice")
    return values


def _numbers_as_text(values: Any) -> Any:
    """GPUs may be written as 0 or "0"; they are names, not numbers."""
    if not isinstance(values, list):
        return values
    return [str(value) if isinstance(value, int) and not isinstance(value, bool) else value for value in values]


def _walltime(value: str) -> str:
    if not re.fullmatch(r"[0-9]{1,4}:[0-5][0-9]:[0-5][0-9]", value) or not re.search(r"[1-9]", value):
        raise ValueError('hours, minutes and seconds as HH:MM:SS, such as "24:00:00"')
    return value


def _option(value: str) -> str:
    if not re.fullmatch(r"-[^\n]*", value):
        raise ValueError('an option of sbatch on one line, such as "--qos=long"')
    return value


_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Fraction = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=1)]
_Seed = Annotated[int, Field(ge=0)]
_Name = Annotated[str, Field(pattern=NAME_PATTERN)]
_Text = Annotated[str, Field(min_length=1)]
_Word = Annotated[str, Field(pattern=_WORD_PATTERN)]
_Gpu = Annotated[str, Field(pattern=_GPU_PATTERN)]
_Replicas = Annotated[int, Field(ge=2, le=MAX_REPLICAS)]


class Section(pydantic.BaseModel):
    """A section of a TOML file: no unknown keys, no conversion of types, no changes."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


class StudySection(Section):
    """[study]."""

    name: _Name
    seed: _Seed = 1


class StructureSection(Section):
    """[structure]: a generator with its keys, or a file."""

    generator: Literal["li6ps5cl"] | None = None
    a_A: _Positive | None = None
    supercell: Annotated[list[_Count], Field(min_length=3, max_length=3)] | None = None
    inversion: _Fraction | None = None
    seed: _Seed | None = None
    count: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] | None = None
    file: _Text | None = None


class ModelSection(Section):
    """One of [[models]]."""

    path: _Text
    label: _Name | None = None
    training_seed: _Seed | None = None


class ModelGridSection(Section):
    """[model_grid]: a file for every architecture, functional and training seed."""

    path: _Text
    architectures: Annotated[list[_Word], Field(min_length=1), AfterValidator(_distinct)]
    functionals: Annotated[list[_Word], Field(min_length=1), AfterValidator(_distinct)]
    training_seeds: Annotated[list[_Seed], Field(min_length=1), AfterValidator(_distinct)] | None = None


class DynamicsSection(Section):
    """[dynamics]."""

    temperature_K: _Positive | None = None
    temperatures_K: Annotated[list[_Positive], Field(min_length=1)] | None = None
    ensemble: EnsembleName = "nvt"
    thermostat: Thermostat | None = None
    damping_ps: _Positive | None = None
    pressure_bar: _Finite | None = None
    barostat_damping_ps: _Positive | None = None
    timestep_fs: _Positive = 2.0
    equilibration_ps: _NotNegative
    production_ps: _Positive
    chunk_ps: _Positive | None = None
    dump_interval_fs: _Positive = 20.0
    dump_species: Annotated[list[_Word], Field(min_length=1), AfterValidator(_distinct)] | None = None


class EnsembleSection(Section):
    """[ensemble]: so many replicas, or until D is known well enough."""

    replicas: _Replicas | None = None
    target_relative_error: Annotated[float, Field(gt=0, lt=1)] | None = None
    minimum_replicas: _Replicas | None = None
    maximum_replicas: _Replicas | None = None
    retries: Annotated[int, Field(ge=0)] = 2
    stop_on_broken_framework: bool = True


class SlurmSection(Section):
    """[executor.slurm]."""

    partition: _Word | None = None
    account: _Word | None = None
    walltime: Annotated[str, AfterValidator(_walltime)]
    nodes: _Count = 1
    gpus_per_node: Annotated[int, Field(ge=0)] = 0
    replicas_per_gpu: _Count | None = None
    prologue: str = ""
    options: list[Annotated[str, AfterValidator(_option)]] = []


class ExecutorSection(Section):
    """[executor]."""

    workers: _Count | None = None
    gpus: Annotated[list[_Gpu], BeforeValidator(_numbers_as_text), AfterValidator(_distinct)] = []
    replicas_per_gpu: _Count | None = None
    lmp: _Text | None = None
    slurm: SlurmSection | None = None


class AnalysisSection(Section):
    """[analysis]."""

    species: str = "Li"
    drift: Literal["framework", "com", "none"] = "framework"
    charge_e: _Finite = 1.0
    fit_window: Annotated[list[_Fraction], Field(min_length=2, max_length=2)] | None = None


class StudyFormat(Section):
    """A whole study file."""

    study: StudySection
    structure: StructureSection
    models: list[ModelSection] = []
    model_grid: ModelGridSection | None = None
    dynamics: DynamicsSection
    ensemble: EnsembleSection
    executor: ExecutorSection = ExecutorSection()
    analysis: AnalysisSection = AnalysisSection()


_SECTIONS: dict[str, type[Section]] = {
    "the file": StudyFormat,
    "[study]": StudySection,
    "[structure]": StructureSection,
    "[[models]]": ModelSection,
    "[model_grid]": ModelGridSection,
    "[dynamics]": DynamicsSection,
    "[ensemble]": EnsembleSection,
    "[executor]": ExecutorSection,
    "[executor.slurm]": SlurmSection,
    "[analysis]": AnalysisSection,
}


def parse(values: Mapping[str, Any]) -> StudyFormat:
    """Check the values of a TOML file.

    Raises
    ------
    StudyError
        With every fault on a line of its own: where, what was found, what is needed.
    """
    try:
        return StudyFormat.model_validate(values)
    except pydantic.ValidationError as error:
        raise StudyError(explain(error, _SECTIONS, moved=_MOVED)) from error


def explain(
    error: pydantic.ValidationError,
    sections: Mapping[str, type[Section]],
    *,
    moved: Mapping[tuple[str | int, ...], str] | None = None,
) -> str:
    """Every fault of a TOML file on a line of its own: where, what was found, what is needed.

    Parameters
    ----------
    sections
        The format of each section by its heading, as "[study]"; that of the whole file as "the file".
    moved
        What to say of keys that are not known, but expected by some, by section and key.
    """
    return "\n".join(_explain(fault, sections, moved or {}) for fault in error.errors())


def nearest(name: str, known: Sequence[str]) -> str:
    """The known name that was meant, as far as one can tell, and all known names."""
    lowered = {candidate.lower(): candidate for candidate in known}
    match = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    listed = "known are " + ", ".join(known)
    return f"did you mean {lowered[match[0]]!r}? ({listed})" if match else listed


def _explain(fault: Any, sections: Mapping[str, type[Section]], moved: Mapping[tuple[str | int, ...], str]) -> str:
    section, number, path = _place(fault["loc"], sections)
    where = f"{section} number {number}" if number else section
    key = path[-1]
    kind = "section" if section == "the file" else "key"
    if fault["type"] == "extra_forbidden":
        hint = moved.get(fault["loc"][:2]) or nearest(str(key), list(sections[section].model_fields))
        return f"{where}: {key!r} is not a known {kind}; {hint}"
    if fault["type"] == "missing":
        return f"{where}: {kind} {key!r} is missing"
    name = "".join(f" number {part + 1}" if isinstance(part, int) else str(part) for part in path)
    return f"{where}: {name}: found {_short(fault['input'])}, needed: {_needed(fault, name)}"


def _place(loc: tuple[str | int, ...], sections: Mapping[str, type[Section]]) -> tuple[str, int, tuple[str | int, ...]]:
    """The section of a fault, its number in a list of sections (else 0), and the rest of the way to the value."""
    if loc[0] == "models" and len(loc) > 2:
        return "[[models]]", int(loc[1]) + 1, loc[2:]
    if loc[:2] == ("executor", "slurm") and len(loc) > 2:
        return "[executor.slurm]", 0, loc[2:]
    if len(loc) > 1 and f"[{loc[0]}]" in sections:
        return f"[{loc[0]}]", 0, loc[1:]
    return "the file", 0, loc


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _needed(fault: Any, name: str) -> str:
    if name == "models" and fault["type"] == "list_type":
        return "a list of sections: write [[models]], with two brackets, before each model"
    if fault["type"] == "model_type":
        return f"a section of its own, with {name} in brackets above its keys"
    if fault["type"] == "string_pattern_mismatch":
        return _IN_WORDS[fault["ctx"]["pattern"]]
    text = re.sub(r"^(Input should be |List should have |Value error, )| after validation, not \d+$", "", fault["msg"])
    return text[:1].lower() + text[1:]
