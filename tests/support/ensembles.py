"""Ensembles of synthetic ions whose diffusion coefficient is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from lpsmd.analysis import Msd

N_IONS = 24
FRAME_PS = 0.1
HOP_A = 2.9


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A motion: `make(rng, n_replicas, n_frames)` gives positions [n, F, N_IONS, 3] in Angstrom."""

    name: str
    make: Callable[[np.random.Generator, int, int], NDArray[np.float64]]
    D_A2_per_ps: float


def random_walk(rng: np.random.Generator, n: int, n_frames: int) -> NDArray[np.float64]:
    """Independent Gaussian steps."""
    return _walk(rng, (n, n_frames, N_IONS, 3), _WALK_D)


def lattice_hops(rng: np.random.Generator, n: int, n_frames: int) -> NDArray[np.float64]:
    """Poisson hops on a simple cubic lattice of cages, with rattling in the cage (Ornstein-Uhlenbeck).

    Events are drawn by their number and scattered over frames, ions, axes and signs.
    """
    n_events = rng.poisson(_HOPS_PER_PS * FRAME_PS * (n_frames - 1) * N_IONS, n)
    replica = np.repeat(np.arange(n), n_events)
    frame = rng.integers(1, n_frames, len(replica))
    component = rng.integers(0, 3 * N_IONS, len(replica))
    at = (replica * n_frames + frame) * 3 * N_IONS + component
    step = HOP_A * rng.choice([-1.0, 1.0], len(replica))
    jumps = np.bincount(at, step, minlength=n * n_frames * 3 * N_IONS).reshape(n, n_frames, N_IONS, 3)
    return jumps.cumsum(axis=1) + _rattling(rng, n, n_frames, amplitude_A=0.35, memory_ps=0.1)


def ballistic_start(rng: np.random.Generator, n: int, n_frames: int) -> NDArray[np.float64]:
    """Velocities with a memory of 0.2 ps: ballistic first, diffusive later."""
    return _VELOCITY * FRAME_PS * _ornstein_uhlenbeck(rng, n, n_frames, memory_ps=0.2).cumsum(axis=1)


def correlated_ions(rng: np.random.Generator, n: int, n_frames: int) -> NDArray[np.float64]:
    """Six ions at a time share 0.7 of the variance of their steps."""
    own = _walk(rng, (n, n_frames, N_IONS, 3), 0.3 * _WALK_D)
    shared = _walk(rng, (n, n_frames, N_IONS // 6, 3), 0.7 * _WALK_D)
    return own + np.repeat(shared, 6, axis=2)


def caged(rng: np.random.Generator, n: int, n_frames: int) -> NDArray[np.float64]:
    """Rattling in a cage that is never left."""
    return _rattling(rng, n, n_frames, amplitude_A=0.5, memory_ps=0.3)


def subdiffusion(rng: np.random.Generator, n: int, n_frames: int) -> NDArray[np.float64]:
    """Fractional Brownian motion, MSD of t^0.8 at all times, by circulant embedding (Davies and Harte 1987)."""
    lags = np.arange(n_frames, dtype=np.float64)
    covariance = 0.5 * ((lags + 1.0) ** 0.8 - 2.0 * lags**0.8 + np.abs(lags - 1.0) ** 0.8)
    ring = np.concatenate([covariance, covariance[-2:0:-1]])
    spectrum = np.sqrt(np.maximum(np.fft.rfft(ring).real, 0.0))
    noise = np.fft.rfft(rng.standard_normal((n, len(ring), N_IONS, 3)), axis=1)
    steps = np.fft.irfft(noise * spectrum[:, None, None], len(ring), axis=1)[:, :n_frames]
    walks: NDArray[np.float64] = 0.6 * steps.cumsum(axis=1)
    return walks


def _walk(rng: np.random.Generator, shape: tuple[int, ...], D_A2_per_ps: float) -> NDArray[np.float64]:
    steps = rng.standard_normal(shape)
    steps *= np.sqrt(2.0 * D_A2_per_ps * FRAME_PS)
    return np.cumsum(steps, axis=1, out=steps)


def _ornstein_uhlenbeck(rng: np.random.Generator, n: int, n_frames: int, *, memory_ps: float) -> NDArray[np.float64]:
    """Stationary, of unit variance."""
    keep = np.exp(-FRAME_PS / memory_ps)
    kicks = rng.standard_normal((n, n_frames, N_IONS, 3))
    kicks[:, 1:] *= np.sqrt(1.0 - keep**2)
    values: NDArray[np.float64] = lfilter([1.0], [1.0, -keep], kicks, axis=1)
    return values


def _rattling(
    rng: np.random.Generator, n: int, n_frames: int, *, amplitude_A: float, memory_ps: float
) -> NDArray[np.float64]:
    return amplitude_A * _ornstein_uhlenbeck(rng, n, n_frames, memory_ps=memory_ps)


_WALK_D = 0.5
_HOPS_PER_PS = 0.35
_VELOCITY = 1.5
_KEEP = np.exp(-FRAME_PS / 0.2)

KINDS = {
    kind.name: kind
    for kind in (
        Kind(name="random walk", make=random_walk, D_A2_per_ps=_WALK_D),
        Kind(name="hops between cages", make=lattice_hops, D_A2_per_ps=_HOPS_PER_PS * HOP_A**2 / 6.0),
        # sum over the geometric velocity correlation of discrete time
        Kind(
            name="ballistic start",
            make=ballistic_start,
            D_A2_per_ps=float(_VELOCITY**2 * FRAME_PS / 2.0 * (1.0 + _KEEP) / (1.0 - _KEEP)),
        ),
        Kind(name="correlated ions", make=correlated_ions, D_A2_per_ps=_WALK_D),
        # these have no coefficient
        Kind(name="subdiffusion", make=subdiffusion, D_A2_per_ps=0.0),
        Kind(name="caged", make=caged, D_A2_per_ps=0.0),
    )
}


def msds_of(positions: NDArray[np.float64], *, max_lag_fraction: float = 0.5) -> list[Msd]:
    """The MSD of each replica of [n, F, N, 3] positions, by the textbook's FFT, independent of the program's."""
    n, n_frames, n_ions, _ = positions.shape
    n_lags = 1 + int(max_lag_fraction * (n_frames - 1) + 1e-9)
    size = 1 << (n_frames + n_lags - 1).bit_length()
    lags = np.arange(n_lags)
    values = np.zeros((n, n_lags))
    for axis in range(3):
        x = positions[..., axis] - positions[:, :1, :, axis]
        power = np.abs(np.fft.rfft(x, size, axis=1)) ** 2
        correlation = np.fft.irfft(power.sum(axis=2), size, axis=1)[:, :n_lags]
        squares = np.concatenate([np.zeros((n, 1)), (x**2).sum(axis=2).cumsum(axis=1)], axis=1)
        values += squares[:, n_frames - lags] + squares[:, -1:] - squares[:, lags] - 2.0 * correlation
    values /= n_ions * (n_frames - lags)
    time_ps = FRAME_PS * lags
    return [
        Msd(
            species="Li",
            drift="none",
            n_atoms=n_ions,
            n_frames=n_frames,
            duration_ps=FRAME_PS * (n_frames - 1),
            time_ps=time_ps,
            msd_A2=row,
            components_A2=np.repeat(row[:, None] / 3.0, 3, axis=1),
            counts=n_ions * (n_frames - lags),
        )
        for row in values
    ]
