"""Two coefficients against each other: their ratio and their difference, with errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpsmd.analysis.diffusion import Diffusion
from lpsmd.analysis.estimators import jackknife, student_interval
from lpsmd.analysis.verdict import Verdict
from lpsmd.errors import LpsmdError

#: A value and half its interval; None where there is none.
_Interval = tuple[float | None, float | None]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Another coefficient over a base, and minus it.

    Attributes
    ----------
    ratio, ratio_half_width
        Other over base and half its two-sided interval; None where the base does not move.
    difference_cm2_per_s, difference_half_width_cm2_per_s
        Other minus base and half its two-sided interval.
    paired_structures
        Number of structures that the errors rest on; None where the two are taken as independent.
    both_diffusive
        Whether both verdicts are good.
    """

    ratio: float | None
    ratio_half_width: float | None
    difference_cm2_per_s: float
    difference_half_width_cm2_per_s: float
    paired_structures: int | None
    both_diffusive: bool

    @property
    def significant(self) -> bool:
        """True where the difference is larger than its error."""
        return abs(self.difference_cm2_per_s) > self.difference_half_width_cm2_per_s


def compare(base: Diffusion, other: Diffusion) -> Comparison:
    r"""Compare two coefficients, paired by structure where they share at least two.

    What a structure does to D it does to both, so that it cancels in pairs :math:`(x_s, y_s)` of the structure means
    of the two. Structures are independent: the difference is the mean of :math:`y_s - x_s` with Student's interval of
    S - 1 degrees of freedom (the paired t test); the ratio is that of the two means by the jackknife over structures
    (Tukey 1958), whose error is to first order

    .. math:: \frac{1}{\bar x} \Big[ \frac{1}{S (S - 1)} \sum_s (y_s - R x_s)^2 \Big]^{1/2}

    (Cochran 1977, Sampling Techniques, 6.4). Structures of which only one has replicas are left out of both.

    Without shared structures, and where all replicas start from one, which then cannot vary, the two are independent:
    the half-widths add in quadrature, :math:`(e_y^2 + (R e_x)^2)^{1/2} / |\bar x|` for the ratio.

    Raises
    ------
    LpsmdError
        If one of them has no interval.
    """
    pairs = _pairs(base, other)
    if pairs is None:
        ratio, difference = _independent(base, other)
    else:
        ratio = _ratio_of_means(pairs, base.confidence)
        difference = student_interval(pairs[:, 1] - pairs[:, 0], base.confidence)
    assert difference[1] is not None
    return Comparison(
        ratio=ratio[0],
        ratio_half_width=ratio[1],
        difference_cm2_per_s=difference[0],
        difference_half_width_cm2_per_s=difference[1],
        paired_structures=None if pairs is None else len(pairs),
        both_diffusive=all(found.verdict is Verdict.DIFFUSIVE for found in (base, other)),
    )


def _pairs(base: Diffusion, other: Diffusion) -> NDArray[np.float64] | None:
    """[S, 2] the means of base and other over the replicas of each structure that both have; None for S < 2."""
    first, second = _means(base), _means(other)
    shared = sorted(first.keys() & second.keys())
    return np.array([(first[s], second[s]) for s in shared]) if len(shared) > 1 else None


def _means(found: Diffusion) -> dict[int, float]:
    """D of each structure."""
    values: dict[int, list[float]] = {}
    for structure, D in zip(found.structures or (), found.D_replicas_cm2_per_s, strict=False):
        values.setdefault(structure, []).append(D)
    return {structure: math.fsum(of_it) / len(of_it) for structure, of_it in values.items()}


def _ratio_of_means(pairs: NDArray[np.float64], confidence: float) -> _Interval:
    with np.errstate(divide="ignore", invalid="ignore"):
        value, half = jackknife(pairs, lambda means: means[:, 1] / means[:, 0], confidence)
    # It is not finite where no more than one structure lets the base move.
    return (value, half) if half is not None and math.isfinite(half) else (None, None)


def _independent(base: Diffusion, other: Diffusion) -> tuple[_Interval, tuple[float, float | None]]:
    x, y = base.D_cm2_per_s, other.D_cm2_per_s
    e_x, e_y = base.D_half_interval_cm2_per_s, other.D_half_interval_cm2_per_s
    if e_x is None or e_y is None:
        raise LpsmdError("a coefficient has no interval, two replicas at least are needed to compare it with another")
    ratio = (y / x, math.hypot(e_y, y / x * e_x) / abs(x)) if x else (None, None)
    return ratio, (y - x, math.hypot(e_x, e_y))
