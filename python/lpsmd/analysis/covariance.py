"""The covariance between lags of a Brownian mean squared displacement, and the weights that follow from it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

#: Straight lines need no more lags than this: beyond 16 the standard error of D falls by less than 2 %.
MAX_LAGS = 16


def brownian_covariance(lags: NDArray[np.int64], n_frames: int, *, noise: float = 0.0) -> NDArray[np.float64]:
    r"""Covariance of the time-averaged MSD of one coordinate of one Brownian particle, [M, M].

    The positions are :math:`y_t = x_t + \epsilon_t` with steps of unit variance and independent noise of
    variance `noise` (vibration, or rattling in a cage), so that :math:`\langle MSD(m) \rangle = m + 2` `noise`.
    All windows of a trajectory overlap; with :math:`\Delta_i(m) = y_{i+m} - y_i`, a Gaussian variable,

    .. math::

        \mathrm{cov}(m, n) = \frac{2}{(F - m)(F - n)} \sum_{i,j} \langle \Delta_i(m) \Delta_j(n) \rangle^2 ,
        \quad \langle \Delta_i(m) \Delta_j(n) \rangle = |[i, i+m] \cap [j, j+n]|
        + \mathrm{noise} (\delta_{i,j} + \delta_{i+m,j+n} - \delta_{i+m,j} - \delta_{i,j+n}) .

    The sum is exact (Bullerjahn, von Buelow and Hummer 2020, doi:10.1063/5.0008312, give it in closed form;
    Qian, Sheetz and Elson 1991, doi:10.1016/S0006-3495(91)82125-7, for no noise). For N independent particles
    in three dimensions the covariance of the MSD is 3/N of it, times the variance of a step squared.

    Parameters
    ----------
    lags
        [M] frames, ascending, from 1 to F - 1.
    n_frames
        F.
    noise
        Variance of the noise over that of a step.
    """
    lags = np.asarray(lags, dtype=np.int64)
    covariance = np.empty((len(lags), len(lags)))
    for row, m in enumerate(lags):
        n = lags[row:, None]
        # k = j - i; as many pairs of origins are that far apart as fit into the trajectory
        k = np.arange(1 - (n_frames - m), n_frames - lags[row])[None]
        pairs = np.clip(np.minimum(n_frames - m, n_frames - n - k) - np.maximum(0, -k), 0, None)
        both = np.clip(np.minimum(m, k + n) - np.maximum(0, k), 0, None).astype(np.float64)
        if noise:
            both += noise * (1.0 * (k == 0) + (k + n == m) - (k == m) - (k + n == 0))
        values = 2.0 * (pairs * both**2).sum(axis=1) / ((n_frames - m) * (n_frames - n[:, 0]))
        covariance[row, row:] = covariance[row:, row] = values
    return covariance


def lag_grid(lags: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions in `lags` (ascending) of at most `MAX_LAGS` evenly spaced ones, the first and the last included."""
    if len(lags) <= MAX_LAGS:
        return np.arange(len(lags), dtype=np.int64)
    wanted = np.linspace(lags[0], lags[-1], MAX_LAGS)
    return np.unique(np.abs(lags[:, None] - wanted).argmin(axis=0)).astype(np.int64)


def line_weights(x: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2, M] the linear functionals that give offset and slope by generalised least squares over x [M]."""
    design = np.stack([np.ones_like(x), x])
    inverse = np.linalg.solve(covariance, design.T)
    weights: NDArray[np.float64] = np.linalg.solve(design @ inverse, inverse.T)
    return weights


def brownian_line_weights(lags: NDArray[np.int64], n_frames: int) -> NDArray[np.float64]:
    """[2, M] offset and slope (a frame) of a straight line through MSDs at `lags`, with fixed analytic weights.

    The noise taken is half the MSD of the first lag of the window. Weights for none would rest on the
    differences between neighbouring lags, and lose half their worth on ions that rattle in a cage; with it,
    the standard error is within a tenth of the optimum for walkers with and without rattling.
    """
    return _brownian_line_weights(tuple(int(lag) for lag in lags), n_frames)


@lru_cache(maxsize=64)
def _brownian_line_weights(lags: tuple[int, ...], n_frames: int) -> NDArray[np.float64]:
    array = np.array(lags, dtype=np.int64)
    covariance = brownian_covariance(array, n_frames, noise=0.25 * lags[0])
    weights = line_weights(array.astype(np.float64), covariance)
    weights.flags.writeable = False
    return weights
