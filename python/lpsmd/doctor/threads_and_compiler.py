"""The cores that a run gets, and the compiler that a build needs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from lpsmd.doctor.check import Check, note, ok, reason, warning
from lpsmd.doctor.machine import Machine


def check_threads(machine: Machine) -> Check:
    """OMP_NUM_THREADS against the cores that this process may use."""
    name, text = "threads", machine.environment.get("OMP_NUM_THREADS")
    cores = len(os.sched_getaffinity(0))
    if text is None:
        found = f"OMP_NUM_THREADS is not set: a LAMMPS process uses 1 of {cores} cores"
        advice = f"`lpsmd run` fills the cores with replicas; for a single run, export OMP_NUM_THREADS={cores}"
        return note(name, found, advice) if cores > 1 else ok(name, found)
    if not text.strip().isdecimal() or int(text) < 1:
        found = f"OMP_NUM_THREADS is '{text}', needed a whole number from 1 on"
        return warning(name, found, f"export OMP_NUM_THREADS={cores}, or unset it")
    if int(text) > cores:
        found = f"OMP_NUM_THREADS is {text}, but this process may use {cores} cores: threads wait for each other"
        return warning(name, found, f"export OMP_NUM_THREADS={cores} or less")
    return ok(name, f"OMP_NUM_THREADS is {text}, of {cores} cores")


def check_compiler(machine: Machine) -> Check:
    """A C++ compiler: needed to build lpsmd, not to run it."""
    name = "compiler"
    word = next(iter(machine.environment.get("CXX", "").split()), "g++")
    compiler = Path(word) if "/" in word else machine.on_path(word)
    if compiler is None or not compiler.is_file():
        found = f"no {word}: only needed to build lpsmd"
        return note(name, found, "to build: Debian, apt install g++")
    with tempfile.TemporaryDirectory(prefix="lpsmd-doctor-") as folder:
        source = Path(folder) / "empty.cpp"
        source.write_text("int main() {}\n", encoding="utf-8")
        ended = machine.run([compiler, "-std=c++20", "-fsyntax-only", source])
    version = next(iter(machine.run([compiler, "--version"]).output.splitlines()), "of unknown version")
    if ended.problem:
        found = f"{compiler} ({version}) does not compile C++20: {reason(ended)}; only needed to build lpsmd"
        return note(name, found, "to build: install a compiler that knows C++20")
    return ok(name, f"{compiler}, {version}, knows C++20 (only needed to build lpsmd)")
