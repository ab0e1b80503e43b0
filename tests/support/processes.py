"""Which processes there are."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path


def processes_with(word: str) -> list[int]:
    """Processes that live and have a word in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            if word.encode() in (folder / "cmdline").read_bytes():  # empty for a zombie
                found.append(int(folder.name))
    return found


def processes_in(folder: Path) -> list[int]:
    """Processes that live and work in a folder or one below it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            if (entry / "cwd").readlink().is_relative_to(folder.resolve()) and (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def wait_until_gone(word: str, *, limit_s: float = 30.0) -> None:
    """Wait for the end of all processes with a word in their command line."""
    end = time.monotonic() + limit_s
    while left := processes_with(word):
        if time.monotonic() > end:
            raise AssertionError(f"{word}: processes {left} are still there")
        time.sleep(0.01)
