"""Run the replicas of a study until each model and temperature has what it needs.

The driver holds no state that is not in the folder: it may be killed at any moment and started again. It decides how
many replicas each condition needs, gives them to the engine, and looks at what comes back.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from lpsmd.ensemble.claim import DRIVER_LOCK, check_before, claim, read_plan
from lpsmd.ensemble.engine import Engine, EngineError, is_loss, parsl_engine, workers_of
from lpsmd.ensemble.failures import Failure, FailureKind
from lpsmd.ensemble.files import EnsembleError
from lpsmd.ensemble.locks import Held, hold
from lpsmd.ensemble.outcomes import Ensemble, ReplicaOutcome, outcome_of
from lpsmd.ensemble.overview import StudyStatus, survey, tell
from lpsmd.ensemble.records import ReplicaStatus, host
from lpsmd.ensemble.replicas import INPUT_NAME, Plan, Replica
from lpsmd.ensemble.running import RunningDiffusion
from lpsmd.ensemble.waves import Waves
from lpsmd.ensemble.worker import ReplicaEnd, ReplicaState, ReplicaTask
from lpsmd.study import Condition, ExecutorSpec, Study

_log = logging.getLogger(__name__)

_TICK_S = 1.0
_BUSY_AGAIN_S = 5.0
_PAUSED_AGAIN_S = 60.0
_HICCUP_S = 10.0
_FAILURES_IN_A_ROW = 5
_ENGINE_STARTS = 3
#: Of a second, this much goes into reading complete replicas; the rest of the core is left to LAMMPS.
_READ_S = 0.1
_TELL_S = 5.0


class Watcher(Protocol):
    """Who wants to know how a running study is doing."""

    def progress(self, status: StudyStatus) -> None:
        """How the study stands: once at the start, then every few seconds."""

    def finished(self, outcome: ReplicaOutcome) -> None:
        """A replica ended."""

    def decided(self, condition: Condition, text: str) -> None:
        """It was decided whether a model and temperature needs more replicas."""


def run_ensemble(study: Study, output: Path, *, workers: int | None = None, watcher: Watcher) -> Ensemble:
    """Run every replica that a study needs and that is not complete yet.

    Parameters
    ----------
    study
        What to run.
    output
        Folder of the study, made if missing.
    workers
        Replicas at a time on a node; default: the study's, else one for each core or GPU.
    watcher
        Told about progress.

    Returns
    -------
    Ensemble
        Complete and failed replicas alike; deciding whether enough are left is up to the caller.

    Raises
    ------
    EnsembleError
        If the folder belongs to another study, another process runs this one, or its disk or a model file failed.
    KeyboardInterrupt
        After all LAMMPS processes were stopped.
    """
    check_before(study, output)
    workers = workers_of(study.executor, workers)
    with _storage_explained(output):
        output.mkdir(parents=True, exist_ok=True)
        with only_driver(output):
            plan = claim(study, output)
            waves = Waves(plan=plan, diffusion=RunningDiffusion(plan))
            damaged = True
            while damaged:
                todo = list(waves.todo())
                for condition, text in waves.decisions.items():
                    watcher.decided(condition, text)
                if todo:
                    _Driver(plan, waves, watcher).run(todo, study.executor, workers=workers)
                damaged = waves.read_all()
            tell(output, _sentences(waves))
            return Ensemble(plan=plan, outcomes=waves.outcomes())


def run_share(output: Path, *, share: tuple[int, int], workers: int | None, watcher: Watcher) -> int:
    """Run every n-th replica of a study without being its driver, on this machine.

    Parameters
    ----------
    output
        Folder of a study that was claimed.
    share
        Number of the first replica, and n.
    workers
        Replicas at a time; default: the study's.
    watcher
        Told about progress.

    Returns
    -------
    int
        Replicas that wait because the batch job ends too soon for another chunk.

    Raises
    ------
    EnsembleError
        As `run_ensemble`.
    """
    plan = read_plan(output)
    if plan.study.ensemble.target_relative_error is not None:
        raise EnsembleError(
            f"{output}: the study has a target_relative_error, so someone must look at the error while replicas run: "
            "use `lpsmd run`, or a study with a fixed number of `replicas`"
        )
    executor = plan.study.executor
    workers = workers_of(executor, workers)
    waves = Waves(plan=plan, diffusion=RunningDiffusion(plan))
    first, step = share
    # Of all replicas, not of those that are left: shares must not change while others finish theirs.
    mine = {outcome.replica for outcome in waves.outcomes()[first::step]}
    todo = [replica for replica in waves.todo() if replica in mine]
    if not todo:
        _log.info("%s: share %d/%d: nothing is left to run", output, first, step)
        return 0
    driver = _Driver(plan, waves, watcher, alone=False)
    with _storage_explained(output):
        driver.run(todo, replace(executor, slurm=None), workers=workers)
    return len(driver.paused)


@contextmanager
def _storage_explained(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnsembleError(
            f"{output}: {error}; nothing that was finished is lost: mend it and run the same command again"
        ) from error


@contextmanager
def only_driver(output: Path) -> Iterator[None]:
    """Hold the driver's lock of a study.

    Raises
    ------
    EnsembleError
        If another driver runs it, with its name.
    """
    try:
        with hold(output / DRIVER_LOCK):
            yield
    except Held as held:
        who = held.holder.name if held.holder else "another process"
        raise EnsembleError(
            f"{output}: {who} is running this study; watch it with `lpsmd status {output}`, or stop it first"
        ) from held


@dataclass
class _Driver:
    """One run of a study; not `alone` where others run other shares of it."""

    plan: Plan
    waves: Waves
    watcher: Watcher
    engine: Engine = field(init=False)
    running: dict[Future[ReplicaEnd], Replica] = field(default_factory=dict)
    later: list[tuple[float, Replica]] = field(default_factory=list)
    lost: dict[Replica, str] = field(default_factory=dict)
    lost_at: dict[Replica, tuple[ReplicaStatus, int]] = field(default_factory=dict)
    failed_in_a_row: int = 0
    paused: list[Replica] = field(default_factory=list)
    hiccups: dict[Replica, int] = field(default_factory=dict)
    waited: set[Replica] = field(default_factory=set)
    told_at: float = 0.0
    alone: bool = True

    def run(self, todo: list[Replica], executor: ExecutorSpec, *, workers: int) -> None:
        """Until nothing is left to do; an engine that comes to an end is started again, some times."""
        self._tell()
        folder = self.plan.output / "parsl"
        if not self.alone:  # Parsl numbers its folders: two that start at once would take the same number
            folder /= f"{host()}-{os.getpid()}"
        for starts_left in reversed(range(_ENGINE_STARTS)):
            try:
                with parsl_engine(executor, folder=folder, workers=workers) as self.engine:
                    self._run(todo)
            except EngineError as error:
                if not starts_left:
                    raise EnsembleError(
                        f"{self.plan.output}: {error}; nothing that was finished is lost: see {folder}, and run the "
                        "same command again"
                    ) from error
                _log.warning("warning: %s; started again", error)
                todo = [*self.running.values(), *(replica for _, replica in self.later)] or todo
            else:
                return

    def _run(self, todo: list[Replica]) -> None:
        self.running, self.later = {}, []
        for replica in todo:
            self._submit(replica)
        while self.running or self.later:
            ended, _ = wait(self.running, timeout=_TICK_S, return_when=FIRST_COMPLETED)
            self.engine.check()  # before they are looked at: an engine that ended has ended all of them
            for future in ended:
                self._look_at(self.running.pop(future), future)
            due = [replica for at, replica in self.later if at <= time.monotonic()]
            self.later = [(at, replica) for at, replica in self.later if replica not in due]
            for replica in due:
                self._submit(replica)
            if not self.running and self.later:
                time.sleep(_TICK_S)
            if self.alone:  # of shares nobody looks at D
                self.waves.diffusion.work(_READ_S)
            if time.monotonic() - self.told_at > _TELL_S:
                self._tell()

    def _tell(self) -> None:
        """Progress for the watcher here, and in the folder for those elsewhere."""
        if self.alone:
            tell(self.plan.output, _sentences(self.waves))
        self.waves.look_at_running()
        self.watcher.progress(survey(self.plan, self.waves.by_condition_lists()))
        self.told_at = time.monotonic()

    def _submit(self, replica: Replica) -> None:
        task = task_of(self.plan, replica, lost=self.lost.get(replica))
        self.running[self.engine.submit(task)] = replica

    def _look_at(self, replica: Replica, future: Future[ReplicaEnd]) -> None:
        if (error := future.exception()) is not None:
            self._lost(replica, error)
            return
        end = future.result()
        if end.state is not ReplicaState.BUSY:
            self.lost.pop(replica, None)  # it is written down
        stops = end.failure is not None and (end.failure.kind.stops_study or self._met_by_all(end.failure))
        if end.failure is not None and stops and not self._may_pass(replica, end.failure):
            raise EnsembleError(_stop_text(replica, end.failure))
        if end.state is ReplicaState.PAUSED and not self.alone:
            self.paused.append(replica)
        elif end.state is ReplicaState.PAUSED:
            self._wait(replica, _PAUSED_AGAIN_S, "its batch job has no time for another chunk")
        elif end.state is ReplicaState.BUSY:  # held by an orphan of a driver that was killed
            self._wait(replica, _BUSY_AGAIN_S, end.holder)
        elif end.failure is not None and stops:
            self._wait(replica, _HICCUP_S, f"{end.failure.kind}: {end.failure.reason}")
        else:
            self._ended(replica, end.failure)

    def _met_by_all(self, failure: Failure) -> bool:
        """Whether LAMMPS refuses to begin, and no replica has come further: then it is not this replica's fault."""
        if failure.kind is not FailureKind.LAMMPS or failure.chunk != 0:
            return False
        self.waves.look_at_running()
        return self.waves.none_has_begun

    def _lost(self, replica: Replica, error: BaseException) -> None:
        """A worker was lost with its node or job: the replica goes on elsewhere from its last whole chunk."""
        if not is_loss(error):
            raise EnsembleError(
                f"{replica.name}: {type(error).__name__}: {error}; nothing that was finished is lost; this should not "
                "happen: please report it"
            ) from error
        status = outcome_of(self.plan, replica).status
        before, count = self.lost_at.get(replica, (None, 0))
        count = count + 1 if status == before else 1
        if count > self.plan.study.ensemble.retries + 1:
            raise EnsembleError(
                f"{replica.name}: {count} workers were lost before they could begin ({error}): see the logs in "
                f"{self.plan.output / 'parsl'}; nothing that was finished is lost: mend it and run the same command "
                "again"
            ) from error
        self.lost_at[replica] = (status, count)
        self.lost[replica] = str(error)
        self._wait(replica, _TICK_S, f"its worker was lost ({error}); it goes on from its last chunk")

    def _may_pass(self, replica: Replica, failure: Failure) -> bool:
        """Whether a file system may have had a bad moment, and has not had too many."""
        if not failure.may_be_a_bad_moment:
            return False
        self.hiccups[replica] = self.hiccups.get(replica, 0) + 1
        return self.hiccups[replica] <= self.plan.study.ensemble.retries

    def _wait(self, replica: Replica, seconds: float, why: str) -> None:
        if replica not in self.waited:
            _log.info("%s waits: %s", replica.name, why)
            self.waited.add(replica)
        self.later.append((time.monotonic() + seconds, replica))

    def _ended(self, replica: Replica, last: Failure | None) -> None:
        outcome = outcome_of(self.plan, replica)
        if last is not None and outcome.failure is None:  # another node may do it
            self._wait(replica, _BUSY_AGAIN_S, f"{last.kind}: {last.reason}")
            return
        self.watcher.finished(outcome)
        self._refuse_a_row_of_failures(outcome)
        decision = self.waves.ended(outcome)
        if decision.text:
            self.watcher.decided(decision.condition, decision.text)
        for more in decision.replicas:
            self._submit(more)

    def _refuse_a_row_of_failures(self, outcome: ReplicaOutcome) -> None:
        """A node or a model that fails whatever it gets would soon have eaten the whole study."""
        failure = outcome.failure
        unphysical = failure is not None and not failure.kind.is_physical
        self.failed_in_a_row = self.failed_in_a_row + 1 if unphysical else 0
        if failure is not None and self.failed_in_a_row >= _FAILURES_IN_A_ROW:
            raise EnsembleError(
                f"{self.failed_in_a_row} replicas in a row have failed, and not by their own motion; the last one is "
                f"{outcome.replica.name} on {failure.host}: {failure.kind}: {failure.reason}; mend it, remove the "
                "folders of those that `lpsmd status` shows as failed, and run the same command again"
            )


def task_of(plan: Plan, replica: Replica, *, lost: str | None = None) -> ReplicaTask:
    """What a worker has to know of a replica; `lost` says how the worker before it came to its end."""
    study = plan.study
    structure = plan.structures[replica.structure]
    output = plan.output.resolve()
    return ReplicaTask(
        replica=Replica(**{**vars(replica), "directory": replica.directory.resolve()}),
        dynamics=study.dynamics,
        record=plan.record(replica),
        elements=structure.elements,
        n_atoms=structure.atoms,
        data_file=output / structure.data_file,
        data_sha256=structure.sha256,
        input_file=output / INPUT_NAME,
        input_sha256=plan.input_sha256,
        chunk_seeds=tuple(study.chunk_seed(replica.index, chunk) for chunk in range(study.dynamics.n_chunks + 1)),
        retries=study.ensemble.retries,
        stop_on_broken_framework=study.ensemble.stop_on_broken_framework,
        lmp=study.executor.lmp,
        gpus=study.executor.gpus,
        lost=lost,
    )


def _sentences(waves: Waves) -> dict[str, dict[str, Any]]:
    """What is known of D by now, by name of the condition, and what was decided."""
    told = {}
    for condition in waves.by_condition:
        found = waves.diffusion.of(condition)
        told[condition.name] = {
            "D_cm2_per_s": found and found.D_cm2_per_s,
            "D_half_interval_cm2_per_s": found and found.D_half_interval_cm2_per_s,
            "verdict": found and str(found.verdict),
            "decision": waves.decisions.get(condition),
        }
    return told


def _stop_text(replica: Replica, failure: Failure) -> str:
    remedy = failure.kind.remedy or f"no replica has come further, see {replica.directory / failure.kept}: mend it"
    return (
        f"{replica.name}: {failure.kind}: {failure.reason}; nothing that was finished is lost: "
        f"{remedy} and run the same command again"
    )
