"""The `lmp` command on several MPI ranks, and numbers of several simulations out of one start of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from support.simulation import run_lmp

#: mpirun itself ends its ranks after this; killing mpirun would leave them behind. What runs takes some seconds.
TIMEOUT_S = 60


def run_lmp_on(
    n_ranks: int, commands: Sequence[str], folder: Path, *, arguments: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """The `lmp` command on one rank as it is, on more under mpirun; it must not have run into its time limit."""
    if n_ranks == 1:
        return run_lmp(commands, folder)
    mpirun = str(Path(sys.executable).parent / "mpirun")
    done = run_lmp(
        commands,
        folder,
        launcher=[mpirun, "-np", str(n_ranks)],
        environment={"MPIEXEC_TIMEOUT": str(TIMEOUT_S)},
        arguments=arguments,
    )
    assert "TIMED OUT" not in done.stdout, f"{n_ranks} ranks hang:\n{done.stdout}"
    return done


def numbers_of(
    simulations: Mapping[str, Sequence[str]], printed: Sequence[str], folder: Path, *, n_ranks: int
) -> dict[str, np.ndarray]:
    """For each simulation, `clear` and its commands, which end with a run: the values of `printed`, to 17 digits.

    `printed` are thermo keywords and computes' elements; each must be current after the run.
    """
    found = folder / "numbers"
    commands = []
    for name, own in simulations.items():
        commands += ["clear", *own]
        commands.append(f'print "{name} ' + " ".join(f"$({value}:%.17g)" for value in printed) + f'" append {found}')
    done = run_lmp_on(n_ranks, commands, folder)
    assert done.returncode == 0, done.stdout
    lines = [line.split() for line in found.read_text().splitlines()]
    return {words[0]: np.array(words[1:], dtype=np.float64) for words in lines}
