"""Errors of a trained checkpoint on the held-out DFT frames, by the trainer package's own calculator.

Runs in the environment of the trainer, where lpsmd is linked in::

    python -m lpsmd.training.heldout nequip last.ckpt --functional PBE -o held_out.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from lpsmd.models.accuracy import EnergiesAndForces, errors_of
from lpsmd.training.data import FUNCTIONALS, labels_of, pick, read_dft, split_geometries


def evaluate(architecture: str, checkpoint: Path, *, functional: str, part: str = "held_out") -> dict[str, Any]:
    """Errors of one checkpoint on one part ("held_out", "validation", "train") of the DFT frames."""
    from lpsmd.models.export import load_network

    calculator = load_network(architecture, checkpoint, dtype="float64").calculator
    split = split_geometries(read_dft("PBE"), read_dft("HSE06"))
    frames = pick(read_dft(functional), getattr(split, part))
    energies, forces = [], []
    for source in frames:
        atoms = Atoms(source.get_chemical_symbols(), positions=source.positions, cell=source.cell, pbc=True)
        atoms.calc = calculator
        energies.append(float(atoms.get_potential_energy()))
        forces.append(np.asarray(atoms.get_forces(), dtype=float))
    found = EnergiesAndForces(energies_eV=energies, forces_eV_per_A=forces)
    return {"part": part, **errors_of(frames, found, labels_of(frames))}


def main() -> None:
    """Entry point of `python -m lpsmd.training.heldout`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("architecture")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--functional", choices=FUNCTIONALS, required=True)
    parser.add_argument("--part", choices=["held_out", "validation", "train"], default="held_out")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    result = evaluate(
        arguments.architecture,
        arguments.checkpoint,
        functional=arguments.functional,
        part=arguments.part,
    )
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
