"""Run one replica, chunk by chunk, from wherever it is to its end.

This is all that a worker does, on whatever machine and under whatever engine, and it may be killed at any moment: a
chunk is made in a folder of its own (`running`), checked there, moved into its place, and counts once `status.json`
says so. What is not recorded is made again, and comes out the same.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import signal
import subprocess
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from lpsmd.ensemble.failures import Failure, FailureKind, classify, tail_of
from lpsmd.ensemble.files import EnsembleError, flush_to_disk, read_text, write_json
from lpsmd.ensemble.locks import Held, Lock, hold
from lpsmd.ensemble.product import ProductError, check_chunk
from lpsmd.ensemble.records import (
    EMPTY,
    STATUS_NAME,
    ChunkRecord,
    DamagedRecordError,
    FileRecord,
    ReplicaStatus,
    Thermo,
    file_size,
    host,
    now,
    read_status,
    write_status,
)
from lpsmd.ensemble.replicas import Replica
from lpsmd.errors import LpsmdError
from lpsmd.inputs import chunk_input, lammps_program
from lpsmd.programs import ends_with_parent
from lpsmd.study import Dynamics, file_sha256

RUNNING = "running"
REPLICA_RECORD = "replica.json"
#: Files of a chunk that are kept; the first two are needed later, and so checked.
_CHECKED = ("restart", "dump.gz")
_KEPT = (*_CHECKED, "log", "in")
_FULL_BYTES = 16384
_AROUND_S = 15.0
#: A chunk is stopped so long before its job ends, to leave all in order: Slurm may count from somewhat earlier.
_HAND_OVER_S = 60.0


class ReplicaState(StrEnum):
    """How a worker left a replica."""

    COMPLETE = "complete"
    FAILED = "failed"
    BUSY = "busy"
    PAUSED = "paused"


@dataclass(frozen=True, kw_only=True)
class ReplicaTask:
    """Everything that a worker needs to know, as plain values that travel between machines.

    `gpus` are those that the workers of this machine share; () where the environment tells, as Slurm does.
    `lost` says how the worker came to its end that had this replica before, None if none was lost.
    """

    replica: Replica
    dynamics: Dynamics
    record: dict[str, object]
    elements: tuple[str, ...]
    n_atoms: int
    data_file: Path
    data_sha256: str
    input_file: Path
    input_sha256: str
    chunk_seeds: tuple[int, ...]
    retries: int
    stop_on_broken_framework: bool
    lmp: str | None
    gpus: tuple[str, ...]
    lost: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReplicaEnd:
    """How a worker left a replica; `failure` also tells what could not be written down, as on a full disk."""

    state: ReplicaState
    failure: Failure | None = None
    holder: str = ""


class ChunkError(Exception):
    """A chunk that failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def run_replica(task: ReplicaTask) -> ReplicaEnd:
    """Run a replica to its end, or to the failure that ends it. Never raises for what the run does."""
    folder = task.replica.directory
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with hold(task.replica.lock) as lock:
            write_json(folder / REPLICA_RECORD, task.record)
            _Runner(task, lock).run()
    except Held as held:
        return ReplicaEnd(state=ReplicaState.BUSY, holder=str(held))
    except _LockLost as lost:
        return ReplicaEnd(state=ReplicaState.BUSY, holder=str(lost))
    except _Paused:
        return ReplicaEnd(state=ReplicaState.PAUSED)
    except ChunkError as error:
        return ReplicaEnd(state=ReplicaState.FAILED, failure=error.failure)
    except OSError as error:
        return ReplicaEnd(state=ReplicaState.FAILED, failure=storage_failure(error, folder))
    except Exception as error:  # every other replica would meet it too
        return ReplicaEnd(
            state=ReplicaState.FAILED,
            failure=_failure(FailureKind.INTERNAL, f"{type(error).__name__}: {error}", said=traceback.format_exc()),
        )
    return ReplicaEnd(state=ReplicaState.COMPLETE)


def storage_failure(error: OSError, folder: Path) -> Failure:
    """What it means that the file system takes no files."""
    kind = FailureKind.DISK if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else FailureKind.STORAGE
    reason = f"{error.filename or folder}: {error.strerror or error}"
    return _failure(kind, reason)


def _failure(kind: FailureKind, reason: str, *, chunk: int = -1, said: str = "", kept: str = "") -> Failure:
    return Failure(chunk=chunk, kind=kind, reason=reason, tail=tail_of(said), kept=kept, host=host(), time=now())


class _Paused(Exception):  # noqa: N818 (not an error)
    """The batch job ends too soon for another chunk."""


class _LockLost(Exception):  # noqa: N818 (not an error)
    """The process slept for so long that another one took the replica over: nothing here is its own now."""


class _Runner:
    """A replica whose lock is held."""

    def __init__(self, task: ReplicaTask, lock: Lock) -> None:
        self.task = task
        self.lock = lock
        self.folder = task.replica.directory
        self.status = self._read_status()

    def run(self) -> None:
        """Chunk after chunk until none is missing."""
        dynamics = self.task.dynamics
        self._forget_damaged_chunks()
        self._note_lost_worker()
        while (chunk := self.status.next_chunk(dynamics)) is not None:
            if chunk and self._forget_if_restart_is_damaged(chunk - 1):
                continue
            if _job_ends_before(self._expected_s()):
                raise _Paused
            try:
                self._run_chunk(chunk)
            except ChunkError as error:
                self._save(self.status.with_failure(error.failure))
                final = self.status.final_failure(dynamics, retries=self.task.retries)
                here_again = not error.failure.kind.stops_study and error.failure.kind is not FailureKind.NODE
                if final is not None or not here_again:
                    raise

    def _note_lost_worker(self) -> None:
        """Only who holds the lock may write, so the next worker does it for the one that was lost."""
        chunk = self.status.next_chunk(self.task.dynamics)
        if self.task.lost is None or chunk is None:
            return
        failure = _failure(FailureKind.NODE, f"its worker was lost: {self.task.lost}", chunk=chunk)
        self._save(self.status.with_failure(failure))
        if self.status.final_failure(self.task.dynamics, retries=self.task.retries):
            raise ChunkError(failure)

    # --- what is there ---

    def _read_status(self) -> ReplicaStatus:
        try:
            return read_status(self.folder)
        except DamagedRecordError:  # chunks are made again, to the same bits
            self._set_aside([self.folder / STATUS_NAME])
            return EMPTY
        except EnsembleError as error:  # it may be whole
            raise error.__cause__ or error from None

    def _save(self, status: ReplicaStatus) -> None:
        write_status(self.folder, status)
        self.status = status

    def _forget_damaged_chunks(self) -> None:
        """Make again what is not as it was recorded: a missing, cut or changed file."""
        self._clear_running()
        for chunk, files in self.status.damaged(self.folder).items():
            self._forget({chunk}, files)

    def _clear_running(self) -> None:
        """A shared file system keeps what some process has open yet: such rests go out of the way."""
        shutil.rmtree(self.folder / RUNNING, ignore_errors=True)
        self._set_aside([self.folder / RUNNING])

    def _forget_if_restart_is_damaged(self, chunk: int) -> bool:
        path = self.folder / f"chunk.{chunk}.restart"
        if path.is_file() and file_sha256(path) == self._restart_sha256(chunk):
            return False
        self._forget({chunk}, [path])
        return True

    def _restart_sha256(self, chunk: int) -> str:
        return self.status.chunks[chunk].files[f"chunk.{chunk}.restart"].sha256

    def _forget(self, chunks: set[int], files: list[Path]) -> None:
        self._save(self.status.without_chunks(chunks))
        self._set_aside(files)

    def _set_aside(self, files: list[Path]) -> None:
        """Keep what is damaged: it may be needed yet."""
        there = [file for file in files if file.exists()]
        aside = _fresh(self.folder, "damaged") if there else self.folder
        for file in there:
            file.rename(aside / file.name)

    # --- one chunk ---

    def _run_chunk(self, chunk: int) -> None:
        self._check_lock()
        running = self.folder / RUNNING
        self._clear_running()
        self._check_model(chunk)
        self._check_input(chunk)
        running.mkdir()
        script = running / f"chunk.{chunk}.in"
        script.write_text(self._input(chunk), encoding="utf-8")
        screen = running / f"chunk.{chunk}.out"
        started = time.monotonic()
        try:
            code = self._lammps(chunk, script, screen)
        except subprocess.TimeoutExpired as late:
            if (job := _job()) is not None and late.timeout < job.whole_s / 2.0:  # it was begun late in its job
                raise _Paused from late
            raise self._failed(
                chunk,
                FailureKind.KILLED,
                f"its job ended after {late.timeout:.0f} s of the chunk; where that happens again and again, a longer "
                "walltime is needed, or a study with a shorter chunk_ps",
            ) from late
        wall_s = time.monotonic() - started
        self._check_lock()
        said = read_text(screen)
        problem = classify(said=said, exit_code=code)
        if problem is not None:
            raise self._failed(chunk, *problem, said=said)
        try:
            thermo = check_chunk(
                running,
                chunk=chunk,
                dynamics=self.task.dynamics,
                temperature_K=self.task.replica.condition.temperature_K,
                n_atoms=self.task.n_atoms,
                bonds_must_hold=self.task.stop_on_broken_framework,
                model_sha256=self.task.replica.condition.model.sha256,
            )
        except ProductError as error:
            raise self._failed(chunk, error.kind, str(error), said=said) from error
        except MemoryError as error:
            raise self._failed(chunk, FailureKind.MEMORY, "no memory is left to check the chunk", said=said) from error
        self._commit(chunk, thermo=thermo, wall_s=wall_s)

    def _check_lock(self) -> None:
        if not self.lock.is_mine():
            raise _LockLost("another process took this replica over while this one slept")

    def _input(self, chunk: int) -> str:
        task = self.task
        return chunk_input(
            title=task.replica.name,
            chunk=chunk,
            dynamics=task.dynamics,
            temperature_K=task.replica.condition.temperature_K,
            model=task.replica.condition.model.path.resolve(),
            data_file=task.data_file,
            elements=task.elements,
            seed=task.replica.seed,
            chunk_seed=task.chunk_seeds[chunk],
            start=self.folder / f"chunk.{chunk - 1}.restart" if chunk else None,
            diffusion_input=task.input_file,
        )

    def _check_model(self, chunk: int) -> None:
        model = self.task.replica.condition.model
        found = file_sha256(model.path) if model.path.is_file() else "no file"
        if found != model.sha256:
            raise self._failed(
                chunk,
                FailureKind.MODEL,
                f"model {model.label}: {model.path}: found {found[:12]}, the study began with {model.sha256[:12]}: put "
                "the file back, or give the new one a label of its own",
            )

    def _check_input(self, chunk: int) -> None:
        needed = [(self.task.input_file, self.task.input_sha256)]
        if chunk == 0:  # later ones read a restart
            needed.append((self.task.data_file, self.task.data_sha256))
        for path, sha256 in needed:
            found = file_sha256(path) if path.is_file() else "no file"
            if found != sha256:
                raise self._failed(
                    chunk,
                    FailureKind.INPUT,
                    f"{path}: found {found[:12]}, the study began with {sha256[:12]}",
                )

    def _lammps(self, chunk: int, script: Path, screen: Path) -> int:
        with screen.open("wb") as stream:
            child = self._start(chunk, script, stream)
            ended_well = False
            try:
                job = _job()
                code = child.wait(timeout=None if job is None else job.left_s)
                ended_well = code == 0
            finally:
                if not ended_well:
                    self._end(child)
        return code

    def _start(self, chunk: int, script: Path, stream: BinaryIO) -> subprocess.Popen[bytes]:
        try:
            program = lammps_program(self.task.lmp)
        except LpsmdError as error:
            raise self._failed(chunk, FailureKind.PROGRAM, str(error)) from error
        try:
            return subprocess.Popen(
                [str(program.path), "-log", "none", "-nocite", "-in", script.name],
                cwd=script.parent,
                env={**program.environment, **_own_gpu(self.task.gpus), **self.lock.environment},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=ends_with_parent(),  # a worker that is killed takes LAMMPS along
            )
        except OSError as error:
            kind = FailureKind.MEMORY if error.errno in (errno.ENOMEM, errno.EAGAIN) else FailureKind.PROGRAM
            raise self._failed(chunk, kind, f"{program.path}: cannot be started: {error.strerror}") from error

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        """Leave nothing running: neither LAMMPS nor what a wrapper around it has started."""
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        self.lock.end_programs()
        child.wait()

    def _commit(self, chunk: int, *, thermo: Thermo, wall_s: float) -> None:
        """Move a chunk that was checked to its place, then say so."""
        running = self.folder / RUNNING
        dynamics = self.task.dynamics
        names = [f"chunk.{chunk}.{kind}" for kind in _KEPT if (running / f"chunk.{chunk}.{kind}").is_file()]
        files = {
            name: FileRecord(bytes=file_size(running / name), sha256=file_sha256(running / name))
            for name in names
            if name.endswith(_CHECKED)
        }
        for name in files:
            flush_to_disk(running / name)
        self._check_lock()
        self._forget_what_no_longer_follows(chunk, files[f"chunk.{chunk}.restart"])
        for name in names:
            (running / name).replace(self.folder / name)
        record = ChunkRecord(
            chunk=chunk,
            steps=dynamics.steps_of(chunk),
            frames=len(dynamics.frames_of(chunk)),
            files=files,
            start_sha256=self._restart_sha256(chunk - 1) if chunk else "",
            thermo=thermo,
            wall_s=round(wall_s, 3),
            host=host(),
            ended=now(),
        )
        self._save(self.status.with_chunk(record))
        shutil.rmtree(running, ignore_errors=True)

    def _forget_what_no_longer_follows(self, chunk: int, restart: FileRecord) -> None:
        """A chunk that was made again gives the same bits, but on another kind of processor perhaps not."""
        following = self.status.chunks.get(chunk + 1)
        if following is None or following.start_sha256 == restart.sha256:
            return
        later = {n for n in self.status.chunks if n > chunk}
        self._forget(later, [self.folder / name for n in later for name in self.status.chunks[n].files])

    def _failed(self, chunk: int, kind: FailureKind, reason: str, *, said: str = "") -> ChunkError:
        """A failure, with the output of the run kept in a folder of its own."""
        self._check_lock()
        kept = ""
        running = self.folder / RUNNING
        if kind in (FailureKind.LAMMPS, FailureKind.PRODUCT) and _is_full(self.folder):
            kind = FailureKind.DISK
        if kind is FailureKind.DISK:  # what was written is of no use, and its room is needed
            reason = f"{self.folder}: No space left on device ({reason})"
            shutil.rmtree(running, ignore_errors=True)
        if running.is_dir():
            with contextlib.suppress(OSError):
                place = _fresh(self.folder, "failed")
                running.rename(place / RUNNING)
                kept = place.name
                reason = reason.replace(str(running), str(place / RUNNING))
        return ChunkError(_failure(kind, reason, chunk=chunk, said=said, kept=kept))

    def _expected_s(self) -> float:
        """At most how long the next chunk will take, by the longest until now; with what is around LAMMPS."""
        return _AROUND_S + 1.2 * max((record.wall_s for record in self.status.chunks.values()), default=0.0)


def _own_gpu(gpus: Sequence[str]) -> dict[str, str]:
    """The GPU of this worker, in turn. Parsl's own pinning would number them anew, and take those of other jobs."""
    gpus = gpus or [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return {"CUDA_VISIBLE_DEVICES": gpus[int(os.environ.get("PARSL_WORKER_RANK", "0")) % len(gpus)]} if gpus else {}


@dataclass(frozen=True, kw_only=True)
class _Job:
    """The batch job that this is: all of its time, and what is left before it must hand over to the next."""

    whole_s: float
    left_s: float


def _job() -> _Job | None:
    """None where this is none, or nothing tells its end."""
    start, end = (os.environ.get(f"SLURM_JOB_{what}_TIME", "") for what in ("START", "END"))
    if not (start.isdigit() and end.isdigit()):
        return None
    whole_s = float(int(end) - int(start))
    return _Job(whole_s=whole_s, left_s=int(end) - min(_HAND_OVER_S, whole_s / 10.0) - time.time())


def _job_ends_before(seconds: float) -> bool:
    """Whether the batch job that this is ends sooner, and the next one would have more time for it."""
    job = _job()
    # While half of its time is left, a job tries in any case: else jobs that are too short would do nothing for ever.
    return job is not None and job.left_s < min(seconds, job.whole_s / 2.0)


def _fresh(folder: Path, name: str) -> Path:
    """A new folder name-1, name-2, ..."""
    for number in itertools.count(1):
        with contextlib.suppress(FileExistsError):
            fresh = folder / f"{name}-{number}"
            fresh.mkdir()
            return fresh
    raise AssertionError


def _is_full(folder: Path) -> bool:
    """Whether hardly a block or no inode is left; LAMMPS does not say why a compressed dump is cut."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize < _FULL_BYTES or (disk.f_files > 0 and disk.f_favail == 0)
