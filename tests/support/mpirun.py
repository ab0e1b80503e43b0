"""Programs on several MPI ranks, and numbers of several simulations out of one start of `lmp`."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from lpsmd.inputs import lammps_environment
from support.simulation import run_lmp

MPIRUN = str(Path(sys.executable).parent / "mpirun")
#: mpirun itself ends its ranks after this; killing mpirun would leave them behind. What runs takes some seconds.
TIMEOUT_S = 120


def run_lmp_on(
    n_ranks: int,
    commands: Sequence[str],
    folder: Path,
    *,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """The `lmp` command on one rank as it is, on more under mpirun; it must not have run into its time limit."""
    if n_ranks == 1:
        return run_lmp(commands, folder, arguments=arguments, environment=dict(environment or {}))
    done = run_lmp(
        commands,
        folder,
        launcher=_launcher(n_ranks),
        environment={**(environment or {}), **_environment(n_ranks, TIMEOUT_S)},
        arguments=arguments,
    )
    return _in_time(done)


def run_python_on(
    n_ranks: int, module: str, *arguments: str, timeout_s: int = TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    """A module of the tests, under mpirun; see `as_rank` for what the module does."""
    tests = str(Path(__file__).parent.parent)
    path = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [*_launcher(n_ranks), sys.executable, "-m", module, *arguments],
        env={**lammps_environment(), "PYTHONPATH": path, **_environment(n_ranks, timeout_s)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return _in_time(done)


def as_rank(main: Callable[[Path], None]) -> None:
    """Run `main` on the folder that the command line names, as one of the ranks."""
    try:
        main(Path(sys.argv[1]))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        # Without MPI_Finalize, in which this rank would wait for others that wait for it: mpirun ends them all.
        os._exit(1)


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


def _launcher(n_ranks: int) -> list[str]:
    return [MPIRUN, "-np", str(n_ranks)]


def _environment(n_ranks: int, timeout_s: int) -> dict[str, str]:
    environment = {"MPIEXEC_TIMEOUT": str(timeout_s)}
    if n_ranks > len(os.sched_getaffinity(0)):
        # Ranks that share a core wait for messages in shared memory by spinning, and through sockets without: for 4
        # ranks on 2 cores 2 s instead of 9 s.
        environment["MPIR_CVAR_NOLOCAL"] = "1"
    return environment


def _in_time(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert "APPLICATION TIMED OUT" not in done.stdout, f"the ranks hang:\n{done.stdout}"
    return done
