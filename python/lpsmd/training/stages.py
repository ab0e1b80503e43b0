"""One stage of a training: started, watched, stopped, its best weights kept; each resumable."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from lpsmd.ensemble.files import read_json, write_json
from lpsmd.study import file_sha256
from lpsmd.training.data import TrainingError, frames_sha256
from lpsmd.training.environments import locked, run_logged
from lpsmd.training.history import (
    Course,
    Epoch,
    best_of,
    read_csv,
    stop_index,
    until_stop,
    with_times,
    write_csv,
)
from lpsmd.training.trainers import Stage, Trainer, trainer_of
from lpsmd.training.trainers.stage import Command, is_whole

log = logging.getLogger(__name__)

_FINISHED, _HISTORY, _LOG = "finished.json", "history.csv", "train.log"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished stage.

    `ended` is "no improvement" (early stopping), "full length", "out of time", or "by the trainer": before all these,
    as at errors that are no numbers.
    """

    stage: str
    weights: Path
    weights_sha256: str
    ended: str
    epochs_run: int
    best: Epoch
    wall_s: float
    course: Course


class Watcher(Protocol):
    """Who looks on."""

    def says(self, text: str) -> None:
        """Something happens that is no epoch."""

    def epoch(self, stage: Stage, latest: Epoch, best: Epoch) -> None:
        """An epoch has ended."""

    def course(self, course: Course) -> None:
        """All epochs of a stage so far, of one that was finished before as well."""

    def ended(self, stage: Stage, outcome: Outcome) -> None:
        """A stage has ended."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """Where the trainer's programs are, and what they run with."""

    programs: Path
    module_folder: Path
    threads: int
    device: str

    @property
    def variables(self) -> dict[str, str]:
        """For the environment of programs; without a visible GPU no trainer takes one."""
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if self.device == "cpu" else {}
        return {"PYTHONPATH": str(self.module_folder), **hidden}


def stage_key(architecture: str, stage: Stage, *, input_template: str) -> str:
    """Hash of all that decides what weights a stage ends with, whatever machine and folder it runs in."""
    start = None if stage.start_from is None else file_sha256(stage.start_from)
    words: Mapping[str, Any] = {
        "architecture": architecture,
        "stage": stage.name,
        "network": dict(stage.network),
        "schedule": asdict(stage.schedule),
        "shifts_eV": dict(stage.shifts_eV),
        "neighbors": [round(stage.average_neighbors, 2), *stage.neighbor_limits],
        "frames": frames_sha256(stage.train, stage.validation),
        "start": start,
        "dtype": stage.dtype,
        "seed": stage.seed,
        "input": input_template,
    }
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


def run_stage(
    architecture: str, stage: Stage, *, tools: Tools, watcher: Watcher, budget_s: float | None = None
) -> Outcome:
    """Run a stage, go on with one that was killed, or take one that is finished.

    Parameters
    ----------
    budget_s
        The stage is stopped after this time, once it has an epoch to keep.

    Raises
    ------
    TrainingError
        If the trainer fails, or another process works on the stage.
    """
    trainer = trainer_of(architecture)
    with locked(stage.folder.with_name(f"{stage.folder.name}.lock"), str(stage.folder)) as lock:
        finished = _read_outcome(stage, trainer)
        if finished is not None:
            watcher.says(f"{stage.name}: finished before, kept: {stage.folder}")
            watcher.course(finished.course)
            return finished
        run = _Run(trainer, stage, tools=tools, watcher=watcher, budget_s=budget_s, variables=lock.environment)
        outcome = run.outcome()
    watcher.ended(stage, outcome)
    return outcome


class _Run:
    """A stage at work."""

    def __init__(
        self,
        trainer: Trainer,
        stage: Stage,
        *,
        tools: Tools,
        watcher: Watcher,
        budget_s: float | None,
        variables: Mapping[str, str],
    ) -> None:
        self._trainer, self._stage, self._tools, self._watcher = trainer, stage, tools, watcher
        self._budget_s = budget_s
        self._variables = {**tools.variables, **variables}
        self._epochs: Sequence[Epoch] = read_csv(stage.folder / _HISTORY)
        self._before_s = self._epochs[-1].wall_s if self._epochs else 0.0
        self._began = time.monotonic()
        self._out_of_time = False

    def outcome(self) -> Outcome:
        """Train to the end, and make the weights of the best epoch."""
        stage, trainer = self._stage, self._trainer
        self._run(self._start(), should_stop=self._should_stop)
        self._look()
        epochs = until_stop(self._epochs, patience=stage.schedule.patience)
        kept = [epoch for epoch in epochs if self._is_kept(epoch)]
        if not kept:
            raise TrainingError(
                f"{stage.folder}: found {len(epochs)} epochs, none with finite errors and a whole checkpoint, needed "
                f"the weights of the best; see its log {stage.folder / _LOG}"
            )
        best = best_of(kept)
        command = trainer.finish(stage, best)
        if command is not None:
            self._run(command)
        weights = trainer.weights(stage.folder)
        if not weights.is_file():
            raise TrainingError(f"found no {weights} after the training; see its log {stage.folder / _LOG}")
        self._epochs = epochs
        return self._record(best, weights)

    def _start(self) -> Command:
        """Go on where there is something to go on from, else begin in an empty folder."""
        stage = self._stage
        command = self._trainer.restart(stage) if stage.folder.is_dir() else None
        if command is not None:
            done = f" after {len(self._epochs)} epochs" if self._epochs else ""
            self._watcher.says(f"{stage.name}: goes on{done}: {stage.folder}")
            return command
        # What half an epoch left behind would mislead the trainer.
        shutil.rmtree(stage.folder, ignore_errors=True)
        stage.folder.mkdir(parents=True)
        self._epochs, self._before_s = [], 0.0
        self._watcher.says(
            f"{stage.name}: {len(stage.train)} frames, {len(stage.validation)} to validate, at most "
            f"{stage.schedule.epochs} epochs: {stage.folder}"
        )
        return self._trainer.begin(stage)

    def _run(self, command: Command, **options: Any) -> None:
        run_logged(
            [self._tools.programs / command[0], *command[1:]],
            log_file=self._stage.folder / _LOG,
            folder=self._stage.folder,
            threads=self._tools.threads,
            variables=self._variables,
            **options,
        )

    def _should_stop(self) -> bool:
        """Look at the epochs; whether nothing better is to come, or the time is up."""
        self._look()
        if not self._epochs:
            return False
        time_is_up = self._budget_s is not None and time.monotonic() - self._began > self._budget_s
        self._out_of_time = time_is_up and any(map(self._is_kept, self._epochs))
        ended = stop_index(self._epochs, patience=self._stage.schedule.patience) is not None
        return self._out_of_time or (ended and not self._trainer.STOPS_ITSELF)

    def _is_kept(self, epoch: Epoch) -> bool:
        """Whether there is something to keep of an epoch: its line in the log comes before its checkpoint."""
        return math.isfinite(epoch.score_meV_per_A) and is_whole(self._trainer.checkpoint(self._stage, epoch))

    def _look(self) -> None:
        """Read the epochs, tell of new ones, and delete checkpoints that have become needless."""
        stage = self._stage
        wall_s = self._before_s + time.monotonic() - self._began
        epochs = with_times(self._trainer.epochs(stage), self._epochs, wall_s=wall_s)
        if not epochs or epochs == self._epochs:
            return
        self._epochs = epochs
        course = Course(stage=stage.name, epochs=tuple(epochs))
        write_csv(stage.folder / _HISTORY, [course])
        self._watcher.course(course)
        with contextlib.suppress(ValueError):  # no epoch yet whose errors are numbers
            best = best_of(until_stop(epochs, patience=stage.schedule.patience))
            if self._is_kept(best):  # until then the one before is all there is
                self._trainer.tidy(stage, best)
            self._watcher.epoch(stage, epochs[-1], best)

    def _record(self, best: Epoch, weights: Path) -> Outcome:
        stage = self._stage
        if self._out_of_time:
            ended = "out of time"
        elif stop_index(self._epochs, patience=stage.schedule.patience) is not None:
            ended = "no improvement"
        elif self._epochs[-1].epoch + 1 < stage.schedule.epochs:
            ended = "by the trainer"
        else:
            ended = "full length"
        wall_s = self._before_s + time.monotonic() - self._began
        values = {
            "ended": ended,
            "best_epoch": best.epoch,
            "wall_s": round(wall_s, 1),
            "weights_sha256": file_sha256(weights),
        }
        write_csv(stage.folder / _HISTORY, [Course(stage=stage.name, epochs=tuple(self._epochs))])
        write_json(stage.folder / _FINISHED, values)
        outcome = _read_outcome(stage, self._trainer)
        assert outcome is not None
        return outcome


def _read_outcome(stage: Stage, trainer: Trainer) -> Outcome | None:
    """A stage that was finished before; None if it was not, or its weights are gone."""
    marker, weights = stage.folder / _FINISHED, trainer.weights(stage.folder)
    if not (marker.is_file() and weights.is_file()):
        return None
    values, epochs = read_json(marker), read_csv(stage.folder / _HISTORY)
    return Outcome(
        stage=stage.name,
        weights=weights,
        weights_sha256=values["weights_sha256"],
        ended=values["ended"],
        epochs_run=len(epochs),
        best=next(epoch for epoch in epochs if epoch.epoch == values["best_epoch"]),
        wall_s=values["wall_s"],
        course=Course(stage=stage.name, epochs=tuple(epochs)),
    )
