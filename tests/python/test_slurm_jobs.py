"""What a job of Slurm makes of its GPUs and of its time, tested without one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lpsmd.ensemble import read_plan
from lpsmd.ensemble.driver import task_of
from lpsmd.ensemble.failures import FailureKind
from lpsmd.ensemble.records import STATUS_NAME
from lpsmd.ensemble.replicas import Replica
from lpsmd.ensemble.slurm_script import TRY_AGAIN, write_slurm_script
from lpsmd.ensemble.worker import ReplicaState, run_replica
from lpsmd.inputs import find_lmp
from lpsmd.study_file import load_study
from support.processes import processes_in
from support.replicas import claimed, lmp_script, status_of, task
from support.studies import STUDY, study_file

GPUS = """
[executor]
replicas_per_gpu = 2
lmp = "./lmp"

[executor.slurm]
partition = "gpu"
account = "solids"
walltime = "00:01:30"
nodes = 3
gpus_per_node = 2
prologue = "module load cuda"
options = ["--qos=long"]
"""


def test_a_share_asks_for_the_gpus_and_cores_of_its_replicas(tmp_path: Path) -> None:
    study = study_file(tmp_path, STUDY.replace("replicas = 2", "replicas = 9") + GPUS)
    script = write_slurm_script(load_study(study), tmp_path / "out")
    asked = {line.removeprefix("#SBATCH ") for line in script.read_text().splitlines() if line.startswith("#SBATCH")}
    assert {"--partition=gpu", "--account=solids", "--gpus-per-node=2", "--nodes=1", "--qos=long"} < asked
    # Four replicas at a time, nine in all; Slurm counts whole minutes.
    assert {"--cpus-per-task=4", "--array=0-2%3", "--time=2"} < asked
    command = f"{sys.executable} -m lpsmd work {tmp_path}/out --workers 4 --share $SLURM_ARRAY_TASK_ID/3"
    assert f"\nmodule load cuda\n{command}\n" in script.read_text()
    subprocess.run(["bash", "-n", script], check=True)


def test_a_share_runs_on_the_gpus_of_its_job_and_asks_for_another_when_its_time_is_over(tmp_path: Path) -> None:
    lmp = tmp_path / "lmp"
    lmp.write_text(f'#!/bin/sh\necho $CUDA_VISIBLE_DEVICES >> {tmp_path}/gpus\nexec {find_lmp()} "$@"\n')
    lmp.chmod(0o755)
    study = study_file(tmp_path, STUDY + GPUS)
    write_slurm_script(load_study(study), tmp_path / "out")
    command = [sys.executable, "-m", "lpsmd", "work", str(tmp_path / "out"), "--workers", "2", "--share", "0/1"]
    done = subprocess.run(command, env={**os.environ, **_job(since_s=60, left_s=0)}, capture_output=True, text=True)
    assert done.returncode == TRY_AGAIN
    assert "no time is left for another chunk: 2 replicas go on in the next job" in done.stderr
    assert not (tmp_path / "gpus").exists()
    # Without ConstrainDevices, Slurm names the job's GPUs by their numbers on the node.
    subprocess.run(command, env={**os.environ, "CUDA_VISIBLE_DEVICES": "2,GPU-5"}, check=True)
    gpus = (tmp_path / "gpus").read_text().splitlines()
    assert len(gpus) == 6
    assert set(gpus) <= {"2", "GPU-5"}


@pytest.mark.parametrize(
    ("since_s", "left_s", "state"),
    [
        (1000, 900, ReplicaState.PAUSED),
        # The next job would have no more time either.
        (10, 900, ReplicaState.COMPLETE),
        (2000, 1500, ReplicaState.COMPLETE),
    ],
)
def test_a_chunk_that_would_outlast_its_job_waits_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, since_s: int, left_s: int, state: ReplicaState
) -> None:
    replica = _begun(tmp_path, chunk_s=1000)
    for name, value in _job(since_s=since_s, left_s=left_s).items():
        monkeypatch.setenv(name, value)
    assert run_replica(task_of(read_plan(tmp_path / "out"), replica)).state is state


def test_a_chunk_that_outlasts_its_job_leaves_the_replica_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = claimed(tmp_path)
    lmp = lmp_script(tmp_path, 'if once; then sleep 1000 & wait; fi\nlmp "$@"')
    with monkeypatch.context() as job:
        for name, value in _job(since_s=0, left_s=6).items():
            job.setenv(name, value)
        assert run_replica(task(plan, lmp=lmp)).state is ReplicaState.PAUSED
    (failure,) = status_of(plan).failures
    assert (failure.chunk, failure.kind) == (0, FailureKind.KILLED)
    assert re.match(r"its job ended after \d s of the chunk; .* a longer walltime is needed", failure.reason)
    assert processes_in(tmp_path) == []
    assert run_replica(task(plan, lmp=lmp)).state is ReplicaState.COMPLETE


def _begun(folder: Path, *, chunk_s: float) -> Replica:
    """A replica of which the equilibration is done, and took so long."""
    short = STUDY.replace("production_ps = 0.4", "production_ps = 0.2")
    write_slurm_script(load_study(study_file(folder, short + GPUS.replace('lmp = "./lmp"', ""))), folder / "out")
    plan = read_plan(folder / "out")
    replica = plan.replica(plan.study.conditions[0], 0)
    run_replica(task_of(plan, replica))
    status = json.loads((replica.directory / STATUS_NAME).read_text())
    status["chunks"] = [{**status["chunks"][0], "wall_s": chunk_s}]
    (replica.directory / STATUS_NAME).write_text(json.dumps(status))
    return replica


def _job(*, since_s: int, left_s: int) -> dict[str, str]:
    """What Slurm says in the environment of a job."""
    now = int(time.time())
    return {"SLURM_JOB_START_TIME": str(now - since_s), "SLURM_JOB_END_TIME": str(now + left_s)}
