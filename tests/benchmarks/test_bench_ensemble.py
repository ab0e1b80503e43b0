"""Six models times 300 replicas of the reference protocol's length: what the driver and `lpsmd status` cost.

LAMMPS really runs two of the 1,800 replicas, the first one and the last one; the others are copies of the first,
written by the functions that workers write with (`support.scale.finished_study`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from lpsmd.analysis import Diffusion
from lpsmd.ensemble import Plan, study_status
from lpsmd.ensemble.outcomes import outcome_of
from lpsmd.ensemble.overview import survey
from lpsmd.ensemble.running import RunningDiffusion
from lpsmd.ensemble.waves import Waves
from support.scale import DRIVER, FUNCTIONALS, REFERENCE, finished_study, study_text
from tolerances import DRIVER_MEMORY_MB, STATUS_S

REPLICAS = 300
ALL = REPLICAS * len(FUNCTIONALS)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    text = study_text(replicas=REPLICAS, dynamics=REFERENCE)
    return finished_study(tmp_path_factory.mktemp("scale") / "study", text, left=1)


def test_status(benchmark: Any, plan: Plan) -> None:
    found = benchmark.pedantic(study_status, (plan.output,), rounds=5)
    assert (found.complete, found.replicas) == (ALL - 1, ALL)
    assert benchmark.stats.stats.min < STATUS_S


def test_status_as_a_command(benchmark: Any, plan: Plan) -> None:
    """With the start of Python."""
    command = [sys.executable, "-m", "lpsmd", "status", str(plan.output)]
    done = benchmark.pedantic(
        subprocess.run, (command,), {"capture_output": True, "text": True, "check": True}, rounds=5
    )
    assert f"{ALL - 1}/{ALL} replicas" in done.stdout
    assert benchmark.stats.stats.min < STATUS_S


def test_progress_of_a_driver(benchmark: Any, plan: Plan) -> None:
    """What a driver does every few seconds, whatever has happened."""
    waves = Waves(plan=plan, diffusion=RunningDiffusion(plan))

    def look() -> int:
        waves.look_at_running()
        return survey(plan, waves.by_condition_lists()).complete

    assert benchmark.pedantic(look, rounds=20, warmup_rounds=1) == ALL - 1


def test_a_replica_that_ended(benchmark: Any, plan: Plan) -> None:
    """What a driver does for each: see its record, read its 1,401 frames, make D of 281 to 300 anew."""
    condition, diffusion = plan.study.conditions[0], RunningDiffusion(plan)
    replicas = plan.replicas(condition, REPLICAS)
    for replica in replicas[:-20]:
        diffusion.add(outcome_of(plan, replica))
    diffusion.of_all(condition)
    left = iter(replicas[-20:])

    def take() -> Diffusion | None:
        diffusion.add(outcome_of(plan, next(left)))
        return diffusion.of_all(condition)

    found = benchmark.pedantic(take, rounds=20)
    assert found.n_replicas == REPLICAS


def test_memory_of_a_driver(benchmark: Any, plan: Plan) -> None:
    """Of a driver that reads 1,799 replicas and runs the one that is left."""
    command = [sys.executable, str(DRIVER), str(plan.output), str(plan.output), "1"]
    done = benchmark.pedantic(subprocess.run, (command,), {"capture_output": True, "text": True}, rounds=1)
    assert done.returncode == 0, done.stderr
    assert study_status(plan.output).complete == ALL
    found = json.loads(done.stdout)
    benchmark.extra_info.update(found)
    print(f"\n{ALL} replicas: {found['driver_MB']:.0f} MB")
    assert found["driver_MB"] < DRIVER_MEMORY_MB
