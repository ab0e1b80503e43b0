"""One cluster for all tests here; they are skipped, with the reason, where none can start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.slurm_cluster import SlurmCluster, slurm_cluster, why_not


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as started:
        yield started


@pytest.fixture(autouse=True)
def _no_job_left(cluster: SlurmCluster) -> Iterator[None]:
    """Each test ends its own jobs: the next one would wait for their cores."""
    yield
    left = [job for job in cluster.jobs() if job.state != "COMPLETING"]
    for job in left:
        cluster.cancel(job.id)
    cluster.wait_until_empty()
    assert not left
