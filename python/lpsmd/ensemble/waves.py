"""Which replicas a study needs: all that it names, or, with a target, as many as the error asks for."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lpsmd.ensemble.failures import FailureKind
from lpsmd.ensemble.locks import Held, hold
from lpsmd.ensemble.outcomes import ReplicaOutcome, begun, outcome_of, outcomes_of
from lpsmd.ensemble.records import EMPTY, write_status
from lpsmd.ensemble.replicas import Plan, Replica
from lpsmd.ensemble.running import RunningDiffusion
from lpsmd.study import Condition

if TYPE_CHECKING:
    from lpsmd.analysis import Diffusion
    from lpsmd.analysis.stopping import Decision, StoppingRule

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class WaveDecision:
    """What was decided about a condition when its replicas had ended, and the replicas that it needs now."""

    condition: Condition
    text: str
    replicas: tuple[Replica, ...]


@dataclass
class Waves:
    """The replicas of each condition and how they stand."""

    plan: Plan
    diffusion: RunningDiffusion
    by_condition: dict[Condition, dict[int, ReplicaOutcome]] = field(init=False)
    decisions: dict[Condition, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_condition = {
            condition: {o.replica.index: o for o in outcomes_of(self.plan, condition, begun(self.plan, condition))}
            for condition in self.plan.study.conditions
        }
        if self.none_has_begun:  # what LAMMPS refused to begin may have been mended
            for outcome in self.outcomes():
                if outcome.failure is not None and outcome.failure.kind is FailureKind.LAMMPS:
                    self._begin_anew(outcome.replica)
        for outcome in self.outcomes():
            if outcome.complete:
                self.diffusion.add(outcome)

    def _begin_anew(self, replica: Replica) -> None:
        with contextlib.suppress(Held), hold(replica.lock):  # else somebody has begun with it
            write_status(replica.directory, EMPTY)
        self.by_condition[replica.condition][replica.index] = outcome_of(self.plan, replica)

    @property
    def none_has_begun(self) -> bool:
        """Whether no replica of the study has a whole chunk."""
        return not any(outcome.status.chunks for outcome in self.outcomes())

    def outcomes(self) -> tuple[ReplicaOutcome, ...]:
        """All replicas as they were last seen."""
        return tuple(outcome for found in self.by_condition.values() for outcome in found.values())

    def by_condition_lists(self) -> dict[Condition, Sequence[ReplicaOutcome]]:
        """The same by condition."""
        return {condition: list(found.values()) for condition, found in self.by_condition.items()}

    def look_at_running(self) -> None:
        """See the records anew of the replicas in which something may have happened."""
        for outcome in self.outcomes():
            if not _has_ended(outcome) and outcome.replica.lock.exists():
                self._see(outcome_of(self.plan, outcome.replica))

    def todo(self) -> Iterator[Replica]:
        """What is to be run now: replica by replica and not model by model, so that every model has some early."""
        wanted = [outcome.replica for outcome in self.outcomes() if not _has_ended(outcome)]
        for condition in self.by_condition:
            wanted += self._next_wave(condition).replicas
        yield from sorted(wanted, key=lambda replica: replica.index)

    def read_all(self) -> bool:
        """Read all complete replicas; whether some had a file that was changed, and so are to do again."""
        for condition in self.by_condition:
            self.diffusion.of_all(condition)
        return bool([replica for condition in self.by_condition for replica in self._to_do_again(condition)])

    def ended(self, outcome: ReplicaOutcome) -> WaveDecision:
        """Take note of a replica that has ended; what was decided if it was the last of its condition."""
        self._see(outcome)
        return self._next_wave(outcome.replica.condition)

    def _see(self, outcome: ReplicaOutcome) -> None:
        found, index = self.by_condition[outcome.replica.condition], outcome.replica.index
        if outcome.complete and not found[index].complete:
            self.diffusion.add(outcome)
        found[index] = outcome

    def _to_do_again(self, condition: Condition) -> list[Replica]:
        """Complete replicas of which a changed file was found when they were read: complete no more."""
        found = [outcome for outcome in self.diffusion.damaged if outcome.replica.condition == condition]
        for outcome in found:
            self.diffusion.damaged.remove(outcome)
            replica, bad = outcome.replica, outcome.status.damaged(outcome.replica.directory)
            names = ", ".join(file.name for files in bad.values() for file in files)
            _log.warning("warning: %s: found %s changed after it was written; made again", replica.directory, names)
            status = outcome.status.without_chunks(set(bad))
            self.by_condition[condition][replica.index] = replace(outcome, status=status)
        return [outcome.replica for outcome in found]

    def _next_wave(self, condition: Condition) -> WaveDecision:
        """Where all replicas of a condition have ended and the study has a target: what the error says."""
        found = list(self.by_condition[condition].values())
        rule = stopping_rule(self.plan)
        if rule is None or not all(_has_ended(outcome) for outcome in found):
            return WaveDecision(condition=condition, text="", replicas=())
        diffusion = self.diffusion.of_all(condition)
        if again := self._to_do_again(condition):
            return WaveDecision(condition=condition, text="", replicas=tuple(again))
        complete = [outcome for outcome in found if outcome.complete]
        if end := self._end_without_D(condition, rule, diffusion):
            self.decisions[condition] = end
            return WaveDecision(condition=condition, text=end, replicas=())
        from lpsmd.analysis.stopping import Action, decide

        decision = decide(
            diffusion,
            rule,
            n_complete=len(complete),
            n_structures=self.plan.study.structure.count,
        )
        more: tuple[Replica, ...] = ()
        text = decision.text + self._cost(decision, complete)
        if decision.action is Action.MORE_REPLICAS:
            # In the place of each that failed, another one is tried.
            n_failed = len(found) - len(complete)
            more = self._begin(condition, len(found), min(rule.maximum_replicas, decision.n_replicas + n_failed))
            if not more:
                text += f"; but all {rule.maximum_replicas} that there may be were tried, and {n_failed} of them failed"
        self.decisions[condition] = text
        return WaveDecision(condition=condition, text=text, replicas=more)

    def _end_without_D(self, condition: Condition, rule: StoppingRule, diffusion: Diffusion | None) -> str:
        """Why more replicas make no sense, whatever the error of D is; "" if they may."""
        found = self.by_condition[condition].values()
        n_read = diffusion.n_replicas if diffusion else 0
        error = self.diffusion.errors.get(condition)
        if error is not None and n_read != sum(outcome.complete for outcome in found):
            return f"D of all replicas cannot be computed ({error}); stopped: mend it, and the same command goes on"
        broken = sum(outcome.failure is not None and outcome.failure.kind.is_physical for outcome in found)
        if len(found) >= rule.minimum_replicas and 2 * broken > len(found):
            return f"{broken} of {len(found)} replicas failed by their own motion; more replicas do not mend the model"
        return ""

    def _begin(self, condition: Condition, first: int, end: int) -> tuple[Replica, ...]:
        """Replicas of a new wave. The folder of the last one tells a later driver how many were decided on."""
        more = tuple(self.plan.replica(condition, index) for index in range(first, end))
        if more:
            more[-1].directory.mkdir(parents=True, exist_ok=True)
        for replica in more:
            outcome = ReplicaOutcome(plan=self.plan, replica=replica, status=EMPTY)
            self.by_condition[condition][replica.index] = outcome
        return more

    def _cost(self, decision: Decision, complete: Sequence[ReplicaOutcome]) -> str:
        """What the replicas that are predicted take, by those that there are."""
        if not complete or not decision.goes_on or decision.predicted_replicas is None:
            return ""
        left = decision.predicted_replicas - len(complete)
        hours = left * sum(outcome.status.wall_s for outcome in complete) / len(complete) / 3600.0
        executor = self.plan.study.executor
        if executor.n_gpus:
            return f", {hours / executor.replicas_per_gpu:.2g} GPU-hours more"
        return f", {hours:.2g} core-hours more"


def stopping_rule(plan: Plan) -> StoppingRule | None:
    """The study's target, if it has one."""
    spec = plan.study.ensemble
    if spec.target_relative_error is None:
        return None
    from lpsmd.analysis.stopping import StoppingRule

    return StoppingRule(
        target_relative_error=spec.target_relative_error,
        minimum_replicas=spec.minimum_replicas,
        maximum_replicas=spec.replicas,
    )


def _has_ended(outcome: ReplicaOutcome) -> bool:
    return outcome.complete or outcome.failure is not None
