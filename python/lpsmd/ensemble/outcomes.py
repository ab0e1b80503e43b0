"""How replicas stand: complete, failed, or somewhere on the way."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lpsmd.ensemble.claim import read_plan, refuse_another
from lpsmd.ensemble.failures import Failure
from lpsmd.ensemble.records import EMPTY, DamagedRecordError, ReplicaStatus, Thermo, read_status
from lpsmd.ensemble.replicas import Plan, Replica
from lpsmd.study import Condition, Study

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ReplicaOutcome:
    """A replica with its record, seen as its study asks for it."""

    plan: Plan
    replica: Replica
    status: ReplicaStatus

    @cached_property
    def complete(self) -> bool:
        """Whether its trajectory is whole."""
        return self.status.is_complete(self.plan.study.dynamics)

    @cached_property
    def failure(self) -> Failure | None:
        """Why it is not tried again; None if it is complete or may go on."""
        return self.status.final_failure(self.plan.study.dynamics, retries=self.plan.study.ensemble.retries)

    @property
    def state(self) -> str:
        """In one word."""
        return "complete" if self.complete else "failed" if self.failure else "unfinished"

    @property
    def reason(self) -> str:
        """Why it is not complete, "" if it is."""
        if self.complete:
            return ""
        if self.failure:
            return f"{self.failure.kind}: {self.failure.reason}"
        chunk = self.status.next_chunk(self.plan.study.dynamics)
        return f"not run to its end yet: chunk {chunk} of {self.plan.study.dynamics.n_chunks} is next"

    @property
    def thermo(self) -> Thermo | None:
        """Averages over its production."""
        return self.status.thermo(self.plan.study.dynamics)

    @property
    def dumps(self) -> list[Path]:
        """Its trajectory: the dumps of its chunks in order."""
        return self.replica.dumps(self.plan.study.dynamics.n_chunks)


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """The replicas of a study, by condition in the study's order, then by index."""

    plan: Plan
    outcomes: tuple[ReplicaOutcome, ...]

    @property
    def output(self) -> Path:
        """Folder of the study."""
        return self.plan.output

    def of(self, condition: Condition) -> tuple[ReplicaOutcome, ...]:
        """The outcomes of one model and temperature."""
        return tuple(o for o in self.outcomes if o.replica.condition == condition)


def outcome_of(plan: Plan, replica: Replica) -> ReplicaOutcome:
    """How a replica stands at this moment; as not begun where its record is damaged: whoever runs it keeps that."""
    try:
        status = read_status(replica.directory).intact(replica.directory)
    except DamagedRecordError as error:
        _log.warning("warning: %s; this replica is to be made again", error)
        status = EMPTY
    return ReplicaOutcome(plan=plan, replica=replica, status=status)


def outcomes_of(plan: Plan, condition: Condition, count: int) -> list[ReplicaOutcome]:
    """How the first replicas of a condition stand."""
    return [outcome_of(plan, replica) for replica in plan.replicas(condition, count)]


def read_ensemble(output: Path, study: Study | None = None) -> Ensemble:
    """The ensemble of a folder: all replicas that were begun, and those that the study asks for in any case.

    Parameters
    ----------
    output
        Folder of the study.
    study
        As it is asked for now: another analysis, fewer or more models, a longer production; default: as it was run.

    Raises
    ------
    lpsmd.ensemble.files.EnsembleError
        If no study was begun there, or another one.
    """
    plan = read_plan(output)
    if study is not None:
        plan = replace(plan, study=study)
        refuse_another(plan)
    outcomes = [outcomes_of(plan, condition, begun(plan, condition)) for condition in plan.study.conditions]
    return Ensemble(plan=plan, outcomes=tuple(outcome for found in outcomes for outcome in found))


def begun(plan: Plan, condition: Condition) -> int:
    """How many replicas a condition has: all, or with a target those up to the last that was begun."""
    spec = plan.study.ensemble
    if spec.target_relative_error is None:
        return spec.replicas
    replicas = plan.replicas(condition, spec.replicas)
    there = [replica.index for replica in replicas if replica.directory.is_dir()]
    return min(spec.replicas, max(spec.minimum_replicas, 1 + max(there, default=-1)))
