"""A Lennard-Jones model file for tests that need a model but no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ase import Atoms

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
