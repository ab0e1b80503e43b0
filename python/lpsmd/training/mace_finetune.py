"""`mace_run_train` from given weights: a stage before, or a foundation model.

The per-type energies that the new labels need with this network are found first: those that it has, and the error of
its energies on the training frames, shared out as `lpsmd.training.data.shared_out_eV` does it. A foundation model
counts its energies from other references than the labels, and HSE06 from others than PBE; without the change, the
network would have to make up for electronvolts. Runs in the environment of the trainer, with the arguments of
mace_run_train::

    python -m lpsmd.training.mace_finetune --foundation_model=pbe.model --train_file=train.extxyz ...
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.data import chemical_symbols
from ase.io import iread

from lpsmd.training.data import ENERGY_KEY, TrainingError, moved_shifts_eV


def value_of(arguments: list[str], name: str) -> str:
    """The last value of `--name=value`."""
    return next(text.split("=", 1)[1] for text in reversed(arguments) if text.startswith(f"--{name}="))


def read_network(model: Path) -> Any:
    """The network in a model file of MACE.

    Raises
    ------
    TrainingError
        If the file is none.
    """
    import torch

    try:
        network = torch.load(model, map_location="cpu", weights_only=False)
        network.atomic_energies_fn  # noqa: B018 what other models and checkpoints do not have
    except Exception as error:  # torch's reader raises anything
        raise TrainingError(f"{model}: no model of MACE can be read there: {error}; take its .model file") from error
    return network


def with_energies_for(model: Path, frames: list[Atoms], target: Path) -> dict[int, float]:
    """Write a copy of a MACE model with the per-type energies that the frames need; return those of their elements.

    Raises
    ------
    TrainingError
        If the model has no type for an element of the frames.
    """
    import torch
    from mace.calculators import MACECalculator

    network = read_network(model)
    known = [chemical_symbols[int(number)] for number in network.atomic_numbers]
    elements = sorted({symbol for atoms in frames for symbol in atoms.symbols}, key=chemical_symbols.index)
    missing = [name for name in elements if name not in known]
    if missing:
        raise TrainingError(
            f"{model}: found types for {', '.join(known)}, needed also {', '.join(missing)}, which the frames have; "
            f"start from a model of these elements"
        )
    energies = network.atomic_energies_fn.atomic_energies
    if energies.numel() != len(known):
        raise TrainingError(f"{model}: found {energies.numel() // len(known)} heads, needed a model of one")
    per_type = dict(zip(known, energies.detach().double().flatten().tolist(), strict=True))
    calculator = MACECalculator(models=network.double(), device="cpu", default_dtype="float64")
    moved = moved_shifts_eV({name: per_type[name] for name in elements}, _predicted(frames, calculator), frames)
    network = read_network(model)
    energies = network.atomic_energies_fn.atomic_energies
    ordered = [moved.get(name, per_type[name]) for name in known]
    energies.copy_(torch.tensor(ordered, dtype=energies.dtype).reshape(energies.shape))
    torch.save(network, target)
    return {chemical_symbols.index(name): value for name, value in moved.items()}


def _predicted(frames: list[Atoms], calculator: Any) -> list[Atoms]:
    """The same frames with the energies of a calculator as their labels."""
    found = []
    for atoms in frames:
        copy = atoms.copy()
        copy.calc = calculator
        energy = float(copy.get_potential_energy())
        copy.calc = None
        copy.info[ENERGY_KEY] = energy
        found.append(copy)
    return found


def main(arguments: list[str]) -> None:
    """Prepare the starting model beside the training, then hand over to MACE."""
    from mace.cli import run_train

    start = Path("start.model").resolve()
    foundation = value_of(arguments, "foundation_model")
    frames = list(iread(value_of(arguments, "train_file")))
    shifts = with_energies_for(Path(foundation), frames, start)
    print(f"per-type energies by atomic number, eV: {shifts}", flush=True)  # noqa: T201
    sys.argv = ["mace_run_train", *arguments, f"--foundation_model={start}", f"--E0s={shifts}"]
    run_train.main()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except TrainingError as error:  # the last line of the log, which the driver shows
        sys.exit(f"error: {error}")
