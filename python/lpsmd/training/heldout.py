"""Errors of a trained checkpoint on the held-out DFT frames, by the trainer package's own calculator.

Runs in the environment of the trainer, where lpsmd is linked in::

    python -m lpsmd.training.heldout nequip last.ckpt --functional PBE -o held_out.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from lpsmd.training.data import ENERGY_KEY, FORCES_KEY, FUNCTIONALS, pick, read_dft, split_geometries


def rms(values: NDArray[np.float64]) -> float:
    """Root of the mean square of all components."""
    return float(np.sqrt(np.mean(np.square(values))))


def summarize(
    frames: Sequence[Atoms],
    energies_eV: NDArray[np.float64],
    forces_eV_per_A: Sequence[NDArray[np.float64]],
) -> dict[str, Any]:
    """Compare predictions with the labels of `frames`.

    Parameters
    ----------
    frames
        Labelled frames, of one composition.
    energies_eV
        Predicted energies, shape [frames].
    forces_eV_per_A
        Predicted forces, [atoms, 3] for each frame.

    Returns
    -------
    dict
        Force rms error beside the rms of predicting zero, the same for each group of frames and each
        element, and the energy rms error as it is, after the best constant shift, and of predicting the
        mean energy.
    """
    labels = [atoms.arrays[FORCES_KEY] for atoms in frames]
    errors = [found - wanted for found, wanted in zip(forces_eV_per_A, labels, strict=True)]
    offsets = (energies_eV - np.array([atoms.info[ENERGY_KEY] for atoms in frames])) / len(frames[0])
    wanted = np.array([atoms.info[ENERGY_KEY] for atoms in frames]) / len(frames[0])
    groups = [str(atoms.info["group"]) for atoms in frames]
    symbols = np.concatenate([atoms.get_chemical_symbols() for atoms in frames])
    flat_errors, flat_labels = np.concatenate(errors), np.concatenate(labels)
    return {
        "frames": len(frames),
        "force_rms_eV_per_A": rms(flat_errors),
        "zero_force_rms_eV_per_A": rms(flat_labels),
        "energy_rms_eV_per_atom": rms(offsets),
        "energy_rms_after_constant_shift_eV_per_atom": rms(offsets - offsets.mean()),
        "mean_energy_rms_eV_per_atom": rms(wanted - wanted.mean()),
        "by_group": {
            group: {
                "frames": groups.count(group),
                "force_rms_eV_per_A": rms(
                    np.concatenate([e for e, g in zip(errors, groups, strict=True) if g == group])
                ),
                "zero_force_rms_eV_per_A": rms(
                    np.concatenate([f for f, g in zip(labels, groups, strict=True) if g == group])
                ),
            }
            for group in sorted(set(groups))
        },
        "by_element": {
            name: {
                "force_rms_eV_per_A": rms(flat_errors[symbols == name]),
                "zero_force_rms_eV_per_A": rms(flat_labels[symbols == name]),
            }
            for name in sorted(set(symbols.tolist()))
        },
    }


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
    return {"part": part, **summarize(frames, np.array(energies), forces)}


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
