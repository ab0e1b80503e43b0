"""A study whose processes are killed at random moments, as often as asked."""

from __future__ import annotations

import contextlib
import itertools
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil

_END_S = 180.0
_MOMENT_S = 6.0
_LOOK_S = 0.05
_ROLES = ("driver", "interchange", "manager", "child of the manager", "lmp")


def roles(dice: random.Random) -> Iterator[str]:
    """Whom to kill next, for ever: in each five everyone once."""
    return itertools.chain.from_iterable(dice.sample(_ROLES, len(_ROLES)) for _ in itertools.count())


class Study:
    """A study in its folder, as `lpsmd run` carries it."""

    def __init__(self, file: Path, output: Path) -> None:
        self.file = file
        self.output = output
        self.log = output.with_suffix(".log")
        self.command = [sys.executable, "-m", "lpsmd", "run", str(file), "--output", str(output), "--workers", "2"]

    def run(self) -> None:
        """To its end."""
        with self.driver() as driver:
            assert driver.wait(_END_S) == 0, self.log.read_text()

    @contextlib.contextmanager
    def driver(self) -> Iterator[psutil.Popen]:
        """Start it; at the end of the block its driver lives no more."""
        with self.log.open("a") as log:
            driver = psutil.Popen(self.command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            yield driver
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                driver.kill()
            driver.wait()

    def run_through(self, kills: int, victims: Iterator[str], dice: random.Random) -> Counter[str]:
        """To its end, while its processes are killed; a driver that was killed is started again.

        Returns
        -------
        Counter
            Kills by what was killed: fewer than asked where the study came to its end before.
        """
        done: Counter[str] = Counter()
        while done.total() < kills:
            with self.driver() as driver:
                while driver.poll() is None and done.total() < kills:
                    done.update(self._kill_one(driver, next(victims), dice))
                    if done.total() == kills and driver.is_running() and driver.status() != psutil.STATUS_ZOMBIE:
                        assert driver.wait(_END_S) == 0, self.log.read_text()
                if driver.poll() == 0:
                    return done
                assert driver.poll() == -9, self.log.read_text()
        self.run()  # the last to be killed was the driver
        return done

    def _kill_one(self, driver: psutil.Popen, role: str, dice: random.Random) -> list[str]:
        """At a moment that is drawn; who is not there then is waited for, unless the study ends before."""
        moment = time.monotonic() + dice.uniform(0.0, _MOMENT_S)
        while driver.poll() is None:
            there = self._who(driver).get(role, [])
            if there and time.monotonic() >= moment:
                with contextlib.suppress(psutil.NoSuchProcess):
                    dice.choice(there).kill()
                    if role == "driver":
                        driver.wait()
                    return [role]
            time.sleep(_LOOK_S)
        return []

    def wait_for(self, role: str, driver: psutil.Popen) -> None:
        """Until someone with this role is there."""
        while role not in self._who(driver):
            assert driver.poll() is None, self.log.read_text()
            time.sleep(_LOOK_S)

    def _who(self, driver: psutil.Popen) -> dict[str, list[psutil.Process]]:
        found: dict[str, list[psutil.Process]] = {"driver": [driver]}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                words = " ".join(process.cmdline())
                if "interchange" in words and process.ppid() == driver.pid:
                    found.setdefault("interchange", []).append(process)
                elif "process_worker_pool" in words and str(self.output) in words and "bash" not in words:
                    found.setdefault("manager", []).append(process)
                    found.setdefault("child of the manager", []).extend(process.children())
                elif process.name() == "lmp" and process.cwd().startswith(str(self.output)):
                    found.setdefault("lmp", []).append(process)
        return found

    def processes(self) -> list[str]:
        """Command lines of all that work for the study, or in its folder."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                words = " ".join(process.cmdline())
                if str(self.output) in words or str(self.output) in process.cwd():
                    found.append(words)
        return found
