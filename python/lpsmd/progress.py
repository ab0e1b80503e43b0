"""How a running study looks from outside: a bar where there is a terminal, lines in any case."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lpsmd.ensemble import ConditionStatus, ReplicaOutcome, StudyStatus, Watcher
from lpsmd.study import Condition
from lpsmd.text import fixed_with_error

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table

_log = logging.getLogger(__name__)

#: Without a terminal, a line about the whole this often.
_LINE_S = 60.0


@contextmanager
def watching(console: Console | None = None) -> Iterator[Watcher]:
    """Show progress on a console; without one, or where it is no terminal, by lines in the log `lpsmd`."""
    with bars(console) as progress:
        yield _Lines() if progress is None else _Bar(progress, progress.add_task("starting", total=None))


@contextmanager
def bars(console: Console | None) -> Iterator[Progress | None]:
    """Bars at the foot of a terminal; None where there is none, and lines have to do."""
    if console is None or not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    with Progress(*columns, console=console, transient=True) as progress:
        yield progress


class _Lines:
    """A line when a replica ends, when something was decided, and now and then about the whole."""

    def __init__(self) -> None:
        self._next_line = time.monotonic() + _LINE_S
        self._ended: int | None = None
        self._of = 0

    def progress(self, status: StudyStatus) -> None:
        """Say how the whole stands, not too often."""
        self._of = status.replicas
        if self._ended is None:  # later, `finished` counts: a record may be there before its replica is told of
            self._ended = status.complete + status.failed
            _log.info("%s: %s; `lpsmd status %s` tells how it stands", status.study, headline(status), status.output)
        if time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _LINE_S
            _log.info("%s", headline(status))
            for entry in status.conditions:
                if entry.D_cm2_per_s is not None:
                    _log.info("  %s", condition_line(entry))

    def finished(self, outcome: ReplicaOutcome) -> None:
        """Say how a replica ended."""
        self._ended = (self._ended or 0) + 1
        count = f"[{self._ended}/{self._of}]" if self._of else f"[{self._ended}]"
        if outcome.complete and outcome.thermo is not None:
            _log.info("%s %s: %.1f ms/step", count, outcome.replica.name, outcome.thermo.ms_per_step)
        else:
            _log.warning("%s %s failed: %s", count, outcome.replica.name, outcome.reason)

    def decided(self, condition: Condition, text: str) -> None:
        """Say what was decided."""
        _log.info("%s: %s", condition.name, text)


class _Bar(_Lines):
    """As `_Lines`, below a bar that follows the steps of all replicas."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        super().__init__()
        self._progress = progress
        self._task = task

    def progress(self, status: StudyStatus) -> None:
        """Move the bar."""
        super().progress(status)
        self._progress.update(
            self._task,
            total=float(status.steps_total),
            completed=float(status.steps_done),
            description=headline(status),
        )


def headline(status: StudyStatus) -> str:
    """A study in one line: replicas, speed, time left."""
    parts = [f"{status.complete}/{status.replicas} replicas", f"{status.running} running"]
    if status.failed:
        parts.append(f"{status.failed} failed")
    if status.ns_per_day is not None and status.atom_steps_per_s is not None:
        digits = ".3g" if status.ns_per_day < 100.0 else ".0f"
        parts.append(f"{status.ns_per_day:{digits}} ns/day, {status.atom_steps_per_s:.3g} atom-steps/s")
    if status.seconds_left:
        parts.append(f"{duration(status.seconds_left)} left")
    return ", ".join(parts)


def condition_line(entry: ConditionStatus) -> str:
    """A model and temperature in one line."""
    return f"{entry.name}: {entry.complete}/{entry.replicas} replicas, D in 1e-5 cm²/s: {d_text(entry)}"


def d_text(entry: ConditionStatus) -> str:
    """The running D with its error, in the units of the tables."""
    if entry.D_cm2_per_s is None:
        return "-"
    error = entry.D_half_interval_cm2_per_s
    relative = f" ({100 * error / entry.D_cm2_per_s:.1f} %)" if error and entry.D_cm2_per_s > 0 else ""
    return fixed_with_error(1e5 * entry.D_cm2_per_s, None if error is None else 1e5 * error, least=3) + relative


def status_table(status: StudyStatus) -> Table:
    """A row for each model and temperature."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, collapse_padding=True)
    table.add_column("condition", no_wrap=True)
    for header in ("done", "run", "wait", "fail", "%", "ms/step", "D (95 %)\n1e-5 cm²/s"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("verdict")
    for entry in status.conditions:
        table.add_row(
            entry.name,
            str(entry.complete),
            str(entry.running),
            str(entry.unfinished),
            str(sum(entry.failed.values())),
            f"{100 * entry.steps_done / max(1, entry.steps_total):.0f}",
            "-" if entry.ms_per_step is None else f"{entry.ms_per_step:.1f}",
            d_text(entry),
            entry.verdict or "-",
        )
    return table


def duration(seconds: float) -> str:
    """A time as people say it: 1.5 s, 45 s, 12 min, 3.4 h, 2.1 days."""
    for unit, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * unit or (name == "min" and seconds >= unit):
            value = seconds / unit
            return f"{value:.0f} {name}" if value >= 10 or name == "min" else f"{value:.1f} {name}"
    return f"{seconds:.0f} s" if seconds >= 10.0 else f"{seconds:.1f} s"
