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
from dataclasses import asdict, dataclass
from pathlib import Path

from lpsmd.ensemble.files import EnsembleError

#: How often a holder renews its lock, and for how long one that is not renewed stands.
BEAT_S = 15.0
STALE_S = 150.0
_KILL_WAIT_S = 5.0
_TOKEN_VARIABLE = "LPSMD_LOCK"


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lock.

    `machine` tells one running kernel and its process table from another. `started` is the process' start time in
    kernel ticks: numbers of processes are used again. `token` is this one holding of the lock.
    """

    host: str
    machine: str
    pid: int
    started: int
    token: str

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

    @property
    def environment(self) -> dict[str, str]:
        """What programs that work for the holder must carry, so that they are found and ended when it is gone."""
        return {_TOKEN_VARIABLE: self.holder.token}

    def end_programs(self) -> None:
        """End all programs that work for the holder, also those that its own child has left behind."""
        _end_programs(self.holder.token)

    def beat(self) -> None:
        """Renew it, unless it has become another's."""
        with contextlib.suppress(OSError):
            if self.is_mine():
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
        _release(lock)


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
    draft = path.with_name(f".{path.name}.{mine.token}")
    try:
        draft.write_text(json.dumps(asdict(mine)) + "\n", encoding="utf-8")
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


def _release(lock: Lock) -> None:
    if lock.is_mine():
        lock.path.unlink(missing_ok=True)


def _remove_if_stale(path: Path, draft: Path, *, stale_s: float) -> None:
    """Remove the lock of a holder that is gone, or raise `Held`.

    Of all that see the same dead holder, only one may remove its lock: else a slow one would remove the lock that a
    fast one has taken meanwhile. So the right to remove is a lock itself, named by what is to be removed.
    """
    holding = _holding(path)
    if holding is None or not _is_stale(path, draft, stale_s=stale_s):
        return
    try:
        right = _acquire(path.with_name(f".{path.name}.after.{holding}"), stale_s=stale_s)
    except Held as held:
        raise Held(path, held.holder) from held
    try:
        if _holding(path) != holding:
            return
        holder = read_holder(path)
        if holder is not None and holder.machine == _machine() and not _end_programs(holder.token):
            raise Held(path, holder)
        path.unlink(missing_ok=True)
    finally:
        _release(right)


def _is_stale(path: Path, draft: Path, *, stale_s: float) -> bool:
    """Whether the holder is gone; False if the lock is gone, `Held` if neither is."""
    holder = read_holder(path)
    if not path.exists():
        return False
    if _age_s(path, draft) <= stale_s if holder is None else _is_alive(path, holder, stale_s=stale_s, clock=draft):
        raise Held(path, holder)
    return True


def _holding(path: Path) -> str | None:
    """A name for this one holding of a lock, also for a file that makes no sense; None if there is no file."""
    holder = read_holder(path)
    if holder is not None:
        return holder.token
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return f"{found.st_ino}-{found.st_mtime_ns}"


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


def _end_programs(token: str) -> bool:
    """End whatever works for a holding of a lock on this machine; whether all of it is gone.

    They are known by their environment: the child may have ended before its own children, or they left its group.
    """
    deadline = time.monotonic() + _KILL_WAIT_S
    while found := _programs(token):
        if time.monotonic() > deadline:
            return False
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    return True


def _programs(token: str) -> list[int]:
    sign = f"{_TOKEN_VARIABLE}={token}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended, or belongs to someone else
            if sign in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


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
