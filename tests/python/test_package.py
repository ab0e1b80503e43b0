"""What every start of LAMMPS pays for having lpsmd installed."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import lpsmd


def test_the_entry_point_is_light_and_leads_to_the_plugin() -> None:
    (entry,) = metadata.entry_points(group="lammps.plugins", name="lpsmd")
    assert entry.value == "lpsmd.plugin:directory"
    code = (
        "import sys; from lpsmd.plugin import directory; print(directory()); "
        "sys.exit(int('numpy' in sys.modules or 'torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, "the entry point imports numpy or torch"
    folder = Path(done.stdout.strip())
    assert folder == Path(lpsmd.__file__).parent
    assert (folder / "lpsmdplugin.so").is_file()


def test_the_plugin_itself_needs_neither_torch_nor_lammps() -> None:
    library = Path(lpsmd.__file__).parent / "lpsmdplugin.so"
    needed = library.read_bytes()
    assert b"libtorch" not in needed
    assert b"liblammps" not in needed
