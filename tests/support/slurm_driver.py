"""A driver that a test can kill: two long tasks in a job, `python -m support.slurm_driver <started> <run folder>`."""

from __future__ import annotations

import sys
from pathlib import Path

from support.parsl_slurm import slurm_pool
from support.slurm_tasks import job_after

LONG_S = 1000.0

if __name__ == "__main__":
    with slurm_pool(Path(sys.argv[2])) as pool:
        for future in [pool.submit(job_after, LONG_S, Path(sys.argv[1])) for _ in range(2)]:
            future.result()
