"""Labelled frames of one extended XYZ file: fit for use, or an error that names the file and the frame."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from lpsmd.dataset.errors import DatasetError
from lpsmd.dataset.keys import FRAME

_LABELS = ("energy", "forces")
_WRITERS = "`lpsmd label` makes labels, `lpsmd dataset import` brings those of other programs into this form"


def read_frames(
    file: Path, *, functional: str | None = None, named: bool = True, may_lack_labels: bool = False
) -> list[Atoms]:
    """Labelled frames, as `lpsmd label` and `lpsmd dataset import` write them.

    Parameters
    ----------
    file
        Extended XYZ.
    functional
        What frames that have a key `level` must be labelled with; None: anything.
    named
        Whether each frame must have a name of its own under the key `frame`.
    may_lack_labels
        Whether a file in which no frame is labelled counts as one without frames.

    Returns
    -------
    list of Atoms
        With labels in `atoms.calc.results`: `energy` (eV) and `forces` (eV/Angstrom, [atoms, 3]).

    Raises
    ------
    DatasetError
        If the file is not there, cannot be read or is empty, or a frame has no energy, forces or name, labels that are
        no finite numbers or those of another functional, or the name of an earlier frame.
    """
    wanted = "labelled frames" if functional is None else f"frames labelled with {functional}"
    if not file.is_file():
        raise DatasetError(f"{file}: no such file, needed {wanted} there; {_WRITERS}")
    try:
        frames = list(ase.io.read(file, ":", format="extxyz"))
    except Exception as error:  # ASE's readers raise anything
        raise DatasetError(f"{file}: cannot be read: {error}; needed extended XYZ; {_WRITERS}") from error
    if may_lack_labels and all(map(_missing, frames)):
        return []
    if not frames:
        raise DatasetError(f"{file}: found no frame, needed {wanted}; {_WRITERS}")
    numbers: dict[str, int] = {}
    for number, atoms in enumerate(frames):
        fault = _label_fault(atoms, functional) or (_name_fault(atoms, number, numbers) if named else None)
        if fault is not None:
            name = f" ({atoms.info[FRAME]})" if FRAME in atoms.info else ""
            raise DatasetError(f"{file} frame {number}{name}: {fault}")
    return frames


def _label_fault(atoms: Atoms, functional: str | None) -> str | None:
    missing = _missing(atoms)
    if missing:
        return f"found no {' and no '.join(missing)}, needed both; {_WRITERS}"
    for label, shape in (("energy", ()), ("forces", (len(atoms), 3))):
        values = np.asarray(atoms.calc.results[label])
        if values.dtype.kind not in "fiu" or values.shape != shape:
            return (
                f"found {label} of type {values.dtype} and shape {list(values.shape)}, needed numbers of shape "
                f"{list(shape)}; {_WRITERS}"
            )
        if not np.isfinite(values).all():
            return "found an energy or force that is no finite number, needed finite ones; label anew or leave out"
    level = str(atoms.info.get("level", functional))
    if functional is not None and level.lower() != functional.lower():
        return f"found labels of {level}, needed those of {functional}; put each functional into the file of its name"
    return None


def _missing(atoms: Atoms) -> list[str]:
    return [label for label in _LABELS if atoms.calc is None or label not in atoms.calc.results]


def _name_fault(atoms: Atoms, number: int, numbers: dict[str, int]) -> str | None:
    """Puts the number of a good frame under its name."""
    if FRAME not in atoms.info:
        return f"found no key {FRAME}, needed a name of its own; `lpsmd dataset import` gives one"
    earlier = numbers.setdefault(str(atoms.info[FRAME]), number)
    return None if earlier == number else f"has the name of frame {earlier}, needed a key {FRAME} of its own"
