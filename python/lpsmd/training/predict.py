"""Energies and forces of frames by a trained checkpoint, from the trainer package's own calculator in float64.

Runs in the environment of the trainer::

    python -m lpsmd.training.predict nequip weights.ckpt frames.extxyz -o predictions.npz
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import iread

from lpsmd.models.accuracy import EnergiesAndForces


def predict(architecture: str, checkpoint: Path, frames: Sequence[Atoms]) -> EnergiesAndForces:
    """Energies and forces of frames by a checkpoint."""
    from lpsmd.models.export import load_network

    calculator = load_network(architecture, checkpoint, dtype="float64").calculator
    energies, forces = [], []
    for source in frames:
        atoms = Atoms(source.get_chemical_symbols(), positions=source.positions, cell=source.cell, pbc=source.pbc)
        atoms.calc = calculator
        energies.append(float(atoms.get_potential_energy()))
        forces.append(np.asarray(atoms.get_forces(), dtype=np.float64))
    return EnergiesAndForces(energies_eV=energies, forces_eV_per_A=forces)


def write_predictions(path: Path, found: EnergiesAndForces) -> None:
    """Write predictions as one array of energies and one of the forces of all frames."""
    np.savez(path, energies_eV=found.energies_eV, forces_eV_per_A=np.concatenate(found.forces_eV_per_A))


def read_predictions(path: Path, frames: Sequence[Atoms]) -> EnergiesAndForces:
    """Read predictions for these frames."""
    with np.load(path) as stored:
        ends = np.cumsum([len(atoms) for atoms in frames])
        forces = np.split(stored["forces_eV_per_A"], ends[:-1])
        return EnergiesAndForces(energies_eV=stored["energies_eV"].tolist(), forces_eV_per_A=forces)


def main() -> None:
    """Entry point of `python -m lpsmd.training.predict`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("architecture")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("frames", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    found = predict(arguments.architecture, arguments.checkpoint, list(iread(arguments.frames)))
    write_predictions(arguments.output, found)


if __name__ == "__main__":
    main()
