"""What a check says: its line, the remedies that several checks give, and how it words what a program said."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lpsmd.doctor.packages import pinned
from lpsmd.programs import Ended

Status = Literal["ok", "note", "warning", "failure"]
STATUSES: tuple[Status, ...] = ("ok", "note", "warning", "failure")

MEND_PYTHON = "mend Python, its packages and torch first"
AGAIN = "install lpsmd again: `pip install --force-reinstall --no-deps .` in its source"

_LONGEST_TEXT = 400


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the doctor.

    Attributes
    ----------
    name
        What was looked at.
    status
        A note needs no action; with a warning most things run; a failure stops runs.
    found
        What is there.
    remedy
        What to do; given with every warning and failure.
    seconds
        How long it took.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""
    seconds: float = 0.0


def ok(name: str, found: str) -> Check:
    """As it must be."""
    return Check(name=name, status="ok", found=found)


def note(name: str, found: str, remedy: str = "") -> Check:
    """Worth knowing, with what could be better."""
    return Check(name=name, status="note", found=found, remedy=remedy)


def warning(name: str, found: str, remedy: str) -> Check:
    """Runs, but not as one may think."""
    return Check(name=name, status="warning", found=found, remedy=remedy)


def failure(name: str, found: str, remedy: str) -> Check:
    """Does not run."""
    return Check(name=name, status="failure", found=found, remedy=remedy)


def install_missing(problem: str, otherwise: str) -> str:
    """The remedy for a module that is not there, else another one."""
    missing = re.search(r"No module named '(\w+)", problem)
    return f"pip install {pinned(missing.group(1))}" if missing else otherwise


def install_mpi() -> str:
    """The remedy for an MPI that is not there, or is of another kind."""
    return f"pip install --force-reinstall {pinned('mpich')}"


def reason(ended: Ended, *, first: bool = False) -> str:
    """Why a program failed: LAMMPS' error message where there is one, else its last (or first) words; how it ended."""
    lines = [line.strip() for line in ended.output.splitlines() if re.search(r"\w", line)]
    error = next((at for at, line in enumerate(lines) if line.startswith("ERROR")), None)
    if error is not None:
        # Messages run over several lines, up to the one that names the input's last command.
        ends = (at for at, line in enumerate(lines) if at > error and line.startswith("Last input"))
        said = lines[error : next(ends, error + 1)]
    else:
        said = lines if first else lines[-1:]
    return f"{one_line(' '.join(said))} ({ended.problem})".strip() if ended.problem else one_line(" ".join(said))


def one_line(text: str) -> str:
    """Any text as one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 3] + "..."


def same_file(first: Path, second: Path) -> bool:
    """True if both are one file or folder, by whatever names."""
    return first.exists() and second.exists() and first.samefile(second)
