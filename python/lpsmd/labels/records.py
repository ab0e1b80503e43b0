"""What a frame's folder says about it: a label counts from the moment at which its record stands there, whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from lpsmd.ensemble.files import EnsembleError, read_json, write_json

_FAILURE = "failed.json"


@dataclass(frozen=True, kw_only=True)
class Label:
    """Energy (eV), forces [atoms][3] (eV/Angstrom), gap (eV), perhaps a stress [3][3] (eV/Angstrom^3, ASE's sign)."""

    functional: str
    energy_eV: float
    forces_eV_per_A: list[list[float]]
    gap_eV: float
    stress_eV_per_A3: list[list[float]] | None
    pw_version: str
    cpu_s: float
    wall_s: float
    host: str
    ended: str


@dataclass(frozen=True, kw_only=True)
class LabelFailure:
    """Why pw.x gave no label: its words. Input and output are kept beside the record as failed.in and failed.out."""

    functional: str
    reason: str
    host: str
    ended: str


def read_label(folder: Path, functional: str) -> Label | None:
    """The label of a frame, None where there is none.

    Raises
    ------
    EnsembleError
        If the record is damaged.
    """
    path = _label_file(folder, functional)
    if not path.exists():
        return None
    try:
        return Label(**read_json(path))
    except TypeError as error:
        raise EnsembleError(f"{path}: found no record of a label ({error}); remove it to label again") from error


def write_label(folder: Path, label: Label) -> None:
    """Write the record by which a label counts."""
    write_json(_label_file(folder, label.functional), asdict(label))


def read_failure(folder: Path) -> LabelFailure | None:
    """Why a frame has no label, None where it has not failed, nor by a record of other keys: it is tried again."""
    path = folder / _FAILURE
    try:
        return LabelFailure(**read_json(path)) if path.exists() else None
    except TypeError:
        return None


def write_failure(folder: Path, failure: LabelFailure) -> None:
    """Write why there is no label."""
    write_json(folder / _FAILURE, asdict(failure))


def forget_failure(folder: Path) -> None:
    """Let a frame be tried again."""
    (folder / _FAILURE).unlink(missing_ok=True)


def _label_file(folder: Path, functional: str) -> Path:
    return folder / f"{functional.lower()}.json"
