"""Motions whose displacements are known, as trajectories, and the definition of their mean squares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from lpsmd.analysis import Trajectory

#: Multiples of it, up to some thousand times 1e4, are exact in float64: an offset then changes no digit.
GRAIN_A = 2.0**-20
KINDS = ("random", "ballistic", "harmonic", "walk")
PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


def motion(kind: str, n_frames: int, n_atoms: int, seed: int = 0) -> np.ndarray:
    """[F, N, 3] positions on a grid of `GRAIN_A`."""
    rng = np.random.default_rng(seed)
    time = np.arange(n_frames)[:, None, None]
    each = (n_atoms, 3)
    if kind == "random":
        positions = rng.normal(0, 1.0, (n_frames, *each))
    elif kind == "ballistic":
        positions = time * rng.normal(0, 0.1, each)
    elif kind == "harmonic":
        positions = 0.3 * np.cos(0.2 * time * rng.uniform(0.5, 2, each) + rng.uniform(0, 6, each))
    else:
        positions = rng.normal(0, 0.1, (n_frames, *each)).cumsum(axis=0)
    return np.round((positions + rng.uniform(0, 10, each)) / GRAIN_A) * GRAIN_A


def trajectory(
    positions: np.ndarray, elements: Sequence[str], interval: int = 10, timesteps: np.ndarray | None = None
) -> Trajectory:
    n_frames, n_atoms, _ = positions.shape
    return Trajectory(
        paths=("memory",),
        timesteps=interval * np.arange(n_frames) if timesteps is None else timesteps,
        positions_A=positions,
        ids=1 + np.arange(n_atoms),
        elements=tuple(elements),
        cells_A=np.broadcast_to(10 * np.eye(3), (n_frames, 3, 3)),
        origins_A=np.zeros((n_frames, 3)),
        periodic=(True, True, True),
        repeated_frames=0,
    )


def without_drift(positions: np.ndarray, elements: Sequence[str], reference: Sequence[str]) -> np.ndarray:
    """[F, N, 3] displacements since the first frame less the mass-weighted mean of the reference's."""
    moved = positions - positions[0]
    if not reference:
        return moved
    mass = np.array([atomic_masses[atomic_numbers[element]] * (element in reference) for element in elements])
    return moved - np.einsum("tik,i->tk", moved, mass)[:, None] / mass.sum()


def pair_sums(moved: np.ndarray, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """[L, 7] sums over pairs of frames, for each lag (early, late): the six products, and |dr|^4."""
    sums = np.zeros((len(pairs), 7))
    for lag, (early, late) in enumerate(pairs):
        steps = (moved[late] - moved[early]).reshape(-1, 3)
        sums[lag, :6] = [np.sum(steps[:, a] * steps[:, b]) for a, b in PAIRS]
        sums[lag, 6] = np.sum(np.sum(steps**2, axis=1) ** 2)
    return sums


def definition(moved: np.ndarray, n_lags: int) -> np.ndarray:
    """[n_lags, 7] `pair_sums` over all origins, every pair of frames of each lag."""
    times = np.arange(len(moved))
    return pair_sums(moved, [(times[: len(moved) - lag], times[lag:]) for lag in range(n_lags)])


def assert_tensors_agree(found: np.ndarray, expected: np.ndarray, relative: float) -> None:
    """[L, 6]: each component within `relative` of the mean of its two axes, since mixed ones may cancel."""
    scale = np.sqrt(np.stack([expected[:, a] * expected[:, b] for a, b in PAIRS], axis=1))
    excess = np.abs(found - expected) - relative * scale
    # 1e-20: squares of rounding errors, where the displacement itself is zero
    assert excess.max() <= 1e-20, f"worst at (lag, component) {np.unravel_index(excess.argmax(), excess.shape)}"
