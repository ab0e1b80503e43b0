"""A stage of a training, and what a trainer must be able to do with it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Protocol

from ase import Atoms

from lpsmd.training.history import Epoch
from lpsmd.training.sizes import Schedule

INPUTS = Path(__file__).parent.parent / "inputs"
VALIDATION_BATCH = 8

Command = Sequence[str | Path]


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """All that a trainer needs to know of one stage.

    Attributes
    ----------
    name
        "teacher", or the functional of the labels.
    folder
        Where the trainer runs and writes.
    train, validation
        Frames with their labels.
    network
        The dimensions, by the names of the architecture's own input.
    shifts_eV
        Per-type energies; their keys are the types in their order.
    average_neighbors
        Mean number of neighbours within the cutoff (a normalization of nequip).
    neighbor_limits
        The most neighbours of each type (`sel` of deepmd).
    start_from
        Weights to start from, None for random ones.
    device
        "cpu" or "cuda".
    """

    name: str
    folder: Path
    train: Sequence[Atoms]
    validation: Sequence[Atoms]
    network: Mapping[str, Any]
    schedule: Schedule
    shifts_eV: Mapping[str, float]
    average_neighbors: float
    neighbor_limits: Sequence[int]
    start_from: Path | None
    dtype: str
    seed: int
    device: str

    @property
    def type_names(self) -> list[str]:
        """The elements in the order of their types."""
        return list(self.shifts_eV)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of the optimizer in an epoch."""
        return self.schedule.steps_per_epoch(len(self.train))


class Trainer(Protocol):
    """What a module of a trainer offers. Commands begin with a program of the trainer's environment.

    `STOPS_ITSELF` is true where the trainer has early stopping of its own, by the same rule.
    """

    STOPS_ITSELF: bool

    def input_of(self, stage: Stage) -> str:
        """The trainer's input. What machine, folder and start there is in it comes from the stage alone."""

    def begin(self, stage: Stage) -> Command:
        """Write sets and input; the command that trains from the start."""

    def restart(self, stage: Stage) -> Command | None:
        """The command that goes on where the trainer was killed; None if there is nothing to go on from."""

    def epochs(self, stage: Stage) -> list[Epoch]:
        """The epochs so far, ascending, from the trainer's own files."""

    def checkpoint(self, stage: Stage, epoch: Epoch) -> Path:
        """The file with the weights of an epoch, if they were kept."""

    def tidy(self, stage: Stage, best: Epoch) -> None:
        """Delete checkpoints that neither the choice of the best nor a restart needs."""

    def finish(self, stage: Stage, best: Epoch) -> Command | None:
        """The command that makes `weights` from the checkpoint of an epoch; None if it could be done here."""

    def weights(self, folder: Path) -> Path:
        """The weights of a finished stage."""


def fill(template: str, values: Mapping[str, object]) -> str:
    """An input file, names after a dollar sign replaced."""
    return Template((INPUTS / template).read_text()).substitute(values)


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint of torch was written to its end: its table of contents stands there."""
    return checkpoint.is_file() and zipfile.is_zipfile(checkpoint)


def numbered(folder: Path, prefix: str, suffix: str = ".pt") -> dict[int, Path]:
    """Whole checkpoints named by a number, `<prefix><number>.pt`, ascending; half-written ones are left out."""
    found = {}
    for path in folder.glob(f"{prefix}*{suffix}"):
        number = path.stem.removeprefix(prefix)
        if number.isdigit() and is_whole(path):
            found[int(number)] = path
    return dict(sorted(found.items()))
