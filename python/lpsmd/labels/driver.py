"""Labels for many frames: a thread for each pw.x, progress, and an account of what was left out."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from lpsmd.ensemble.locks import Held
from lpsmd.labels.collection import LabelFolder, recipe_sha256
from lpsmd.labels.errors import LabelError
from lpsmd.labels.frames import read_frames
from lpsmd.labels.labelling import Killed, LabelTask, label_frame
from lpsmd.labels.pseudopotentials import find_data_file
from lpsmd.labels.recipe import FUNCTIONALS, Recipe, read_recipe
from lpsmd.labels.records import LabelFailure, forget_failure, read_label
from lpsmd.programs import find_program, interpreter_folder, run_program
from lpsmd.progress import duration

_log = logging.getLogger(__name__)
#: For one run of pw.x: 30 times what HSE06 of a frame with the shipped recipe took on a busy core.
TIMEOUT_MIN = 60.0
#: Of its time at most this fraction goes into writing the sets: each time every frame of the folder is read.
_COLLECTING = 0.1
_FASTER = "install OpenBLAS (Debian: apt install libopenblas0-openmp)"


@dataclass(kw_only=True)
class Outcome:
    """How a call ended: names of the frames that have all labels, and of others with the reason."""

    labelled: list[str] = field(default_factory=list)
    failed: dict[str, LabelFailure] = field(default_factory=dict)
    unfinished: dict[str, str] = field(default_factory=dict)


def label_frames(
    file: Path,
    output: Path,
    *,
    recipe: Recipe | None = None,
    functionals: Sequence[str] = FUNCTIONALS,
    workers: int = 1,
    pw: str = "pw.x",
    potentials: Path | None = None,
    timeout_min: float = TIMEOUT_MIN,
    retry_failed: bool = False,
) -> Outcome:
    """Label the frames of a file; those that have their labels in the folder are not computed again.

    Parameters
    ----------
    file
        Extended XYZ, or anything that ASE reads; periodic structures, lengths in Angstrom.
    output
        Folder for everything; gets pbe.extxyz, hse06.extxyz and labels.json.
    recipe
        What is asked of pw.x; default: the one that ships.
    functionals
        Some of "PBE" and "HSE06"; HSE06 starts from PBE, which is then computed as well.
    workers
        Frames at a time, each on one core.
    pw
        Program, by path or name.
    potentials
        CP2K's data file of pseudopotentials; default: that of an installation.
    timeout_min
        Time for one run of pw.x, minutes; a frame that needs more has failed.
    retry_failed
        Whether frames that failed before are tried again, if that was with one of the functionals.

    Returns
    -------
    Outcome
        Of the frames of `file`.

    Raises
    ------
    LabelError
        If the frames, the recipe, the pseudopotentials, the folder or pw.x are not fit, or pw.x does not take its
        input. Labels made until then stay.
    """
    recipe = recipe or read_recipe()
    program = _find_pw(pw)
    if _has_slow_blas(program):
        _log.warning("warning: %s uses the reference BLAS and needs 3 times as long; %s", program, _FASTER)
    folder = LabelFolder(output)
    data_file = find_data_file(potentials)
    # Before the folder is claimed: it is for no recipe yet if there is nothing to label.
    frames = read_frames(file, recipe, recipe_sha256=recipe_sha256(recipe, data_file=data_file))
    folder.claim(recipe, data_file=data_file)
    folder.add(frames)
    tasks = [
        LabelTask(
            frame=frame,
            labels=folder,
            recipe=recipe,
            functionals=tuple(functionals),
            pw=program,
            timeout_s=60.0 * timeout_min,
        )
        for frame in frames
    ]
    if retry_failed:
        for task in tasks:
            if task.failure is not None:
                forget_failure(task.folder)
    return _Driver(folder, tasks).run(workers)


def _find_pw(pw: str) -> Path:
    found = Path(pw).resolve() if "/" in pw else find_program(pw, beside=interpreter_folder())
    if found is None or not found.is_file():
        raise LabelError(
            f"{pw}: found no such program; install Quantum ESPRESSO (Debian: apt install quantum-espresso), or give "
            f"the path of its pw.x with --pw"
        )
    return found


def _has_slow_blas(pw: Path) -> bool:
    """Whether the system gives it the reference BLAS, as Debian does where no other is installed."""
    ldd = run_program(["ldd", pw], environment=os.environ, timeout_s=10.0)
    found = re.search(r"libblas\.so\S* => (\S+)", ldd.output)
    return found is not None and Path(found[1]).resolve().parent.name == "blas"


class _Driver:
    def __init__(self, folder: LabelFolder, tasks: Sequence[LabelTask]) -> None:
        self.folder = folder
        self.outcome = Outcome()
        self.stop = threading.Event()
        self.started = time.monotonic()
        self.collect_after = self.started
        self.open: list[LabelTask] = []
        self.done = 0
        for task in tasks:
            failure = task.failure
            if task.is_labelled:
                self.outcome.labelled.append(task.frame.name)
            elif failure is not None:
                self.outcome.failed[task.frame.name] = failure
            else:
                self.open.append(task)

    def run(self, workers: int) -> Outcome:
        _log.info(
            "%d frames to label, %d labelled before, %d failed before",
            len(self.open), len(self.outcome.labelled), len(self.outcome.failed),
        )  # fmt: skip
        self._collect()
        with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="label") as pool:
            futures = {pool.submit(label_frame, task, stop=self.stop): task for task in self.open}
            try:
                for future in as_completed(futures):
                    self._ended(futures[future], future)
                    self._collect()
            except BaseException:
                self.stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        if self.open:
            self.folder.collect()
        return self.outcome

    def _collect(self) -> None:
        """Write the sets, if that is due; what a stopped call leaves out is in those of the next."""
        start = time.monotonic()
        if start >= self.collect_after:
            self.folder.collect()
            end = time.monotonic()
            self.collect_after = end + (end - start) / _COLLECTING

    def _ended(self, task: LabelTask, future: Future[LabelFailure | None]) -> None:
        self.done += 1
        name = task.frame.name
        try:
            failure = future.result()
        except (Held, Killed) as why:
            self.outcome.unfinished[name] = str(why)
            self._say(logging.WARNING, f"{name} not labelled: {why}")
            return
        except OSError as error:
            raise LabelError(
                f"{error}; mend that and run the same command again: labels made until now stay"
            ) from error
        if failure is not None:
            self.outcome.failed[name] = failure
            self._say(logging.WARNING, f"{name} failed: {failure.functional}: {failure.reason}")
            return
        self.outcome.labelled.append(name)
        labels = [label for functional in FUNCTIONALS if (label := read_label(task.folder, functional))]
        self._say(
            logging.INFO,
            f"{name}: "
            + ", ".join(f"{label.functional} {label.wall_s:.0f} s, gap {label.gap_eV:.2f} eV" for label in labels),
        )

    def _say(self, level: int, text: str) -> None:
        left = len(self.open) - self.done
        seconds = (time.monotonic() - self.started) / self.done * left
        _log.log(level, "[%d/%d] %s%s", self.done, len(self.open), text, f"; {duration(seconds)} left" if left else "")
