"""How much more must be run for an error one can live with."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from scipy import stats

from lpsmd.analysis.diffusion import Diffusion
from lpsmd.analysis.text import short
from lpsmd.analysis.verdict import Verdict
from lpsmd.errors import LpsmdError

#: Beyond this no one plans.
_MAX_REPLICAS = 100_000_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a target error of D needs; see `plan`.

    Attributes
    ----------
    target_relative_error
        Half the interval over D.
    confidence
        Of the interval.
    relative_error_now
        The same as it is.
    replicas_now, duration_now_ps
        What it rests on.
    replicas_needed
        Replicas of the present length.
    duration_needed_ps
        Length of as many replicas as now.
    verdict
        That of the coefficient.
    """

    target_relative_error: float
    confidence: float
    relative_error_now: float
    replicas_now: int
    duration_now_ps: float
    replicas_needed: int
    duration_needed_ps: float
    verdict: Verdict

    @property
    def is_reached(self) -> bool:
        """Whether nothing more is needed."""
        return self.relative_error_now <= self.target_relative_error

    def __str__(self) -> str:
        """``for 1 % (95 %): 140 replicas of 70 ps (now 24), or 24 of 400 ps``."""
        target = f"for {_percent(self.target_relative_error)} ({100 * self.confidence:g} %)"
        now = f"{_replicas(self.replicas_now)} of {_ps(self.duration_now_ps)}"
        if self.is_reached:
            text = f"{target}: reached, {now} give {_percent(self.relative_error_now)}"
        else:
            more = f"{_replicas(self.replicas_needed)} of {_ps(self.duration_now_ps)} (now {self.replicas_now})"
            text = f"{target}: {more}, or {self.replicas_now} of {_ps(self.duration_needed_ps)}"
        return text if self.verdict is Verdict.DIFFUSIVE else f"{text}, if the motion were diffusive ({self.verdict})"


def plan(diffusion: Diffusion, *, target_relative_error: float) -> Plan:
    r"""How many replicas, or how long ones, bring half the interval of D down to a part of D.

    .. math:: t_{n'-1} \, \sigma / \sqrt{n'} \le \epsilon D, \qquad T' = T (h / \epsilon D)^2

    with :math:`\sigma = \sqrt n \, \mathrm{stderr}` the spread of replicas of length T, n' the smallest number
    that will do, and h half the present interval. Assumed are independent replicas and a fit window that is a fixed
    part of their length, so that :math:`\sigma \propto 1 / \sqrt T`: true of a motion that is diffusive on all
    scales of the window. The spread is itself known to :math:`1 / \sqrt{2 (n - 1)}` only, and the answer to twice
    that.

    For one trajectory the error of its blocks takes the place of the spread.

    Parameters
    ----------
    diffusion
        As it is now.
    target_relative_error
        For example 0.05.

    Raises
    ------
    LpsmdError
        If the target is not positive, or there is no error or no positive D to start from.
    """
    if not 0.0 < target_relative_error < math.inf:
        raise LpsmdError(f"the target error is {target_relative_error}, a part of D is needed, as 0.05")
    if diffusion.is_comparison:
        raise LpsmdError("estimator 'ols' has a wrong error, nothing can be planned from it: use 'brownian'")
    D, stderr, half = diffusion.D_cm2_per_s, diffusion.D_stderr_cm2_per_s, diffusion.D_half_interval_cm2_per_s
    if stderr is None or half is None:
        raise LpsmdError("one replica gives no error to plan from: run at least 2")
    if not D > 0.0:
        raise LpsmdError(f"D is {D:.2g} cm^2/s, a positive one is needed to plan a relative error: run longer")
    n = diffusion.n_replicas
    now = half / D
    return Plan(
        target_relative_error=target_relative_error,
        confidence=diffusion.confidence,
        relative_error_now=now,
        replicas_now=n,
        duration_now_ps=diffusion.duration_ps,
        replicas_needed=_replicas_for(stderr * math.sqrt(n) / D, target_relative_error, diffusion.confidence),
        duration_needed_ps=diffusion.duration_ps * (now / target_relative_error) ** 2,
        verdict=diffusion.verdict,
    )


def plan_to_dict(found: Plan) -> dict[str, Any]:
    """Every field as JSON-ready values, with the sentence that `str` gives."""
    return {**asdict(found), "verdict": str(found.verdict), "text": str(found)}


def _replicas_for(spread: float, target: float, confidence: float) -> int:
    """The smallest n > 1 whose Student interval is narrow enough; the width falls with n, so bisect."""

    def enough(n: int) -> bool:
        return float(stats.t.ppf(0.5 + confidence / 2.0, n - 1)) * spread / math.sqrt(n) <= target

    high = 2
    while not enough(high):
        high *= 2
        if high > _MAX_REPLICAS:
            raise LpsmdError(f"a target error of {target:g} needs more than {_MAX_REPLICAS} replicas: ask for less")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _percent(part: float) -> str:
    return f"{100 * part:.3g} %"


def _replicas(n: int) -> str:
    return f"{n} replica" + ("" if n == 1 else "s")


def _ps(value: float) -> str:
    return f"{value:.0f} ps" if value >= 100.0 else f"{short(value).removesuffix('.0')} ps"
