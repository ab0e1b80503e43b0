"""Locks on folders: one holder at a time, whoever dies, sleeps or races."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lpsmd.ensemble.locks import Held, hold, live_holder, read_holder
from support.mounts import disk, fill, read_only
from support.processes import processes_with

RACER = Path(__file__).resolve().parents[1] / "support" / "lock_racer.py"
HOLD = """
import subprocess, sys
from pathlib import Path
from lpsmd.ensemble.locks import hold
import os
with hold(Path(sys.argv[1])) as lock:
    if len(sys.argv) > 2:
        subprocess.run(sys.argv[2:], env={**os.environ, **lock.environment}, stdout=subprocess.DEVNULL, check=True)
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def another_process_holds(path: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a lock until its input is closed; before that it runs a command."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "held\n"
            yield child
        finally:
            child.kill()


def forged(path: Path, **changes: object) -> None:
    """Change what a lock says of its holder."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def aged(path: Path, seconds: float) -> None:
    """Make a lock one that was renewed so long before this moment of the file system's clock."""
    path.touch()
    renewed = path.stat().st_mtime - seconds
    os.utime(path, (renewed, renewed))


def left_by(path: Path, **changes: object) -> None:
    """A lock file that nobody alive holds, as this process would have made it but for some changes."""
    with hold(path):
        text = path.read_text()
    path.write_text(text)
    forged(path, **{"token": "0123456789abcdef", **changes})


def assert_held(path: Path, text: str) -> None:
    before = path.read_bytes()
    with pytest.raises(Held, match=text), hold(path):
        pytest.fail("was not held")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]  # no drafts either


def assert_free(path: Path) -> None:
    with hold(path) as lock:
        assert lock.is_mine()
    assert list(path.parent.iterdir()) == []


def test_a_lock_is_there_while_it_is_held_and_then_gone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path) as lock:
        assert lock.is_mine()
        assert list(tmp_path.iterdir()) == [path]
        holder = live_holder(path)
        assert holder is not None
        assert holder.pid == os.getpid()
    assert list(tmp_path.iterdir()) == []
    assert live_holder(path) is None


def test_a_lock_is_given_back_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), hold(tmp_path / "lock"):
        raise KeyboardInterrupt
    assert_free(tmp_path / "lock")


def test_the_lock_of_a_live_process_stands_however_old_it_is(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with another_process_holds(path) as child:
        aged(path, 1e6)
        assert_held(path, rf"lock: held by process {child.pid} on ")
        child.send_signal(signal.SIGSTOP)  # asleep is not dead
        assert_held(path, rf"lock: held by process {child.pid} on ")
        child.send_signal(signal.SIGCONT)
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait() == 0
    assert_free(path)


def test_the_lock_of_a_killed_process_is_taken_over_at_once(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with another_process_holds(path) as child:
        child.kill()
        child.wait()
        assert path.exists()
        assert live_holder(path) is None
        assert_free(path)


def test_a_killed_process_that_nobody_has_waited_for_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with another_process_holds(path) as child:
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
        assert_free(path)


def test_a_process_with_the_number_of_a_dead_holder_is_not_that_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = read_holder_of_own(path)
    left_by(path, started=holder - 1)
    assert_free(path)
    left_by(path)
    assert_held(path, rf"held by process {os.getpid()} on ")


def read_holder_of_own(path: Path) -> int:
    """Start time of this process as locks have it."""
    with hold(path):
        holder = read_holder(path)
    assert holder is not None
    return holder.started


def test_the_lock_of_another_machine_stands_while_it_is_renewed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    # Its process numbers mean nothing here: this one is not alive, which must not matter.
    left_by(path, machine="another", host="node7", pid=2**22 + 1)
    assert_held(path, "held by process 4194305 on node7")
    aged(path, 149.0)
    assert_held(path, "held by process 4194305 on node7")
    aged(path, 151.0)
    assert live_holder(path) is None
    assert_free(path)


def test_age_is_by_the_clock_of_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    left_by(path, machine="another", host="node7")
    # A machine whose clock is an hour fast.
    monkeypatch.setattr("time.time", lambda now=time.time: now() + 3600.0)
    assert_held(path, "on node7")


def test_a_holder_renews_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path, beat_s=0.01):
        aged(path, 1000.0)
        old = path.stat().st_mtime
        while path.stat().st_mtime == old:
            pass
        assert path.stat().st_mtime > old + 900.0


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": "node7"}', "\0\0\0\0"])
def test_a_damaged_lock_stands_until_it_is_old(tmp_path: Path, content: str) -> None:
    path = tmp_path / "lock"
    path.write_text(content)
    assert_held(path, "held by an unknown process")
    aged(path, 151.0)
    assert_free(path)


def test_a_holder_whose_lock_was_taken_over_notices_and_leaves_the_new_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with hold(path, beat_s=0.01) as mine:
        left_by_another(path)
        assert not mine.is_mine()
        aged(path, 1000.0)
        renewed = path.stat().st_mtime
        mine.beat()
        assert path.stat().st_mtime == renewed
    assert path.exists()
    holder = read_holder(path)
    assert holder is not None
    assert holder.host == "node7"


def left_by_another(path: Path) -> None:
    """Put the lock of another machine in the place of one."""
    draft = path.with_name("draft")
    draft.write_text(path.read_text())
    forged(draft, machine="another", host="node7", token="0123456789abcdef")
    draft.replace(path)


def test_what_a_dead_holder_left_running_is_ended_before_its_lock_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    mark = f"left-behind-{tmp_path.name}-{os.getpid()}"
    # The child ends at once; its own children go on, one in the child's group and one in a session of its own.
    sleeper = f"exec -a {mark} sleep 1000 &"
    leave = f"{sleeper} setsid bash -c '{sleeper} wait' & while [ $(pgrep -cf '^{mark}') -lt 2 ]; do :; done"
    with another_process_holds(path, "bash", "-c", leave) as child:
        assert len(processes_with(mark)) >= 2
        child.kill()
        child.wait()
        assert len(processes_with(mark)) >= 2
        with hold(path):
            assert processes_with(mark) == []


def test_programs_of_a_live_holder_are_left_alone(tmp_path: Path) -> None:
    with hold(tmp_path / "lock") as lock:
        program = subprocess.Popen(["sleep", "1000"], env={**os.environ, **lock.environment})
        with hold(tmp_path / "another") as another:
            another.end_programs()
        assert program.poll() is None
        lock.end_programs()
        assert program.wait() == -signal.SIGKILL


def test_of_many_that_see_a_dead_holder_one_takes_over(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    racers = [
        subprocess.Popen([sys.executable, str(RACER), str(path), "40"], stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    told = [racer.communicate()[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 6
    assert sum(map(int, told)) > 0
    assert_free(path)


def test_one_that_died_while_it_took_over_does_not_stop_others(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    left_by(path, started=1)
    right = tmp_path / ".lock.after.0123456789abcdef"
    left_by(right, started=1, token="fedcba9876543210")
    with hold(path) as lock:
        assert lock.is_mine()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_in_a_folder_that_takes_no_files_says_so(tmp_path: Path) -> None:
    with read_only(tmp_path) as folder, pytest.raises(OSError, match="Read-only file system"), hold(folder / "lock"):
        pytest.fail("was held")


def test_a_lock_on_a_full_disk_leaves_no_draft(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", kib=100) as small_disk:
        filler = small_disk / "filler"
        fill(filler)
        with pytest.raises(OSError, match="No space left"), hold(small_disk / "lock"):
            pytest.fail("was held")
        assert list(small_disk.iterdir()) == [filler]
