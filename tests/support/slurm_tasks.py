"""What the tests on Slurm run in its jobs."""

from __future__ import annotations

import os
import time
from pathlib import Path


def job_after(seconds: float, started: Path) -> str:
    """Say that this task has started, sleep, return the Slurm job that it ran in."""
    (started / f"{os.getpid()}-{time.time_ns()}").touch()
    time.sleep(seconds)
    return os.environ["SLURM_JOB_ID"]
