"""Programs of the contract that break at run time, though they pass their self-test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from lpsmd.models.contract import load_model, quiet_torchscript, read_passport, save_model
from support.models import lj_model

OUT_OF_MEMORY, NAN_ENERGY, NAN_FORCES, FAILURE = range(4)
#: Atoms closer than this break the program; those of its reference frame are not.
CLOSE_A = 1.0


class BreakingProgram(torch.nn.Module):
    """Lennard-Jones, until it sees two atoms closer than `CLOSE_A`."""

    def __init__(self, program: torch.jit.ScriptModule, fault: int) -> None:
        super().__init__()
        self.program = program
        self.fault = fault
        self.close_squared_A2 = CLOSE_A**2

    def forward(
        self, edge_vectors: torch.Tensor, edge_index: torch.Tensor, atom_types: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        energies, gradients = self.program(edge_vectors, edge_index, atom_types, weights)
        close = (edge_vectors * edge_vectors).sum(dim=1) < self.close_squared_A2
        if bool(close.any()):
            if self.fault == 0:
                energies = energies + torch.zeros(1000000000000000, dtype=torch.uint8).sum()
            elif self.fault == 1:
                energies = energies * float("nan")
            elif self.fault == 2:
                gradients = gradients * float("nan")
            else:
                assert not bool(close.any()), "two atoms sit on each other"
        return energies, gradients


def breaking_model(path: Path, type_names: Sequence[str], fault: int) -> Path:
    """A model file that does `fault` for close atoms."""
    good = lj_model(path.with_suffix(".good.pt"), type_names)
    program = BreakingProgram(load_model(good).program, fault)
    with quiet_torchscript():
        scripted = torch.jit.script(program.eval())
    save_model(scripted, read_passport(good), path)
    return path
