"""Which replicas a study needs: all that it names, or, with a target, as many as the error asks for."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lpsmd.ensemble.failures import FailureKind
from lpsmd.ensemble.outcomes import ReplicaOutcome, begun, outcome_of, outcomes_of
from lpsmd.ensemble.records import EMPTY
from lpsmd.ensemble.replicas import Plan, Replica
from lpsmd.ensemble.running import RunningDiffusion
from lpsmd.study import Condition

if TYPE_CHECKING:
    from lpsmd.analysis.stopping import StoppingRule

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
    chunks_when_asked: dict[Replica, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_condition = {
            condition: {o.replica.index: o for o in outcomes_of(self.plan, condition, begun(self.plan, condition))}
            for condition in self.plan.study.conditions
        }
        if self.none_has_begun:  # what LAMMPS refused to begin may have been mended
            for found in self.by_condition.values():
                refused = [o for o in found.values() if o.failure and o.failure.kind is FailureKind.LAMMPS]
                found.update({o.replica.index: replace(o, status=EMPTY) for o in refused})
        for outcome in self.outcomes():
            if outcome.complete:
                self.diffusion.add(outcome)

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
        for found in self.by_condition.values():
            for index, outcome in found.items():
                if not _has_ended(outcome) and outcome.replica.lock.exists():
                    found[index] = outcome_of(self.plan, outcome.replica)

    def todo(self) -> Iterator[Replica]:
        """What is to be run now: replica by replica and not model by model, so that every model has some early."""
        wanted = [outcome.replica for outcome in self.outcomes() if not _has_ended(outcome)]
        for condition in self.by_condition:
            wanted += self._next_wave(condition).replicas
        yield from sorted(wanted, key=lambda replica: replica.index)

    def has_moved(self, replica: Replica) -> bool:
        """Whether a replica has finished a chunk since it was last asked about."""
        chunks = len(outcome_of(self.plan, replica).status.chunks)
        before = self.chunks_when_asked.get(replica, 0)
        self.chunks_when_asked[replica] = chunks
        return chunks > before

    def read_all(self) -> bool:
        """Read all complete replicas; whether some had a file that was changed, and so are to do again."""
        for condition in self.by_condition:
            self.diffusion.of_all(condition)
        damaged, self.diffusion.damaged = self.diffusion.damaged, []
        for outcome in damaged:
            replica, bad = outcome.replica, outcome.status.damaged(outcome.replica.directory)
            names = ", ".join(file.name for files in bad.values() for file in files)
            _log.warning("warning: %s: found %s changed after it was written; made again", replica.directory, names)
            status = outcome.status.without_chunks(set(bad))
            self.by_condition[replica.condition][replica.index] = replace(outcome, status=status)
        return bool(damaged)

    def ended(self, outcome: ReplicaOutcome) -> list[WaveDecision]:
        """Take note of a replica that has ended; the decision if it was the last of its condition."""
        replica = outcome.replica
        self.by_condition[replica.condition][replica.index] = outcome
        if outcome.complete:
            self.diffusion.add(outcome)
        decision = self._next_wave(replica.condition)
        return [decision] if decision.text else []

    def _next_wave(self, condition: Condition) -> WaveDecision:
        """Where all replicas of a condition have ended and the study has a target: what the error says."""
        found = self.by_condition[condition]
        rule = stopping_rule(self.plan)
        if rule is None or not all(_has_ended(outcome) for outcome in found.values()):
            return WaveDecision(condition=condition, text="", replicas=())
        from lpsmd.analysis.stopping import Action, decide

        n_complete = sum(outcome.complete for outcome in found.values())
        decision = decide(
            self.diffusion.of_all(condition),
            rule,
            n_complete=n_complete,
            n_structures=self.plan.study.structure.count,
        )
        self.decisions[condition] = decision.text
        wanted = 0
        if decision.action is Action.MORE_REPLICAS:
            # In the place of each that failed, another one is tried.
            wanted = min(rule.maximum_replicas, decision.n_replicas + len(found) - n_complete)
        more = tuple(self.plan.replica(condition, index) for index in range(len(found), wanted))
        for replica in more:
            found[replica.index] = ReplicaOutcome(plan=self.plan, replica=replica, status=EMPTY)
        return WaveDecision(condition=condition, text=decision.text, replicas=more)


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
