"""Where replicas run: Parsl's HighThroughputExecutor, on this machine or in jobs of Slurm.

Parsl starts its own programs by name from PATH, which an environment that is not activated does not have: so the
commands here name this interpreter's modules. On a cluster the nodes must see
the same environment, on a shared file system.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lpsmd.ensemble.files import EnsembleError
from lpsmd.ensemble.worker import ReplicaEnd, ReplicaTask, run_replica
from lpsmd.study import ExecutorSpec, SlurmSpec, too_many_workers

if TYPE_CHECKING:
    from parsl.config import Config

    from lpsmd.ensemble.pool import Pool

#: Managers and workers whose driver was killed end after this long without a sign of it.
_HEARTBEAT_S = 5
_LOST_AFTER_S = 30
#: How often Slurm is asked for its jobs.
_ASK_SLURM_S = 10
#: After so many batch jobs in a row that could not start a worker, no more are tried.
_FAILED_BLOCKS = 4


class EngineError(Exception):
    """The engine itself came to an end; replicas and what they did are untouched."""


class Engine(Protocol):
    """Takes replicas; each future ends with how its worker left it, or with the loss of the worker."""

    def submit(self, task: ReplicaTask) -> Future[ReplicaEnd]:
        """Put a replica at the end of the queue."""

    def check(self) -> None:
        """Raise `EngineError` if no replica can come back any more."""


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

    Raises
    ------
    EngineError
        If it does not start.
    """
    from parsl.app.python import PythonApp
    from parsl.dataflow.dflow import DataFlowKernel

    pool = _pool(executor, workers=workers)
    try:
        kernel = DataFlowKernel(_config(pool, folder=folder))
    except Exception as error:  # of no class of its own
        raise EngineError(f"Parsl could not be started: {error}") from error
    app = PythonApp(run_replica, data_flow_kernel=kernel)

    class Parsl:
        def submit(self, task: ReplicaTask) -> Future[ReplicaEnd]:
            future: Future[ReplicaEnd] = app(task)
            return future

        def check(self) -> None:
            if pool.bad_state_is_set:
                last = re.split(r"Error \d+:\n", str(pool.executor_exception))[-1]
                raise EngineError(f"no worker can be started: {last.strip()}")
            if not pool.has_interchange():  # Parsl would wait for its results for ever
                raise EngineError("Parsl's interchange was ended")

    try:
        yield Parsl()
    finally:
        kernel.cleanup()


def is_loss(error: BaseException) -> bool:
    """Whether a replica did not come back because its worker, or the node of it, is gone."""
    from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

    return isinstance(error, ManagerLost | WorkerLost)


def workers_of(executor: ExecutorSpec, asked: int | None = None) -> int:
    """Replicas at a time on a node: what is asked, else the study's, else by GPUs, else by cores.

    Raises
    ------
    EnsembleError
        If they are more than the GPUs take.
    """
    most = executor.n_gpus * executor.replicas_per_gpu
    workers = asked or executor.workers or most or len(os.sched_getaffinity(0))
    if most and workers > most:
        raise EnsembleError(too_many_workers(workers, executor.n_gpus, executor.replicas_per_gpu))
    return workers


def job_prologue(slurm: SlurmSpec) -> str:
    """What a job does first: say when it ends, which Slurm itself does since 23.02 only, then the study's own lines."""
    return (
        "export SLURM_JOB_START_TIME=${SLURM_JOB_START_TIME:-$(date +%s)}\n"
        f"export SLURM_JOB_END_TIME=${{SLURM_JOB_END_TIME:-$((SLURM_JOB_START_TIME + {60 * slurm.minutes}))}}\n"
        f"{slurm.prologue.rstrip()}"
    )


def _config(pool: Pool, *, folder: Path) -> Config:
    from parsl.config import Config

    return Config(
        executors=[pool],
        run_dir=str(folder),
        strategy="simple",
        strategy_period=1,
        initialize_logging=False,
        usage_tracking=0,
        retries=0,
        garbage_collect=True,
    )


def _pool(executor: ExecutorSpec, *, workers: int) -> Pool:
    from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD
    from parsl.jobs.error_handlers import windowed_error_handler

    from lpsmd.ensemble.pool import Pool

    command = f"exec {shlex.quote(sys.executable)} -m parsl.executors.high_throughput.process_worker_pool"
    pool = Pool(
        label="replicas",
        address="127.0.0.1",
        max_workers_per_node=workers,
        cores_per_worker=1e-6,  # the number of workers is ours to choose
        heartbeat_period=_HEARTBEAT_S,
        heartbeat_threshold=_LOST_AFTER_S,
        launch_cmd=DEFAULT_LAUNCH_CMD.replace("process_worker_pool.py", command),
        interchange_launch_cmd=_interchange(),
        provider=_provider(executor, workers=workers),
        # Parsl's default gives all tasks up with the first job that ends before its workers are there.
        block_error_handler=functools.partial(windowed_error_handler, threshold=_FAILED_BLOCKS),
    )
    if executor.slurm is not None:
        pool.listen_everywhere()
    return pool


def _interchange() -> list[str]:
    """Out of the reach of a Ctrl-C at the terminal, which the driver handles; and not for longer than the driver."""
    command = [sys.executable, "-m", "parsl.executors.high_throughput.interchange"]
    if shutil.which("setsid") and shutil.which("setpriv"):  # util-linux
        command = ["setsid", "setpriv", "--pdeathsig", "TERM", *command]
    return command


def _provider(executor: ExecutorSpec, *, workers: int) -> Any:
    from parsl.launchers import SimpleLauncher
    from parsl.providers import LocalProvider, SlurmProvider

    slurm = executor.slurm
    if slurm is None:
        return LocalProvider(init_blocks=1, min_blocks=0, max_blocks=1)

    class QuickSlurmProvider(SlurmProvider):
        """Parsl's own asks once a minute, and waits as long before it replaces a job that has ended."""

        @property
        def status_polling_interval(self) -> int:
            return _ASK_SLURM_S

    return QuickSlurmProvider(
        partition=slurm.partition,
        account=slurm.account,
        walltime=f"00:{slurm.minutes}:00",  # Parsl leaves seconds out: half a minute would be none, which is no limit
        nodes_per_block=1,
        cores_per_node=workers,
        gpus_per_node=slurm.gpus_per_node or None,
        init_blocks=0,  # no more jobs than replicas need
        max_blocks=slurm.nodes,
        exclusive=False,
        launcher=SimpleLauncher(),
        worker_init=job_prologue(slurm),
        scheduler_options="\n".join(f"#SBATCH {option}" for option in slurm.options),
    )
