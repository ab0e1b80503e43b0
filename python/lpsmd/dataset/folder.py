"""A folder of labelled sets: an extended XYZ file for each functional, one name for one geometry in all of them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from lpsmd.dataset.distances import is_same_geometry
from lpsmd.dataset.errors import DatasetError
from lpsmd.dataset.extxyz import with_key
from lpsmd.dataset.frames import read_frames
from lpsmd.dataset.keys import FRAME, PART
from lpsmd.ensemble.files import write_atomically
from lpsmd.ensemble.locks import Held, hold

_LOCK = ".dataset.lock"


@dataclass(frozen=True)
class Dataset:
    """Labelled sets by file, the largest first; equal `info['frame']` is one geometry.

    Labels are ASE's: `atoms.get_forces()`.
    """

    path: Path
    sets: Mapping[Path, list[Atoms]]

    def frames(self) -> dict[str, Atoms]:
        """Every geometry once, by name, as the first set has it."""
        found: dict[str, Atoms] = {}
        for frames in self.sets.values():
            for atoms in frames:
                found.setdefault(str(atoms.info[FRAME]), atoms)
        return found


def read_dataset(path: Path) -> Dataset:
    """Read a folder, of which extended XYZ files without any label are left aside, or a single file.

    Parameters
    ----------
    path
        Folder with pbe.extxyz, hse06.extxyz ..., or one such file.

    Raises
    ------
    DatasetError
        If there is no set, a frame is not fit (`read_frames`), or one name stands for two geometries.
    """
    files = sorted(path.glob("*.extxyz")) if path.is_dir() else [path]
    sets = {file: frames for file in files if (frames := read_frames(file, may_lack_labels=True))}
    if not sets:
        raise DatasetError(
            f"{path}: found no labelled frames; needed a folder with pbe.extxyz, hse06.extxyz ..., or one such file, "
            f"as `lpsmd label` and `lpsmd dataset import` write them"
        )
    dataset = Dataset(path, dict(sorted(sets.items(), key=lambda entry: -len(entry[1]))))
    _check_geometries(dataset)
    return dataset


@contextmanager
def alone_with(folder: Path) -> Iterator[None]:
    """Alone with the sets of a folder: what another call adds between reading and writing would be lost.

    Raises
    ------
    DatasetError
        If another call writes there.
    """
    try:
        with hold(folder / _LOCK):
            yield
    except Held as held:
        raise DatasetError(
            f"{folder}: another call writes its sets ({held}); run the same command again when that has ended"
        ) from held


def write_parts(dataset: Dataset, parts: Mapping[str, str]) -> None:
    """Write `part` into every set; nothing else of the files changes.

    Each file is replaced as a whole. If it ends between two files, the parts in the first hold for the second when the
    split is made again.

    Parameters
    ----------
    dataset
        As it was read.
    parts
        Part of each frame, by name.
    """
    for file, frames in dataset.sets.items():
        in_order = iter(parts[str(atoms.info[FRAME])] for atoms in frames)
        lines = [
            with_key(line, PART, next(in_order)) if is_comment else line
            for is_comment, line in _lines(file.read_text(encoding="utf-8"))
        ]
        write_atomically(file, "".join(lines))


def _lines(text: str) -> Iterator[tuple[bool, str]]:
    """Lines of an XYZ file, and whether they are the comment of a frame."""
    lines = io.StringIO(text)
    for number in lines:
        yield False, number
        if number.strip():
            yield True, next(lines)
            for _ in range(int(number)):
                yield False, next(lines)


def _check_geometries(dataset: Dataset) -> None:
    first = dataset.frames()
    for file, frames in dataset.sets.items():
        for atoms in frames:
            name = str(atoms.info[FRAME])
            if first[name] is not atoms and not is_same_geometry(first[name], atoms):
                raise DatasetError(
                    f"{file}: {FRAME}={name} has another geometry here than in another set of {dataset.path}; needed "
                    f"one name for one geometry: give one of them another name"
                )
