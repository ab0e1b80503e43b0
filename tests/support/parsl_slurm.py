"""A Parsl pool whose workers run in jobs of the test cluster, with short periods."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from parsl.concurrent import ParslPoolExecutor
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
from parsl.launchers import SimpleLauncher
from parsl.providers import SlurmProvider

from support.slurm_cluster import PARTITION

HEARTBEAT_PERIOD_S = 1
HEARTBEAT_THRESHOLD_S = 5
STATUS_PERIOD_S = 2
_WORKERS = 2
_POOL = f"exec {sys.executable} -m parsl.executors.high_throughput.process_worker_pool"
# setsid: else a Ctrl-C at the terminal kills the interchange before the driver has cancelled its jobs.
# pdeathsig: else the interchange, and with it the jobs, outlive a driver that was killed.
_INTERCHANGE = ["setsid", "setpriv", "--pdeathsig", "TERM", sys.executable, "-m"]
_INTERCHANGE += ["parsl.executors.high_throughput.interchange"]


class _QuickSlurmProvider(SlurmProvider):
    """Asks squeue every 2 s; Parsl's own provider does once a minute, whatever the configuration."""

    @property
    def status_polling_interval(self) -> int:
        return STATUS_PERIOD_S


def slurm_pool(folder: Path) -> ParslPoolExecutor:
    """One block of two workers at a time; SLURM_CONF is taken from the environment."""
    provider = _QuickSlurmProvider(
        partition=PARTITION,
        walltime="00:05:00",
        init_blocks=1,
        min_blocks=0,
        max_blocks=1,
        exclusive=False,
        launcher=SimpleLauncher(),
        worker_init=f"export PYTHONPATH={os.pathsep.join(sys.path)}",
    )
    executor = HighThroughputExecutor(
        label="slurm",
        provider=provider,
        address="127.0.0.1",
        launch_cmd=DEFAULT_LAUNCH_CMD.replace("process_worker_pool.py", _POOL),
        interchange_launch_cmd=_INTERCHANGE,
        max_workers_per_node=_WORKERS,
        cores_per_worker=1e-6,
        heartbeat_period=HEARTBEAT_PERIOD_S,
        heartbeat_threshold=HEARTBEAT_THRESHOLD_S,
        # A block that was cancelled before its workers connected would fail all tasks, present and future.
        block_error_handler=False,
    )
    config = Config(
        executors=[executor], run_dir=str(folder), strategy_period=0.5, initialize_logging=False, usage_tracking=0
    )
    return ParslPoolExecutor(config=config)
