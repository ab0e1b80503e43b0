"""Other programs: where they are, and how to run one so that it can neither hang nor crash us.

The standard library only, since `lpsmd doctor` needs this where anything else may be broken.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: How the problem of a program begins that was stopped at its time limit.
NO_END = "no end within"
_GRACE_S = 2.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a program ended: what it printed, and what went wrong ("" if nothing did)."""

    output: str
    problem: str


def find_program(name: str, *, beside: Path, path: str | None = None) -> Path | None:
    """A program in the folder of the interpreter, else the first one on PATH (default: this process's)."""
    # Not resolved: the interpreter of a virtual environment is a link out of it.
    own = beside / name
    if own.is_file():
        return own
    found = shutil.which(name, path=path)
    return None if found is None else Path(found)


def run_program(
    command: Sequence[str | Path], *, environment: Mapping[str, str], timeout_s: float, folder: Path | None = None
) -> Ended:
    """Run a program to its end or to its time limit; never raises for what the program does.

    Parameters
    ----------
    command
        Program and arguments.
    environment
        Its whole environment.
    timeout_s
        After this it is stopped, with all that it started.
    folder
        Where it runs; default: here.
    """
    # A file and not a pipe: a grandchild that outlives its parent would keep a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        try:
            child = subprocess.Popen(
                [str(word) for word in command],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return Ended(output="", problem=f"{command[0]} cannot be started: {error.strerror or error}")
        try:
            problem = _problem_of(child.wait(timeout=timeout_s))
        except subprocess.TimeoutExpired:
            problem = f"{NO_END} {timeout_s:g} s"
        finally:
            _stop(child)
        output.seek(0)
        return Ended(output=output.read().decode(errors="replace"), problem=problem)


def ends_with_parent() -> Callable[[], None]:
    """For `preexec_fn`: the system kills the program as soon as the thread that starts it has ended, however it did."""
    parent = os.getpid()

    def before_start() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return before_start


def _problem_of(code: int) -> str:
    if code == 0:
        return ""
    # Wrappers in Python, as `lmp` is one, hand a signal on as 256 minus its number.
    number = -code if code < 0 else 256 - code
    names = {member.value: member.name for member in signal.Signals}
    return f"killed by {names[number]}" if number in names else f"exit code {code}"


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End a program that still runs, and what it started; asking first, since mpirun then takes its ranks along."""
    if child.poll() is not None:
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=_GRACE_S)


def interpreter_folder() -> Path:
    """Where this interpreter's own programs are: lmp, mpirun."""
    return Path(sys.executable).parent
