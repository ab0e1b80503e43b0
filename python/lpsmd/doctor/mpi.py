"""MPI: the library that LAMMPS loads, and a launcher that belongs to it."""

from __future__ import annotations

import re
from pathlib import Path

from lpsmd.doctor.check import Check, failure, install_mpi, ok, one_line, reason, same_file, warning
from lpsmd.doctor.machine import ASK_RANKS, MARK, Machine
from lpsmd.doctor.plugin_and_lammps import mend_first
from lpsmd.plugin import mpi_library

#: Of the start that shows whether launcher and library belong together.
N_RANKS = 2


def check_mpi_library(machine: Machine) -> Check:
    """The libmpi that LAMMPS loads: one, and this environment's."""
    name, facts = "MPI library", machine.lammps_probe.facts
    libraries, own = facts.get("mpi_libraries", []), mpi_library()
    if not libraries:
        problem = one_line(machine.lammps_probe.problem) or "LAMMPS loads none"
        remedy = install_mpi() if "module" in facts else "mend LAMMPS first"
        return failure(name, f"no libmpi: {problem}", remedy)
    found = f"{mpi_name(facts.get('mpi_version', ''))}, {', '.join(libraries)}"
    foreign = [library for library in libraries if own is not None and not same_file(Path(library), own)]
    if len(libraries) > 1 or foreign:
        return Check(
            name=name,
            status="failure" if len(libraries) > 1 else "warning",
            found=f"{found}; needed {own or 'one'} alone",
            remedy="take the other MPI out of LD_LIBRARY_PATH and LD_PRELOAD (module unload), or " + install_mpi(),
        )
    return ok(name, found)


def check_mpirun(machine: Machine) -> Check:
    """The mpirun that is used, and the one on PATH: both must be of the MPI that LAMMPS loads."""
    name, mpirun, typed = "mpirun", machine.program("mpirun"), machine.on_path("mpirun")
    if mpirun is None:
        return failure(
            name,
            f"found neither in {machine.programs} nor on PATH",
            f"{install_mpi()}, which brings one, into this environment",
        )
    library = mpi_name(machine.lammps_probe.facts.get("mpi_version", ""))
    found = f"{mpirun}, {mpi_name(machine.mpirun_version)}"
    if not _belong_together(machine.mpirun_version, library):
        return failure(
            name,
            f"{found}, but LAMMPS loads {library}: it would start N runs of 1 rank",
            f"{install_mpi()}, and use the mpirun that it brings",
        )
    if typed is not None and not _belong_together(other := machine.version_of(typed), library):
        return warning(
            name,
            f"{found}; but the one on PATH, {typed}, is {mpi_name(other)}, and LAMMPS loads {library}",
            f"type {mpirun}, or put its folder first: export PATH={mpirun.parent}:$PATH",
        )
    return ok(name, found)


def check_ranks(machine: Machine) -> Check:
    """A start on two ranks: launcher and library of two MPIs give two runs of one rank each."""
    name, mpirun = f"mpirun -np {N_RANKS} lmp", machine.program("mpirun")
    if mpirun is None or machine.program("lmp") is None:
        missing = "mpirun" if mpirun is None else "lmp"
        found = f"not tried: there is no {missing}"
        return failure(name, found, f"mend {missing} first")
    if machine.lmp_start.problem:
        return failure(name, "not tried, since lmp does not start alone", "mend lmp first")
    ended = machine.lammps(ASK_RANKS, launcher=[mpirun, "-np", str(N_RANKS)])
    ranks = [int(n) for n in re.findall(rf"{MARK} version \d+ ranks (\d+)", ended.output)]
    if ranks == [N_RANKS] and not ended.problem:
        return ok(name, f"one run of {N_RANKS} ranks")
    library = mpi_name(machine.lammps_probe.facts.get("mpi_version", ""))
    if ranks == [1] * N_RANKS:
        found = f"{N_RANKS} runs of 1 rank each: {mpirun} does not belong to {library}, which LAMMPS loads"
    else:
        found = f"no run of {N_RANKS} ranks: {reason(ended, first=True)}"
    remedy = (
        f"use the mpirun of {library}: {install_mpi()} brings one into {machine.programs}; "
        f"inside a batch job, see that the launcher may start processes here"
    )
    return failure(name, found, mend_first(machine, remedy))


def mpi_name(version: str) -> str:
    """An MPI's name with its version, out of what the library or its mpirun prints."""
    for pattern, name in (
        (r"Open ?MPI\W+v?([\d.]+)", "Open MPI"),
        (r"Intel\(R\) MPI Library\D*([\d.]+)", "Intel MPI"),
        (r"MVAPICH\D*([\d.]+)", "MVAPICH"),
        (r"MPICH Version:\s*(\S+)", "MPICH"),
        (r"HYDRA build details:\s*Version:\s*(\S+)", "MPICH"),
    ):
        if found := re.search(pattern, version):
            return f"{name} {found.group(1)}"
    return one_line(version) or "an unknown MPI"


def _belong_together(mpirun_version: str, library: str) -> bool:
    """False where it is known that they do not: Open MPI has a launcher of its own, the others share one protocol."""
    launcher = mpi_name(mpirun_version)
    known = ("Open MPI", "Intel MPI", "MVAPICH", "MPICH")
    if not launcher.startswith(known) or not library.startswith(known):
        return True
    return launcher.startswith("Open MPI") == library.startswith("Open MPI")
