"""Walkers whose tensors and correlations are known, and their MSDs by the definition."""

from __future__ import annotations

import numpy as np

from lpsmd.analysis import Msd


def walk_msd(
    positions: np.ndarray, *, frame_ps: float = 0.05, max_lag_fraction: float = 0.5, volume_A3: float = 1000.0
) -> Msd:
    """All that an Msd holds, from [F, N, 3] positions, by the O(N^2) definition."""
    n_frames, n_atoms, _ = positions.shape
    n_lags = 1 + int(max_lag_fraction * (n_frames - 1) + 1e-9)
    tensor, collective = np.zeros((n_lags, 3, 3)), np.zeros((n_lags, 3, 3))
    alpha2 = np.zeros(n_lags)
    for lag in range(1, n_lags):
        moved = positions[lag:] - positions[:-lag]
        flat = moved.reshape(-1, 3)
        tensor[lag] = flat.T @ flat / len(flat)
        together = moved.sum(axis=1)
        collective[lag] = together.T @ together / len(together) / n_atoms
        squares = (flat**2).sum(axis=1)
        alpha2[lag] = 3 * (squares**2).mean() / (5 * squares.mean() ** 2) - 1
    time_ps = frame_ps * np.arange(n_lags)
    return Msd(
        species="Li",
        drift="none",
        n_atoms=n_atoms,
        n_frames=n_frames,
        duration_ps=frame_ps * (n_frames - 1),
        time_ps=time_ps,
        msd_A2=np.trace(tensor, axis1=1, axis2=2),
        components_A2=np.diagonal(tensor, axis1=1, axis2=2).copy(),
        counts=n_atoms * (n_frames - np.arange(n_lags)),
        tensor_A2=tensor,
        collective_A2=np.trace(collective, axis1=1, axis2=2),
        collective_tensor_A2=collective,
        alpha2_time_ps=time_ps[1:],
        alpha2=alpha2[1:],
        volume_A3=volume_A3,
    )


def line_msd(
    tensor_A2_per_ps: np.ndarray, *, haven_ratio: float = 1.0, volume_A3: float = 1000.0, n_atoms: int = 24
) -> Msd:
    """Straight lines without noise: 20 ps in steps of 0.1, lags to 10 ps."""
    time_ps = 0.1 * np.arange(101)
    tensor = time_ps[:, None, None] * tensor_A2_per_ps
    msd = np.trace(tensor, axis1=1, axis2=2)
    return Msd(
        species="Li",
        drift="none",
        n_atoms=n_atoms,
        n_frames=201,
        duration_ps=20.0,
        time_ps=time_ps,
        msd_A2=msd,
        components_A2=np.diagonal(tensor, axis1=1, axis2=2).copy(),
        counts=n_atoms * (201 - np.arange(101)),
        tensor_A2=tensor,
        collective_A2=msd / haven_ratio,
        volume_A3=volume_A3,
    )


def walks(
    rng: np.random.Generator,
    D_A2_per_ps: np.ndarray,
    *,
    n_frames: int = 61,
    n_atoms: int = 24,
    frame_ps: float = 0.05,
    common: float = 0.0,
) -> np.ndarray:
    """[F, N, 3] Gaussian walks with a diffusion tensor [3, 3]; a part `common` of each step's variance is shared.

    The Haven ratio is 1 / (1 + (N - 1) common).
    """
    root = np.linalg.cholesky(2.0 * frame_ps * D_A2_per_ps)
    own = rng.normal(size=(n_frames, n_atoms, 3))
    shared = rng.normal(size=(n_frames, 1, 3))
    steps = np.sqrt(1.0 - common) * own + np.sqrt(common) * shared
    found: np.ndarray = (steps @ root.T).cumsum(axis=0)
    return found
