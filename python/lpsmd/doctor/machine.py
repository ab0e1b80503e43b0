"""The installation that `lpsmd doctor` looks at: its programs, its libraries, and what pip has on record.

The standard library only. Whatever may crash or hang is asked in a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from lpsmd.doctor import probes
from lpsmd.programs import Ended, find_program, interpreter_folder, run_program

#: Begins what an input prints for us.
MARK = "lpsmd-doctor"
#: An input that says which LAMMPS runs it, on how many ranks.
ASK_RANKS = (f'print "{MARK} version $(version) ranks $(extract_setting(world_size))"',)

_LONGEST_TEXT = 400
# The loader's word on a preloaded library that is not there, in front of every program's own words.
_LOADER_COMPLAINT = re.compile(r"^ERROR: ld\.so: object .* cannot be preloaded .*\n", flags=re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a process with a question answered before it ended, and how it ended ("" if well)."""

    answers: tuple[dict[str, Any], ...]
    problem: str

    @cached_property
    def facts(self) -> dict[str, Any]:
        """All answers together; a later one wins over an earlier one."""
        return {name: value for answer in self.answers for name, value in answer.items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Machine:
    """An installation and the environment that programs are started in. What is asked of it is asked once.

    Parameters
    ----------
    package
        Folder of lpsmd, with the plugin and the shipped models in it.
    programs
        Folder where lmp and mpirun are looked for before PATH.
    environment
        Of every program that is started.
    models
        Model files, or names of shipped ones; none: all shipped ones.
    timeout_s
        Of every program that is started.
    """

    package: Path = Path(__file__).resolve().parents[1]
    programs: Path = field(default_factory=interpreter_folder)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    models: tuple[str, ...] = ()
    timeout_s: float = 60.0

    def program(self, name: str) -> Path | None:
        """A program beside the interpreter, else on PATH."""
        return find_program(name, beside=self.programs, path=self._path)

    def on_path(self, name: str) -> Path | None:
        """What a user starts who types the name."""
        found = shutil.which(name, path=self._path)
        return None if found is None else Path(found)

    @property
    def _path(self) -> str:
        return self.environment.get("PATH", os.defpath)

    def run(self, command: Sequence[str | Path], *, folder: Path | None = None) -> Ended:
        """Run a program in this environment, for no longer than the time limit."""
        ended = run_program(command, environment=self.environment, timeout_s=self.timeout_s, folder=folder)
        return replace(ended, output=_LOADER_COMPLAINT.sub("", ended.output))

    def lammps(self, commands: Iterable[str], *, launcher: Sequence[str | Path] = ()) -> Ended:
        """Run an input with the `lmp` command, in a folder that is gone afterwards."""
        lmp = self.program("lmp")
        if lmp is None:
            return Ended(output="", problem="there is no lmp to start")
        with tempfile.TemporaryDirectory(prefix="lpsmd-doctor-") as name:
            script = Path(name) / "in.doctor"
            script.write_text("\n".join(commands) + "\n", encoding="utf-8")
            command = [*launcher, lmp, "-in", script, "-log", "none", "-nocite"]
            return self.run(command, folder=Path(name))

    def probe(self, name: str, *arguments: str | Path) -> Probe:
        """Ask a question of `probes.py` in a process of its own."""
        # -P: the folder of lpsmd's modules must not be searched for other people's.
        ended = self.run([sys.executable, "-P", probes.__file__, name, *arguments])
        answers = []
        for line in ended.output.splitlines():
            if line.startswith(probes.MARK):
                answers.append(json.loads(line.removeprefix(probes.MARK)))
        problem = ended.problem
        if problem:
            said = [line for line in ended.output.splitlines() if line.strip() and not line.startswith(probes.MARK)]
            # The last line of a traceback says it all; a crash says nothing.
            problem = said[-1].strip() if problem.startswith("exit code") and said else problem
        return Probe(answers=tuple(answers), problem=problem)

    @cached_property
    def plugin_probe(self) -> Probe:
        """Answers of lpsmdplugin.so."""
        return self.probe("plugin", self.package / "lpsmdplugin.so")

    @property
    def built_for(self) -> dict[str, Any]:
        """What the plugin says it was built for; empty where it says nothing."""
        return dict(self.plugin_probe.facts.get("build", {}))

    @cached_property
    def lammps_probe(self) -> Probe:
        """Answers of LAMMPS."""
        return self.probe("lammps")

    @cached_property
    def lmp_start(self) -> Ended:
        """The `lmp` command, started alone."""
        return self.lammps(ASK_RANKS)

    @cached_property
    def torch_probe(self) -> Probe:
        """Answers of torch."""
        return self.probe("torch")

    @cached_property
    def mpirun_version(self) -> str:
        """First line of what the mpirun that is used says of itself."""
        return "" if (mpirun := self.program("mpirun")) is None else self.version_of(mpirun)

    def version_of(self, program: Path) -> str:
        """What a program prints for --version, in one line."""
        ended = self.run([program, "--version"])
        return one_line(ended.output) if not ended.problem else f"{program} --version: {ended.problem}"

    @cached_property
    def shipped_models(self) -> tuple[Path, ...]:
        """The demonstration models, smallest first."""
        files = (self.package / "demo" / "models").glob("*.pt")
        return tuple(sorted(files, key=lambda file: file.stat().st_size))


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A package that lpsmd requires: as pip writes it, its name, its limits as (operator, version)."""

    text: str
    package: str
    limits: tuple[tuple[str, str], ...]

    @property
    def installed(self) -> str:
        """The version that is installed, "" if none is."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return ""

    @property
    def fulfilled(self) -> bool:
        """True if a version within the limits is installed."""
        found = version_numbers(self.installed)
        return bool(found) and all(
            found == version_numbers(limit) if operator == "==" else found >= version_numbers(limit)
            for operator, limit in self.limits
        )


def requirements() -> list[Requirement]:
    """What pip's record of lpsmd says that it requires, extras left out; empty where there is no record."""
    try:
        texts = metadata.requires("lpsmd") or []
    except metadata.PackageNotFoundError:
        return []
    return [
        Requirement(text=text, package=name.group(0), limits=tuple(re.findall(r"(==|>=)\s*([\d.]+)", text)))
        for text in texts
        if ";" not in text and (name := re.match(r"[\w.-]+", text))
    ]


def required_python() -> str:
    """The versions of Python that lpsmd takes, "" where pip has no record of it."""
    try:
        return str(metadata.metadata("lpsmd")["Requires-Python"])
    except (metadata.PackageNotFoundError, KeyError):
        return ""


def pinned(package: str, version: str | None = None) -> str:
    """A package with the version that lpsmd requires, else the one given, as an argument of pip."""
    text = next((each.text for each in requirements() if each.package == package), None)
    return f"'{text or (f'{package}=={version}' if version else package)}'"


def version_numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, up to the first that is none: 2.13.0+cpu is 2.13.0."""
    plain = re.match(r"[\d.]*", version)
    return tuple(int(part) for part in (plain.group(0) if plain else "").split(".") if part)


def torch_folder() -> Path | None:
    """Where Python finds torch, without importing it."""
    try:
        found = importlib.util.find_spec("torch")
    except ImportError:  # from an importer that forbids it
        return None
    return None if found is None or found.origin is None else Path(found.origin).parent


def one_line(text: str) -> str:
    """Any text as one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 3] + "..."
