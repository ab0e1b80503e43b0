"""D of a study while it runs: each replica is read once, as soon as there is time for it."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lpsmd.ensemble.outcomes import ReplicaOutcome
from lpsmd.ensemble.replicas import Plan
from lpsmd.errors import LpsmdError
from lpsmd.study import AnalysisSpec, Condition

if TYPE_CHECKING:
    from lpsmd.analysis import Diffusion, DiffusionOptions, FrameworkCheck, Msd

_log = logging.getLogger(__name__)

#: Buffers of trajectories are larger than this, what is kept of them is smaller.
_LARGE_BYTES = 262_144
_M_MMAP_THRESHOLD = -3  # malloc.h


@dataclass
class RunningDiffusion:
    """The MSDs of the complete replicas of each condition, without what only a report needs.

    What cannot be analysed stops no replica: it is told once for each condition, and the report in the end says more.
    `damaged` are those of which a file was changed after it was written, `errors` says what was wrong with others.
    """

    plan: Plan
    damaged: list[ReplicaOutcome] = field(default_factory=list)
    errors: dict[Condition, str] = field(default_factory=dict)
    _waiting: deque[ReplicaOutcome] = field(default_factory=deque)
    _found: dict[Condition, dict[int, tuple[Msd, FrameworkCheck | None]]] = field(default_factory=dict)
    _last: dict[Condition, tuple[int, Diffusion | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        give_buffers_back()

    def add(self, outcome: ReplicaOutcome) -> None:
        """Put a complete replica into the queue."""
        self._waiting.append(outcome)

    def work(self, seconds: float) -> None:
        """Read replicas for about so long."""
        end = time.monotonic() + seconds
        while self._waiting and time.monotonic() < end:
            self._read(self._waiting.popleft())

    def of(self, condition: Condition) -> Diffusion | None:
        """D of the replicas that were read; None for fewer than two."""
        found = self._found.get(condition, {})
        count, known = self._last.get(condition, (0, None))
        if len(found) != count:
            known = self._diffusion(condition, found)
            self._last[condition] = (len(found), known)
        return known

    def of_all(self, condition: Condition) -> Diffusion | None:
        """As `of`, after reading all complete replicas of the condition."""
        mine = [outcome for outcome in self._waiting if outcome.replica.condition == condition]
        self._waiting = deque(outcome for outcome in self._waiting if outcome.replica.condition != condition)
        for outcome in mine:
            self._read(outcome)
        return self.of(condition)

    def _read(self, outcome: ReplicaOutcome) -> None:
        from lpsmd.analysis import analyse_replica

        study = self.plan.study
        try:
            msd, check, _ = analyse_replica(
                outcome.dumps,
                species=study.analysis.species,
                timestep_fs=study.dynamics.timestep_fs,
                drift=study.analysis.drift,
                options=diffusion_options(study.analysis),
                threads=1,
            )
        except LpsmdError as error:
            if outcome.status.damaged(outcome.replica.directory):
                self.damaged.append(outcome)
            else:
                self._warn(outcome.replica.condition, error)
            return
        found = self._found.setdefault(outcome.replica.condition, {})
        like = next(iter(found.values()))[0] if found else None
        if check is not None:
            check = replace(check, msd=check.msd.curve(like))
        found[outcome.replica.index] = (msd.curve(like), check)

    def _warn(self, condition: Condition, error: LpsmdError) -> None:
        if condition not in self.errors:
            _log.warning("warning: %s: no running D: %s", condition.name, error)
        self.errors[condition] = str(error)

    def _diffusion(self, condition: Condition, found: dict[int, tuple[Msd, FrameworkCheck | None]]) -> Diffusion | None:
        from lpsmd.analysis import diffusion_coefficient

        if len(found) < 2:
            return None
        order = sorted(found)
        checks = [check for _, check in (found[index] for index in order) if check is not None]
        try:
            return diffusion_coefficient(
                [found[index][0] for index in order],
                diffusion_options(self.plan.study.analysis),
                frameworks=checks if len(checks) == len(order) else None,
                structures=[self.plan.study.structure_of(index) for index in order],
            )
        except LpsmdError as error:
            self._warn(condition, error)
            return None


def give_buffers_back() -> None:
    """Have the C library return large buffers to the system as soon as they are freed.

    By default it learns to keep them. Then the curves that are kept of thousands of replicas come to lie between what
    was freed, and hold all of it: 450 MB in the place of 150 for 1,800 replicas of 1,400 frames.
    """
    with contextlib.suppress(AttributeError):  # a C library without it
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def diffusion_options(analysis: AnalysisSpec) -> DiffusionOptions:
    """The study's fit window as the analysis takes it."""
    from lpsmd.analysis import DiffusionOptions

    window = analysis.fit_window
    return DiffusionOptions() if window is None else DiffusionOptions.fixed(*window)
