"""Label one frame: pw.x with PBE, then with HSE06 from its charge and wave functions.

It may be killed at any moment. Everything is made in a folder of its own (`running`); a label counts once its record
stands in the frame's folder. What has no record is made again.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lpsmd.ensemble.failures import FailureKind, classify, signal_of
from lpsmd.ensemble.files import read_text
from lpsmd.ensemble.locks import Held, Lock, hold, read_holder
from lpsmd.ensemble.records import host, now
from lpsmd.labels.collection import LabelFolder
from lpsmd.labels.errors import LabelError
from lpsmd.labels.frames import Frame
from lpsmd.labels.pw import PwBroken, PwFailure, PwRefusal, PwResult, pw_input, read_result
from lpsmd.labels.recipe import FUNCTIONALS, Recipe
from lpsmd.labels.records import Label, LabelFailure, read_failure, read_label, write_failure, write_label
from lpsmd.programs import NO_END, ends_with_parent

LOCK = "lock"
RUNNING = "running"
_POLL_S = 0.1
#: A crash may come from a bad moment of the machine, or from the frame: one more try tells.
_TRIES = 2
#: By these a program ends itself; by others someone, or the system, ends it.
_CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP})


class Stopped(Exception):  # noqa: N818 (asked for)
    """Someone wants all of this to end now."""


class Killed(Exception):  # noqa: N818 (a state, not a fault of ours)
    """pw.x was ended from outside, or had no memory, which says nothing about the frame."""


@dataclass(frozen=True, kw_only=True)
class LabelTask:
    """A frame, where it belongs and what is wanted."""

    frame: Frame
    labels: LabelFolder
    recipe: Recipe
    functionals: tuple[str, ...]
    pw: Path
    timeout_s: float

    @property
    def folder(self) -> Path:
        """That of the frame."""
        return self.labels.of(self.frame.id)

    @property
    def runs(self) -> tuple[str, ...]:
        """The functionals to compute, in their order: HSE06 starts from PBE."""
        return FUNCTIONALS[: 1 + max(FUNCTIONALS.index(functional) for functional in self.functionals)]

    @property
    def failure(self) -> LabelFailure | None:
        """Why what is wanted cannot be had; that HSE06 failed is nothing to PBE."""
        failure = read_failure(self.folder)
        return failure if failure is not None and failure.functional in self.runs else None

    @property
    def is_labelled(self) -> bool:
        """Whether there is nothing left to do."""
        return all(read_label(self.folder, functional) for functional in self.functionals)


def label_frame(task: LabelTask, *, stop: threading.Event) -> LabelFailure | None:
    """Make what labels a frame lacks; None if it then has them all, else why not.

    Raises
    ------
    Held
        If another process works on it, or has taken it over.
    Stopped, Killed
        If it was not brought to an end.
    LabelError
        If pw.x cannot be started, does not take its input, or is of another version than the labels that are there.
    OSError
        If the disk is full, or takes no files.
    """
    with hold(task.folder / LOCK) as lock:
        if task.is_labelled:  # another process was faster
            return None
        failure = task.failure
        tried = 0
        while failure is None and not task.is_labelled:
            tried += 1
            with _running(task.folder, lock) as running:
                failure = _try(task, running, lock, stop, is_last=tried == _TRIES)
        return failure


def _try(task: LabelTask, running: Path, lock: Lock, stop: threading.Event, *, is_last: bool) -> LabelFailure | None:
    """Label a frame; None too if pw.x broke and may be tried again."""
    for functional in task.runs:
        try:
            result = _run(task, functional, running, lock, stop)
        except PwRefusal as problem:
            _copy(running, functional, task.folder, "failed")
            raise LabelError(
                f"{task.frame.name}: {functional}: pw.x does not do what the recipe asks for: {problem} (see "
                f"{task.folder}/failed.out); change the recipe and choose another --output, or give another --pw"
            ) from problem
        except PwBroken as problem:
            return _fail(task, running, functional, f"{_TRIES} tries: {problem}", lock) if is_last else None
        except PwFailure as problem:
            return _fail(task, running, functional, str(problem), lock)
        task.labels.accept_version(result.version)
        if not read_label(task.folder, functional):  # of PBE it may be there, its wave functions are not
            _keep(task, running, functional, result, lock)
    return None


def _refuse_if_lost(lock: Lock) -> None:
    """Leave the frame to who has taken it over, as may happen to a process that was stopped for long."""
    if not lock.is_mine():
        raise Held(lock.path, read_holder(lock.path))


@contextmanager
def _running(folder: Path, lock: Lock) -> Iterator[Path]:
    """A fresh folder for pw.x, gone afterwards: wave functions are large."""
    _refuse_if_lost(lock)
    running = folder / RUNNING
    shutil.rmtree(running, ignore_errors=True)
    running.mkdir()
    try:
        yield running
    finally:
        if lock.is_mine():
            shutil.rmtree(running, ignore_errors=True)


def _run(task: LabelTask, functional: str, running: Path, lock: Lock, stop: threading.Event) -> PwResult:
    stem = functional.lower()
    symbols = task.frame.atoms.get_chemical_symbols()
    # Relative: pw.x cuts long paths.
    pseudopotentials = os.path.relpath(task.labels.pseudopotentials, running)
    text = pw_input(
        functional, task.recipe, symbols=symbols, geometry=task.frame.geometry, pseudopotentials=pseudopotentials
    )
    _refuse_if_lost(lock)
    (running / f"{stem}.in").write_text(text, encoding="utf-8")
    printed = running / f"{stem}.out"
    code = _wait(_start(task.pw, running, stem, printed, lock), lock, stop, timeout_s=task.timeout_s)
    _refuse_if_lost(lock)
    try:
        return read_result(running, printed, functional=functional, recipe=task.recipe, exit_code=code)
    except PwBroken:
        _raise_if_not_its_own(running, read_text(printed), code)
        raise


def _raise_if_not_its_own(running: Path, said: str, exit_code: int) -> None:
    """Raise for an end of pw.x to which the frame did nothing."""
    kind, words = classify(said=said, exit_code=exit_code, program="pw.x") or (None, "")
    if kind is None:
        return
    if kind.stops_study:  # it is the disk's or the program's fault, and would be every frame's
        raise OSError(f"{running}: {words}")
    if kind is FailureKind.MEMORY:
        raise Killed(f"pw.x ran out of memory: {words}; fewer --workers need less")
    if kind is FailureKind.KILLED and signal_of(exit_code) not in _CRASHES:
        raise Killed(words)


def _start(pw: Path, running: Path, stem: str, printed: Path, lock: Lock) -> subprocess.Popen[bytes]:
    # One core each: frames side by side are the better use of cores. An MPI library on its own needs no helpers.
    alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMPI_MCA_ess_singleton_isolated": "1"}
    with printed.open("wb") as output:
        try:
            return subprocess.Popen(
                [str(pw), "-in", f"{stem}.in"],
                cwd=running,
                env={**os.environ, **alone, **lock.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us
                preexec_fn=ends_with_parent(),
            )
        except OSError as error:
            raise LabelError(f"{pw}: cannot be started: {error.strerror}") from error


def _wait(child: subprocess.Popen[bytes], lock: Lock, stop: threading.Event, *, timeout_s: float) -> int:
    end = time.monotonic() + timeout_s
    try:
        while not stop.is_set():
            try:
                return child.wait(timeout=_POLL_S)
            except subprocess.TimeoutExpired as error:
                if time.monotonic() > end:
                    raise PwFailure(f"{NO_END} {timeout_s / 60:g} min; --timeout-min gives it more") from error
        raise Stopped
    finally:
        if child.poll() is None:
            child.kill()
            lock.end_programs()
            child.wait()


def _keep(task: LabelTask, running: Path, functional: str, result: PwResult, lock: Lock) -> None:
    _refuse_if_lost(lock)
    _copy(running, functional, task.folder, functional.lower())
    stress = result.stress_eV_per_A3
    write_label(
        task.folder,
        Label(
            functional=functional,
            energy_eV=result.energy_eV,
            forces_eV_per_A=result.forces_eV_per_A.tolist(),
            gap_eV=result.gap_eV,
            stress_eV_per_A3=None if stress is None else stress.tolist(),
            pw_version=result.version,
            cpu_s=result.cpu_s,
            wall_s=result.wall_s,
            host=host(),
            ended=now(),
        ),
    )


def _fail(task: LabelTask, running: Path, functional: str, reason: str, lock: Lock) -> LabelFailure:
    _refuse_if_lost(lock)
    _copy(running, functional, task.folder, "failed")
    failure = LabelFailure(functional=functional, reason=reason, host=host(), ended=now())
    write_failure(task.folder, failure)
    return failure


def _copy(running: Path, functional: str, folder: Path, stem: str) -> None:
    """Keep input and output of pw.x under another name."""
    for ending in ("in", "out"):
        shutil.copyfile(running / f"{functional.lower()}.{ending}", folder / f"{stem}.{ending}")
