"""A study: which cell, which models, how long, how often. Read once from study.toml, then frozen.

pydantic checks the file where it enters; behind that edge a study is a tree of frozen dataclasses
with the unit of every number in its name.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from lpsmd.errors import LpsmdError
from lpsmd.models.contract import Passport, read_passport
from lpsmd.structure import Structure, li6ps5cl, read_structure

#: Seeds that LAMMPS takes everywhere: its Marsaglia generator stops at 900000000.
MAX_SEED = 900_000_000

#: Fewer frames than this have no window to fit.
MIN_DUMP_INTERVALS = 10

DEMO_FOLDER = Path(__file__).resolve().parent / "demo"
DEMO_STUDY = DEMO_FOLDER / "study.toml"


class StudyError(LpsmdError):
    """A study file that cannot be read or makes no sense."""


@dataclass(frozen=True, kw_only=True)
class GeneratedStructure:
    """A cell of Li6PS5Cl from `lpsmd.structure.li6ps5cl`."""

    generator: str
    a_A: float
    supercell: tuple[int, int, int]
    inversion: float
    seed: int

    def build(self) -> Structure:
        """Make the cell that every replica of every model starts from."""
        return li6ps5cl(a_A=self.a_A, supercell=self.supercell, inversion=self.inversion, seed=self.seed)

    def identity(self) -> dict[str, Any]:
        """What decides the cell."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class StructureFile:
    """A cell from a file, known by its content."""

    file: Path
    sha256: str

    def build(self) -> Structure:
        """Read the cell that every replica of every model starts from."""
        return read_structure(self.file)

    def identity(self) -> dict[str, Any]:
        """What decides the cell: not where the file lies, but what is in it."""
        return {"sha256": self.sha256}


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model file of the study and what its passport says."""

    label: str
    path: Path
    sha256: str
    architecture: str
    functional: str
    dtype: str
    type_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Dynamics:
    """How a replica moves. All lengths are whole multiples of the timestep."""

    temperature_K: float
    timestep_fs: float
    equilibration_ps: float
    production_ps: float
    dump_interval_fs: float

    @property
    def equilibration_steps(self) -> int:
        """Steps before the production."""
        return round(1000.0 * self.equilibration_ps / self.timestep_fs)

    @property
    def production_steps(self) -> int:
        """Steps of the production."""
        return round(1000.0 * self.production_ps / self.timestep_fs)

    @property
    def dump_steps(self) -> int:
        """Steps from one frame to the next."""
        return round(self.dump_interval_fs / self.timestep_fs)

    @property
    def frames(self) -> int:
        """Frames of a complete production, the one at step 0 included."""
        return self.production_steps // self.dump_steps + 1


@dataclass(frozen=True, kw_only=True)
class EnsembleSpec:
    """How many replicas, on how many processes (None: one for each core)."""

    replicas: int
    minimum_replicas: int
    processes: int | None


@dataclass(frozen=True, kw_only=True)
class AnalysisSpec:
    """What is computed from the trajectories; none of it changes how they run.

    `fit_window` is None where the start of the fit is chosen by the data; else parts of the production.
    """

    species: str
    charge_e: float
    drift: Literal["framework", "com", "none"]
    fit_window: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Study:
    """Everything that a study file says, resolved and checked."""

    name: str
    seed: int
    structure: GeneratedStructure | StructureFile
    models: tuple[ModelSpec, ...]
    dynamics: Dynamics
    ensemble: EnsembleSpec
    analysis: AnalysisSpec

    def identity(self) -> dict[str, Any]:
        """What decides the trajectories of a given model and replica.

        Not in it: the models and the number of replicas, so that either can be extended in place, the
        number of processes, and the analysis.
        """
        identity = {
            "seed": self.seed,
            "structure": self.structure.identity(),
            "dynamics": asdict(self.dynamics),
        }
        return _plain(identity)  # type: ignore[no-any-return]

    @property
    def hash(self) -> str:
        """sha256 of `identity`, in hexadecimal."""
        text = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def replica_seed(self, index: int) -> int:
        """Seed of a replica: from the study and the replica's number alone, the same for every model.

        The whole 256-bit digest is reduced modulo 900000000, so no bits are thrown away unevenly.
        """
        digest = hashlib.sha256(f"{self.hash}/replica/{index}".encode()).digest()
        return 1 + int.from_bytes(digest, "big") % MAX_SEED

    def to_dict(self) -> dict[str, Any]:
        """The resolved study as JSON-ready values."""
        values = asdict(self)
        values["hash"] = self.hash
        return _plain(values)  # type: ignore[no-any-return]


def load_study(path: str | Path) -> Study:
    """Read and check a study file, its structure file and the passports of its models.

    Parameters
    ----------
    path
        A TOML file, or the word ``demo`` for the study that ships with lpsmd.

    Raises
    ------
    StudyError
        Naming the file, the section, the key, what was found and what is needed.
    lpsmd.models.contract.ModelFileError
        If a model file is missing or is no model file.
    """
    path = DEMO_STUDY if str(path) == "demo" else Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StudyError(
            f"study file {path}: no such file; write one, or try the one that ships: `lpsmd run demo`"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"study file {path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"study file {path}: not valid TOML: {error}") from error
    try:
        parsed = _StudyFile.model_validate(values)
    except pydantic.ValidationError as error:
        raise StudyError(_explain(path, error)) from error
    try:
        return _resolve(parsed, folder=path.resolve().parent)
    except StudyError as error:
        raise StudyError(f"study file {path}: {error}") from error


def file_sha256(path: Path) -> str:
    """sha256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def shipped_models() -> tuple[str, ...]:
    """Names of the demonstration models that ship with lpsmd."""
    return tuple(sorted(file.stem for file in (DEMO_FOLDER / "models").glob("*.pt")))


# --- the edge ------------------------------------------------------------------------------------

_Positive = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]
_Fraction = Annotated[float, pydantic.Field(ge=0, le=1)]
_Count = Annotated[int, pydantic.Field(ge=1)]


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


class _StudySection(_Section):
    name: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    seed: Annotated[int, pydantic.Field(ge=0)] = 1


class _StructureSection(_Section):
    generator: Literal["li6ps5cl"] | None = None
    a_A: _Positive | None = None
    supercell: Annotated[list[_Count], pydantic.Field(min_length=3, max_length=3)] | None = None
    inversion: _Fraction | None = None
    seed: Annotated[int, pydantic.Field(ge=0)] | None = None
    file: str | None = None


class _ModelSection(_Section):
    path: str
    label: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None


class _DynamicsSection(_Section):
    temperature_K: _Positive
    timestep_fs: _Positive = 2.0
    equilibration_ps: _NotNegative
    production_ps: _Positive
    dump_interval_fs: _Positive = 20.0


class _EnsembleSection(_Section):
    replicas: Annotated[int, pydantic.Field(ge=2, le=100_000)]
    minimum_replicas: Annotated[int, pydantic.Field(ge=2)] = 2
    processes: _Count | None = None


class _AnalysisSection(_Section):
    species: str = "Li"
    drift: Literal["framework", "com", "none"] = "framework"
    charge_e: float = 1.0
    fit_window: Annotated[list[_Fraction], pydantic.Field(min_length=2, max_length=2)] | None = None


class _StudyFile(_Section):
    study: _StudySection
    structure: _StructureSection
    models: Annotated[list[_ModelSection], pydantic.Field(min_length=1)]
    dynamics: _DynamicsSection
    ensemble: _EnsembleSection
    analysis: _AnalysisSection = _AnalysisSection()


_SECTIONS: dict[str, type[_Section]] = {
    "study": _StudySection,
    "structure": _StructureSection,
    "models": _ModelSection,
    "dynamics": _DynamicsSection,
    "ensemble": _EnsembleSection,
    "analysis": _AnalysisSection,
}


def _explain(path: Path, error: pydantic.ValidationError) -> str:
    """All faults of a study file, one a line: where, what was found, what is needed."""
    lines = [_explain_one(fault) for fault in error.errors()]
    return f"study file {path}: " + "\n".join(lines)


def _explain_one(fault: Any) -> str:
    *parents, key = fault["loc"]
    section = str(parents[0]) if parents else ""
    if section == "models" and len(parents) > 1:
        where = f"[[models]] number {int(parents[1]) + 1}"
    else:
        where = f"[{section}]" if section else "the file"
    if fault["type"] == "extra_forbidden":
        known = list((_SECTIONS[section] if section else _StudyFile).model_fields)
        kind = "key" if section else "section"
        return f"{where}: {key!r} is not a known {kind}; {_nearest(str(key), known)}"
    if fault["type"] == "missing":
        return f"{where}: {'key' if section else 'section'} {key!r} is missing"
    name = f"{key}" if isinstance(key, str) else ".".join(str(part) for part in fault["loc"][1:])
    return f"{where}: {name}: found {fault['input']!r}, needed: {_lower_first(fault['msg'])}"


def _nearest(name: str, known: list[str]) -> str:
    match = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listed = "known are " + ", ".join(known)
    return f"did you mean {match[0]!r}? ({listed})" if match else listed


def _lower_first(text: str) -> str:
    text = re.sub(r"^Input should be ", "", text)
    return text[:1].lower() + text[1:]


# --- from the file to a study --------------------------------------------------------------------


def _resolve(parsed: _StudyFile, *, folder: Path) -> Study:
    """Check what pydantic cannot see. The caller puts the file's name in front of a StudyError."""
    window = parsed.analysis.fit_window
    if window is not None and not window[0] < window[1]:
        raise StudyError(
            f"[analysis]: fit_window: found {window}, needed two growing fractions of the production, "
            "such as [0.1, 0.5]"
        )
    if parsed.ensemble.minimum_replicas > parsed.ensemble.replicas:
        raise StudyError(
            f"[ensemble]: minimum_replicas: found {parsed.ensemble.minimum_replicas}, "
            f"needed at most replicas, {parsed.ensemble.replicas}"
        )
    structure = _resolve_structure(parsed.structure, folder=folder)
    return Study(
        name=parsed.study.name,
        seed=parsed.study.seed,
        structure=structure,
        models=_resolve_models(parsed.models, folder=folder),
        dynamics=_resolve_dynamics(parsed.dynamics),
        ensemble=EnsembleSpec(
            replicas=parsed.ensemble.replicas,
            minimum_replicas=parsed.ensemble.minimum_replicas,
            processes=parsed.ensemble.processes,
        ),
        analysis=AnalysisSpec(
            species=parsed.analysis.species,
            charge_e=parsed.analysis.charge_e,
            drift=parsed.analysis.drift,
            fit_window=None if window is None else (window[0], window[1]),
        ),
    )


def _resolve_structure(section: _StructureSection, *, folder: Path) -> GeneratedStructure | StructureFile:
    if (section.generator is None) == (section.file is None):
        raise StudyError(
            f"[structure]: found {'both' if section.file else 'neither'} of generator and file, needed one: "
            f'generator = "li6ps5cl" with its a_A, or file = "..."'
        )
    if section.file is None:
        if section.a_A is None:
            raise StudyError("[structure]: key 'a_A' is missing; 9.86 is the room-temperature value")
        counts = section.supercell or [1, 1, 1]
        return GeneratedStructure(
            generator=section.generator or "li6ps5cl",
            a_A=section.a_A,
            supercell=(counts[0], counts[1], counts[2]),
            inversion=section.inversion or 0.0,
            seed=1 if section.seed is None else section.seed,
        )
    given = [k for k in ("a_A", "supercell", "inversion", "seed") if getattr(section, k) is not None]
    if given:
        raise StudyError(
            f"[structure]: {', '.join(given)} belong to a generator, but file = {section.file!r} "
            f"is given; remove one or the other"
        )
    file = folder / section.file
    if not file.is_file():
        raise StudyError(f"[structure]: file {file}: no such file")
    return StructureFile(file=file, sha256=file_sha256(file))


def _resolve_dynamics(section: _DynamicsSection) -> Dynamics:
    def check(key: str, unit: str, *, multiple_of_fs: float, named: str) -> None:
        value = getattr(section, key)
        if not _is_multiple(1000.0 * value if unit == "ps" else value, multiple_of_fs):
            raise StudyError(
                f"[dynamics]: {key}: found {value:g} {unit}, needed a whole multiple of {named}, {multiple_of_fs:g} fs"
            )

    for key, unit in (("equilibration_ps", "ps"), ("production_ps", "ps"), ("dump_interval_fs", "fs")):
        check(key, unit, multiple_of_fs=section.timestep_fs, named="timestep_fs")
    # So that the last step is a frame.
    check("production_ps", "ps", multiple_of_fs=section.dump_interval_fs, named="dump_interval_fs")
    intervals = round(1000.0 * section.production_ps / section.dump_interval_fs)
    if intervals < MIN_DUMP_INTERVALS:
        raise StudyError(
            f"[dynamics]: production_ps: found {section.production_ps:g} ps, {intervals} dump intervals, "
            f"needed at least {MIN_DUMP_INTERVALS}; make it longer or dump_interval_fs shorter"
        )
    return Dynamics(
        temperature_K=section.temperature_K,
        timestep_fs=section.timestep_fs,
        equilibration_ps=section.equilibration_ps,
        production_ps=section.production_ps,
        dump_interval_fs=section.dump_interval_fs,
    )


def _is_multiple(length: float, unit: float) -> bool:
    ratio = length / unit
    return abs(ratio - round(ratio)) < 1e-6 and (length == 0 or round(ratio) >= 1)


def _resolve_models(sections: list[_ModelSection], *, folder: Path) -> tuple[ModelSpec, ...]:
    models = tuple(_resolve_model(section, folder=folder) for section in sections)
    labels = [model.label for model in models]
    for label in labels:
        if labels.count(label) > 1:
            raise StudyError(f'[[models]]: label {label!r} is used twice; give one of them another label = "..."')
    return models


def _resolve_model(section: _ModelSection, *, folder: Path) -> ModelSpec:
    file = _find_model(section.path, folder=folder)
    passport: Passport = read_passport(file)
    return ModelSpec(
        label=section.label or file.stem,
        path=file,
        sha256=file_sha256(file),
        architecture=passport.architecture,
        functional=passport.functional,
        dtype=passport.dtype,
        type_names=passport.type_names,
    )


def _find_model(name: str, *, folder: Path) -> Path:
    """A bare name is a model that ships with lpsmd; all else is a path, relative to the study file."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        shipped = DEMO_FOLDER / "models" / f"{name}.pt"
        if not shipped.is_file():
            known = list(shipped_models())
            hint = _nearest(name, known) if known else "none are installed"
            raise StudyError(
                f"[[models]]: no model named {name!r} ships with lpsmd; {hint}; "
                f'for a file of your own write its path, such as "./{name}.pt"'
            )
        return shipped
    return folder / name


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
