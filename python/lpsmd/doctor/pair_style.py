"""The pair style: its library with the torch that it gets, and one energy in LAMMPS."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lpsmd import __version__
from lpsmd.doctor.check import AGAIN, Check, failure, ok, one_line, reason, same_file, warning
from lpsmd.doctor.machine import MARK, Machine
from lpsmd.doctor.packages import pinned, torch_folder


def check_pair_library(machine: Machine) -> Check:
    """liblpsmd_pair.so with all that it needs, and the torch that it gets."""
    name, library, needed = "pair library", machine.package / "liblpsmd_pair.so", machine.built_for.get("torch")
    if not library.is_file():
        return failure(name, f"{library} is missing", AGAIN)
    probe = machine.probe("pair_library", library)
    facts, problem = probe.facts, one_line(probe.problem)
    if not facts.get("lammps_loads"):
        found = f"not tried, since LAMMPS does not load: {problem}"
        return failure(name, found, "mend LAMMPS first")
    if not facts.get("loads"):
        found = f"{library} ({library.stat().st_size} bytes) does not load: {problem}"
        install = f"pip install {pinned('torch', needed)} beside lpsmd, or {AGAIN}"
        return failure(name, found, install)
    if not facts["create"] or "torch_loaded" not in facts:
        found = f"{library} is no pair library of lpsmd {__version__} {problem}".rstrip()
        return failure(name, found, AGAIN)
    return _judge_torch(name, facts, needed)


def _judge_torch(name: str, facts: Mapping[str, Any], needed: str | None) -> Check:
    """Say whether the torch that the pair library was loaded with is the right one, and this environment's."""
    version, torch = facts["torch_loaded"], torch_folder()
    libraries = [Path(library) for library in facts["torch_libraries"]]
    found = f"loads, with torch {version} from {', '.join(str(library.parent) for library in libraries)}"
    if needed and version != needed:
        return failure(
            name,
            f"{found}; it was built for torch {needed}",
            f"pip install {pinned('torch', needed)}, and take any other torch out of LD_LIBRARY_PATH and LD_PRELOAD",
        )
    if torch is not None and any(not same_file(library.parent, torch / "lib") for library in libraries):
        return warning(
            name,
            f"{found}; Python's torch is in {torch}",
            "take the other torch out of LD_LIBRARY_PATH and LD_PRELOAD, or install lpsmd again beside this one",
        )
    return ok(name, found)


def check_pair_style(machine: Machine) -> Check:
    """One energy in LAMMPS: the reference frame of a shipped model, against the number in its passport."""
    name = "pair_style lpsmd"
    facts = machine.lammps_probe.facts
    if not facts.get("has_style", True):
        return failure(
            name,
            f"LAMMPS does not know it: it loaded {one_line(', '.join(facts['plugins'])) or 'no lpsmdplugin.so'}",
            "install lpsmd with pip into the environment of this LAMMPS, or export "
            f"LAMMPS_PLUGIN_PATH={machine.package}",
        )
    if machine.lmp_start.problem:
        return failure(name, "not tried, since lmp does not start", "mend lmp first")
    if not machine.shipped_models:
        found = f"not tried: there is no model in {machine.package / 'demo' / 'models'}"
        return failure(name, found, AGAIN)
    check, own = _run_reference(name, machine, machine.shipped_models[0]), machine.package / "lpsmdplugin.so"
    plugins = facts.get("plugins", [])
    if check.status == "ok" and plugins and not any(same_file(Path(plugin), own) for plugin in plugins):
        return warning(
            name,
            f"{check.found}; but LAMMPS takes it from {', '.join(plugins)}, not from {own}",
            "keep one lpsmd in this environment: look at PYTHONPATH and at `pip show -f lpsmd`",
        )
    return check


def _run_reference(name: str, machine: Machine, model: Path) -> Check:
    from lpsmd.models.contract import SELF_TEST, read_passport
    from lpsmd.structure import Structure, lammps_data

    passport = read_passport(model)
    frame = passport.reference
    cell = Structure(
        elements=passport.type_names,
        types=frame.types,
        positions_A=frame.positions_A,
        cell_A=frame.cell_A,
        title=f"reference frame of {model.stem}",
    )
    with tempfile.TemporaryDirectory(prefix="lpsmd-doctor-") as folder:
        data = Path(folder) / "cell.data"
        data.write_text(lammps_data(cell), encoding="utf-8")
        ended = machine.lammps(
            [
                "units metal",
                "atom_style atomic",
                "pair_style lpsmd device auto",
                f"read_data {data}",
                f"pair_coeff * * {model} {' '.join(passport.type_names)}",
                "run 0",
                f'print "{MARK} energy $(pe:%.12g)"',
            ]
        )
    answer = re.search(rf"^{MARK} energy (\S+)$", ended.output, flags=re.MULTILINE)
    if answer is None:
        return failure(
            name,
            f"a calculation with {model.stem} stops: {reason(ended)}",
            "do what the message says; if it names no remedy, mend the failures above first",
        )
    n_atoms, energy = len(frame.types), float(answer.group(1))
    off, allowed = abs(energy - frame.energy_eV) / n_atoms, SELF_TEST[passport.dtype].energy_eV_per_atom
    found = f"{model.stem}, {n_atoms} atoms: {energy:.6f} eV, {off:.1e} eV/atom from its passport"
    if not off <= allowed:  # negated, so that NaN fails
        found += f", allowed {allowed:.0e}"
        return failure(name, found, f"run nothing with it: {AGAIN}")
    where = re.search(r"message-passing layer\(s\), on (.*?);", ended.output)
    return ok(name, found + (f", on {where.group(1)}" if where else ""))
