"""Which processes there are."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
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
    _wait_for_none(lambda: processes_with(word), word, limit_s)


def wait_until_none_in(folder: Path, *, limit_s: float = 30.0) -> None:
    """Wait for the end of all processes that work in a folder or one below it."""
    _wait_for_none(lambda: processes_in(folder), str(folder), limit_s)


def _wait_for_none(look: Callable[[], list[int]], what: str, limit_s: float) -> None:
    end = time.monotonic() + limit_s
    while left := look():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: processes {left} are still there")
        time.sleep(0.01)


def families(word: str, *, but: str) -> set[int]:
    """Processes with a word in their command line and all that came from them, but for a word in theirs."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            if but.encode() not in (folder / "cmdline").read_bytes():
                parent = int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(folder.name))
    found = list(set(processes_with(word)) & {child for children in parents.values() for child in children})
    for pid in found:
        found += parents.get(pid, [])
    return set(found)


def memory_MB(pid: int) -> float:
    """Memory of a process, of what it shares its part; 0 if it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
