"""Where replicas run: Parsl's HighThroughputExecutor, on this machine or in jobs of Slurm.

Parsl starts its own programs by name from PATH, which an environment that is not activated does not have: so the
commands here name this interpreter. On a cluster the nodes must see the same environment, on a shared file system.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lpsmd.ensemble.worker import ReplicaEnd, ReplicaTask, run_replica
from lpsmd.programs import interpreter_folder
from lpsmd.study import ExecutorSpec

if TYPE_CHECKING:
    from parsl.config import Config

#: Managers and workers whose driver was killed end after this long without a sign of it.
_HEARTBEAT_S = 5
_LOST_AFTER_S = 30


class Engine(Protocol):
    """Takes replicas; each future ends with how its worker left it, or with the loss of the worker."""

    def submit(self, task: ReplicaTask) -> Future[ReplicaEnd]:
        """Put a replica at the end of the queue."""


@contextlib.contextmanager
def parsl_engine(executor: ExecutorSpec, *, folder: Path, workers: int) -> Iterator[Engine]:
    """Start Parsl; at the end of the block, however it comes, its workers and jobs are stopped.

    Parameters
    ----------
    executor
        Where.
    folder
        For Parsl's own logs.
    workers
        Replicas at a time on a node.
    """
    from parsl.app.python import PythonApp
    from parsl.dataflow.dflow import DataFlowKernel

    kernel = DataFlowKernel(_config(executor, folder=folder, workers=workers))
    app = PythonApp(run_replica, data_flow_kernel=kernel)

    class Parsl:
        def submit(self, task: ReplicaTask) -> Future[ReplicaEnd]:
            future: Future[ReplicaEnd] = app(task)
            return future

    try:
        yield Parsl()
    finally:
        kernel.cleanup()


def workers_of(executor: ExecutorSpec, asked: int | None = None) -> int:
    """Replicas at a time on a node: what is asked, else the study's, else by GPUs, else by cores."""
    if asked or executor.workers:
        return asked or executor.workers or 1
    gpus = executor.slurm.gpus_per_node if executor.slurm else len(executor.gpus)
    return gpus * executor.replicas_per_gpu or len(os.sched_getaffinity(0))


def _config(executor: ExecutorSpec, *, folder: Path, workers: int) -> Config:
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD

    programs = interpreter_folder()
    python = shlex.quote(sys.executable)
    return Config(
        executors=[
            HighThroughputExecutor(
                label="replicas",
                address=None if executor.slurm else "127.0.0.1",
                max_workers_per_node=workers,
                cores_per_worker=1e-6,  # the number of workers is ours to choose
                available_accelerators=_accelerators(executor),
                heartbeat_period=_HEARTBEAT_S,
                heartbeat_threshold=_LOST_AFTER_S,
                launch_cmd=f"{python} {shlex.quote(str(programs))}/{DEFAULT_LAUNCH_CMD}",
                interchange_launch_cmd=[sys.executable, str(programs / "interchange.py")],
                provider=_provider(executor),
            )
        ],
        run_dir=str(folder),
        strategy="simple",
        strategy_period=1,
        initialize_logging=False,
        usage_tracking=0,
        retries=0,
        garbage_collect=True,
    )


def _accelerators(executor: ExecutorSpec) -> list[str]:
    """A device for each worker; Parsl sets CUDA_VISIBLE_DEVICES by it."""
    gpus = list(map(str, range(executor.slurm.gpus_per_node))) if executor.slurm else list(executor.gpus)
    return [gpu for gpu in gpus for _ in range(executor.replicas_per_gpu)]


def _provider(executor: ExecutorSpec) -> Any:
    from parsl.providers import LocalProvider, SlurmProvider

    slurm = executor.slurm
    if slurm is None:
        return LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1)
    return SlurmProvider(
        partition=slurm.partition,
        account=slurm.account,
        walltime=slurm.walltime,
        nodes_per_block=1,
        gpus_per_node=slurm.gpus_per_node or None,
        init_blocks=slurm.nodes,
        max_blocks=slurm.nodes,
        exclusive=False,
        worker_init=slurm.prologue,
        scheduler_options="\n".join(f"#SBATCH {option}" for option in slurm.options),
    )
