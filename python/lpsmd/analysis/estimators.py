"""Slopes of mean squared displacements with their errors: one default, and the others to hold it against.

Every estimator takes the MSDs of replicas at the lags of a fit window, ``rows [n, M]`` over ``time_ps [M]``, and
returns a `SlopeFit`. Replicas are independent, or nested in structures that are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lpsmd.analysis.covariance import brownian_line_weights, line_weights
from lpsmd.analysis.distributions import student_half_interval
from lpsmd.analysis.structures import structure_means
from lpsmd.errors import LpsmdError

Estimator = Literal["brownian", "gls", "wls-ice", "bootstrap", "ols"]

#: The replicas' own covariance is of use where they are more than this many times the lags.
REPLICAS_PER_LAG = 3


@dataclass(frozen=True, kw_only=True)
class FitData:
    """What an estimator works on: M lags of a window, evenly spread.

    Attributes
    ----------
    time_ps
        [M].
    lags
        [M] the same in frames.
    rows
        [n, M] MSD of each replica.
    n_frames
        Frames of each replica.
    structures
        [n] the structure of each replica, see `lpsmd.analysis.structures.nested_labels`; None where not nested.
    """

    time_ps: NDArray[np.float64]
    lags: NDArray[np.int64]
    rows: NDArray[np.float64]
    n_frames: int
    structures: NDArray[np.int64] | None = None

    @property
    def independent_rows(self) -> NDArray[np.float64]:
        """[S, M] the mean MSD of each structure where replicas are nested in structures, else the rows."""
        return structure_means(self.rows, self.structures)


@dataclass(frozen=True, kw_only=True)
class SlopeFit:
    """A slope in the unit of rows over ps.

    Attributes
    ----------
    slope
        Of the ensemble.
    stderr
        Its standard error; None where n = 1 gives none.
    dof
        Degrees of freedom of Student's t in its interval; infinite for a normal one.
    replicas
        [n] each replica's slope by the same weights.
    interval
        Limits found without a standard error (bootstrap), for the level asked for; None elsewhere.
    """

    slope: float
    stderr: float | None
    dof: float
    replicas: NDArray[np.float64]
    interval: tuple[float, float] | None = None

    def half_interval(self, confidence: float) -> float | None:
        """Half the two-sided interval; None where there is no error."""
        if self.interval is not None:
            return 0.5 * (self.interval[1] - self.interval[0])
        if self.stderr is None:
            return None
        return student_half_interval(confidence, self.dof) * self.stderr


def fit_slope(data: FitData, estimator: Estimator = "brownian", *, confidence: float = 0.95) -> SlopeFit:
    """The slope by the named estimator.

    ``brownian``
        `brownian_fit`, the default.
    ``gls``
        `gls_fit`, generalised least squares with the replicas' own covariance.
    ``wls-ice``
        `wls_ice_fit`, weights from the replicas' variances.
    ``bootstrap``
        the slopes of ``brownian``, their mean's interval by resampling replicas.
    ``ols``
        `ols_fit`, for comparison only: its error is wrong.

    Raises
    ------
    LpsmdError
        If the estimator is not known, or the replicas are too few for it.
    """
    if estimator not in _ESTIMATORS:
        raise LpsmdError(f"estimator is '{estimator}', one of {', '.join(get_args(Estimator))} is needed")
    return _ESTIMATORS[estimator](data, confidence)


def brownian_fit(data: FitData, confidence: float = 0.95) -> SlopeFit:
    r"""Fixed analytic weights for the slope of each replica, the error from the spread of these slopes.

    The weights are those of generalised least squares under the covariance of a Brownian MSD
    (`lpsmd.analysis.covariance`). They are fixed beforehand, so the slope is unbiased wherever the MSD is
    straight, whatever the true covariance; that enters through the spread over replicas alone:
    :math:`\bar s \pm t_{n-1} \, \mathrm{std}(s) / \sqrt n`. Where replicas are nested in S structures, the
    same of the S means of structures (`lpsmd.analysis.structures.structure_means`).
    """
    per_frame = brownian_line_weights(data.lags, data.n_frames)[1]
    return _from_replicas(data.rows @ per_frame * frames_per_ps(data), data.structures)


def gls_fit(data: FitData, confidence: float = 0.95) -> SlopeFit:
    r"""Generalised least squares with the replicas' own covariance, its uncertainty included.

    For a covariance estimated from the same n replicas, generalised least squares is the regression of the
    replica slopes on the M - 2 residuals that straight lines leave (their expectation is zero), taken at
    zero residual; which gives its exact interval with n - 1 - (M - 2) degrees of freedom
    (Rao 1967, growth curves; Fisher's analysis of covariance). The plain formula
    :math:`(X^T S^{-1} X)^{-1}` forgets that S is itself uncertain and is too small.

    Raises
    ------
    LpsmdError
        If the replicas, or the structures that they are nested in, are not more than three times the lags.
    """
    _require_replicas(data, "gls")
    rows = data.independent_rows
    n = len(rows)
    base = brownian_fit(data)
    residuals = rows @ _residual_basis(data.time_ps)
    design = np.column_stack([np.ones(n), residuals])
    slopes = structure_means(base.replicas, data.structures)
    solution, squares, rank, _ = np.linalg.lstsq(design, slopes, rcond=None)
    dof = n - int(rank)
    variance = float(squares[0]) / dof if len(squares) else 0.0
    at_zero = np.linalg.inv(design.T @ design)[0, 0]
    return SlopeFit(slope=float(solution[0]), stderr=math.sqrt(variance * at_zero), dof=dof, replicas=base.replicas)


def wls_ice_fit(data: FitData, confidence: float = 0.95) -> SlopeFit:
    r"""Weighted least squares including correlation in error (Fogelmark et al. 2018, doi:10.1038/s41598-018-24983-y).

    The weights are the inverse variances over replicas, the error is that of the weighted slope under the full
    covariance of the replicas, :math:`c^T S c / n`; for a straight line that is the spread of the replicas' slopes.

    Raises
    ------
    LpsmdError
        If the replicas, or the structures that they are nested in, are not more than three times the lags.
    """
    _require_replicas(data, "wls-ice")
    weights = line_weights(data.time_ps, np.diag(data.independent_rows.var(axis=0, ddof=1)))[1]
    return _from_replicas(data.rows @ weights, data.structures)


def ols_fit(data: FitData, confidence: float = 0.95) -> SlopeFit:
    """Ordinary least squares through the mean MSD with the error of a textbook. For comparison, not for use.

    It takes the lags of one curve as independent measurements, so its error is many times too small.
    """
    from scipy import stats

    found = stats.linregress(data.time_ps, data.rows.mean(axis=0))
    weights = line_weights(data.time_ps, np.eye(len(data.time_ps)))[1]
    dof = max(1, len(data.time_ps) - 2)
    return SlopeFit(slope=float(found.slope), stderr=float(found.stderr), dof=dof, replicas=data.rows @ weights)


def bootstrap_fit(data: FitData, confidence: float = 0.95) -> SlopeFit:
    """The slopes of `brownian_fit`; the interval of their mean by resampling replicas (bias-corrected, accelerated).

    Raises
    ------
    LpsmdError
        If there are fewer than three replicas, or structures that they are nested in.
    """
    base = brownian_fit(data)
    slopes = structure_means(base.replicas, data.structures)
    if len(slopes) < 3:
        raise LpsmdError(
            f"estimator 'bootstrap': found {len(slopes)} {_units(data)}, at least 3 are needed: "
            "use estimator 'brownian'"
        )
    from scipy import stats

    found = stats.bootstrap(
        (slopes,), np.mean, confidence_level=confidence, n_resamples=2000, rng=np.random.default_rng(1)
    )
    low, high = (float(limit) for limit in found.confidence_interval)
    return SlopeFit(
        slope=base.slope,
        stderr=float(found.standard_error),
        dof=math.inf,
        replicas=base.replicas,
        interval=(low, high),
    )


_ESTIMATORS: dict[str, Callable[[FitData, float], SlopeFit]] = {
    "brownian": brownian_fit,
    "gls": gls_fit,
    "wls-ice": wls_ice_fit,
    "bootstrap": bootstrap_fit,
    "ols": ols_fit,
}


def student_interval(values: NDArray[np.float64], confidence: float) -> tuple[float, float | None]:
    """Mean and half the two-sided Student interval of independent values [n]; None for n = 1."""
    fit = _from_replicas(values)
    return fit.slope, fit.half_interval(confidence)


def jackknife(
    rows: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    confidence: float,
) -> tuple[float, float | None]:
    """A statistic of the mean of rows [n, M], its bias of order 1/n removed, and half its Student interval.

    `statistic` maps means [k, M] to values [k]. The interval comes from the pseudo-values that leave one replica
    out each (Tukey 1958); None for n = 1.
    """
    n = len(rows)
    mean = rows.mean(axis=0)
    whole = float(statistic(mean[None])[0])
    if n < 2:
        return whole, None
    without = (n * mean - rows) / (n - 1)
    return student_interval(n * whole - (n - 1) * statistic(without), confidence)


def _require_replicas(data: FitData, estimator: str) -> None:
    """Refuse too few replicas for their own covariance to be of use."""
    n, m = data.independent_rows.shape
    if n <= REPLICAS_PER_LAG * m:
        raise LpsmdError(
            f"estimator '{estimator}': found {n} {_units(data)} for {m} lags, more than {REPLICAS_PER_LAG} for each "
            f"lag are needed, {REPLICAS_PER_LAG * m + 1}: run more {_units(data)}, or use estimator 'brownian'"
        )


def _units(data: FitData) -> str:
    """What is independent."""
    return "replicas" if data.structures is None else "structures"


def _from_replicas(slopes: NDArray[np.float64], structures: NDArray[np.int64] | None = None) -> SlopeFit:
    independent = structure_means(slopes, structures)
    n = len(independent)
    stderr = float(independent.std(ddof=1)) / math.sqrt(n) if n > 1 else None
    return SlopeFit(slope=float(independent.mean()), stderr=stderr, dof=max(1, n - 1), replicas=slopes)


def frames_per_ps(data: FitData) -> float:
    """Frames in a ps, to turn slopes over frames into slopes over time."""
    return float((data.lags[-1] - data.lags[0]) / (data.time_ps[-1] - data.time_ps[0]))


def _residual_basis(time_ps: NDArray[np.float64]) -> NDArray[np.float64]:
    """[M, M - 2] orthonormal columns to which every straight line is orthogonal."""
    line = np.stack([np.ones_like(time_ps), time_ps - time_ps.mean()], axis=1)
    full, _ = np.linalg.qr(line, mode="complete")
    basis: NDArray[np.float64] = full[:, 2:]
    return basis
