"""Memory of a long run: what the plugin holds after 10,000 steps is what it holds after 100,000."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lpsmd.inputs import lammps_environment
from support.models import lj_model
from support.mpirun import MPIRUN
from support.parity import PARITY
from support.simulation import TYPE_NAMES
from tolerances import MEMORY_GROWTH_MIB

# Atoms move far enough for a new neighbour list, and so a new graph, every few steps.
PROGRAM = """
import sys
from lammps import lammps

def resident_KiB():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1])

model, first, more = sys.argv[1], *map(int, sys.argv[2:])
lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
lmp.commands_string(f'''
units metal
lattice sc 3.0
region box block 0 3 0 3 0 3
create_box 4 box
create_atoms 1 box
set group all type/fraction 2 0.3 1
set group all type/fraction 3 0.3 2
mass 1 6.94
mass 2 30.97
mass 3 32.06
mass 4 35.45
pair_style lpsmd device cpu
pair_coeff * * {model} Li P S Cl
neighbor 0.3 bin
timestep 0.002
velocity all create 300 1
fix move all nve/limit 0.1
fix heat all langevin 300 300 0.1 7
compute energies all pe/atom
compute virials all stress/atom NULL
compute sums all reduce sum c_energies c_virials[1]
thermo 100
thermo_style custom step pe c_sums[1] c_sums[2]
run {first}
''')
before = resident_KiB()
lmp.command(f"run {more}")
growth = resident_KiB() - before
print(f"growth_KiB={growth}\\n", end="", flush=True)
lmp.close()
lmp.finalize()
"""


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(("architecture", "steps"), [("lj", 100_000), ("nequip", 3_000)])
def test_memory_is_flat(architecture: str, steps: int, ranks: int, tmp_path: Path) -> None:
    model = lj_model(tmp_path / "lj.pt", TYPE_NAMES) if architecture == "lj" else PARITY / "nequip_float32.pt"
    done = subprocess.run(
        [MPIRUN, "-np", str(ranks), sys.executable, "-c", PROGRAM, str(model), str(steps // 10), str(steps * 9 // 10)],
        env=lammps_environment(),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    growths = [int(number) for number in re.findall(r"growth_KiB=(-?\d+)", done.stdout)]
    assert len(growths) == ranks, done.stdout
    print(f"{architecture}, {ranks} rank(s): {growths} KiB in {steps * 9 // 10} steps")
    assert max(growths) < 1024 * MEMORY_GROWTH_MIB
