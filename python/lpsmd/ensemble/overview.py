"""How a study stands, read from its folder at any time, whether or not a driver runs.

What is known comes from the records; speed from the chunks that are done, times the replicas that run now. So the
driver's own progress and `lpsmd status` in another terminal, or on another machine, are one thing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lpsmd.ensemble.claim import DRIVER_LOCK, read_plan
from lpsmd.ensemble.files import EnsembleError, read_json, write_json
from lpsmd.ensemble.locks import live_holder
from lpsmd.ensemble.outcomes import ReplicaOutcome, begun, outcomes_of
from lpsmd.ensemble.product import last_run
from lpsmd.ensemble.replicas import Plan
from lpsmd.ensemble.worker import RUNNING
from lpsmd.study import Condition

PROGRESS_NAME = "progress.json"
#: What the driver writes there of each condition.
_TOLD = ("D_cm2_per_s", "D_half_interval_cm2_per_s", "verdict", "decision")
_PS_PER_NS = 1000.0
_SECONDS_PER_DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class ConditionStatus:
    """One model at one temperature. `D` is the driver's last sentence on it, `decision` that of its target."""

    name: str
    model: str
    temperature_K: float
    replicas: int
    complete: int
    running: int
    unfinished: int
    failed: dict[str, int]
    steps_done: int
    steps_total: int
    ms_per_step: float | None
    wall_s: float
    D_cm2_per_s: float | None = None
    D_half_interval_cm2_per_s: float | None = None
    verdict: str | None = None
    decision: str | None = None


@dataclass(frozen=True, kw_only=True)
class StudyStatus:
    """A whole study. Speeds are those of the replicas that run at this moment, None where none does."""

    study: str
    output: str
    driver: str | None
    conditions: tuple[ConditionStatus, ...]
    atom_steps_per_s: float | None
    ns_per_day: float | None
    seconds_left: float | None

    @property
    def steps_done(self) -> int:
        """Steps of all replicas."""
        return sum(entry.steps_done for entry in self.conditions)

    @property
    def steps_total(self) -> int:
        """Steps that the study asks for by now."""
        return sum(entry.steps_total for entry in self.conditions)

    @property
    def complete(self) -> int:
        """Complete replicas."""
        return sum(entry.complete for entry in self.conditions)

    @property
    def replicas(self) -> int:
        """Replicas that the study asks for by now."""
        return sum(entry.replicas for entry in self.conditions)

    @property
    def running(self) -> int:
        """Replicas in which LAMMPS runs."""
        return sum(entry.running for entry in self.conditions)

    @property
    def failed(self) -> int:
        """Replicas that are not tried again."""
        return sum(sum(entry.failed.values()) for entry in self.conditions)

    @property
    def all_ended(self) -> bool:
        """Whether none is left to run by now; a driver that runs may want more."""
        return self.complete + self.failed >= self.replicas

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values, units in the names."""
        return {
            **asdict(self),
            "conditions": [asdict(entry) for entry in self.conditions],
            **{name: getattr(self, name) for name in ("steps_done", "steps_total", "complete", "replicas", "failed")},
            "running": self.running,
        }


def study_status(output: Path) -> StudyStatus:
    """How the study in a folder stands.

    Raises
    ------
    EnsembleError
        If no study was begun there.
    """
    plan = read_plan(output)
    return survey(
        plan, {condition: outcomes_of(plan, condition, begun(plan, condition)) for condition in plan.study.conditions}
    )


def survey(plan: Plan, outcomes: dict[Condition, Sequence[ReplicaOutcome]]) -> StudyStatus:
    """How a study stands, by the records of its replicas and what runs now."""
    told = _told(plan.output)
    found, rates = [], []
    for condition, replicas in outcomes.items():
        running = [
            o for o in replicas if not o.complete and o.failure is None and live_holder(o.replica.lock) is not None
        ]
        entry = _condition(condition, replicas, running, told.get(condition.name, {}))
        found.append(entry)
        if entry.ms_per_step:
            atoms = plan.structures[0].atoms
            rates.append((len(running) * 1000.0 / entry.ms_per_step, atoms))
    steps_per_s = sum(rate for rate, _ in rates)
    left = sum(entry.steps_total - entry.steps_done for entry in found)
    driver = live_holder(plan.output / DRIVER_LOCK)
    ps_per_step = plan.study.dynamics.timestep_fs / 1000.0
    return StudyStatus(
        study=plan.study.name,
        output=str(plan.output),
        driver=None if driver is None else driver.name,
        conditions=tuple(found),
        atom_steps_per_s=sum(rate * atoms for rate, atoms in rates) if steps_per_s else None,
        ns_per_day=steps_per_s * ps_per_step / _PS_PER_NS * _SECONDS_PER_DAY if steps_per_s else None,
        seconds_left=left / steps_per_s if steps_per_s else None,
    )


def tell(output: Path, sentences: dict[str, dict[str, Any]]) -> None:
    """Write down what only the driver knows, by name of the condition: D, its error, what was decided."""
    write_json(output / PROGRESS_NAME, sentences)


def _told(output: Path) -> dict[str, Any]:
    try:
        told = read_json(output / PROGRESS_NAME)
    except EnsembleError:
        return {}
    return {name: {key: values.get(key) for key in _TOLD} for name, values in told.items()}


def _condition(
    condition: Condition, replicas: Sequence[ReplicaOutcome], running: Sequence[ReplicaOutcome], told: dict[str, Any]
) -> ConditionStatus:
    plan = replicas[0].plan
    dynamics = plan.study.dynamics
    failed = Counter(str(o.failure.kind) for o in replicas if o.failure is not None)
    n_complete = sum(o.complete for o in replicas)
    return ConditionStatus(
        name=condition.name,
        model=condition.model.label,
        temperature_K=condition.temperature_K,
        replicas=len(replicas),
        complete=n_complete,
        running=len(running),
        unfinished=len(replicas) - n_complete - sum(failed.values()) - len(running),
        failed=dict(failed),
        steps_done=sum(o.status.steps_done(dynamics) for o in replicas) + sum(map(_steps_of_running_chunk, running)),
        steps_total=dynamics.total_steps * (len(replicas) - sum(failed.values()))
        + sum(o.status.steps_done(dynamics) for o in replicas if o.failure is not None),
        ms_per_step=_ms_per_step(replicas),
        wall_s=sum(o.status.wall_s for o in replicas),
        **told,
    )


def _ms_per_step(replicas: Iterable[ReplicaOutcome]) -> float | None:
    """What a step takes, the start of LAMMPS included, over the chunks that were run last."""
    last = [chunk for o in replicas for chunk in list(o.status.chunks.values())[-1:] if chunk.steps]
    return 1000.0 * sum(chunk.wall_s for chunk in last) / sum(chunk.steps for chunk in last) if last else None


def _steps_of_running_chunk(outcome: ReplicaOutcome) -> int:
    dynamics = outcome.plan.study.dynamics
    chunk = outcome.status.next_chunk(dynamics)
    if chunk is None:
        return 0
    log = outcome.replica.directory / RUNNING / f"chunk.{chunk}.log"
    try:
        with log.open("rb") as stream:
            text = stream.read().decode(errors="replace")
    except OSError:
        return 0
    run = last_run(text)
    if run is None:
        return 0
    begin = (chunk - 1) * dynamics.chunk_steps if chunk else 0
    return max(0, int(run.column("Step")[-1]) - begin)
