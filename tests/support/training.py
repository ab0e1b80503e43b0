"""A small data set with parts of its own, cut from the project's, and stages on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ase import Atoms
from ase.io import write

from lpsmd.training.history import Epoch
from lpsmd.training.sizes import Schedule, network_of
from lpsmd.training.trainers import Stage
from support.dft import first_frames

#: Of every stage here, whatever the trainings are given.
SCHEDULE = Schedule(epochs=300, batch_size=2, learning_rate=0.01, final_learning_rate=2e-5)
#: Part of each frame of the small set; names of both trajectories, hops and rattles. Both trajectories have one start,
#: which may not be in several parts: their frames lose the keys that tell of it, and stand for dynamics in each part.
PARTS = {
    "early_0": "train",
    "hop_100": "train",
    "md900_chgnet_pbe_010": "train",
    "md900_chgnet_pbe_017": "train",
    "rattle_105": "train",
    "hop_112": "validation",
    "md900_chgnet_r2scan_010": "validation",
    "md900_chgnet_r2scan_017": "test",
    "rattle_111": "test",
}


def labelled_frames(functional: str) -> list[Atoms]:
    """The frames of the small set, with their parts."""
    frames = [atoms for atoms in first_frames(functional) if atoms.info["frame"] in PARTS]
    for atoms in frames:
        atoms.info["part"] = PARTS[atoms.info["frame"]]
        for key in ("start", "trajectory"):
            atoms.info.pop(key, None)
    return frames


def write_dataset(folder: Path, **frames: list[Atoms]) -> Path:
    """Write data sets, by default both of the small set; the keywords are the names of the files."""
    folder.mkdir(exist_ok=True)
    for name, members in (frames or {"pbe": labelled_frames("PBE"), "hse06": labelled_frames("HSE06")}).items():
        write(folder / f"{name}.extxyz", members)
    return folder


def stage_of(architecture: str, folder: Path, train: list[Atoms], validation: list[Atoms], **changes: Any) -> Stage:
    """A stage on frames that `lpsmd.training.data` has read."""
    values: dict[str, Any] = {
        "name": "PBE",
        "folder": folder,
        "train": train,
        "validation": validation,
        "network": network_of(architecture, "small"),
        "schedule": SCHEDULE,
        "shifts_eV": dict.fromkeys(("Li", "P", "S", "Cl"), -1.5),
        "average_neighbors": 27.0,
        "neighbor_limits": (32, 10, 28, 10),
        "start_from": None,
        "dtype": "float32",
        "seed": 1,
        "device": "cpu",
    }
    return Stage(**{**values, **changes})


def epoch(number: int, *, force: float, energy: float = 0.0, **values: Any) -> Epoch:
    """An epoch with these validation errors, meV/Angstrom and meV/atom."""
    return Epoch(
        epoch=number,
        step=10 * (number + 1),
        validation_force_meV_per_A=force,
        validation_energy_meV_per_atom=energy,
        learning_rate=1e-3,
        **values,
    )
