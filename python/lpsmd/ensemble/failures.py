"""How a chunk may fail, and which failures can pass."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from enum import StrEnum

_TAIL_LINES = 12
#: Codes with which shells say that a program is not there, or none.
_NOT_FOUND = (126, 127)


class FailureKind(StrEnum):
    """What went wrong."""

    UNSTABLE = "unstable"
    FRAMEWORK = "framework broken"
    LOST_ATOMS = "lost atoms"
    MEMORY = "out of memory"
    KILLED = "killed"
    DISK = "disk full"
    STORAGE = "storage"
    MODEL = "model changed"
    INPUT = "input changed"
    PROGRAM = "LAMMPS not started"
    NODE = "node lost"
    LAMMPS = "LAMMPS error"
    PRODUCT = "incomplete output"
    INTERNAL = "lpsmd error"

    @property
    def can_pass(self) -> bool:
        """Whether the same chunk may succeed when it is run again: what follows from the dynamics cannot."""
        return self in (FailureKind.MEMORY, FailureKind.KILLED, FailureKind.NODE, FailureKind.PRODUCT)

    @property
    def stops_study(self) -> bool:
        """Whether every other replica would meet the same. A person mends it, and then nothing has failed."""
        return self in _REMEDIES

    @property
    def remedy(self) -> str:
        """What a person must do about what stops a study, "" for the rest."""
        return _REMEDIES.get(self, "")

    @property
    def is_physical(self) -> bool:
        """Whether it comes from the motion itself, so that leaving the replica out biases D."""
        return self in (FailureKind.UNSTABLE, FailureKind.FRAMEWORK, FailureKind.LOST_ATOMS)


_REMEDIES = {
    FailureKind.DISK: "free some space",
    FailureKind.STORAGE: "make the folder writable",
    FailureKind.MODEL: "put the file back (or, if it was moved, give the study file again)",
    FailureKind.INPUT: "put the file back",
    FailureKind.PROGRAM: "give the program in [executor] as lmp",
    FailureKind.INTERNAL: "do what it says (or report it, if it makes no sense)",
}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One failure of a replica: where, of what kind, what was said, and where its output is kept ("" if nowhere)."""

    chunk: int
    kind: FailureKind
    reason: str
    tail: str
    kept: str
    host: str
    time: str

    @property
    def may_be_a_bad_moment(self) -> bool:
        """Whether a file system failed in a way that passes by itself at times."""
        return self.kind is FailureKind.STORAGE and not re.search(_REFUSED, self.reason)


_REFUSED = r"Read-only file system|Permission denied|Operation not permitted"

# What LAMMPS, torch, the C++ and Fortran libraries, Slurm and the system say, the most telling first.
_SIGNS = (
    (FailureKind.DISK, r"No space left on device|[Dd]isk quota exceeded|File too large|I/O error while writing"),
    (FailureKind.STORAGE, r"Read-only file system|Permission denied|Stale file handle|Input/output error"),
    (
        FailureKind.MEMORY,
        r"out of memory|bad_alloc|[Cc]annot allocate|[Ff]ailed to (?:re)?allocate|Error allocating|oom.kill"
        r"|_STATUS_ALLOC_FAILED|failed to map segment",
    ),
    (FailureKind.NODE, r"uncorrectable ECC error|unspecified launch failure|busy or unavailable"),
    (FailureKind.LOST_ATOMS, r"Lost atoms|Out of range atoms"),
    (
        FailureKind.UNSTABLE,
        r"not (?:a )?finite number|[Nn]on-numeric|denser than the model allows|Too many neighbor bins"
        r"|Domain too large for neighbor bins|tilted box too far|box dimension due to fix",
    ),
    (
        FailureKind.PROGRAM,
        r"error while loading shared libraries|execvp error|Unrecognized pair style 'lpsmd'"
        r"|pair_style lpsmd (cannot load its library|was built for)|is part of the \S+ package",
    ),
)


def classify(*, said: str, exit_code: int, program: str = "lmp") -> tuple[FailureKind, str] | None:
    """The kind of a failed run and a line that says so, from what was printed and how it ended.

    None where neither tells: then the product decides. What others around LAMMPS print counts only where it failed
    without a word of its own.

    Parameters
    ----------
    said, exit_code
        What was printed, and how it ended: negative for a signal.
    program
        What it is called in the line.
    """
    error = re.search(r"^ERROR\b.*$", said, flags=re.MULTILINE)
    if error is None and exit_code == 0:
        return None
    told = said[error.start() :] if error else said
    for kind, sign in _SIGNS:
        found = re.search(rf"^.*(?:{sign}).*$", told, flags=re.MULTILINE)
        if found:
            return kind, (error or found).group(0).strip()
    if error:
        return FailureKind.LAMMPS, error.group(0).strip()
    if exit_code in _NOT_FOUND:
        return FailureKind.PROGRAM, tail_of(said) or f"{program} ended with code {exit_code}"
    number = signal_of(exit_code)
    if number is not None:
        by = ": by the system if memory ran out, or by someone" if number == signal.SIGKILL else ""
        return FailureKind.KILLED, f"{program} was ended by {number.name}{by}"
    return None


def tail_of(said: str) -> str:
    """Last words."""
    return "\n".join(said.splitlines()[-_TAIL_LINES:])


def signal_of(exit_code: int) -> signal.Signals | None:
    """The signal that ended a program, None if none did."""
    # A shell hands a signal on as 128 plus its number, Python's sys.exit as 256 minus it; 255 is any error.
    number = -exit_code if exit_code < 0 else 256 - exit_code if 192 < exit_code < 255 else exit_code - 128
    return signal.Signals(number) if number in {member.value for member in signal.Signals} else None
