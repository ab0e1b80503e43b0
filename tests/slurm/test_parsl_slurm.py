"""What Parsl does with jobs of Slurm that end: what the engine of `lpsmd run` relies on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
from parsl.executors.high_throughput.errors import ManagerLost

from support.parsl_slurm import HEARTBEAT_THRESHOLD_S, slurm_pool
from support.slurm_cluster import SlurmCluster
from support.slurm_tasks import job_after

pytestmark = pytest.mark.slurm

_TASK_S = 1.5
_N_TASKS = 8


@pytest.fixture
def started(tmp_path: Path, cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which each task leaves a file when it starts; SLURM_CONF is that of the cluster."""
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    (tmp_path / "started").mkdir()
    return tmp_path / "started"


def test_tasks_run_in_a_job_that_ends_with_the_pool(cluster: SlurmCluster, started: Path, tmp_path: Path) -> None:
    with slurm_pool(tmp_path / "runinfo") as pool:
        jobs = {future.result() for future in [pool.submit(job_after, 0.1, started) for _ in range(_N_TASKS)]}
    (job_id,) = jobs
    cluster.wait_for(job_id, "CANCELLED")
    cluster.wait_until_empty()
    assert not cluster.processes()


def test_a_cancelled_block_loses_its_running_tasks_and_is_replaced(
    cluster: SlurmCluster, started: Path, tmp_path: Path
) -> None:
    with slurm_pool(tmp_path / "runinfo") as pool:
        futures = [pool.submit(job_after, _TASK_S, started) for _ in range(_N_TASKS)]
        first = futures[0].result()
        _wait_for(lambda: len(list(started.iterdir())) >= 4)
        cancelled = time.monotonic()
        cluster.cancel(first)
        lost, jobs = _outcomes(futures, cancelled)
    # Two had ended, two ran, four waited: those that waited run in the new block, under another job.
    assert len(lost) == 2
    assert max(lost) < HEARTBEAT_THRESHOLD_S + 2
    assert jobs.count(first) == 2
    assert len(set(jobs)) == 2


def test_a_requeued_block_loses_its_running_tasks_and_goes_on(
    cluster: SlurmCluster, started: Path, tmp_path: Path
) -> None:
    with slurm_pool(tmp_path / "runinfo") as pool:
        futures = [pool.submit(job_after, _TASK_S, started) for _ in range(_N_TASKS)]
        job_id = futures[0].result()
        _wait_for(lambda: len(list(started.iterdir())) >= 4)
        cluster.requeue(job_id)
        lost, jobs = _outcomes(futures, time.monotonic())
    assert len(lost) == 2
    assert jobs == [job_id] * (_N_TASKS - 2)
    assert cluster.job(job_id).restarts == 1


def test_a_killed_driver_leaves_neither_job_nor_process(cluster: SlurmCluster, started: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "support.slurm_driver", str(started), str(tmp_path / "runinfo")]
    environment = {**cluster.environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment, cwd=cluster.folder) as driver:
        try:
            _wait_for(lambda: len(list(started.iterdir())) == 2)
        finally:
            driver.kill()
    killed = time.monotonic()
    _wait_for(lambda: not cluster.jobs() and not cluster.processes())
    assert time.monotonic() - killed < HEARTBEAT_THRESHOLD_S + 5


def _outcomes(futures: list[Future[str]], since: float) -> tuple[list[float], list[str]]:
    """When tasks were lost, in seconds after a time, and the jobs of those that ended."""
    lost: list[float] = []
    jobs: list[str] = []
    for future in futures:
        try:
            jobs.append(future.result(timeout=120))
        except ManagerLost as error:
            # Its time is that of the interchange when it gave the manager up.
            lost.append(error.tstamp - time.time() + time.monotonic() - since)
    return lost, jobs


def _wait_for(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s} s"
        time.sleep(0.05)
