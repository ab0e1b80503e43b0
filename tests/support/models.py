"""Model files for tests that need a model but no network: Lennard-Jones, and no forces at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from ase import Atoms

from lpsmd.models.contract import load_model, quiet_torchscript, save_model
from lpsmd.models.lj import write_lj_model


def lj_model(
    path: Path,
    type_names: Sequence[str],
    *,
    epsilon_eV: npt.ArrayLike = 0.01,
    sigma_A: npt.ArrayLike = 2.5,
    cutoff_A: npt.ArrayLike = 5.0,
    dtype: str = "float64",
) -> Path:
    """Write a model whose self-test frame has one atom of each type, about 3 Angstrom apart."""
    corners = 3.1 * np.argwhere(np.ones((2, 2, 2)))[: len(type_names)]
    positions = corners + np.random.default_rng(1).normal(0.0, 0.1, corners.shape)
    frame = Atoms(list(type_names), positions=positions, cell=[6.2] * 3, pbc=True)
    write_lj_model(
        path,
        type_names=type_names,
        epsilon_eV=epsilon_eV,
        sigma_A=sigma_A,
        cutoff_A=cutoff_A,
        reference=frame,
        dtype=dtype,
    )
    return path


def with_passport(path: Path, **changes: Any) -> Path:
    """Write a model file once more with other entries in its passport."""
    loaded = load_model(path)
    save_model(loaded.program, dataclasses.replace(loaded.passport, **changes), path)
    return path


class Nothing(torch.nn.Module):
    """The contract for free particles: neither energies nor forces."""

    def forward(
        self, edge_vectors: torch.Tensor, edge_index: torch.Tensor, atom_types: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros_like(weights), torch.zeros_like(edge_vectors)


def zero_model(path: Path, type_names: Sequence[str]) -> Path:
    """Write a model under which particles are free."""
    lj_model(path, type_names, cutoff_A=1.0)
    passport = load_model(path).passport
    frame = passport.reference
    zero = dataclasses.replace(
        frame, energy_eV=0.0, forces_eV_per_A=0.0 * frame.forces_eV_per_A, virial_eV=np.zeros((3, 3))
    )
    with quiet_torchscript():
        program = torch.jit.script(Nothing().eval())
    save_model(program, dataclasses.replace(passport, description="free particles", reference=zero), path)
    return path
