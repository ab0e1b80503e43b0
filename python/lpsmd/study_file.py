"""From a study file, or the record of a study that was run, to a `lpsmd.study.Study`.

The edge where what people write comes in. `lpsmd.study_format` knows the keys, `lpsmd.study_models` the models; here
is what keys have to do with each other. Every fault of a file is told at once: where, what was found, what is needed.
"""

from __future__ import annotations

import json
import logging
import math
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lpsmd.errors import LpsmdError
from lpsmd.structure import A_RANGE_A, ATOMS_PER_CELL
from lpsmd.study import (
    STUDY_RECORD,
    AnalysisSpec,
    Dynamics,
    EnsembleSpec,
    ExecutorSpec,
    GeneratedStructure,
    ModelSpec,
    SlurmSpec,
    StructureFile,
    Study,
    StudyError,
    file_sha256,
    too_many_workers,
)
from lpsmd.study_format import (
    DynamicsSection,
    EnsembleSection,
    ExecutorSection,
    StructureSection,
    StudyFormat,
    parse,
)
from lpsmd.study_models import DEMO_FOLDER, resolve_models, shipped_models
from lpsmd.study_warnings import study_warnings

__all__ = ["DEMO_FOLDER", "DEMO_STUDY", "PROTOCOLS", "load_study", "shipped_models", "study_warnings"]

DEMO_STUDY = DEMO_FOLDER / "study.toml"

_log = logging.getLogger(__name__)

#: Study files to start from, by the name that `lpsmd init --protocol` knows.
PROTOCOLS = {
    "small": Path(__file__).resolve().parent / "protocols" / "small.toml",
    "demo": DEMO_STUDY,
    "reference": Path(__file__).resolve().parent / "protocols" / "reference.toml",
    "select": Path(__file__).resolve().parent / "protocols" / "select.toml",
}

#: Fewer frames than this have no window to fit.
MIN_DUMP_INTERVALS = 10

#: Length of a chunk where the file names none. It is one of what makes a study another one, and so must not follow
#: from the length of the production, which may grow.
DEFAULT_CHUNK_PS = 10.0

#: A chunk with one frame alone shows no bond that breaks and returns.
MIN_INTERVALS_IN_CHUNK = 2

#: More than this was meant otherwise, and would take minutes to build.
MAX_ATOMS = 100_000

#: Fewer replicas than this do not know their own spread well enough to stop on it.
MIN_REPLICAS_WITH_TARGET = 16
DEFAULT_MAXIMUM_REPLICAS = 1000
DEFAULT_MINIMUM_REPLICAS = 2


def load_study(path: str | Path) -> Study:
    """Read and check a study.

    Parameters
    ----------
    path
        A TOML file, whose structure file and models' passports are read as well; the word ``demo`` for the study that
        ships with lpsmd, whatever is called so here; or the folder with the results of a study, for which neither
        study file nor structure file nor model files are read.

    Raises
    ------
    StudyError
        Naming the file and, one a line, every fault: the section, the key, what was found and what is needed.
    """
    if path == "demo":
        if Path(path).is_dir():
            _log.warning("demo is the study that ships with lpsmd; for the folder here write ./demo or demo/study.toml")
        return _from_file(DEMO_STUDY)
    path = Path(path)
    return _from_results(path) if path.is_dir() else _from_file(path)


def _from_file(path: Path) -> Study:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        new = f" {path}" if path.suffix == ".toml" else ""
        raise StudyError(
            f"study file {path}: no such file; `lpsmd init{new}` writes one to start from, or try the study that "
            f"ships: `lpsmd run demo`"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"study file {path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"study file {path}: not valid TOML: {error}") from error
    try:
        return _resolve(parse(values), folder=path.resolve().parent)
    except StudyError as error:
        faults = str(error).splitlines()
        listed = faults[0] if len(faults) == 1 else "\n  ".join([f"{len(faults)} faults", *faults])
        raise StudyError(f"study file {path}: {listed}") from error


def _from_results(folder: Path) -> Study:
    """The study of a results folder, exactly as it was run."""
    file = folder / STUDY_RECORD
    try:
        values = json.loads(file.read_text(encoding="utf-8"))["study"]
        study = Study.from_dict(values)
    except FileNotFoundError as error:
        inside = sorted(found.name for found in folder.glob("*.toml"))
        hint = f"it holds {', '.join(inside)}: give that file" if inside else "give a study file instead"
        raise StudyError(f"{folder}: found no {STUDY_RECORD}, so no study was run here; {hint}") from error
    except OSError as error:
        raise StudyError(f"{file}: cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(
            f"{file}: found no record that this version of lpsmd reads ({type(error).__name__}: {error}); "
            f"give the study file instead"
        ) from error
    if values.get("hash") != study.hash:
        raise StudyError(
            f"{file}: the record has hash {values.get('hash')}, but its values give {study.hash}: it was changed after "
            f"it was written, or another version of lpsmd wrote it; give the study file instead"
        )
    return replace(study, folder=folder)


# --- from the file to a study --------------------------------------------------------------------


def _resolve(parsed: StudyFormat, *, folder: Path) -> Study:
    """Check what pydantic cannot see. The caller puts the file's name in front of a StudyError."""
    faults = [
        *_structure_faults(parsed.structure, folder=folder),
        *_temperature_faults(parsed.dynamics),
        *_coupling_faults(parsed.dynamics),
        *_length_faults(parsed.dynamics),
        *_ensemble_faults(parsed.ensemble),
        *_executor_faults(parsed.executor),
        *_window_faults(parsed.analysis.fit_window, parsed.dynamics),
    ]
    structure = None if faults else _structure(parsed.structure, folder=folder)
    faults += _dump_faults(parsed, structure)
    models: tuple[ModelSpec, ...] = ()
    try:
        models = resolve_models(parsed.models, parsed.model_grid, folder=folder)
    except StudyError as error:
        faults.append(str(error))
    if structure is None or faults:
        raise StudyError("\n".join(faults))
    return Study(
        name=parsed.study.name,
        seed=parsed.study.seed,
        structure=structure,
        models=models,
        temperatures_K=_temperatures_K(parsed.dynamics),
        dynamics=_dynamics(parsed.dynamics),
        ensemble=_ensemble(parsed.ensemble),
        executor=_executor(parsed.executor, folder=folder),
        analysis=AnalysisSpec(
            species=parsed.analysis.species,
            charge_e=parsed.analysis.charge_e,
            drift=parsed.analysis.drift,
            fit_window=_pair(parsed.analysis.fit_window),
        ),
    )


def _pair(values: list[float] | None) -> tuple[float, float] | None:
    return None if values is None else (values[0], values[1])


def _window_faults(window: list[float] | None, dynamics: DynamicsSection) -> Iterator[str]:
    """Here and not in the analysis alone, which would find it when replicas have run."""
    from lpsmd.analysis.diffusion import MIN_LAGS_IN_WINDOW

    if window is None:
        return
    if not 0.0 < window[0] < window[1]:
        yield (
            f"[analysis]: fit_window: found {window}, needed two growing fractions of the production above 0, such as "
            "[0.1, 0.5]"
        )
        return
    intervals = 1000.0 * dynamics.production_ps / dynamics.dump_interval_fs
    lags = math.floor(window[1] * intervals + 1e-6) - math.ceil(window[0] * intervals - 1e-6) + 1
    if lags < MIN_LAGS_IN_WINDOW:
        yield (
            f"[analysis]: fit_window: found {window}, {lags} lags of dump_interval_fs, needed at least "
            f"{MIN_LAGS_IN_WINDOW}; widen it, make production_ps longer or dump_interval_fs shorter"
        )


# --- [structure] ---------------------------------------------------------------------------------


def _structure_faults(section: StructureSection, *, folder: Path) -> Iterator[str]:
    if (section.generator is None) == (section.file is None):
        yield (
            f"[structure]: found {'both' if section.file else 'neither'} of generator and file, needed one: "
            f'generator = "li6ps5cl" with its a_A, or file = "..."'
        )
    elif section.file is None:
        low, high = A_RANGE_A
        if section.a_A is None:
            yield "[structure]: key 'a_A' is missing; 9.86 is the room-temperature value"
        elif not low <= section.a_A <= high:
            yield f"[structure]: a_A: found {section.a_A:g}, needed {low:g} to {high:g} Angstrom (9.86 is usual)"
        atoms = ATOMS_PER_CELL * math.prod(section.supercell or [])
        if atoms > MAX_ATOMS:
            yield f"[structure]: supercell: found {section.supercell}, {atoms} atoms, needed at most {MAX_ATOMS}"
    else:
        keys = ("a_A", "supercell", "inversion", "seed", "count")
        given = [key for key in keys if getattr(section, key) is not None]
        if given:
            yield (
                f"[structure]: {', '.join(given)} belong to a generator, but file = {section.file!r} is given; remove "
                f"one or the other"
            )
        if not (folder / section.file).is_file():
            yield f"[structure]: file {folder / section.file}: no such file; paths are relative to the study file"


def _structure(section: StructureSection, *, folder: Path) -> GeneratedStructure | StructureFile:
    if section.file is not None:
        file = folder / section.file
        return StructureFile(file=file, sha256=file_sha256(file))
    assert section.generator is not None
    assert section.a_A is not None
    counts = section.supercell or [1, 1, 1]
    return GeneratedStructure(
        generator=section.generator,
        a_A=section.a_A,
        supercell=(counts[0], counts[1], counts[2]),
        inversion=section.inversion or 0.0,
        seed=1 if section.seed is None else section.seed,
        count=section.count or 1,
    )


# --- [dynamics] ----------------------------------------------------------------------------------


def _temperatures_K(section: DynamicsSection) -> tuple[float, ...]:
    if section.temperatures_K is not None:
        return tuple(section.temperatures_K)
    return () if section.temperature_K is None else (section.temperature_K,)


def _temperature_faults(section: DynamicsSection) -> Iterator[str]:
    if section.temperature_K is None and section.temperatures_K is None:
        yield "[dynamics]: key 'temperature_K' is missing (or, for several, temperatures_K = [600.0, 700.0])"
    elif section.temperature_K is not None and section.temperatures_K is not None:
        yield "[dynamics]: found both of temperature_K and temperatures_K, needed one"
    # As they are written in names of folders.
    names = [f"{temperature:g}" for temperature in _temperatures_K(section)]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield f"[dynamics]: temperatures_K: found {name} twice, needed each temperature once (in six digits)"


def _coupling_faults(section: DynamicsSection) -> Iterator[str]:
    """Thermostat and barostat: only where the ensemble has one."""
    for key in ("thermostat", "damping_ps"):
        if section.ensemble == "nve" and getattr(section, key) is not None:
            yield (
                f'[dynamics]: {key}: found {getattr(section, key)!r}, needed none, as ensemble = "nve" has no '
                f"thermostat in the production; remove one or the other"
            )
    for key in ("pressure_bar", "barostat_damping_ps"):
        if section.ensemble != "npt" and getattr(section, key) is not None:
            yield (
                f'[dynamics]: {key}: found {getattr(section, key):g} with ensemble = "{section.ensemble}", which keeps '
                f'the cell; needed ensemble = "npt", or no {key}'
            )


def _length_faults(section: DynamicsSection) -> Iterator[str]:
    """Times that are no whole multiple of what they are made of."""
    timestep = ("timestep_fs", section.timestep_fs)
    dump = ("dump_interval_fs", section.dump_interval_fs)
    chunk_ps = DEFAULT_CHUNK_PS if section.chunk_ps is None else section.chunk_ps
    # Whole chunks, and a frame at the end of each.
    rules = [
        ("equilibration_ps", timestep),
        ("production_ps", timestep),
        ("dump_interval_fs", timestep),
        ("production_ps", dump),
    ]
    if section.chunk_ps is not None:
        rules += [("chunk_ps", timestep), ("chunk_ps", dump), ("production_ps", ("chunk_ps", 1000.0 * chunk_ps))]
    for key, (whole, unit_fs) in rules:
        value = getattr(section, key)
        unit = key.rpartition("_")[2]
        if not _is_multiple(1000.0 * value if unit == "ps" else value, unit_fs):
            needed = f"{unit_fs / 1000.0:g} ps" if whole.endswith("_ps") else f"{unit_fs:g} fs"
            yield f"[dynamics]: {key}: found {value:g} {unit}, needed a whole multiple of {whole}, {needed}"
    intervals = round(1000.0 * section.production_ps / section.dump_interval_fs)
    if intervals < MIN_DUMP_INTERVALS:
        yield (
            f"[dynamics]: production_ps: found {section.production_ps:g} ps, {intervals} dump intervals, "
            f"needed at least {MIN_DUMP_INTERVALS}; make it longer or dump_interval_fs shorter"
        )
    whole_frames = _is_multiple(1000.0 * section.production_ps, section.dump_interval_fs)
    if section.chunk_ps is None and whole_frames and not _is_divided(section, chunk_ps):
        yield (
            f"[dynamics]: chunk_ps: found none, and its default, {chunk_ps:g} ps, does not divide production_ps, "
            f"{section.production_ps:g} ps, into whole chunks of whole dump intervals; write one that does, as "
            f"chunk_ps = {_fitting_chunk_ps(section):g}: production_ps may later grow by whole chunks"
        )
    elif round(1000.0 * chunk_ps / section.dump_interval_fs) < MIN_INTERVALS_IN_CHUNK:
        yield (
            f"[dynamics]: chunk_ps: found {chunk_ps:g} ps, one dump interval, needed at least "
            f"{MIN_INTERVALS_IN_CHUNK}; make it longer or dump_interval_fs shorter"
        )


def _is_multiple(length: float, unit: float) -> bool:
    ratio = length / unit
    return abs(ratio - round(ratio)) < 1e-6 and (length == 0 or round(ratio) >= 1)


def _is_divided(section: DynamicsSection, chunk_ps: float) -> bool:
    """Whether chunks of this length are whole, and end on a frame."""
    return _is_multiple(section.production_ps, chunk_ps) and _is_multiple(1000.0 * chunk_ps, section.dump_interval_fs)


def _fitting_chunk_ps(section: DynamicsSection) -> float:
    """The longest chunk up to the default that divides the production; else one chunk."""
    production_ps = section.production_ps
    fewest = math.ceil(production_ps / DEFAULT_CHUNK_PS)
    most = round(1000.0 * production_ps / section.dump_interval_fs) // MIN_INTERVALS_IN_CHUNK
    lengths = (production_ps / n for n in range(fewest, most + 1))
    return next((length for length in lengths if _is_divided(section, length)), production_ps)


def _dump_faults(parsed: StudyFormat, structure: GeneratedStructure | StructureFile | None) -> Iterator[str]:
    """Elements without which the trajectory would be of no use."""
    dumped, analysis = parsed.dynamics.dump_species, parsed.analysis
    if dumped is None:
        return
    where = f"[dynamics]: dump_species: found {dumped}, needed"
    if analysis.species not in dumped:
        yield f"{where} {analysis.species!r} in it, the species of [analysis]"
    if analysis.drift == "framework" and set(dumped) <= {analysis.species}:
        yield (
            f'{where} an element beside {analysis.species} in it, by which drift = "framework" knows the framework; '
            f"add one, or leave dump_species out to write every element"
        )
    if structure is None:
        return
    try:
        elements = structure.elements
    except LpsmdError as error:
        yield f"[structure]: {error}"
        return
    if not set(dumped) <= set(elements):
        yield f"{where} none but the structure's elements, {', '.join(elements)}"
    if analysis.drift == "com" and not set(elements) <= set(dumped):
        yield (
            f'{where} every element, {", ".join(elements)}, as drift = "com" takes the centre of mass of all atoms; '
            f'leave dump_species out, or set drift = "framework"'
        )


def _dynamics(section: DynamicsSection) -> Dynamics:
    """What the ensemble does not use has its default, so that it does not change the identity of a study."""
    return Dynamics(
        ensemble=section.ensemble,
        thermostat=section.thermostat or "nose-hoover",
        damping_ps=section.damping_ps or 0.1,
        pressure_bar=section.pressure_bar or 0.0,
        barostat_damping_ps=section.barostat_damping_ps or 1.0,
        timestep_fs=section.timestep_fs,
        equilibration_ps=section.equilibration_ps,
        production_ps=section.production_ps,
        chunk_ps=section.chunk_ps or DEFAULT_CHUNK_PS,
        dump_interval_fs=section.dump_interval_fs,
        # Sorted: the order in which elements are listed changes no frame.
        dump_species=None if section.dump_species is None else tuple(sorted(section.dump_species)),
    )


# --- [ensemble] and [executor] -------------------------------------------------------------------


def _ensemble_faults(section: EnsembleSection) -> Iterator[str]:
    if section.replicas is None and section.target_relative_error is None:
        yield "[ensemble]: found neither of replicas and target_relative_error, needed one"
    elif section.replicas is not None and section.target_relative_error is not None:
        yield (
            "[ensemble]: found both of replicas and target_relative_error, needed one; with a target, "
            "maximum_replicas bounds the number"
        )
    elif section.replicas is not None:
        if section.maximum_replicas is not None:
            yield (
                "[ensemble]: maximum_replicas: belongs to target_relative_error, but replicas is given; "
                "remove one or the other"
            )
        yield from _minimum_faults(section, most=section.replicas, key="replicas")
    else:
        least = section.minimum_replicas
        if least is not None and least < MIN_REPLICAS_WITH_TARGET:
            yield (
                f"[ensemble]: minimum_replicas: found {least}, needed at least {MIN_REPLICAS_WITH_TARGET} with "
                f"target_relative_error: the spread of fewer replicas is not known well enough to stop on"
            )
        yield from _minimum_faults(section, most=_ensemble(section).replicas, key="maximum_replicas")


def _minimum_faults(section: EnsembleSection, *, most: int, key: str) -> Iterator[str]:
    least = _ensemble(section).minimum_replicas
    if least > most and section.minimum_replicas is None:
        yield f"[ensemble]: {key}: found {most}, needed at least {least}"
    elif least > most:
        yield f"[ensemble]: minimum_replicas: found {least}, needed at most {key}, {most}"


def _ensemble(section: EnsembleSection) -> EnsembleSpec:
    with_target = section.target_relative_error is not None
    fewest = MIN_REPLICAS_WITH_TARGET if with_target else DEFAULT_MINIMUM_REPLICAS
    return EnsembleSpec(
        replicas=section.replicas or section.maximum_replicas or DEFAULT_MAXIMUM_REPLICAS,
        minimum_replicas=section.minimum_replicas or fewest,
        target_relative_error=section.target_relative_error,
        retries=section.retries,
        stop_on_broken_framework=section.stop_on_broken_framework,
    )


def _executor_faults(section: ExecutorSection) -> Iterator[str]:
    slurm = section.slurm
    if section.gpus and slurm is not None:
        yield (
            "[executor]: found both of gpus and [executor.slurm], needed one: gpus are those of this machine, for "
            "Slurm write gpus_per_node in [executor.slurm]"
        )
    if section.replicas_per_gpu and slurm is not None and slurm.replicas_per_gpu:
        yield "[executor]: found replicas_per_gpu here and in [executor.slurm], needed one of them"
    n_gpus, on_each = len(section.gpus) if slurm is None else slurm.gpus_per_node, _replicas_per_gpu(section)
    if n_gpus and section.workers is not None and section.workers > n_gpus * on_each:
        yield too_many_workers(section.workers, n_gpus, on_each)
    if slurm is not None and not n_gpus and section.workers is None:
        yield (
            "[executor]: key 'workers' is missing: with [executor.slurm] it says how many replicas run at a time in a "
            "job, which asks for as many cores (with GPUs write gpus_per_node in [executor.slurm] instead)"
        )
    if on_each > 1 and not n_gpus:
        yield (
            f"[executor]: replicas_per_gpu: found {on_each} without GPUs, needed gpus = [0], or "
            f"gpus_per_node in [executor.slurm]; for replicas at a time on CPUs write workers"
        )


def _replicas_per_gpu(section: ExecutorSection) -> int:
    """It may stand with the GPUs that it is about: those of this machine, or those of Slurm's nodes."""
    return section.replicas_per_gpu or (section.slurm and section.slurm.replicas_per_gpu) or 1


def _executor(section: ExecutorSection, *, folder: Path) -> ExecutorSpec:
    slurm = None if section.slurm is None else section.slurm.model_dump(exclude={"replicas_per_gpu"})
    lmp = section.lmp
    return ExecutorSpec(
        workers=section.workers,
        gpus=tuple(section.gpus),
        replicas_per_gpu=_replicas_per_gpu(section),
        # A path is relative to the study file, a bare name is for PATH to find.
        lmp=str(folder / lmp) if lmp is not None and "/" in lmp else lmp,
        slurm=None if slurm is None else SlurmSpec(**{**slurm, "options": tuple(slurm["options"])}),
    )
