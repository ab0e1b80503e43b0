"""A whole study in jobs of Slurm, by `lpsmd run` and by the script of `lpsmd export-slurm`.

Whatever happens to the jobs, trajectories and D are those of a local run, to the last bit.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT

import pytest

from lpsmd.ensemble import FailureKind, read_ensemble
from lpsmd.inputs import find_lmp
from lpsmd.study import STUDY_RECORD
from support.slurm_cluster import PARTITION, SlurmCluster
from support.studies import STUDY, study_file

pytestmark = pytest.mark.slurm

LOCAL = STUDY.replace("replicas = 2", "replicas = 4").replace("production_ps = 0.4", "production_ps = 0.8")
SLURM = f"""
[executor]
workers = 1

[executor.slurm]
partition = "{PARTITION}"
walltime = "00:05:00"
nodes = 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all runs: LAMMPS writes the path of the model into restarts."""
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def expected(folder: Path, cluster: SlurmCluster) -> dict[str, bytes]:
    """What a local run makes."""
    cluster.run(*_lpsmd("run", study_file(folder, LOCAL), "-o", folder / "local"), timeout_s=120)
    return _product(folder / "local")


def test_jobs_are_cancelled_and_requeued_in_the_middle(
    cluster: SlurmCluster, expected: dict[str, bytes], folder: Path
) -> None:
    (folder / "jobs").mkdir()
    asked = f"""account = "lpsmd"
options = ["--comment=tiny"]
prologue = '''
export JOBS={folder}/jobs
touch $JOBS/$SLURM_JOB_ID
'''
"""
    study, output = study_file(folder, LOCAL + SLURM + asked), folder / "cancelled"
    with _running(cluster, "run", study, "-o", output) as run:
        _wait_for_chunks(output, 3)
        cancelled, requeued = cluster.jobs()
        status = json.loads(cluster.run(*_lpsmd("status", output, "--json")).stdout)
        told = cluster.run("squeue", "--noheader", "--format=%P|%a|%l|%D|%C|%k", f"--job={cancelled.id}").stdout
        cluster.cancel(cancelled.id)
        cluster.requeue(requeued.id)
        _ends_well(run)
    assert _product(output) == expected
    _nothing_has_failed(output)
    assert status["driver"].startswith(f"process {run.pid} on ")
    assert status["running"] == 2
    assert told.strip() == f"{PARTITION}|lpsmd|5:00|1|1|tiny"
    assert cluster.job(cancelled.id).state == "CANCELLED"
    assert cluster.job(requeued.id).restarts == 1
    jobs = {path.name for path in (folder / "jobs").iterdir()}
    assert {cancelled.id, requeued.id} < jobs
    _nothing_is_left(cluster)


def test_the_jobs_of_a_killed_driver_end_while_the_next_one_goes_on(
    cluster: SlurmCluster, expected: dict[str, bytes], folder: Path
) -> None:
    # One job of one core: that of the second driver runs beside it, and meets the lock of its replica.
    study, output = study_file(folder, LOCAL + SLURM.replace("nodes = 2", "nodes = 1")), folder / "killed"
    with _running(cluster, "run", study, "-o", output) as killed:
        _wait_for_chunks(output, 3)
        killed.kill()
    (orphan,) = cluster.jobs()
    assert orphan.state == "RUNNING"
    with _running(cluster, "run", study, "-o", output) as run:
        _ends_well(run)
    assert _product(output) == expected
    _nothing_has_failed(output)
    assert cluster.wait_for(orphan.id, "COMPLETED", "FAILED", timeout_s=60).restarts == 0
    _nothing_is_left(cluster)


def test_a_study_that_is_stopped_takes_its_jobs_along(cluster: SlurmCluster, folder: Path) -> None:
    study, output = study_file(folder, LOCAL + SLURM.replace("nodes = 2", "nodes = 9")), folder / "stopped"
    with _running(cluster, "run", study, "-o", output) as run:
        _wait_for_chunks(output, 1)
        # Two run, two wait: one for each replica, although nine are allowed.
        assert len(cluster.jobs()) == 4
        run.send_signal(signal.SIGINT)
        said, _ = run.communicate(timeout=60)
    assert run.returncode == 130
    assert f"stopped; run the same command again to go on with {output}" in said
    _nothing_is_left(cluster)


def test_an_array_outlives_its_walltime_and_a_cancellation(
    cluster: SlurmCluster, expected: dict[str, bytes], folder: Path
) -> None:
    lmp = folder / "lmp"
    # One chunk takes more than half of the shortest walltime there is, a minute.
    lmp.write_text(f'#!/bin/sh\ncase "$PWD/$*" in */replica-000-*chunk.0.in) sleep 30;; esac\nexec {find_lmp()} "$@"\n')
    lmp.chmod(0o755)
    text = SLURM.replace("workers = 1", 'workers = 1\nlmp = "./lmp"').replace("00:05:00", "00:00:30")
    study, output = study_file(folder, LOCAL + text), folder / "array"
    sbatch, script = cluster.run(*_lpsmd("export-slurm", study, "-o", output)).stdout.split()
    array = _submitted(cluster, sbatch, script)
    _wait_for_chunks(output, 1)
    cluster.cancel(f"{array}_1")
    status = cluster.run(*_lpsmd("status", output)).stdout
    again = _submitted(cluster, sbatch, "--array=1", script)
    cluster.wait_until_empty(timeout_s=180)
    cluster.run(*_lpsmd("run", study, "-o", output, "--analyse-only"))
    assert _product(output) == expected
    _nothing_has_failed(output)
    assert "no driver runs, but replicas do: those of a batch job" in status
    assert cluster.job(f"{array}_1").state == "CANCELLED"
    assert cluster.job(f"{again}_1").state == "COMPLETED"
    assert cluster.job(f"{array}_0").state == "COMPLETED"
    paused = "no time is left for another chunk: 1 replica goes on in the next job"
    assert (output / f"slurm-{array}_0.out").read_text().count(paused) == cluster.job(f"{array}_0").restarts > 0
    _nothing_is_left(cluster)


def test_what_sbatch_refuses_is_told(cluster: SlurmCluster, folder: Path) -> None:
    text = SLURM.replace("workers = 1", "replicas_per_gpu = 2").replace("nodes = 2", "gpus_per_node = 2")
    study, output = study_file(folder, LOCAL + text), folder / "refused"
    done = cluster.run(*_lpsmd("run", study, "-o", output), check=False)
    assert done.returncode == 2
    # The cluster has no GPU.
    assert "no worker can be started" in done.stderr
    assert "Invalid generic resource (gres) specification" in done.stderr
    assert "run the same command again" in done.stderr
    assert "worker was lost" not in done.stderr
    script = next((output / "parsl" / "000" / "submit_scripts").iterdir()).read_text()
    assert "#SBATCH --gpus-per-node=2\n" in script
    assert "#SBATCH --cpus-per-task=4\n" in script
    assert " --max_workers_per_node=4 " in script


def _lpsmd(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "lpsmd", *map(str, arguments)]


@contextmanager
def _running(cluster: SlurmCluster, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A command that runs beside the test; if the test fails, it is ended and what it said is shown."""
    command = _lpsmd(*arguments)
    with subprocess.Popen(command, env=cluster.environment, stdout=PIPE, stderr=STDOUT, text=True) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            print(process.communicate()[0])
            raise


def _ends_well(process: subprocess.Popen[str]) -> None:
    said, _ = process.communicate(timeout=180)
    assert process.returncode == 0, said


def _submitted(cluster: SlurmCluster, *command: str) -> str:
    return cluster.run(*command).stdout.split()[-1]


def _wait_for_chunks(output: Path, count: int, timeout_s: float = 120) -> None:
    """Until so many chunks are whole, of all replicas together."""
    end = time.monotonic() + timeout_s
    while _chunks(output) < count:
        assert time.monotonic() < end, f"{output}: {_chunks(output)} chunks after {timeout_s} s, not {count}"
        time.sleep(0.05)


def _chunks(output: Path) -> int:
    if not (output / STUDY_RECORD).is_file():
        return 0
    return sum(len(outcome.status.chunks) for outcome in read_ensemble(output).outcomes)


def _product(output: Path) -> dict[str, bytes]:
    """Trajectories and restarts, by name, the mean squared displacements, and D with all that belongs to it."""
    paths = [*output.glob("*/replica-*/chunk.*.dump.gz"), *output.glob("*/replica-*/chunk.*.restart")]
    found = {str(path.relative_to(output)): path.read_bytes() for path in [*paths, output / "msd.csv"]}
    (model,) = json.loads((output / "results.json").read_text())["models"]
    assert model["replicas_complete"] == 4
    return {**found, "D": json.dumps(model["diffusion"]).encode()}


def _nothing_has_failed(output: Path) -> None:
    """But for workers that went with their jobs."""
    outcomes = read_ensemble(output).outcomes
    assert {failure.kind for outcome in outcomes for failure in outcome.status.failures} <= {FailureKind.NODE}


def _nothing_is_left(cluster: SlurmCluster) -> None:
    cluster.wait_until_empty()
    assert not cluster.processes()
