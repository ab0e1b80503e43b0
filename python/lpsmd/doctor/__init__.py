"""What `lpsmd doctor` looks at: every part that a run needs, each with its remedy where it is not as it must be.

The standard library only, so that it works where anything else is missing. A check that raises is a failure of that
check. What is needed comes from the installation itself: from the plugin, which says what it was built for, and from
pip's records.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from lpsmd import __version__
from lpsmd.doctor.check import MEND_PYTHON, STATUSES, Check, failure, install_missing, one_line
from lpsmd.doctor.machine import Machine
from lpsmd.doctor.models import check_models
from lpsmd.doctor.mpi import N_RANKS, check_mpi_library, check_mpirun, check_ranks, mpi_name
from lpsmd.doctor.packages import requirements
from lpsmd.doctor.pair_style import check_pair_library, check_pair_style
from lpsmd.doctor.plugin_and_lammps import check_lammps, check_lmp, check_plugin
from lpsmd.doctor.python_and_environment import check_environment, check_packages, check_python
from lpsmd.doctor.threads_and_compiler import check_compiler, check_threads
from lpsmd.doctor.torch_and_cuda import check_cuda, check_torch
from lpsmd.programs import NO_END

__all__ = ["CHECKS", "STATUSES", "Check", "Machine", "examine", "versions"]

#: All checks in the order in which what they find should be mended.
CHECKS: tuple[tuple[str, Callable[[Machine], Check | Iterable[Check]]], ...] = (
    ("Python", check_python),
    ("Python packages", check_packages),
    ("environment", check_environment),
    ("plugin", check_plugin),
    ("LAMMPS", check_lammps),
    ("lmp", check_lmp),
    ("MPI library", check_mpi_library),
    ("mpirun", check_mpirun),
    (f"mpirun -np {N_RANKS} lmp", check_ranks),
    ("torch", check_torch),
    ("CUDA", check_cuda),
    ("pair library", check_pair_library),
    ("pair_style lpsmd", check_pair_style),
    ("models", check_models),
    ("threads", check_threads),
    ("compiler", check_compiler),
)


def examine(machine: Machine, *, on_start: Callable[[str], None] = lambda name: None) -> Iterator[Check]:
    """Make all checks, in the order in which to mend what they find; each comes as soon as it is made.

    Parameters
    ----------
    machine
        What to look at.
    on_start
        Told the name of each check that begins.
    """
    for name, look in CHECKS:
        on_start(name)
        start = time.perf_counter()
        try:
            looked = look(machine)
            for check in [looked] if isinstance(looked, Check) else looked:
                seconds = check.seconds or time.perf_counter() - start
                yield replace(_patient(check), seconds=seconds)
                start = time.perf_counter()
        except ImportError as error:
            yield failure(name, f"not made: {one_line(str(error))}", install_missing(str(error), MEND_PYTHON))
        except Exception as error:
            yield failure(
                name,
                f"the check itself failed: {type(error).__name__}: {one_line(str(error))}",
                "tell the developers of lpsmd, with the output of `lpsmd doctor --json`",
            )


def _patient(check: Check) -> Check:
    """A program that came to no end may only be slow: say so too."""
    if check.status != "failure" or NO_END not in check.found:
        return check
    return replace(check, remedy=f"first try a longer `lpsmd doctor --timeout`; then: {check.remedy}")


def versions(machine: Machine) -> dict[str, Any]:
    """Versions of everything that a run depends on; None where it does not say."""
    lammps, torch = machine.lammps_probe.facts, machine.torch_probe.facts
    return {
        "lpsmd": __version__,
        "built_for": machine.built_for,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libc": " ".join(platform.libc_ver()),
        "cores": len(os.sched_getaffinity(0)),
        "lammps": lammps.get("version"),
        "lammps_packages": lammps.get("packages"),
        "mpi": mpi_name(lammps["mpi_version"]) if "mpi_version" in lammps else None,
        "mpirun": mpi_name(machine.mpirun_version) if machine.mpirun_version else None,
        "torch": torch.get("version"),
        "torch_cuda": torch.get("cuda"),
        "cuda_devices": torch.get("devices"),
        "packages": {each.package: each.installed or None for each in requirements()},
    }
