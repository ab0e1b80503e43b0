"""`pytest --resume` on a folder of three tests that write down that they ran."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
THREE_TESTS = """
import os
import signal
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent

def ran(name):
    with (HERE / "ran").open("a") as file:
        file.write(name)
    if os.environ.get("DIES_IN") == name:
        os.kill(os.getpid(), getattr(signal, os.environ["SIGNAL"]))
    assert os.environ.get("FAILS_IN") != name

@pytest.fixture
def torn_down():
    yield
    assert os.environ.get("FAILS_IN") != "teardown of b"

def test_a():
    ran("a")

def test_b(torn_down):
    ran("b")

def test_skipped():
    pytest.skip("always")

@pytest.mark.parametrize("case", ["c"])
def test_c(case):
    ran(case)
"""
CONFTEST = """
import os
import pytest

pytest_plugins = ["support.resume"]

@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish():
    if os.environ.get("DIES_IN") == "the end":
        os._exit(9)
"""


@dataclass
class Folder:
    """A project of its own, and runs in it."""

    root: Path

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Exit status, the tests that ran, and what pytest printed."""
        log = self.root / "ran"
        log.write_text("")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--resume", *arguments],
            cwd=self.root,
            env={
                **os.environ,
                "PYTHONPATH": str(TESTS),
                # Installed plugins take longer to load than the tests to run.
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "SIGNAL": "SIGKILL",
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, log.read_text(), done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    for name, text in {
        "pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = ["tests"]\n',
        "tests/conftest.py": CONFTEST,
        "tests/test_three.py": THREE_TESTS,
        "python/package.py": "answer = 42\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return Folder(tmp_path)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_goes_on_where_it_was_killed(folder: Folder, name: str) -> None:
    status, ran, _ = folder.run(DIES_IN="b", SIGNAL=name)
    assert status == (-signal.SIGKILL if name == "SIGKILL" else pytest.ExitCode.INTERRUPTED)
    assert ran == "ab"
    status, ran, text = folder.run()
    assert (status, ran) == (0, "bc")
    assert "resume: 1 tests passed before, 3 to run" in text
    # That run came to its end, so the next one starts anew.
    assert folder.run()[:2] == (0, "abc")


@pytest.mark.parametrize("where", ["b", "teardown of b"])
def test_runs_what_failed_again(folder: Folder, where: str) -> None:
    status, ran, text = folder.run(FAILS_IN=where)
    assert (status, ran) == (1, "abc")
    assert "the same command goes on from here" in text
    assert folder.run(FAILS_IN=where)[:2] == (1, "b")
    assert folder.run()[:2] == (0, "b")
    assert folder.run()[:2] == (0, "abc")


@pytest.mark.parametrize("changed", ["python/package.py", "tests/new.txt"])
def test_changed_files_start_anew(folder: Folder, changed: str) -> None:
    assert folder.run(FAILS_IN="b")[:2] == (1, "abc")
    with (folder.root / changed).open("a") as file:
        file.write("# changed\n")
    status, ran, text = folder.run()
    assert (status, ran) == (0, "abc")
    assert "resume: 0 tests passed before" in text


def test_killed_after_the_last_test(folder: Folder) -> None:
    selection = ("-k", "not skipped")
    assert folder.run(*selection, DIES_IN="the end")[:2] == (9, "abc")
    assert folder.run(*selection)[:2] == (0, "")
    assert folder.run(*selection)[:2] == (0, "abc")


def test_half_a_line_is_no_test(folder: Folder) -> None:
    folder.run(DIES_IN="c")
    (record,) = (folder.root / ".pytest_cache").rglob("*.jsonl")
    record.write_bytes(record.read_bytes()[:-5])
    assert folder.run(DIES_IN="c")[1] == "bc"
    assert folder.run()[:2] == (0, "c")


def test_other_selections_have_records_of_their_own(folder: Folder) -> None:
    folder.run(DIES_IN="c")
    assert folder.run("-k", "test_a")[:2] == (0, "a")
    status, ran, text = folder.run("--collect-only")
    assert (status, ran) == (0, "")
    assert "resume: 2 tests passed before, 2 to run" in text
    assert folder.run()[:2] == (0, "c")
