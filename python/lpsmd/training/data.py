"""The labelled frames of a training, their parts, and what follows from them.

A data set is a folder with `pbe.extxyz` and, for HSE06, `hse06.extxyz`. Every frame has a name (`frame`) and a `part`
(train, validation, test) in `Atoms.info`, which `lpsmd dataset split` writes. Test frames go into no training and
choose nothing: they leave this module only as frames to judge a finished model by.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.io import write
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from lpsmd.dataset.errors import DatasetError, SplitError
from lpsmd.dataset.frames import read_frames
from lpsmd.dataset.keys import PARTS, groups_of
from lpsmd.dataset.splitting import parts_of_groups
from lpsmd.errors import LpsmdError
from lpsmd.models.accuracy import EnergiesAndForces, can_subtract_forces

#: Each functional with the one whose weights its training starts from.
PARENTS: Mapping[str, str | None] = {"PBE": None, "HSE06": "PBE"}
FUNCTIONALS = tuple(PARENTS)
ENERGY_KEY, FORCES_KEY = "REF_energy", "REF_forces"

#: Room above the most neighbours that the data show: dynamics goes where no frame was.
_NEIGHBOR_MARGIN = 1.25


class TrainingError(LpsmdError):
    """A training cannot start, failed, or left something behind that does not fit."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """The frames of each functional, sorted by name, and the elements in ascending order of atomic number.

    Frames have `info['REF_energy']` (eV), `arrays['REF_forces']` (eV/Angstrom, [atoms, 3]), `info['frame']`,
    `info['part']`, and what else their file says of them.
    """

    folder: Path
    frames: Mapping[str, tuple[Atoms, ...]]
    type_names: tuple[str, ...]

    def part(self, functional: str, part: str) -> list[Atoms]:
        """The frames of one part."""
        return [atoms for atoms in self.frames[functional] if atoms.info["part"] == part]

    def sha256(self, functional: str) -> str:
        """Hash of all frames of a functional with their labels and parts."""
        return frames_sha256(self.frames[functional])


def lineage(functional: str) -> tuple[str, ...]:
    """The functionals whose trainings lead to that of `functional`, the first parent first.

    Raises
    ------
    TrainingError
        For a functional that has no place here.

    Examples
    --------
    >>> lineage("HSE06")
    ('PBE', 'HSE06')
    """
    if functional not in PARENTS:
        raise TrainingError(f"functional: found {functional!r}, needed one of {', '.join(FUNCTIONALS)}")
    parent = PARENTS[functional]
    return (functional,) if parent is None else (*lineage(parent), functional)


def read_dataset(folder: Path, functional: str) -> Dataset:
    """Read and check the frames that a training for `functional` needs: its own and those of its parents.

    Raises
    ------
    DatasetError
        Naming the first fault: those of `lpsmd.dataset.frames`, a frame without part, a part without frames, a frame
        that has another part or geometry for one functional than for the other, two parts that share a start or
        trajectory.
    TrainingError
        For a functional that has no place here.
    """
    frames = {name: _read(folder, name) for name in lineage(functional)}
    first, *later = frames
    for name in later:
        _require_same_parts(first, frames[first], name, frames[name], folder=folder)
        _require_same_geometries(first, frames[first], name, frames[name], folder=folder)
    _require_whole_groups([atoms for members in frames.values() for atoms in members], folder=folder)
    elements = {symbol for members in frames.values() for atoms in members for symbol in atoms.symbols}
    return Dataset(
        folder=folder,
        frames=frames,
        type_names=tuple(sorted(elements, key=lambda symbol: atomic_numbers[symbol])),
    )


def _read(folder: Path, functional: str) -> tuple[Atoms, ...]:
    path = folder / f"{functional.lower()}.extxyz"
    # Else a passport would name another functional than the model was trained on.
    frames = read_frames(path, functional=functional)
    for number, atoms in enumerate(frames):
        if atoms.info.get("part") not in PARTS:
            raise DatasetError(
                f"{path} frame {number} ({atoms.info['frame']}): found part={atoms.info.get('part')}, needed one of "
                f"{', '.join(PARTS)}; `lpsmd dataset split` writes it"
            )
    counts = Counter(atoms.info["part"] for atoms in frames)
    if not all(counts[part] for part in PARTS):
        found = ", ".join(f"{counts[part]} {part}" for part in PARTS)
        raise DatasetError(
            f"{path}: found {found} frames, needed at least one of each; `lpsmd dataset split` gives frames their parts"
        )
    return tuple(map(_for_trainers, sorted(frames, key=lambda atoms: str(atoms.info["frame"]))))


def _for_trainers(source: Atoms) -> Atoms:
    """A frame with its labels under the names that all trainers are told."""
    atoms = Atoms(source.get_chemical_symbols(), positions=source.positions, cell=source.cell, pbc=source.pbc)
    atoms.info = {**source.info, ENERGY_KEY: float(source.calc.results["energy"])}
    atoms.arrays[FORCES_KEY] = np.asarray(source.calc.results["forces"], dtype=float)
    return atoms


def _require_same_parts(
    first: str, parents: Sequence[Atoms], name: str, frames: Sequence[Atoms], *, folder: Path
) -> None:
    """Else the weights that a training starts from would have seen its test frames."""
    parts = {atoms.info["frame"]: atoms.info["part"] for atoms in parents}
    for atoms in frames:
        before = parts.get(atoms.info["frame"])
        if before is not None and before != atoms.info["part"]:
            raise DatasetError(
                f"{folder}: found frame {atoms.info['frame']} in {before} of {first} and in {atoms.info['part']} of "
                f"{name}, needed one part; run `lpsmd dataset split` on the folder"
            )


def _require_same_geometries(
    first: str, parents: Sequence[Atoms], name: str, frames: Sequence[Atoms], *, folder: Path
) -> None:
    """Else the difference of the functionals would be one of forces on other atoms, or along other axes."""
    for base, other in zip(*common_geometries(parents, frames), strict=True):
        if not can_subtract_forces(base, other):
            raise DatasetError(
                f"{folder}: found two geometries of frame {other.info['frame']} in {first} and {name}, needed the same "
                f"atoms in the same order and orientation; label one file with both functionals"
            )


def _require_whole_groups(frames: Sequence[Atoms], *, folder: Path) -> None:
    """Else a model would be judged by neighbours in time of what it was trained on."""
    try:
        parts_of_groups(frames, groups_of(frames))
    except SplitError as error:
        raise DatasetError(f"{folder}: {error}") from error


def common_geometries(first: Sequence[Atoms], second: Sequence[Atoms]) -> tuple[list[Atoms], list[Atoms]]:
    """The frames that both have, in the order of the second."""
    named = {atoms.info["frame"]: atoms for atoms in first}
    pairs = [(named[atoms.info["frame"]], atoms) for atoms in second if atoms.info["frame"] in named]
    return [one for one, _ in pairs], [other for _, other in pairs]


def composition(frames: Sequence[Atoms], type_names: Sequence[str]) -> NDArray[np.float64]:
    """Atoms of each type per frame, [frames, types]."""
    return np.array([[atoms.get_chemical_symbols().count(name) for name in type_names] for atoms in frames], float)


def energies_eV(frames: Sequence[Atoms]) -> NDArray[np.float64]:
    """Energies of the frames in eV, [frames]."""
    return np.array([atoms.info[ENERGY_KEY] for atoms in frames], dtype=float)


def labels_of(frames: Sequence[Atoms]) -> EnergiesAndForces:
    """What the frames are labelled with."""
    return EnergiesAndForces(
        energies_eV=energies_eV(frames).tolist(), forces_eV_per_A=[atoms.arrays[FORCES_KEY] for atoms in frames]
    )


def energy_shifts_eV(frames: Sequence[Atoms], type_names: Sequence[str]) -> dict[str, float]:
    """Per-type energies of labels in eV: `shared_out_eV`."""
    return shared_out_eV(energies_eV(frames), frames, type_names)


def moved_shifts_eV(
    shifts_eV: Mapping[str, float], before: Sequence[Atoms], after: Sequence[Atoms]
) -> dict[str, float]:
    """Per-type energies for the labels `after`, from those for the labels `before` of the same geometries.

    The difference of the labels is shared out as the first labels were: a model keeps what it knows of the geometries.
    """
    names = list(shifts_eV)
    change = shared_out_eV(energies_eV(after) - energies_eV(before), after, names)
    return {name: value + change[name] for name, value in shifts_eV.items()}


def shared_out_eV(
    energies: NDArray[np.float64], frames: Sequence[Atoms], type_names: Sequence[str]
) -> dict[str, float]:
    """Per-type energies (eV) by least squares, the solution nearest to the mean energy per atom for every type.

    Frames of one composition fix a single number: then every type has the mean energy per atom. What the compositions
    leave open has no effect on them, and would need labels of others to be known.

    Parameters
    ----------
    energies
        What is shared out, in eV, [frames]: energies of labels, or what two labels differ by.
    """
    counts = composition(frames, type_names)
    mean = energies.sum() / counts.sum()
    # The pseudo-inverse gives the least departure from the mean.
    values = mean + np.linalg.pinv(counts, rcond=1e-8) @ (energies - mean * counts.sum(axis=1))
    return dict(zip(type_names, values.tolist(), strict=True))


def _neighbor_counts(frames: Sequence[Atoms], type_names: Sequence[str], cutoff_A: float) -> Iterator[NDArray[np.int_]]:
    """Neighbours of each atom by their type, [atoms, types] for each frame."""
    for atoms in frames:
        centres, neighbors = neighbor_list("ij", atoms, cutoff_A)
        kinds = np.array([type_names.index(symbol) for symbol in atoms.get_chemical_symbols()])
        flat = np.bincount(centres * len(type_names) + kinds[neighbors], minlength=len(atoms) * len(type_names))
        yield flat.reshape(len(atoms), len(type_names))


def average_neighbors(frames: Sequence[Atoms], type_names: Sequence[str], cutoff_A: float) -> float:
    """Mean number of neighbours within a cutoff."""
    counts = np.concatenate(list(_neighbor_counts(frames, type_names, cutoff_A)))
    return float(counts.sum(axis=1).mean())


def most_neighbors(frames: Sequence[Atoms], type_names: Sequence[str], cutoff_A: float) -> tuple[int, ...]:
    """The most neighbours of each type that an atom has within a cutoff."""
    most = np.max([counts.max(axis=0) for counts in _neighbor_counts(frames, type_names, cutoff_A)], axis=0)
    return tuple(most.tolist())


def neighbor_limits(frames: Sequence[Atoms], type_names: Sequence[str], cutoff_A: float) -> tuple[int, ...]:
    """`most_neighbors` and a margin, even numbers (`sel` of Deep Potential)."""
    most = most_neighbors(frames, type_names, cutoff_A)
    return tuple(2 * math.ceil((_NEIGHBOR_MARGIN * count + 2) / 2) for count in most)


def write_extxyz(path: Path, frames: Sequence[Atoms]) -> None:
    """Write frames with their name and labels, and nothing that a trainer might take for a label of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bare = []
    for atoms in frames:
        copy = atoms.copy()
        copy.info = {key: atoms.info[key] for key in ("frame", ENERGY_KEY)}
        bare.append(copy)
    write(path, bare, format="extxyz")


def system_names(frames: Sequence[Atoms], type_names: Sequence[str]) -> list[str]:
    """Names of the systems of `write_deepmd`: one for each composition."""
    return [f"system_{n}" for n in range(len(np.unique(composition(frames, type_names), axis=0)))]


def write_deepmd(folder: Path, frames: Sequence[Atoms], type_names: Sequence[str]) -> None:
    """Write frames as DeePMD systems, one per sequence of types, atoms sorted by type."""
    systems: dict[bytes, list[tuple[Atoms, NDArray[np.int64]]]] = {}
    for atoms in frames:
        types = np.array([type_names.index(name) for name in atoms.get_chemical_symbols()])
        order = np.argsort(types, kind="stable")
        systems.setdefault(types[order].tobytes(), []).append((atoms, order))
    for n, (key, members) in enumerate(systems.items()):
        system = folder / f"system_{n}"
        (system / "set.000").mkdir(parents=True, exist_ok=True)
        np.savetxt(system / "type.raw", np.frombuffer(key, dtype=np.int64), fmt="%d")
        (system / "type_map.raw").write_text("\n".join(type_names) + "\n")
        arrays = {
            "box": [atoms.cell.array.ravel() for atoms, _ in members],
            "coord": [atoms.positions[order].ravel() for atoms, order in members],
            "energy": [atoms.info[ENERGY_KEY] for atoms, _ in members],
            "force": [atoms.arrays[FORCES_KEY][order].ravel() for atoms, order in members],
        }
        for name, values in arrays.items():
            np.save(system / "set.000" / f"{name}.npy", np.array(values, dtype=float))


def frames_sha256(*sets: Sequence[Atoms]) -> str:
    """Hash of names, parts, geometries, energies and forces of all sets, in order."""
    digest = hashlib.sha256()
    for frames in sets:
        for atoms in frames:
            words = [str(atoms.info["frame"]), str(atoms.info.get("part")), atoms.get_chemical_symbols()]
            digest.update(json.dumps(words).encode())
            for array in (atoms.cell.array, atoms.positions, atoms.arrays[FORCES_KEY]):
                digest.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
            digest.update(np.float64(atoms.info[ENERGY_KEY]).tobytes())
    return digest.hexdigest()
