"""Structures computed by LAMMPS on several MPI ranks: one mpirun for many of them, for starting it takes seconds."""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from support.mpirun import run_python_on
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
    done = run_python_on(n_ranks, "support.rank_worker", str(folder), timeout_s=TIMEOUT_S)
    if done.returncode != 0:
        raise RanksError(_report(done, folder, n_ranks))
    return {task.name: _read(folder / f"{task.name}.npz") for task in tasks}


def _report(done: subprocess.CompletedProcess[str], folder: Path, n_ranks: int) -> str:
    log = folder / "log.lammps"
    lines = log.read_text().splitlines() if log.is_file() else ["there is none"]
    end = "\n".join(lines[-_LOG_LINES:])
    return f"{n_ranks} ranks: exit {done.returncode}\n{done.stdout}\nEnd of LAMMPS' log:\n{end}"


def _read(path: Path) -> Computed:
    with np.load(path) as arrays:
        values = {name: arrays[name] for name in arrays.files}
    return Computed(**{**values, "energy": float(values["energy"])})
