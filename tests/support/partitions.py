"""Eight replicas of two models, once as partitions of one LAMMPS and once as runs of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from lpsmd.inputs import find_lmp, lammps_environment
from support.mpirun import MPIRUN

# `number` is the partition's, or given by -var where a replica runs alone.
INPUT = """
variable      number    world 1 2 3 4 5 6 7 8
variable      model     world {models}
variable      model     index none
units         metal
atom_style    atomic
read_data     {data}
pair_style    lpsmd device cpu
pair_coeff    * * ${{model}} Li P S Cl
timestep      0.001
velocity      all create 600 ${{number}} mom yes
fix           move all nve
thermo        {steps}
thermo_style  custom step pe ke
dump          end all custom {steps} end.${{number}}.dump id xu yu zu fx fy fz
dump_modify   end sort id format float %.17g
run           {steps}
"""


def write_input(folder: Path, models: Sequence[Path], data: Path, *, steps: int) -> Path:
    """The input of both ways of running."""
    script = folder / "in.partitions"
    script.write_text(INPUT.format(models=" ".join(map(str, models)), data=data, steps=steps))
    return script


def run_partitions(script: Path, count: int) -> None:
    """All replicas as partitions."""
    _run(
        [MPIRUN, "-np", str(count), str(find_lmp()), "-partition", f"{count}x1", "-log", "none", "-plog", "none"],
        script,
    )


def start_alone(script: Path, number: int, model: Path) -> subprocess.Popen[str]:
    """One replica as a run of its own."""
    command = [str(find_lmp()), "-log", "none", "-var", "number", str(number), "-var", "model", str(model)]
    return _start(command, script)


def finish(process: subprocess.Popen[str]) -> None:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output


def _run(command: Sequence[str], script: Path) -> None:
    finish(_start(command, script))


def _start(command: Sequence[str], script: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command, "-nocite", "-screen", "none", "-in", str(script)],
        cwd=script.parent,
        env=lammps_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
