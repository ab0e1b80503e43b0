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


def wait_until_gone(word: str, *, limit_s: float = 30.0) -> None:
    """Wait for the end of all processes with a word in their command line."""
    end = time.monotonic() + limit_s
    while left := processes_with(word):
        if time.monotonic() > end:
            raise AssertionError(f"{word}: processes {left} are still there")
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
