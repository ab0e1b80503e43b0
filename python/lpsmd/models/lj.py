"""An exported Lennard-Jones model: the reference that everyone can check by hand.

It keeps the same contract as the trained models, and is LAMMPS' lj/cut (unshifted) in eV and
Angstrom, so that the pair style can be held against a formula instead of against itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from lpsmd.models.contract import (
    FloatArray,
    ModelFileError,
    Passport,
    Reference,
    quiet_torchscript,
    save_model,
)
from lpsmd.models.evaluate import types_of

if TYPE_CHECKING:
    from ase import Atoms


class LennardJonesProgram(torch.nn.Module):
    r"""The contract for :math:`e_i = \frac12 \sum_j 4\epsilon [(\sigma/r)^{12} - (\sigma/r)^6]`, r < cutoff.

    Half of each pair's energy goes to the centre atom, so both directed edges of a pair add up to
    its full energy and force. The gradient is analytic.
    """

    if TYPE_CHECKING:  # TorchScript would evaluate annotations of the class body
        epsilon: torch.Tensor
        sigma_squared: torch.Tensor
        cutoff_squared: torch.Tensor

    def __init__(
        self, *, epsilon_eV: torch.Tensor, sigma_A: torch.Tensor, cutoff_A: torch.Tensor, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.register_buffer("epsilon", epsilon_eV.to(dtype))
        self.register_buffer("sigma_squared", sigma_A.to(dtype) ** 2)
        # The cutoff decides which edges count, so it is compared in the precision of the edges.
        self.register_buffer("cutoff_squared", cutoff_A.to(torch.float64) ** 2)

    def forward(
        self,
        edge_vectors: torch.Tensor,
        edge_index: torch.Tensor,
        atom_types: torch.Tensor,
        weights: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Evaluate the model; see `lpsmd.models.contract` for shapes and units."""
        centre_types, neighbor_types = atom_types[edge_index[0]], atom_types[edge_index[1]]
        epsilon = self.epsilon[centre_types, neighbor_types]
        sigma_squared = self.sigma_squared[centre_types, neighbor_types]
        distance_squared = (edge_vectors * edge_vectors).sum(dim=1)
        inside = distance_squared < self.cutoff_squared[centre_types, neighbor_types]
        r2 = distance_squared.to(epsilon.dtype)
        s6 = (sigma_squared / r2) ** 3
        zero = torch.zeros_like(s6)
        energy = torch.where(inside, 2.0 * epsilon * (s6 * s6 - s6), zero)
        # d(energy)/d(vector) = this factor times the vector.
        slope = torch.where(inside, -12.0 * epsilon * (2.0 * s6 * s6 - s6) / r2, zero)
        atom_energies = torch.zeros_like(weights)
        atom_energies = atom_energies.index_add(0, edge_index[0], energy.to(weights.dtype))
        scale = slope.to(weights.dtype) * weights[edge_index[0]]
        return atom_energies, scale.unsqueeze(1) * edge_vectors


def write_lj_model(
    path: str | Path,
    *,
    type_names: Sequence[str],
    epsilon_eV: npt.ArrayLike,
    sigma_A: npt.ArrayLike,
    cutoff_A: npt.ArrayLike,
    reference: Atoms,
    dtype: str = "float64",
    description: str = "",
) -> None:
    """Write a Lennard-Jones model file, like lj/cut without a shift.

    Parameters
    ----------
    path
        The file to write.
    type_names
        T elements.
    epsilon_eV, sigma_A, cutoff_A
        A number for all pairs, or a symmetric [T, T] matrix.
    reference
        The frame for the self-test; its energy, forces and virial come from `pair_sum`, which
        shares nothing with the program.
    dtype
        "float32" or "float64".

    Raises
    ------
    ModelFileError
        If a matrix is not symmetric and positive or the frame has an element without a type.
    """
    n_types = len(type_names)
    epsilon = _pair_matrix("epsilon_eV", epsilon_eV, n_types)
    sigma = _pair_matrix("sigma_A", sigma_A, n_types)
    cutoff = _pair_matrix("cutoff_A", cutoff_A, n_types)
    types = types_of(reference, type_names)
    energies, forces, virial = pair_sum(reference, types, epsilon_eV=epsilon, sigma_A=sigma, cutoff_A=cutoff)
    passport = Passport(
        architecture="lj",
        type_names=tuple(type_names),
        cutoff_A=float(cutoff.max()),
        pair_cutoff_A=cutoff,
        layers=1,
        local=True,
        dtype=dtype,
        functional="none",
        description=description or "Lennard-Jones pair potential, truncated and not shifted",
        reference=Reference(
            source="sum over pairs and periodic images in numpy, float64",
            cell_A=np.asarray(reference.cell.array, dtype=np.float64),
            pbc=(bool(reference.pbc[0]), bool(reference.pbc[1]), bool(reference.pbc[2])),
            positions_A=reference.positions,
            types=types,
            energy_eV=float(energies.sum()),
            forces_eV_per_A=forces,
            virial_eV=virial,
        ),
    )
    program = LennardJonesProgram(
        epsilon_eV=torch.from_numpy(epsilon),
        sigma_A=torch.from_numpy(sigma),
        cutoff_A=torch.from_numpy(cutoff),
        dtype=getattr(torch, dtype),
    )
    with quiet_torchscript():
        scripted = torch.jit.script(program.eval())
    save_model(scripted, passport, path)


def pair_sum(
    atoms: Atoms,
    types: npt.NDArray[np.int64],
    *,
    epsilon_eV: FloatArray,
    sigma_A: FloatArray,
    cutoff_A: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Lennard-Jones energies [N], forces [N, 3] and dE/d(strain) [3, 3] by brute force over images.

    Slow and simple on purpose: every pair with every periodic image that may lie within reach.
    """
    positions = atoms.positions
    n_atoms = len(positions)
    energies, forces, virial = np.zeros(n_atoms), np.zeros((n_atoms, 3)), np.zeros((3, 3))
    epsilon, sigma, cutoff = (m[types[:, None], types[None, :]] for m in (epsilon_eV, sigma_A, cutoff_A))
    for image in _image_shifts(atoms, float(cutoff_A.max())):
        vectors = positions[None, :, :] + image - positions[:, None, :]
        distances = np.linalg.norm(vectors, axis=2)
        pairs = (distances < cutoff) & (distances > 0)
        r = np.where(pairs, distances, 1.0)
        attraction = (sigma / r) ** 6
        energies += np.where(pairs, 2.0 * epsilon * (attraction**2 - attraction), 0.0).sum(axis=1)
        slope = np.where(pairs, 4.0 * epsilon * (-12.0 * attraction**2 + 6.0 * attraction) / r, 0.0)
        pull = (slope / r)[:, :, None] * vectors
        forces += pull.sum(axis=1)
        virial += 0.5 * np.einsum("ijx,ijy->xy", vectors, pull)
    return energies, forces, virial


def _image_shifts(atoms: Atoms, reach_A: float) -> list[FloatArray]:
    """Lattice translations that may bring any atom within reach of any other."""
    cell = np.asarray(atoms.cell.complete().array)
    reciprocal = np.linalg.inv(cell)
    heights = 1.0 / np.linalg.norm(reciprocal, axis=0)
    spread = np.ptp(atoms.positions @ reciprocal, axis=0)
    ranges = [
        range(-top, top + 1) for top in np.where(atoms.pbc, np.ceil(reach_A / heights + spread), 0).astype(int).tolist()
    ]
    return [np.asarray(n, dtype=np.float64) @ cell for n in product(*ranges)]


def _pair_matrix(name: str, value: npt.ArrayLike, n_types: int) -> FloatArray:
    matrix = np.asarray(value, dtype=np.float64)
    if matrix.ndim == 0:
        matrix = np.full((n_types, n_types), float(matrix))
    if matrix.shape != (n_types, n_types) or (matrix != matrix.T).any() or not (matrix > 0).all():
        raise ModelFileError(
            f"{name}: found {matrix.tolist()}, needed one positive number or a symmetric "
            f"{n_types} x {n_types} matrix of positive numbers"
        )
    return matrix
