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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lpsmd.ensemble.failures import classify
from lpsmd.ensemble.files import read_text
from lpsmd.ensemble.locks import Lock, hold
from lpsmd.ensemble.records import host, now
from lpsmd.labels.errors import LabelError
from lpsmd.labels.frames import Frame
from lpsmd.labels.pw import PwFailure, PwResult, pw_input, read_result
from lpsmd.labels.recipe import FUNCTIONALS, Recipe
from lpsmd.labels.records import Label, LabelFailure, read_failure, read_label, write_failure, write_label
from lpsmd.programs import ends_with_parent

LOCK = "lock"
RUNNING = "running"
_POLL_S = 0.1


class Stopped(Exception):  # noqa: N818 (asked for)
    """Someone wants all of this to end now."""


class Killed(Exception):  # noqa: N818 (a state, not a fault of ours)
    """pw.x was ended from outside, which says nothing about the frame."""


@dataclass(frozen=True, kw_only=True)
class LabelTask:
    """A frame, its folder and what is wanted."""

    frame: Frame
    folder: Path
    recipe: Recipe
    functionals: tuple[str, ...]
    pseudopotentials: Path
    pw: Path

    @property
    def is_labelled(self) -> bool:
        """Whether there is nothing left to do."""
        return all(read_label(self.folder, functional) for functional in self.functionals)


def label_frame(task: LabelTask, *, stop: threading.Event) -> LabelFailure | None:
    """Make what labels a frame lacks; None if it then has them all, else why not.

    Raises
    ------
    Held
        If another process works on it.
    Stopped, Killed
        If it was not brought to an end.
    LabelError
        If pw.x cannot be started.
    OSError
        If the disk is full, or takes no files.
    """
    with hold(task.folder / LOCK) as lock, _running(task.folder) as running:
        failure = read_failure(task.folder)
        if failure is not None or task.is_labelled:  # another process was faster
            return failure
        last = max(FUNCTIONALS.index(functional) for functional in task.functionals)
        for functional in FUNCTIONALS[: last + 1]:
            try:
                result = _run(task, functional, running, lock, stop)
            except PwFailure as problem:
                return _fail(task.folder, running, functional, str(problem))
            if not read_label(task.folder, functional):  # of PBE it may be there, its wave functions are not
                _keep(task.folder, running, functional, result)
    return None


@contextmanager
def _running(folder: Path) -> Iterator[Path]:
    """A fresh folder for pw.x, gone afterwards: wave functions are large."""
    running = folder / RUNNING
    shutil.rmtree(running, ignore_errors=True)
    running.mkdir()
    try:
        yield running
    finally:
        shutil.rmtree(running, ignore_errors=True)


def _run(task: LabelTask, functional: str, running: Path, lock: Lock, stop: threading.Event) -> PwResult:
    stem = functional.lower()
    symbols = task.frame.atoms.get_chemical_symbols()
    # Relative: pw.x cuts long paths.
    pseudopotentials = os.path.relpath(task.pseudopotentials, running)
    text = pw_input(
        functional, task.recipe, symbols=symbols, geometry=task.frame.geometry, pseudopotentials=pseudopotentials
    )
    (running / f"{stem}.in").write_text(text, encoding="utf-8")
    printed = running / f"{stem}.out"
    code = _wait(_start(task.pw, running, stem, printed, lock), lock, stop)
    if code < 0:
        raise Killed(f"pw.x was ended by {signal.Signals(-code).name}: by the system if memory ran out, or by someone")
    return read_result(running, printed, functional=functional, exit_code=code)


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


def _wait(child: subprocess.Popen[bytes], lock: Lock, stop: threading.Event) -> int:
    try:
        while not stop.is_set():
            try:
                return child.wait(timeout=_POLL_S)
            except subprocess.TimeoutExpired:
                continue
        raise Stopped
    finally:
        if child.poll() is None:
            child.kill()
            lock.end_programs()
            child.wait()


def _keep(folder: Path, running: Path, functional: str, result: PwResult) -> None:
    stem = functional.lower()
    for name in (f"{stem}.in", f"{stem}.out"):
        shutil.copyfile(running / name, folder / name)
    stress = result.stress_eV_per_A3
    write_label(
        folder,
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


def _fail(folder: Path, running: Path, functional: str, reason: str) -> LabelFailure:
    cause = classify(said=read_text(running / f"{functional.lower()}.out"), exit_code=0)
    if cause is not None and cause[0].stops_study:  # it is the disk's fault, and would be every frame's
        raise OSError(f"{running}: {cause[1]}")
    for ending in ("in", "out"):
        shutil.copyfile(running / f"{functional.lower()}.{ending}", folder / f"failed.{ending}")
    failure = LabelFailure(functional=functional, reason=reason, host=host(), ended=now())
    write_failure(folder, failure)
    return failure
