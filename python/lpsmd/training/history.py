"""The course of a training: one record for each epoch of each stage, when to stop, and which epoch is the best."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from lpsmd.ensemble.files import write_atomically

#: Weight of the squared energy error (eV/atom)^2 where the squared force error (eV/Angstrom)^2 has 1, in losses and
#: score: errors of 60 meV/Angstrom and 3 meV/atom contribute as 8 to 1. For 50 atoms, Deep Potential's own loss would
#: get there at a learning rate of 0.
ENERGY_WEIGHT = 50.0


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What is known after an epoch (counted from 0); rms errors in meV/Angstrom and meV/atom.

    Errors of training are those of the batches while they were trained on, None where the trainer does not tell them.
    `wall_s` is the time since the stage began, 0 until the driver has set it.
    """

    epoch: int
    step: int
    validation_force_meV_per_A: float
    validation_energy_meV_per_atom: float
    learning_rate: float
    train_force_meV_per_A: float | None = None
    train_energy_meV_per_atom: float | None = None
    wall_s: float = 0.0

    @property
    def score_meV_per_A(self) -> float:
        """What early stopping and the choice of a checkpoint go by: the smaller, the better."""
        energy = self.validation_energy_meV_per_atom
        return math.sqrt(self.validation_force_meV_per_A**2 + ENERGY_WEIGHT * energy**2)


@dataclass(frozen=True, kw_only=True)
class Course:
    """The epochs of one stage."""

    stage: str
    epochs: tuple[Epoch, ...]


def stop_index(epochs: Sequence[Epoch], *, patience: int) -> int | None:
    """Index of the epoch at which early stopping ends a stage; None if it does not.

    That is the last of the first `patience` epochs in a row that were no better than the best before them.
    """
    best, since = math.inf, 0
    for index, epoch in enumerate(epochs):
        if epoch.score_meV_per_A < best:
            best, since = epoch.score_meV_per_A, 0
        else:
            since += 1
        if since >= patience:
            return index
    return None


def until_stop(epochs: Sequence[Epoch], *, patience: int) -> Sequence[Epoch]:
    """The epochs that count: what a trainer does from there until it is told to stop must not."""
    index = stop_index(epochs, patience=patience)
    return epochs if index is None else epochs[: index + 1]


def best_of(epochs: Iterable[Epoch]) -> Epoch:
    """The epoch with the lowest score, the first of equals."""
    finite = [epoch for epoch in epochs if math.isfinite(epoch.score_meV_per_A)]
    return min(finite, key=lambda epoch: epoch.score_meV_per_A)


def without_repeats(epochs: Iterable[Epoch]) -> list[Epoch]:
    """Ascending epochs; of an epoch that was run again after a restart, the last."""
    return [epoch for _, epoch in sorted({epoch.epoch: epoch for epoch in epochs}.items())]


def with_times(epochs: Sequence[Epoch], before: Sequence[Epoch], *, wall_s: float) -> list[Epoch]:
    """Epochs with the time at which they were first seen: that of `before`, else now."""
    seen = {epoch.epoch: epoch.wall_s for epoch in before}
    return [replace(epoch, wall_s=round(seen.get(epoch.epoch, wall_s), 1)) for epoch in epochs]


_COLUMNS = ["stage", *(field.name for field in fields(Epoch)), "score_meV_per_A"]


def write_csv(path: Path, courses: Sequence[Course]) -> None:
    """Write the epochs of all stages, one a line."""
    stream = io.StringIO()
    table = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
    table.writeheader()
    for course in courses:
        for epoch in course.epochs:
            row = {"stage": course.stage, **asdict(epoch), "score_meV_per_A": epoch.score_meV_per_A}
            table.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
    write_atomically(path, stream.getvalue())


def read_csv(path: Path) -> list[Epoch]:
    """The epochs of a file with one stage; none if it is not there."""
    if not path.is_file():
        return []
    with path.open(newline="") as stream:
        return [_epoch(row) for row in csv.DictReader(stream)]


def _epoch(row: dict[str, str]) -> Epoch:
    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    return Epoch(
        epoch=int(row["epoch"]),
        step=int(row["step"]),
        validation_force_meV_per_A=float(row["validation_force_meV_per_A"]),
        validation_energy_meV_per_atom=float(row["validation_energy_meV_per_atom"]),
        learning_rate=float(row["learning_rate"]),
        train_force_meV_per_A=number("train_force_meV_per_A"),
        train_energy_meV_per_atom=number("train_energy_meV_per_atom"),
        wall_s=float(row["wall_s"]),
    )
