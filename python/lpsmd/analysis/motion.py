"""Whether a mean squared displacement is that of diffusion: exponents, straightness, hops."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpsmd.analysis.covariance import brownian_covariance, brownian_line_weights, line_weights
from lpsmd.analysis.distributions import chi_squared_tail, fisher_tail, student_half_interval
from lpsmd.analysis.estimators import FitData, jackknife

#: Of the intervals of exponents, whatever is asked for D: a verdict must not hang on how an error is quoted.
MOTION_CONFIDENCE = 0.95
#: An MSD is called bent at this level: windows move by it, and one that noise moves often spoils the interval of D.
BENT_CONFIDENCE = 0.99
#: Of a power of 0.85, the exponent with a free offset is off by half of this: it is right to first order only.
_FIRST_ORDER = 0.03
#: Fewer lags than this cannot be cut into an early and a late half with a slope each.
_MIN_LAGS_TO_HALVE = 4


@dataclass(frozen=True, kw_only=True)
class Motion:
    """What the MSD in a fit window says of the motion.

    Half-intervals are Student's at 95 %, and None where one replica gives none.

    Attributes
    ----------
    exponent, exponent_half_interval
        Local exponent d ln MSD / d ln t over the window: 0 caged, 1 diffusive, 2 ballistic.
    straightness, straightness_half_interval
        The same with a free offset, MSD = c + A t^p: rattling in cages adds a constant to the MSD, which pulls
        the local exponent below 1 and leaves the slope as it is. NaN where the window holds fewer than 4 lags.
    quality
        Probability Q of residuals as large as these if the motion is diffusion with an offset, after
        Bullerjahn, von Buelow and Hummer 2020; near 0 speaks against diffusion. NaN where it cannot be had.
    dof
        Degrees of freedom of the intervals.
    """

    exponent: float
    exponent_half_interval: float | None
    straightness: float
    straightness_half_interval: float | None
    quality: float
    dof: float

    def is_caged(self, uncertainty: float | None = None) -> bool:
        """The exponent is nearer to that of a cage than to that of diffusion, beyond its interval.

        With an uncertainty, an MSD that is surely straight behind its offset is none of a cage.
        """
        half = self.exponent_half_interval
        if half is None or self.exponent + half >= 0.5:
            return False
        return uncertainty is None or not self.is_surely_straight(uncertainty)

    def is_bent(self, margin: float) -> bool:
        """The MSD is not a straight line: beyond the 99 % interval of its exponent, and by more than a margin."""
        half = self.straightness_half_interval
        if half is None:
            return False
        wider = student_half_interval(BENT_CONFIDENCE, self.dof) / student_half_interval(MOTION_CONFIDENCE, self.dof)
        return abs(self.straightness - 1.0) > max(wider * half, margin)

    def is_surely_straight(self, uncertainty: float) -> bool:
        """The whole interval of the exponent with a free offset is that near to 1."""
        half = self.straightness_half_interval
        return half is not None and abs(self.straightness - 1.0) + half <= uncertainty

    def has_unclear_exponent(self, margin: float, uncertainty: float) -> bool:
        """The exponent is not 1, and the one with a free offset does not show that an offset alone is to blame.

        It does where its whole interval is near 1, and the exponent without an offset lies outside of it.
        """
        half, free_half = self.exponent_half_interval, self.straightness_half_interval
        if half is None or abs(self.exponent - 1.0) <= max(half, margin):
            return False
        return (
            free_half is None
            or not self.is_surely_straight(uncertainty)
            or abs(self.exponent - self.straightness) <= max(free_half, _FIRST_ORDER)
        )

    @property
    def is_as_sharp_as_can_be(self) -> bool:
        """The interval of the exponent with a free offset is below its own approximation: replicas add nothing."""
        half = self.straightness_half_interval
        return half is None or half <= _FIRST_ORDER

    @property
    def exponent_text(self) -> str:
        """``local exponent 0.98 +- 0.05``."""
        return _text("local exponent", self.exponent, self.exponent_half_interval)

    @property
    def straightness_text(self) -> str:
        """``exponent with a free offset 0.98 +- 0.05``."""
        return _text("exponent with a free offset", self.straightness, self.straightness_half_interval)


def _text(name: str, value: float, half: float | None) -> str:
    return f"{name} {value:.2f}" + ("" if half is None else f" +- {half:.2f}")


def describe_motion(
    data: FitData,
    *,
    covariance: NDArray[np.float64] | None = None,
    dof: float = math.inf,
) -> Motion:
    """Exponents and quality of the MSD of n replicas in a fit window; see `Motion`.

    Parameters
    ----------
    data
        The MSDs.
    covariance
        [M, M] of the MSD of a single trajectory; replicas have their own spread.
    dof
        Degrees of freedom of its scale.
    """

    def interval(statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> tuple[float, float | None]:
        if covariance is None:
            return jackknife(data.independent_rows, statistic, MOTION_CONFIDENCE)
        quantile = student_half_interval(MOTION_CONFIDENCE, dof)
        return _propagate(data.rows.mean(axis=0), statistic, covariance, quantile)

    exponent, exponent_half = interval(_LocalExponent(data))
    straightness, straightness_half = math.nan, None
    if len(data.lags) >= _MIN_LAGS_TO_HALVE:
        straightness, straightness_half = interval(_Straightness(data))
    return Motion(
        exponent=exponent,
        exponent_half_interval=exponent_half,
        straightness=straightness,
        straightness_half_interval=straightness_half,
        quality=_quality(data) if covariance is None else _single_quality(data, covariance, dof),
        dof=dof if covariance is not None else max(1, len(data.independent_rows) - 1),
    )


def _propagate(
    mean: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    covariance: NDArray[np.float64],
    quantile: float,
) -> tuple[float, float]:
    """A statistic of one MSD [M] and half its interval, to first order in the covariance."""
    step = 1e-6 * mean.max()
    value = float(statistic(mean[None])[0])
    gradient = (statistic(mean + step * np.eye(len(mean))) - value) / step
    return value, quantile * math.sqrt(float(gradient @ covariance @ gradient))


class _LocalExponent:
    """Weighted slope of ln MSD over ln t; d ln MSD has the relative variance of the MSD."""

    def __init__(self, data: FitData) -> None:
        lags = data.lags.astype(np.float64)
        relative_variance = (2.0 * lags**2 + 1.0) / (lags * (data.n_frames - lags))
        self._weights = line_weights(np.log(data.time_ps), np.diag(relative_variance))[1]

    def __call__(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        # A mean over replicas is positive but for single replicas of atoms that never move
        found: NDArray[np.float64] = np.log(np.maximum(means, np.finfo(np.float64).tiny)) @ self._weights
        return found


class _Straightness:
    r"""Exponent p of MSD = c + A t^p from the slopes of the early and the late half of the window.

    To first order in p - 1 their difference over the slope of the whole is (p - 1) f, and f follows from
    putting in d(t^p)/dp = t ln t.
    """

    def __init__(self, data: FitData) -> None:
        half = len(data.lags) // 2
        self._whole = brownian_line_weights(data.lags, data.n_frames)[1]
        self._change = np.zeros(len(data.lags))
        self._change[:half] -= brownian_line_weights(data.lags[:half], data.n_frames)[1]
        self._change[-half:] += brownian_line_weights(data.lags[-half:], data.n_frames)[1]
        t = data.lags / data.lags[-1]
        self._lever = float(self._change @ (t * np.log(t))) / float(self._whole @ t)

    def __call__(self, means: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(divide="ignore", invalid="ignore"):
            found: NDArray[np.float64] = 1.0 + (means @ self._change) / (means @ self._whole) / self._lever
        return np.where(np.isfinite(found), found, 0.0)


def _quality(data: FitData) -> float:
    """Tail probability of the residuals of a straight line under the covariance of Brownian motion with noise.

    The noise is that which the fitted offset stands for. Replicas give the scale of the covariance (ions need
    not be independent), and the test is Fisher's F.
    """
    rows = data.independent_rows
    n, m = rows.shape
    if m < 3 or n < 2:
        return math.nan
    mean = rows.mean(axis=0)
    offset, slope = brownian_line_weights(data.lags, data.n_frames) @ mean
    if slope <= 0.0:
        return 0.0
    covariance = brownian_covariance(data.lags, data.n_frames, noise=max(0.0, 0.5 * offset / slope))
    white = _white_residuals(data, rows, covariance)
    whole = n * float((white.mean(axis=0) ** 2).sum())
    spread = float(((white - white.mean(axis=0)) ** 2).sum()) / (n - 1)
    if spread <= 0.0:
        return math.nan
    return fisher_tail(whole / spread, m - 2, (n - 1) * (m - 2))


def _single_quality(data: FitData, covariance: NDArray[np.float64], dof: float) -> float:
    """The same for one trajectory of known covariance, whose scale has `dof` degrees of freedom."""
    m = len(data.lags)
    if m < 3 or not covariance.any():
        return math.nan
    whole = float((_white_residuals(data, data.rows, covariance) ** 2).sum())
    if math.isinf(dof):
        return chi_squared_tail(whole, m - 2)
    return fisher_tail(whole / (m - 2), m - 2, dof)


def _white_residuals(data: FitData, rows: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, M] what straight lines leave of rows [n, M], as independent numbers of variance one under the covariance."""
    x = data.lags.astype(np.float64)
    fit = np.stack([np.ones_like(x), x]).T @ line_weights(x, covariance)
    residuals = rows - rows @ fit.T
    white: NDArray[np.float64] = np.linalg.solve(np.linalg.cholesky(covariance), residuals.T).T
    return white


def local_exponent(
    time_ps: NDArray[np.float64], msd_A2: NDArray[np.float64], *, span: float = 2.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Local exponent :math:`\beta(t) = d \ln \mathrm{MSD} / d \ln t`, as plots show it.

    .. math:: \beta(\sqrt{t_1 t_2}) = \ln[\mathrm{MSD}(t_2) / \mathrm{MSD}(t_1)] / \ln(t_2 / t_1),
        \quad t_2 = \mathrm{span} \cdot t_1

    Parameters
    ----------
    time_ps, msd_A2
        [L], the zero lag may be among them.
    span
        Ratio of the two lags.

    Returns
    -------
    tuple
        Times [K] in ps, about 12 for each factor of ten, and exponents [K].
    """
    good = (time_ps > 0.0) & (msd_A2 > 0.0)
    t, y = np.log(time_ps[good]), np.log(msd_A2[good])
    width = math.log(span)
    if len(t) < 2 or t[-1] - t[0] < width:
        return np.empty(0), np.empty(0)
    starts = np.arange(t[0], t[-1] - width + 1e-12, math.log(10.0) / 12.0)
    exponents: NDArray[np.float64] = (np.interp(starts + width, t, y) - np.interp(starts, t, y)) / width
    return np.exp(starts + 0.5 * width), exponents
