"""A real Slurm of one node on this machine: its own munged, slurmctld and slurmd, their files in one folder.

Nothing of a Slurm or munge that the machine already runs is used or disturbed: ports, sockets and the key are its own.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

INSTALL = "apt install slurm-wlm munge"
PARTITION = "debug"

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sinfo", "squeue", "sbatch", "scancel", "scontrol", "setpriv")
#: Debian has the daemons where only root's PATH looks.
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_START_S = 60
_STOP_S = 30
#: A path of a Unix socket is at most 107 bytes.
_MAX_SOCKET_PATH = 107

# MinJobAge stays long: Parsl asks `squeue --job <id>` once a minute and takes squeue's error about a job that is no
# longer known as "no news", so that with a short one it never learns that a block has ended.
# cred_expire: a requeued job waits for that long (120 s if not set) before it may start again.
_CONFIGURATION = """
ClusterName=lpsmdtest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
Epilog={folder}/epilog.sh
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
JobRequeue=1
KillWait=2
MinJobAge=300
InactiveLimit=0
MessageTimeout=10
SlurmctldTimeout=30
SlurmdTimeout=30
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName={partition} Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""

# What cgroups do at most sites: end also what left the tree of the job.
_EPILOG = """#!/bin/sh
for file in $(grep --files-with-matches --null-data --line-regexp "SLURM_JOB_ID=$SLURM_JOB_ID" /proc/[0-9]*/environ); do
    pid=${file#/proc/}; pid=${pid%/environ}
    [ $pid = $$ ] || kill -KILL $pid
done 2>/dev/null
exit 0
"""


class SlurmError(Exception):
    """A daemon did not start, or a command failed; the text has its output."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One line of squeue; `id` is JOB_TASK for a job of an array."""

    id: str
    state: str
    reason: str
    restarts: int
    name: str


@dataclass(frozen=True, kw_only=True)
class SlurmCluster:
    """A running cluster; `environment` is that of this process and SLURM_CONF."""

    folder: Path
    cores: int
    environment: dict[str, str]
    daemons: tuple[int, ...]

    def run(self, *command: str, timeout_s: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as a user of the cluster would, in its folder."""
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode != 0:
            raise SlurmError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def jobs(self, *, ended: bool = False) -> list[Job]:
        """Jobs that wait, run or complete, oldest first; with `ended`, also those that are over."""
        columns = "JobArrayID:|,State:|,Reason:|,RestartCnt:|,Name:256"
        states = ["--states=all"] if ended else []
        lines = self.run("squeue", "--noheader", "--sort=i", *states, f"--Format={columns}").stdout.splitlines()
        return [_job(line) for line in lines if line.strip()]

    def job(self, job_id: str) -> Job:
        """One job, ended or not."""
        return next(job for job in self.jobs(ended=True) if job.id == job_id)

    def submit(self, script: str, *options: str) -> str:
        """Submit a script of the shell; return the job."""
        path = self.folder / f"job-{secrets.token_hex(4)}.sh"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        return self.run("sbatch", "--parsable", *options, str(path)).stdout.strip()

    def cancel(self, job_id: str) -> None:
        """End a job, as its owner or an administrator does."""
        self.run("scancel", job_id)

    def requeue(self, job_id: str) -> None:
        """End a running job and put it back into the queue under its id, as after a failure of its node."""
        self.run("scontrol", "requeue", job_id)

    def wait_for(self, job_id: str, *states: str, timeout_s: float = 30) -> Job:
        """Wait until a job is in one of the states."""
        end = time.monotonic() + timeout_s
        while (job := self.job(job_id)).state not in states:
            if time.monotonic() > end:
                raise SlurmError(f"job {job_id} is {job.state} ({job.reason}) after {timeout_s} s, not {states}")
            time.sleep(0.1)
        return job

    def wait_until_empty(self, timeout_s: float = _STOP_S) -> None:
        """Wait until no job waits, runs or completes."""
        end = time.monotonic() + timeout_s
        while jobs := self.jobs():
            if time.monotonic() > end:
                raise SlurmError(f"after {timeout_s} s there are still {jobs}")
            time.sleep(0.1)

    def processes(self) -> dict[int, str]:
        """Processes with this cluster's environment, daemons left out: jobs, and programs that tests started for it."""
        found = _processes_with(f"SLURM_CONF={self.environment['SLURM_CONF']}")
        # slurmscriptd: slurmctld's helper.
        return {pid: line for pid, line in found.items() if pid not in self.daemons and "slurmscriptd" not in line}


def why_not() -> str | None:
    """Why no cluster can start here, with what to do, or None."""
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        return f"SLURM NOT TESTED: {', '.join(missing)} not installed; as root: {INSTALL}"
    if os.geteuid() != 0:
        return f"SLURM NOT TESTED: slurmd needs root (after {INSTALL}: sudo make test-slurm)"
    return None


@contextlib.contextmanager
def slurm_cluster(folder: Path) -> Iterator[SlurmCluster]:
    """Start a cluster with its files in `folder`; at the end cancel its jobs and stop all of it.

    Raises
    ------
    SlurmError
        If it can't be started here (see `why_not`), or a daemon fails, with the end of its log.
    """
    if (reason := why_not()) is not None:
        raise SlurmError(reason)
    environment, cores = _configure(folder.resolve())
    with contextlib.ExitStack() as stack:
        stack.callback(_kill_rest, environment)
        daemons = [stack.enter_context(_daemon(command, folder, environment)) for command in _daemons(folder.resolve())]
        cluster = SlurmCluster(
            folder=folder.resolve(), cores=cores, environment=environment, daemons=tuple(d.pid for d in daemons)
        )
        _wait_until_idle(cluster, daemons)
        try:
            yield cluster
        finally:
            _end_jobs(cluster)


def _configure(folder: Path) -> tuple[dict[str, str], int]:
    if len(os.fsencode(folder / "munge.socket")) > _MAX_SOCKET_PATH:
        raise SlurmError(f"{folder}: too long for the path of a socket")
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o400)
    (folder / "epilog.sh").write_text(_EPILOG, encoding="utf-8")
    (folder / "epilog.sh").chmod(0o755)
    controller_port, node_port = _free_ports(2)
    cores = len(os.sched_getaffinity(0))
    host = socket.gethostname().split(".")[0]
    text = _CONFIGURATION.format(
        host=host,
        folder=folder,
        controller_port=controller_port,
        node_port=node_port,
        cores=cores,
        partition=PARTITION,
    )
    (folder / "slurm.conf").write_text(text, encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
    return {**inherited, "PATH": _PATH, "SLURM_CONF": str(folder / "slurm.conf")}, cores


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _daemons(folder: Path) -> list[list[str]]:
    # --force: munged would refuse a folder that others can't enter, as those of pytest.
    munged = ["munged", "--foreground", "--force", "--num-threads=2"]
    files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}
    munged += [f"--{option}={folder}/munge.{suffix}" for option, suffix in files.items()]
    return [munged, ["slurmctld", "-D"], ["slurmd", "-D"]]


@contextlib.contextmanager
def _daemon(command: Sequence[str], folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    # In the foreground and with pdeathsig: it ends with this process, however that ends. In a session of its own: a
    # Ctrl-C at the tests is for the tests, which then stop the daemons in their order.
    with (folder / f"{command[0]}.out").open("wb") as out:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        if command[0] == "munged":
            _wait_for_socket(folder / "munge.socket", process)
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for_socket(path: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_S
    while not path.is_socket():
        if process.poll() is not None or time.monotonic() > end:
            raise SlurmError(f"munged did not start (exit {process.poll()})\n{_logs(path.parent)}")
        time.sleep(0.05)


def _wait_until_idle(cluster: SlurmCluster, daemons: Sequence[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + _START_S
    while cluster.run("sinfo", "--noheader", "--format=%t", check=False).stdout.strip() != "idle":
        if any(daemon.poll() is not None for daemon in daemons) or time.monotonic() > end:
            raise SlurmError(f"Slurm did not start within {_START_S} s\n{_logs(cluster.folder)}")
        time.sleep(0.1)


def _logs(folder: Path) -> str:
    logs = sorted([*folder.glob("*.log"), *folder.glob("*.out")])
    return "\n".join(f"{log.name}:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:]) for log in logs)


def _end_jobs(cluster: SlurmCluster) -> None:
    """Cancel what is queued or runs, and wait for it."""
    cluster.run("scancel", "--quiet", f"--partition={PARTITION}", check=False)
    with contextlib.suppress(SlurmError):  # a test has broken the cluster: _kill_rest ends the jobs
        cluster.wait_until_empty()


def _kill_rest(environment: dict[str, str]) -> None:
    """Kill what got away from Slurm: processes that left the tree of their job, programs that a test forgot."""
    for pid in _processes_with(f"SLURM_CONF={environment['SLURM_CONF']}"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _processes_with(variable: str) -> dict[int, str]:
    """Command lines, by pid, of the other processes that were started with this in their environment."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            environment = (path / "environ").read_bytes().split(b"\0")
            if int(path.name) != os.getpid() and variable.encode() in environment:
                found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


def _job(line: str) -> Job:
    job_id, state, reason, restarts, name = (field.strip() for field in line.split("|", maxsplit=4))
    return Job(id=job_id, state=state, reason=reason, restarts=int(restarts), name=name)
