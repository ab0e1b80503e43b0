"""What a study would take: measured on a few steps of each model, side by side as they would run."""

from __future__ import annotations

import heapq
import logging
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lpsmd.ensemble.claim import check_before, check_claim, claim, free_bytes
from lpsmd.ensemble.driver import task_of
from lpsmd.ensemble.engine import Engine, EngineError, parsl_engine, workers_of
from lpsmd.ensemble.files import EnsembleError, read_text
from lpsmd.ensemble.outcomes import begun, outcomes_of
from lpsmd.ensemble.product import last_run
from lpsmd.ensemble.records import ChunkRecord, read_status
from lpsmd.ensemble.replicas import Replica
from lpsmd.ensemble.worker import ReplicaTask
from lpsmd.progress import duration
from lpsmd.study import Condition, Dynamics, ModelSpec, StructureFile, Study

_log = logging.getLogger(__name__)

_PROBE_FRAMES = 3
_MIN_PROBE_STEPS = 20
_TICK_S = 1.0


@dataclass(frozen=True, kw_only=True)
class ConditionEstimate:
    """One model at one temperature: what a step, a chunk, a replica and all replicas that are left take.

    `start_s` is what LAMMPS takes for each chunk beside its steps; `disk_bytes` are those of the replicas' folders.
    """

    name: str
    replicas: int
    ms_per_step: float
    start_s: float
    chunk_s: float
    replica_s: float
    core_hours: float
    disk_bytes: int


@dataclass(frozen=True, kw_only=True)
class StudyEstimate:
    """What is left of a study: replicas that are not complete, each counted as a whole.

    With a target these are as many as it may come to at the most. `wall_s` is that of replicas which start in the
    order of their numbers, as soon as there is room.
    """

    study: str
    output: str
    conditions: tuple[ConditionEstimate, ...]
    complete: int
    atoms: int
    chunks: int
    workers: int
    nodes: int
    wall_s: float
    disk_bytes: int
    free_bytes: int
    at_most: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {**asdict(self), "conditions": [asdict(entry) for entry in self.conditions]}

    def __str__(self) -> str:
        """A table with its sums."""
        most = "at most " if self.at_most else ""
        n = sum(entry.replicas for entry in self.conditions)
        if not n:
            return f"{self.study}: all {self.complete} replicas in {self.output} are complete, none is left to run"
        lines = [
            f"{self.study}: {most}{n} replicas of {self.atoms} atoms in {self.output}, {self.chunks} chunks each, "
            f"{self.workers} at a time"
            + (f" on each of {self.nodes} nodes" if self.nodes > 1 else "")
            + (f"; {self.complete} more are complete" if self.complete else ""),
            f"{'condition':28s} {'replicas':>8s} {'ms/step':>8s} {'a chunk':>9s} {'core-hours':>10s} {'disk':>9s}",
        ]
        lines += [
            f"{entry.name:28s} {entry.replicas:8d} {entry.ms_per_step:8.2f} {duration(entry.chunk_s):>9s} "
            f"{entry.core_hours:10.3g} {_size(entry.disk_bytes):>9s}"
            for entry in self.conditions
        ]
        lines.append(
            f"in all {most}{sum(e.core_hours for e in self.conditions):.3g} core-hours, {duration(self.wall_s)}, "
            f"{_size(self.disk_bytes)} of {_size(self.free_bytes)} free"
        )
        if self.disk_bytes > self.free_bytes:
            lines.append("warning: that is more than is free; a longer dump_interval_fs or dump_species needs less")
        return "\n".join(lines)


def probe_study(study: Study, output: Path, *, workers: int | None = None) -> StudyEstimate:
    """Run some steps of every model that has replicas left in a temporary folder, and multiply.

    A model is probed at the hottest of its temperatures; what a step takes hardly depends on it. The probe runs on this
    machine, also for a study that goes to Slurm: nodes of another kind differ.

    Parameters
    ----------
    study
        What would run.
    output
        Where it would.
    workers
        As for `run_ensemble`.

    Raises
    ------
    EnsembleError
        If the study cannot run; if a probe fails, with LAMMPS' words.
    """
    check_before(study, output)
    plan = check_claim(study, output)
    own = output / plan.structures[0].data_file
    if isinstance(study.structure, StructureFile) and own.is_file():  # the one that it was made from may be gone
        study = replace(study, structure=replace(study.structure, file=own))
    at_a_time = workers_of(study.executor, workers)
    nodes = study.executor.slurm.nodes if study.executor.slurm else 1
    outcomes = {condition: outcomes_of(plan, condition, begun(plan, condition)) for condition in study.conditions}
    ended = {condition: sum(o.complete or o.failure is not None for o in outcomes[condition]) for condition in outcomes}
    left = {condition: study.ensemble.replicas - n for condition, n in ended.items()}
    probes = _probes(study, [condition for condition, n in left.items() if n], at_a_time)
    found = [_estimate(study.dynamics, condition, n, probes[condition.model]) for condition, n in left.items() if n]
    return StudyEstimate(
        study=study.name,
        output=str(output),
        conditions=tuple(found),
        complete=sum(outcome.complete for found_so_far in outcomes.values() for outcome in found_so_far),
        atoms=plan.structures[0].atoms,
        chunks=study.dynamics.n_chunks + 1,
        workers=at_a_time,
        nodes=nodes,
        wall_s=_wall_s(found, slots=at_a_time * nodes),
        disk_bytes=sum(entry.disk_bytes for entry in found),
        free_bytes=free_bytes(_existing(output)),
        at_most=study.ensemble.target_relative_error is not None,
    )


def _wall_s(conditions: Sequence[ConditionEstimate], *, slots: int) -> float:
    """Until the last replica ends: one replica needs its time, however many slots there are."""
    order = [
        entry
        for index in range(max((e.replicas for e in conditions), default=0))
        for entry in conditions
        if index < entry.replicas
    ]
    ends = [0.0] * min(slots, len(order))
    for entry in order:
        heapq.heapreplace(ends, ends[0] + entry.replica_s)
    return max(ends, default=0.0)


def _estimate(dynamics: Dynamics, condition: Condition, n: int, probe: _Probe) -> ConditionEstimate:
    n_chunks = dynamics.n_chunks + 1
    replica_s = dynamics.total_steps * probe.ms_per_step / 1000.0 + n_chunks * probe.start_s
    return ConditionEstimate(
        name=condition.name,
        replicas=n,
        ms_per_step=probe.ms_per_step,
        start_s=probe.start_s,
        chunk_s=probe.start_s + dynamics.chunk_steps * probe.ms_per_step / 1000.0,
        replica_s=replica_s,
        core_hours=n * replica_s / 3600.0,
        disk_bytes=n * probe.replica_bytes,
    )


@dataclass(frozen=True, kw_only=True)
class _Probe:
    """What a step and the start of a chunk take, and the size of a whole replica."""

    ms_per_step: float
    start_s: float
    replica_bytes: int


def _probes(study: Study, conditions: Sequence[Condition], at_a_time: int) -> dict[ModelSpec, _Probe]:
    """A probe of each model, in workers as those that would run it."""
    hottest = {c.model: c for c in sorted(conditions, key=lambda condition: condition.temperature_K)}
    here = replace(study.executor, slurm=None)
    if study.executor.slurm is not None:  # a machine where jobs are sent from is not a node of its own
        at_a_time = min(at_a_time, len(os.sched_getaffinity(0)))
    found: dict[ModelSpec, _Probe] = {}
    if not hottest:
        return found
    with tempfile.TemporaryDirectory(prefix="lpsmd-probe-") as folder:
        try:
            with parsl_engine(here, folder=Path(folder, "parsl"), workers=at_a_time) as engine:
                for model, condition in hottest.items():
                    _log.info("probe %d of %d: %s", len(found) + 1, len(hottest), condition.name)
                    found[model] = _probe(engine, study, condition, at_a_time, folder=Path(folder, model.label))
        except EngineError as error:
            raise EnsembleError(f"the probe failed: {error}") from error
    return found


def _probe(engine: Engine, study: Study, condition: Condition, at_a_time: int, *, folder: Path) -> _Probe:
    """Chunks 0 and 1 of some replicas, cut short, run side by side as they would be."""
    folder.mkdir()
    plan = claim(replace(study, dynamics=_short(study.dynamics), models=(condition.model,)), folder)
    replicas = plan.replicas(condition, at_a_time)
    _run(engine, [task_of(plan, replica) for replica in replicas], name=condition.name)
    chunks = [read_status(replica.directory).chunks[1] for replica in replicas]
    return _Probe(
        ms_per_step=max(chunk.thermo.ms_per_step for chunk in chunks),
        start_s=max(chunk.wall_s - chunk.steps * chunk.thermo.ms_per_step / 1000.0 for chunk in chunks),
        replica_bytes=_whole_bytes(replicas[0], chunks[0], study.dynamics),
    )


def _run(engine: Engine, tasks: Sequence[ReplicaTask], *, name: str) -> None:
    futures = [engine.submit(task) for task in tasks]
    while wait(futures, timeout=_TICK_S).not_done:
        engine.check()
    for future in futures:
        if (error := future.exception()) is not None:
            raise EnsembleError(f"{name}: the probe failed: its worker was lost: {error}")
        if (failure := future.result().failure) is not None:
            raise EnsembleError(f"{name}: the probe failed: {failure.kind}: {failure.reason}")


def _whole_bytes(replica: Replica, record: ChunkRecord, dynamics: Dynamics) -> int:
    """What a whole replica takes, by its first chunk of production: frames, rows of the log, and what each chunk has.

    The equilibration, which writes no frames, has as many rows as it has dump intervals.
    """
    sizes = {path.name: path.stat().st_size for path in replica.directory.iterdir() if path.is_file()}
    once = sum(size for name, size in sizes.items() if not name.startswith("chunk."))
    log = read_text(replica.file(record.chunk, "log"))
    run = last_run(log)
    assert run is not None  # the chunk was checked
    row = max(len(line) + 1 for line in log.splitlines() if line.split()[:1] == [f"{run.column('Step')[-1]:.0f}"])
    dump = sizes.pop(f"chunk.{record.chunk}.dump.gz")
    chunk = sum(size for name, size in sizes.items() if name.startswith(f"chunk.{record.chunk}.")) - len(run.rows) * row
    n_chunks = dynamics.n_chunks + 1
    rows = dynamics.total_steps // dynamics.dump_steps + n_chunks
    return once + dynamics.frames * dump // record.frames + rows * row + n_chunks * chunk


def _short(dynamics: Dynamics) -> Dynamics:
    frames = max(_PROBE_FRAMES, -(-_MIN_PROBE_STEPS // dynamics.dump_steps))
    length_ps = min(frames * dynamics.dump_interval_fs / 1000.0, dynamics.chunk_ps)
    return replace(dynamics, equilibration_ps=length_ps, production_ps=length_ps, chunk_ps=length_ps)


def _existing(path: Path) -> Path:
    path = path.resolve()
    return path if path.exists() else _existing(path.parent)


def _size(n_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000.0:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000.0
    return f"{n_bytes:.3g} TB"
