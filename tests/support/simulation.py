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
    """Energies in eV, forces in eV/Angstrom, virial dE/d(strain) in eV, in the order and axes of the Atoms."""

    energy: float
    forces: np.ndarray
    virial: np.ndarray
    atom_energies: np.ndarray


class Simulation:
    """One LAMMPS instance holding one structure, rotated into LAMMPS' axes."""

    def __init__(self, lmp: Any, atoms: Atoms, type_names: Sequence[str]) -> None:
        self.lmp = lmp
        self.atoms = atoms.copy()
        if any(atoms.pbc):
            self.atoms.wrap()
        self.type_names = tuple(type_names)
        standard, self._rotation = self.atoms.cell.standard_form()
        self._define_box(np.asarray(standard))
        for n, name in enumerate(self.type_names, start=1):
            lmp.command(f"mass {n} {atomic_masses[atomic_numbers[name]]:.6f}")
        types = [self.type_names.index(s) + 1 for s in self.atoms.get_chemical_symbols()]
        rotated = self.atoms.positions @ self._rotation.T
        made = lmp.create_atoms(len(atoms), list(range(1, len(atoms) + 1)), types, rotated.ravel().tolist())
        assert made == len(atoms)

    def _define_box(self, cell: np.ndarray) -> None:
        boundary = " ".join("p" if periodic else "f" for periodic in self.atoms.pbc)
        self.lmp.commands_list(
            [
                "units metal",
                "atom_style atomic",
                f"boundary {boundary}",
                "box tilt large",
                f"region cell prism 0 {cell[0, 0]:.16g} 0 {cell[1, 1]:.16g} 0 {cell[2, 2]:.16g} "
                f"{cell[1, 0]:.16g} {cell[2, 0]:.16g} {cell[2, 1]:.16g} units box",
                f"create_box {len(self.type_names)} cell",
            ]
        )

    def use_model(self, path: Path, *, device: str = "cpu") -> None:
        self.lmp.command(f"pair_style lpsmd device {device}")
        self.lmp.command(f"pair_coeff * * {path} {' '.join(self.type_names)}")

    def compute(self) -> Computed:
        """Energy, forces, virial and per-atom energies after `run 0`."""
        self.lmp.commands_list(
            [
                "compute atom_energy all pe/atom",
                "compute stress all pressure NULL virial",
                "compute atom_total all reduce sum c_atom_energy",
                "thermo_style custom step pe c_atom_total c_stress[1]",
                "run 0",
            ]
        )
        order = np.argsort(self.lmp.numpy.extract_atom("id")[: len(self.atoms)])
        forces = self.lmp.numpy.extract_atom("f")[: len(self.atoms)][order] @ self._rotation
        energies = np.array(self.lmp.numpy.extract_compute("atom_energy", 1, 1)[: len(self.atoms)][order])
        xx, yy, zz, xy, xz, yz = self.lmp.numpy.extract_compute("stress", 0, 1)
        pressure = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        virial = -pressure * self.lmp.get_thermo("vol") / BAR_A3_PER_EV
        energy = float(self.lmp.get_thermo("pe"))
        self.lmp.commands_list(
            ["uncompute atom_total", "uncompute atom_energy", "thermo_style one", "uncompute stress"]
        )
        return Computed(energy, np.array(forces), self._rotation.T @ virial @ self._rotation, energies)


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
) -> subprocess.CompletedProcess[str]:
    """The `lmp` command as a user would start it; stdout and stderr together."""
    script = folder / "in.test"
    script.write_text("\n".join(commands) + "\n")
    return subprocess.run(
        [*launcher, str(find_lmp()), "-in", str(script), "-log", "none", "-nocite", *arguments],
        cwd=folder,
        env={**lammps_environment(), **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
