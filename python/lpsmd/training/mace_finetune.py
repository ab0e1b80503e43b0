"""`mace_run_train` from given weights, with the per-type energies of the new labels.

MACE keeps the per-type energies of the model it starts from, whatever `--E0s` says: for HSE06 they would stay those of
PBE, some 2 eV a cell away, for the network to make up. Runs in the environment of the trainer, with the arguments of
mace_run_train::

    python -m lpsmd.training.mace_finetune --foundation_model=pbe.model --E0s="{3: -12.4, ...}" ...
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path


def value_of(arguments: list[str], name: str) -> str:
    """The value of `--name=value`."""
    return next(text.split("=", 1)[1] for text in arguments if text.startswith(f"--{name}="))


def with_energies(model: Path, energies_eV: dict[int, float], target: Path) -> None:
    """Write a copy of a MACE model whose per-type energies are those given, by atomic number."""
    import torch

    network = torch.load(model, map_location="cpu", weights_only=False)
    energies = network.atomic_energies_fn.atomic_energies
    ordered = [energies_eV[int(number)] for number in network.atomic_numbers]
    energies.copy_(torch.tensor(ordered, dtype=energies.dtype).reshape(energies.shape))
    torch.save(network, target)


def main(arguments: list[str]) -> None:
    """Prepare the starting model beside the training, then hand over to MACE."""
    from mace.cli import run_train

    start = Path("start.model").resolve()
    foundation = value_of(arguments, "foundation_model")
    with_energies(Path(foundation), ast.literal_eval(value_of(arguments, "E0s")), start)
    sys.argv = ["mace_run_train", *(text.replace(foundation, str(start)) for text in arguments)]
    run_train.main()


if __name__ == "__main__":
    main(sys.argv[1:])
