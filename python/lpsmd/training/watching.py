"""How a training looks from outside: a bar where there is a terminal, lines in any case."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lpsmd.progress import bars, duration
from lpsmd.training.history import Course, Epoch
from lpsmd.training.stages import Outcome, Watcher
from lpsmd.training.trainers import Stage

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_log = logging.getLogger(__name__)

#: A line about an epoch this often.
_LINE_S = 30.0


@contextmanager
def watching(console: Console | None = None) -> Iterator[Watcher]:
    """Show a training on a console; without one, or where it is no terminal, by lines in the log `lpsmd`."""
    with bars(console) as progress:
        yield _Lines() if progress is None else _Bar(progress)


class _Lines:
    """A line when something begins or ends, and now and then about an epoch."""

    def __init__(self) -> None:
        self._next_line = time.monotonic() + _LINE_S

    def says(self, text: str) -> None:
        """Say it."""
        _log.info("%s", text)

    def epoch(self, stage: Stage, latest: Epoch, best: Epoch) -> None:
        """Say how the validation errors stand, not too often."""
        if time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _LINE_S
            _log.info("%s", epoch_line(stage, latest, best))

    def course(self, course: Course) -> None:
        """Nothing: that is for the file."""

    def ended(self, stage: Stage, outcome: Outcome) -> None:
        """Say how it ended."""
        best = outcome.best
        _log.info(
            "%s: %s after %d epochs and %s; best epoch %d, validation %s",
            stage.name, outcome.ended, outcome.epochs_run, duration(outcome.wall_s), best.epoch + 1, _errors(best),
        )  # fmt: skip


class _Bar(_Lines):
    """As `_Lines` where a stage begins or ends, below a bar over its greatest length."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def epoch(self, stage: Stage, latest: Epoch, best: Epoch) -> None:
        """Move the bar."""
        if stage.name not in self._tasks:
            self._tasks[stage.name] = self._progress.add_task(stage.name, total=float(stage.schedule.epochs))
        self._progress.update(
            self._tasks[stage.name], completed=latest.epoch + 1, description=epoch_line(stage, latest, best)
        )

    def ended(self, stage: Stage, outcome: Outcome) -> None:
        """Take the bar away."""
        super().ended(stage, outcome)
        if stage.name in self._tasks:
            self._progress.remove_task(self._tasks.pop(stage.name))


def epoch_line(stage: Stage, latest: Epoch, best: Epoch) -> str:
    """An epoch in one line, with the time to the greatest length of the stage at the speed so far."""
    done = latest.epoch + 1
    left_s = latest.wall_s / done * (stage.schedule.epochs - done)
    return (
        f"{stage.name}: epoch {done} of at most {stage.schedule.epochs}, validation {_errors(latest)}; "
        f"best {_errors(best)} in epoch {best.epoch + 1}{f'; at most {duration(left_s)} left' if left_s > 0.0 else ''}"
    )


def _errors(epoch: Epoch) -> str:
    return f"{epoch.validation_force_meV_per_A:.1f} meV/Å, {epoch.validation_energy_meV_per_atom:.2f} meV/atom"
