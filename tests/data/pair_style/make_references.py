"""Make the references of the pair style: forces, stress and atom energies before and after four steps, by ASE.

    PYTHONPATH=python .venv/bin/python tests/data/pair_style/make_references.py

writes {architecture}.json for nequip, mace, deepmd and lj. LAMMPS has no part in it: the steps are ASE's
velocity Verlet; the numbers of the networks are those of lpsmd.models.evaluate.LpsmdCalculator for the float64 models
of tests/data/parity (at the start they must be those of the trainer's own calculator, which stand there), and those
of lj are plain sums over pairs and images in numpy, which share nothing with the Lennard-Jones program.

The frame is the parity frame in LAMMPS' axes. Time is in LAMMPS' picoseconds: its constant mvv2e of 'units metal',
the one number taken from LAMMPS, differs from that of CODATA by 4e-7.

Each file has type_names, types, masses_amu, cell_A, positions_A, velocities_A_per_ps, timestep_ps, steps, and for
`start` and `end` positions_A, velocities_A_per_ps, energy_eV, forces_eV_per_A, virial_eV (dE/d(strain): xx, yy, zz,
yz, xz, xy), atom_energies_eV; lj also the parameters of its model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from ase.stress import full_3x3_to_voigt_6_stress

from lpsmd.models.evaluate import LpsmdCalculator, types_of
from lpsmd.models.lj import pair_sum

HERE = Path(__file__).resolve().parent
PARITY = HERE.parent / "parity"
TYPE_NAMES = ("Li", "P", "S", "Cl")
MASSES_AMU = {"Li": 6.94, "P": 30.974, "S": 32.06, "Cl": 35.45}
PS = 1.0 / math.sqrt(1.0364269e-4)  # in ASE's unit of time, sqrt(amu/eV) Angstrom
SEED, STEPS, TIMESTEP_PS, TEMPERATURE_K = 5, 4, 0.0005, 900.0
DECIMALS = 12
#: For each pair of types: cutoffs of 4.0 to 4.9 Angstrom.
LJ = {
    "epsilon_eV": (0.003 + 0.0005 * np.add.outer(np.arange(4), np.arange(4))).round(6).tolist(),
    "sigma_A": (2.1 + 0.05 * np.add.outer(np.arange(4), np.arange(4))).round(6).tolist(),
    "cutoff_A": (4.0 + 0.15 * np.add.outer(np.arange(4), np.arange(4))).round(6).tolist(),
}


class PairSum(Calculator):
    """Lennard-Jones by brute force in numpy."""

    implemented_properties: ClassVar[list[str]] = ["energy", "energies", "forces", "stress"]

    def calculate(
        self, atoms: Atoms | None = None, properties: Sequence[str] = (), system_changes: Sequence[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        parameters = {name: np.array(matrix) for name, matrix in LJ.items()}
        energies, forces, virial = pair_sum(self.atoms, types_of(self.atoms, TYPE_NAMES), **parameters)
        self.results = {
            "energy": energies.sum(),
            "energies": energies,
            "forces": forces,
            "stress": full_3x3_to_voigt_6_stress(virial / self.atoms.cell.volume),
        }


def frame_of(values: dict[str, Any]) -> Atoms:
    symbols = [values["type_names"][t] for t in values["types"]]
    return Atoms(symbols, positions=values["positions_A"], cell=values["cell_A"], pbc=True)


def check_start(architecture: str) -> None:
    """The program must say of the parity frame what the trainer's own calculator says."""
    values = json.loads((PARITY / f"{architecture}.json").read_text())
    frame = frame_of(values)
    frame.calc = LpsmdCalculator(PARITY / f"{architecture}_float64.pt")
    assert np.abs(frame.get_forces() - values["forces_eV_per_A"]).max() < 1e-8
    assert abs(frame.get_potential_energy() - values["energy_eV"]) < 1e-8 * len(frame)


def start_frame() -> Atoms:
    frame = frame_of(json.loads((PARITY / "nequip.json").read_text()))
    cell, rotation = frame.cell.standard_form()
    turned = Atoms(frame.symbols, positions=frame.positions @ rotation.T, cell=np.array(cell).round(DECIMALS), pbc=True)
    turned.wrap()
    turned.positions = turned.positions.round(DECIMALS)
    turned.set_masses([MASSES_AMU[symbol] for symbol in turned.symbols])
    MaxwellBoltzmannDistribution(turned, temperature_K=TEMPERATURE_K, rng=np.random.default_rng(SEED))
    Stationary(turned)
    turned.set_velocities((turned.get_velocities() * PS).round(DECIMALS) / PS)
    return turned


def numbers(atoms: Atoms) -> dict[str, Any]:
    arrays = {
        "positions_A": atoms.positions,
        "velocities_A_per_ps": atoms.get_velocities() * PS,
        "energy_eV": atoms.get_potential_energy(),
        "forces_eV_per_A": atoms.get_forces(),
        "virial_eV": atoms.get_stress() * atoms.cell.volume,
        "atom_energies_eV": atoms.get_potential_energies(),
    }
    return {name: np.asarray(array).round(DECIMALS).tolist() for name, array in arrays.items()}


def main() -> None:
    for architecture in ("nequip", "mace", "deepmd", "lj"):
        atoms = start_frame()
        if architecture == "lj":
            atoms.calc = PairSum()
        else:
            check_start(architecture)
            atoms.calc = LpsmdCalculator(PARITY / f"{architecture}_float64.pt")
        start = numbers(atoms)
        VelocityVerlet(atoms, TIMESTEP_PS * PS).run(STEPS)
        record = {
            "source": "ASE velocity Verlet, " + ("numpy" if architecture == "lj" else "LpsmdCalculator, float64"),
            "type_names": list(TYPE_NAMES),
            "types": types_of(atoms, TYPE_NAMES).tolist(),
            "masses_amu": [MASSES_AMU[name] for name in TYPE_NAMES],
            "cell_A": atoms.cell.array.tolist(),
            "timestep_ps": TIMESTEP_PS,
            "steps": STEPS,
            "start": start,
            "end": numbers(atoms),
            **({"lj": LJ} if architecture == "lj" else {}),
        }
        (HERE / f"{architecture}.json").write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
