"""Structures computed by LAMMPS on several MPI ranks: one mpirun for many of them, for starting it takes seconds."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from lpsmd.inputs import lammps_environment
from support.simulation import Computed

#: For all tasks of one mpirun. Twelve on 4 ranks take about half a minute on 2 cores, and did 70 s with those cores
#: under a load of 13.
TIMEOUT_S = 300
_LOG_LINES = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A structure, a model file, and how LAMMPS is to hold it; see `support.simulation.Simulation`."""

    name: str
    atoms: Atoms
    model: Path
    newton: bool = True
    boundary: str | None = None
    processors: str | None = None


class RanksError(Exception):
    """mpirun failed; the text has its output and the end of LAMMPS' log."""


def compute_on_ranks(tasks: Sequence[Task], *, n_ranks: int, folder: Path) -> dict[str, Computed]:
    """What LAMMPS computes for each task, by its name; files and the log stay in the folder.

    Raises
    ------
    RanksError
        If any of them fails, with the log.
    """
    (folder / "tasks.pickle").write_bytes(pickle.dumps(list(tasks)))
    command = [str(Path(sys.executable).parent / "mpirun"), "-np", str(n_ranks)]
    done = subprocess.run(
        [*command, sys.executable, "-m", "support.rank_worker", str(folder)],
        env=_environment(n_ranks),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RanksError(_report(done, folder, n_ranks))
    return {task.name: _read(folder / f"{task.name}.npz") for task in tasks}


def _environment(n_ranks: int) -> dict[str, str]:
    tests = str(Path(__file__).parent.parent)
    path = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
    # mpirun itself ends the ranks: killing mpirun would leave them behind.
    environment = {**lammps_environment(), "PYTHONPATH": path, "MPIEXEC_TIMEOUT": str(TIMEOUT_S)}
    if n_ranks > len(os.sched_getaffinity(0)):
        # Ranks that share a core wait for messages in shared memory by spinning, and through sockets without: for 4
        # ranks on 2 cores 2 s instead of 9 s.
        environment["MPIR_CVAR_NOLOCAL"] = "1"
    return environment


def _report(done: subprocess.CompletedProcess[str], folder: Path, n_ranks: int) -> str:
    log = folder / "log.lammps"
    lines = log.read_text().splitlines() if log.is_file() else ["there is none"]
    end = "\n".join(lines[-_LOG_LINES:])
    return f"{n_ranks} ranks: exit {done.returncode}\n{done.stdout}\nEnd of LAMMPS' log:\n{end}"


def _read(path: Path) -> Computed:
    with np.load(path) as arrays:
        values = {name: arrays[name] for name in arrays.files}
    return Computed(**{**values, "energy": float(values["energy"])})
