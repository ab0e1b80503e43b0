"""The cluster of the other tests here: what they rely on."""

from __future__ import annotations

import socket

import pytest

from support.slurm_cluster import SlurmCluster

pytestmark = pytest.mark.slurm


def test_srun_runs_on_all_cores(cluster: SlurmCluster) -> None:
    done = cluster.run("srun", f"-n{cluster.cores}", "hostname")
    assert done.stdout.split() == [socket.gethostname()] * cluster.cores


def test_a_batch_job_runs_to_its_end(cluster: SlurmCluster) -> None:
    job_id = cluster.submit("echo ran > ran.txt")
    assert cluster.wait_for(job_id, "COMPLETED").restarts == 0
    assert (cluster.folder / "ran.txt").read_text() == "ran\n"


def test_a_cancelled_job_leaves_no_process(cluster: SlurmCluster) -> None:
    job_id = cluster.submit("setsid --fork sleep 1000; sleep 1000 & sleep 1000")
    cluster.wait_for(job_id, "RUNNING")
    cluster.cancel(job_id)
    cluster.wait_for(job_id, "CANCELLED")
    assert not cluster.processes()


def test_a_requeued_job_starts_again_under_its_id(cluster: SlurmCluster) -> None:
    job_id = cluster.submit('test "$SLURM_RESTART_COUNT" = 1 || sleep 1000')
    cluster.wait_for(job_id, "RUNNING")
    cluster.requeue(job_id)
    assert cluster.wait_for(job_id, "COMPLETED", timeout_s=60).restarts == 1
