"""One of many processes that want a lock whose holders all die without giving it back.

    python lock_racer.py LOCK TIMES

Each holding is by a child of its own, which looks whether it is alone, and then ends as `kill -9` would end it. Between
any two lines of the lock's code it may fall asleep, so that all orders of steps are met. Prints how often the lock was
held; ends with 1 if two held it at once.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from lpsmd.ensemble import locks
from lpsmd.ensemble.locks import Held, hold

_HELD, _BUSY, _NOT_ALONE = 0, 1, 2


def sleepy(frame: FrameType, event: str, argument: object) -> Any:
    """A trace function that falls asleep now and then."""
    if frame.f_code.co_filename != locks.__file__:
        return None
    if event == "line" and random.random() < 0.05:
        time.sleep(0.02 * random.random())
    return sleepy


def hold_once(path: Path) -> None:
    alone = path.with_name("alone")
    random.seed(os.getpid())
    sys.settrace(sleepy)
    try:
        with hold(path):
            try:
                alone.touch(exist_ok=False)
            except FileExistsError:
                os._exit(_NOT_ALONE)
            time.sleep(0.005)  # for others to come in
            alone.unlink()
            os._exit(_HELD)
    except Held:
        os._exit(_BUSY)


def main(path: Path, times: int) -> int:
    held = 0
    for _ in range(times):
        child = os.fork()
        if child == 0:
            hold_once(path)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code not in (_HELD, _BUSY):
            return 1
        held += code == _HELD
    print(held)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
