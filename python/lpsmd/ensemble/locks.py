"""A lock on a folder, known by machine, process and heartbeat.

`flock` dies with its owner but does not reach across all shared file systems; a file made by `link` does, but outlives
its owner. So the lock is such a file and says who holds it. On the holder's machine, the process table tells
whether it lives; from another machine, the age of the file's time stamp does, which the holder renews. Clocks of
machines differ, so ages are measured by the file system's own clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lpsmd.ensemble.files import EnsembleError

#: How often a holder renews its lock, and for how long one that is not renewed stands.
BEAT_S = 15.0
STALE_S = 150.0
_KILL_WAIT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lock.

    `machine` tells one running kernel and its process table from another. `started` is the process' start time in
    kernel ticks: numbers of processes are used again. `group` is the process group of the program that runs for the
    holder, if any, with its own start time.
    """

    host: str
    machine: str
    pid: int
    started: int
    token: str
    group: int | None = None
    group_started: int | None = None

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"process {self.pid} on {self.host}"


class Held(EnsembleError):  # noqa: N818 (a state, not a fault)
    """Someone else holds the lock."""

    def __init__(self, path: Path, holder: Holder | None) -> None:
        self.holder = holder
        super().__init__(f"{path}: held by {holder.name if holder else 'an unknown process'}")


class Lock:
    """A lock that is held. Made by `hold`."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self.path = path
        self.holder = holder

    def is_mine(self) -> bool:
        """Whether nobody has taken it over, as may happen to a process that was stopped for long."""
        found = read_holder(self.path)
        return found is not None and found.token == self.holder.token

    def runs(self, group: int | None) -> None:
        """Write down the process group that works for the holder, so that it can be ended if the holder is not."""
        started = None if group is None else _started(group)
        self.holder = replace(self.holder, group=group if started is not None else None, group_started=started)
        if self.is_mine():
            _write(self.path.with_name(f".{self.path.name}.{self.holder.token}"), self.holder).replace(self.path)

    def beat(self) -> None:
        """Renew it."""
        with contextlib.suppress(OSError):
            os.utime(self.path)


@contextlib.contextmanager
def hold(path: Path, *, beat_s: float = BEAT_S, stale_s: float = STALE_S) -> Iterator[Lock]:
    """Hold a lock while the block runs.

    Parameters
    ----------
    path
        The lock's file; its folder must be there.
    beat_s, stale_s
        How often it is renewed, and for how long a lock of another machine stands that is not.

    Raises
    ------
    Held
        If a live process holds it.
    """
    lock = _acquire(path, stale_s=stale_s)
    ended = threading.Event()

    def beats() -> None:
        while not ended.wait(beat_s):
            lock.beat()

    thread = threading.Thread(target=beats, name=f"lock {path}", daemon=True)
    thread.start()
    try:
        yield lock
    finally:
        ended.set()
        thread.join()
        if lock.is_mine():
            path.unlink(missing_ok=True)


def live_holder(path: Path, *, stale_s: float = STALE_S) -> Holder | None:
    """Who holds a lock at this moment; None if nobody does, or only one that has died."""
    holder = read_holder(path)
    if holder is None or not _is_alive(path, holder, stale_s=stale_s):
        return None
    return holder


def read_holder(path: Path) -> Holder | None:
    """What a lock's file says, or None if there is none or it makes no sense."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _acquire(path: Path, *, stale_s: float) -> Lock:
    mine = Holder(
        host=socket.gethostname(),
        machine=_machine(),
        pid=os.getpid(),
        started=_started(os.getpid()) or 0,
        token=secrets.token_hex(8),
    )
    draft = _write(path.with_name(f".{path.name}.{mine.token}"), mine)
    try:
        while True:
            # Unlike opening for exclusive creation, a link is atomic on every shared file system, and whole.
            try:
                os.link(draft, path)
            except FileExistsError:
                _remove_if_stale(path, draft, stale_s=stale_s)
            else:
                return Lock(path, mine)
    finally:
        draft.unlink(missing_ok=True)


def _remove_if_stale(path: Path, draft: Path, *, stale_s: float) -> None:
    """Remove the lock of a holder that is gone, or raise `Held`."""
    holder = read_holder(path)
    if holder is None:
        if path.exists() and _age_s(path, draft) <= stale_s:
            raise Held(path, None)
    elif _is_alive(path, holder, stale_s=stale_s, clock=draft):
        raise Held(path, holder)
    elif holder.machine == _machine():
        _end_group(holder)
    aside = path.with_name(f".{path.name}.stale.{secrets.token_hex(8)}")
    try:
        path.rename(aside)
    except FileNotFoundError:  # another process was faster
        return
    # Between reading and renaming, another process may have done all of this and taken the lock: give it back.
    moved = read_holder(aside)
    if moved is not None and moved != holder:
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    aside.unlink(missing_ok=True)


def _is_alive(path: Path, holder: Holder, *, stale_s: float, clock: Path | None = None) -> bool:
    if holder.machine == _machine():
        return _started(holder.pid) == holder.started
    return _age_s(path, clock) <= stale_s


def _age_s(path: Path, clock: Path | None) -> float:
    """Time since the lock was renewed, by the clock of its file system: that of a file touched just now."""
    try:
        beaten = path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    if clock is None:
        return time.time() - beaten
    os.utime(clock)
    return clock.stat().st_mtime - beaten


def _end_group(holder: Holder) -> None:
    """End what a dead holder left running, and wait until it is gone."""
    if holder.group is None or _started(holder.group) != holder.group_started:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(holder.group, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_WAIT_S
    while _started(holder.group) == holder.group_started and time.monotonic() < deadline:
        time.sleep(0.02)


def _machine() -> str:
    """A running kernel and the process table that this process sees: containers on one machine have several."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"


def _started(pid: int) -> int | None:
    """Start time of a process in kernel ticks; None if it is gone, or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _write(path: Path, holder: Holder) -> Path:
    path.write_text(json.dumps(asdict(holder)) + "\n", encoding="utf-8")
    return path
