"""The installation that `lpsmd doctor` looks at: its programs, its libraries, and what they answer.

The standard library only. Whatever may crash or hang is asked in a process of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lpsmd.doctor import probes
from lpsmd.doctor.check import one_line
from lpsmd.programs import Ended, find_program, interpreter_folder, run_program

#: Begins what an input prints for us.
MARK = "lpsmd-doctor"
#: An input that says which LAMMPS runs it, on how many ranks.
ASK_RANKS = (f'print "{MARK} version $(version) ranks $(extract_setting(world_size))"',)

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
        """The models that ship, smallest first."""
        files = (self.package / "demo" / "models").glob("*.pt")
        return tuple(sorted(files, key=lambda file: file.stat().st_size))
