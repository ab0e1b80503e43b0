"""The DFT frames, their split, and the data sets of the training stages.

Everything here is deterministic: which geometry is held out is decided by a rule on the names of the
frames, never by a draw and never after looking at an error.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read, write
from numpy.typing import NDArray

from lpsmd.errors import LpsmdError
from lpsmd.models.accuracy import REGIONS, EnergiesAndForces

TYPE_NAMES = ("Li", "P", "S", "Cl")
ATOMIC_NUMBERS = (3, 15, 16, 17)
FUNCTIONALS = ("PBE", "HSE06")
DFT_FOLDER = Path(__file__).parent.parent / "demo" / "dft"
HELD_OUT_FRACTION = 0.15
# Starting point of the per-type energies (eV); frames of one composition fix only their sum.
TYPICAL_SHIFT_EV = {"Li": -12.4, "P": -178.0, "S": -274.0, "Cl": -410.0}
ENERGY_KEY, FORCES_KEY = "REF_energy", "REF_forces"


class TrainingError(LpsmdError):
    """A training cannot start, failed, or left something behind that does not fit."""


@dataclass(frozen=True)
class Split:
    """Names of the frames of each part; a name belongs to exactly one."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    held_out: tuple[str, ...]


def frame_kind(name: str) -> str:
    """Group of a frame for split and report: one per trajectory, and rattle, hop, strain.

    Examples
    --------
    >>> frame_kind("md900_chgnet_pbe_006")
    'md_chgnet_pbe'
    """
    if name.startswith("md900_"):
        return "md_" + name.removeprefix("md900_").rsplit("_", 1)[0]
    return name.split("_")[0]


def read_dft(functional: str, *, folder: Path = DFT_FOLDER) -> list[Atoms]:
    """The frames labelled with one functional, sorted by name.

    `info['group']` is the frame's group for the split; what tells regions and trajectories apart is kept.

    Parameters
    ----------
    functional : {"PBE", "HSE06"}
    folder : Path
        Folder with pbe.extxyz and hse06.extxyz.

    Returns
    -------
    list of ase.Atoms
        With `info['REF_energy']` (eV) and `arrays['REF_forces']` (eV/Angstrom, shape [52, 3]).

    Raises
    ------
    TrainingError
        Unknown functional, missing file, or a frame without name, energy or forces.
    """
    if functional not in FUNCTIONALS:
        raise TrainingError(f"functional {functional!r} has no DFT frames here; choose one of {', '.join(FUNCTIONALS)}")
    path = folder / f"{functional.lower()}.extxyz"
    if not path.is_file():
        raise TrainingError(f"{path} does not exist; it should hold the {functional} frames")
    frames = []
    for n, source in enumerate(read(path, ":")):
        if "frame" not in source.info or source.calc is None:
            raise TrainingError(f"{path}: frame {n} lacks the key 'frame', an energy or forces")
        name = str(source.info["frame"])
        group = str(source.info["kind"]).removeprefix("t1_").rstrip("0123456789.")
        atoms = Atoms(source.get_chemical_symbols(), positions=source.positions, cell=source.cell, pbc=True)
        atoms.info = {
            **{key: source.info[key] for key in (*REGIONS, "trajectory", "start") if key in source.info},
            "frame": name,
            "group": frame_kind(name) if group == "md" else group,
            "level": functional,
            ENERGY_KEY: float(source.get_potential_energy()),
        }
        atoms.arrays[FORCES_KEY] = source.get_forces()
        frames.append(atoms)
    return sorted(frames, key=lambda atoms: str(atoms.info["frame"]))


def split_geometries(pbe: Sequence[Atoms], hse06: Sequence[Atoms]) -> Split:
    """Hold out the tail of each group among the geometries that both functionals label.

    The same geometries are held out for both. Within a trajectory the tail is contiguous in time, so no
    held-out frame lies between two training frames. The earliest frame of each trajectory and the first
    hop are the validation frames, watched during training and never used to choose a checkpoint.
    """
    groups: dict[str, list[str]] = {}
    both = {str(atoms.info["frame"]) for atoms in hse06}
    for atoms in pbe:
        if atoms.info["frame"] in both:
            groups.setdefault(str(atoms.info["group"]), []).append(str(atoms.info["frame"]))
    held_out: list[str] = []
    validation: list[str] = []
    for group, names in sorted(groups.items()):
        ordered = sorted(names)
        held_out += ordered[-math.ceil(HELD_OUT_FRACTION * len(ordered)) :]
        if group.startswith("md_") or group == "hop":
            validation.append(ordered[0])
    taken = {*held_out, *validation}
    train = [str(atoms.info["frame"]) for atoms in pbe if atoms.info["frame"] not in taken]
    return Split(tuple(train), tuple(validation), tuple(held_out))


def pick(frames: Sequence[Atoms], names: Sequence[str]) -> list[Atoms]:
    """Those of `frames` whose name is in `names`."""
    wanted = set(names)
    return [atoms for atoms in frames if atoms.info["frame"] in wanted]


def composition(frames: Sequence[Atoms]) -> NDArray[np.float64]:
    """Atoms of each type per frame, shape [frames, 4]."""
    return np.array(
        [[atoms.get_chemical_symbols().count(name) for name in TYPE_NAMES] for atoms in frames], dtype=float
    )


def energies_eV(frames: Sequence[Atoms]) -> NDArray[np.float64]:
    """Energies of the frames in eV, shape [frames]."""
    return np.array([atoms.info[ENERGY_KEY] for atoms in frames], dtype=float)


def labels_of(frames: Sequence[Atoms]) -> EnergiesAndForces:
    """What the frames are labelled with."""
    return EnergiesAndForces(
        energies_eV=energies_eV(frames).tolist(), forces_eV_per_A=[atoms.arrays[FORCES_KEY] for atoms in frames]
    )


def energy_shifts_eV(frames: Sequence[Atoms]) -> dict[str, float]:
    """Per-type energies (eV) by least squares, the solution nearest to TYPICAL_SHIFT_EV.

    All frames have one composition, which fixes a single number; the rest stays at the typical values.
    """
    counts, start = composition(frames), np.array([TYPICAL_SHIFT_EV[name] for name in TYPE_NAMES])
    correction = np.linalg.pinv(counts) @ (energies_eV(frames) - counts @ start)
    return {name: float(value) for name, value in zip(TYPE_NAMES, start + correction, strict=True)}


def on_zero_of(frames: Sequence[Atoms], *, shift_eV: float) -> list[Atoms]:
    """Copies with `shift_eV` added to every energy."""
    copies = []
    for atoms in frames:
        copy = atoms.copy()
        copy.info[ENERGY_KEY] = atoms.info[ENERGY_KEY] + shift_eV
        copies.append(copy)
    return copies


def below_force(frames: Sequence[Atoms], *, limit_eV_per_A: float) -> list[Atoms]:
    """The frames whose largest force component stays below the limit."""
    return [atoms for atoms in frames if np.abs(atoms.arrays[FORCES_KEY]).max() < limit_eV_per_A]


def write_extxyz(path: Path, frames: Sequence[Atoms]) -> None:
    """Write frames under the keys REF_energy and REF_forces."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, list(frames), format="extxyz")


def write_deepmd(folder: Path, frames: Sequence[Atoms]) -> None:
    """Write frames as DeePMD systems, one per sequence of types, atoms sorted by type."""
    systems: dict[bytes, list[tuple[Atoms, NDArray[np.int64]]]] = {}
    for atoms in frames:
        types = np.array([TYPE_NAMES.index(name) for name in atoms.get_chemical_symbols()])
        order = np.argsort(types, kind="stable")
        systems.setdefault(types[order].tobytes(), []).append((atoms, order))
    for n, (key, members) in enumerate(systems.items()):
        system = folder / f"system_{n}"
        (system / "set.000").mkdir(parents=True, exist_ok=True)
        np.savetxt(system / "type.raw", np.frombuffer(key, dtype=np.int64), fmt="%d")
        (system / "type_map.raw").write_text("\n".join(TYPE_NAMES) + "\n")
        arrays = {
            "box": [atoms.cell.array.ravel() for atoms, _ in members],
            "coord": [atoms.positions[order].ravel() for atoms, order in members],
            "energy": [atoms.info[ENERGY_KEY] for atoms, _ in members],
            "force": [atoms.arrays[FORCES_KEY][order].ravel() for atoms, order in members],
        }
        for name, values in arrays.items():
            np.save(system / "set.000" / f"{name}.npy", np.array(values, dtype=float))


def training_set_sha256(*sets: Sequence[Atoms]) -> str:
    """Hash of geometries, energies and forces of all sets, in order."""
    digest = hashlib.sha256()
    for frames in sets:
        for atoms in frames:
            digest.update(json.dumps([str(atoms.info["frame"]), atoms.get_chemical_symbols()]).encode())
            for array in (atoms.cell.array, atoms.positions, atoms.arrays[FORCES_KEY]):
                digest.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
            digest.update(np.float64(atoms.info[ENERGY_KEY]).tobytes())
    return digest.hexdigest()
