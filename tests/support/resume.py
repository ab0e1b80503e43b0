"""`pytest --resume`: what passed in a run that was interrupted or failed is not run again.

Passed tests are written down one by one, so that a run may be killed at any time. The record holds for the files that
were tested, bit for bit, and for one selection of tests; when all of it has passed, the record is deleted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

#: What tests test, and the tests: where any of it changes, everything is run again.
TESTED = ("python", "cpp", "tests", "cmake", "lammps_inputs", "CMakeLists.txt", "pyproject.toml")
_SELECTION = ("markexpr", "keyword", "deselect", "ignore", "ignore_glob", "lf")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--resume",
        action="store_true",
        help="leave out what passed in the same run before, if it did not get to its end",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--resume"):
        config.pluginmanager.register(Resume(config))


class Record:
    """Node ids in a file of JSON lines, of which the first says what they hold for."""

    def __init__(self, path: Path, *, fingerprint: str) -> None:
        self._path = path
        self._head = {"fingerprint": fingerprint}
        self.passed = self._read()

    def _read(self) -> set[str]:
        found = self._path.read_text(encoding="utf-8").splitlines() if self._path.is_file() else []
        lines = [values for line in found if (values := _parsed(line))]
        if self._head in lines:
            return {values["passed"] for values in lines if "passed" in values}
        self._path.write_text(json.dumps(self._head), encoding="utf-8")
        return set()

    def add(self, node_id: str) -> None:
        """Written and closed at once: nothing of it is lost with the process."""
        with self._path.open("a", encoding="utf-8") as file:
            # The line end goes first: a run that was killed may have left half a line.
            file.write("\n" + json.dumps({"passed": node_id}))

    def delete(self) -> None:
        self._path.unlink(missing_ok=True)


def _parsed(line: str) -> dict[str, str]:
    """The values of a line, none of half a line."""
    try:
        values: dict[str, str] = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return values


class Resume:
    """The hooks, for one run."""

    def __init__(self, config: pytest.Config) -> None:
        if not config.pluginmanager.has_plugin("cacheprovider"):
            raise pytest.UsageError("--resume keeps its record in pytest's cache: leave out -p no:cacheprovider")
        selection = [config.args, *(config.getoption(name, None) for name in _SELECTION)]
        name = hashlib.sha256(json.dumps(selection).encode()).hexdigest()[:16]
        folder = config.cache.mkdir("resume")
        self._record = Record(folder / f"{name}.jsonl", fingerprint=fingerprint(config.rootpath))
        self._only_listed = bool(config.getoption("collectonly"))
        self._n_before = 0
        self._called: set[str] = set()

    # After the selection by -m and -k.
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        before = [item for item in items if item.nodeid in self._record.passed]
        self._n_before = len(before)
        if before:
            config.hook.pytest_deselected(items=before)
            items[:] = [item for item in items if item.nodeid not in self._record.passed]

    def pytest_report_collectionfinish(self, items: list[pytest.Item]) -> str:
        return f"resume: {self._n_before} tests passed before, {len(items)} to run"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._called.add(report.nodeid)
        elif report.when == "teardown" and report.passed and report.nodeid in self._called:
            self._record.add(report.nodeid)

    # After all that others do in the end.
    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self._only_listed:
            return
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self._n_before:
            # Killed between the last test and the end.
            session.exitstatus = pytest.ExitCode.OK
        if session.exitstatus == pytest.ExitCode.OK:
            self._record.delete()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        finished = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        text = f"resume: {self._n_before} tests passed before, {len(self._called)} now"
        text += "" if finished else "; the same command goes on from here"
        terminalreporter.write_line(text, bold=True, yellow=not finished)


def fingerprint(root: Path) -> str:
    """A hash of the names and contents of what is tested."""
    digest = hashlib.sha256()
    for path in _files(root):
        digest.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    for name in TESTED:
        top = root / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            # Caches of Python and of tools change while tests run.
            hidden = any(part == "__pycache__" or part.startswith(".") for part in path.relative_to(root).parts)
            if path.is_file() and not hidden:
                yield path
