"""How much more must be run for an error one can live with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from lpsmd.analysis.diffusion import Diffusion
from lpsmd.analysis.distributions import student_half_interval
from lpsmd.analysis.verdict import Verdict
from lpsmd.errors import LpsmdError
from lpsmd.text import short

#: Beyond this no one plans.
MAX_REPLICAS = 100_000_000


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
        Replicas of the present length, in the present structures; None where no number of them will do.
    duration_needed_ps
        Length of as many replicas as now; None where no length will do.
    verdict
        That of the coefficient.
    structures_now
        Structures that the replicas are nested in; None where they are not nested.
    structures_needed
        Structures of as many replicas each as now; None where replicas are not nested.
    """

    target_relative_error: float
    confidence: float
    relative_error_now: float
    replicas_now: int
    duration_now_ps: float
    replicas_needed: int | None
    duration_needed_ps: float | None
    verdict: Verdict
    structures_now: int | None = None
    structures_needed: int | None = None

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
            text = f"{target}: {', or '.join(self._ways())}"
        return text if self.verdict is Verdict.DIFFUSIVE else f"{text}, if the motion were diffusive ({self.verdict})"

    def _ways(self) -> list[str]:
        """What would do, in the order of trying."""
        ways = []
        if self.replicas_needed is not None:
            ways.append(f"{_replicas(self.replicas_needed)} of {_ps(self.duration_now_ps)} (now {self.replicas_now})")
        if self.duration_needed_ps is not None:
            ways.append(f"{self.replicas_now} of {_ps(self.duration_needed_ps)}")
        if self.structures_needed is not None and self.structures_now is not None:
            each = self.replicas_now / self.structures_now
            only = "only " if not ways else ""
            ways.append(
                f"{only}{self.structures_needed} structures (now {self.structures_now}) of {each:.3g} replicas each"
            )
        return ways


@dataclass(frozen=True, kw_only=True)
class Precision:
    r"""Half the relative interval of D for other numbers of replicas, structures and ps.

    The squared standard error is :math:`b / S + w / (n T)` for n replicas in S structures, each T times as long as
    now, and :math:`w / (n T)` where replicas are not nested. All variances are relative to the squared D.

    Attributes
    ----------
    within, between
        Variances w of a replica of the present length and b of a structure.
    n_replicas, n_structures
        As now; no structures where replicas are not nested.
    confidence
        Of the interval.
    looking
        The variance is taken as larger by 1 + `looking` / N for N independent values, see
        `lpsmd.analysis.stopping`.
    """

    within: float
    between: float
    n_replicas: int
    n_structures: int | None
    confidence: float
    looking: float = 0.0

    @classmethod
    def of(cls, diffusion: Diffusion, *, looking: float = 0.0) -> Precision:
        """That which the replicas of a coefficient show.

        Raises
        ------
        LpsmdError
            If the coefficient has no error, a wrong one, or is not positive.
        """
        if diffusion.is_comparison:
            raise LpsmdError("estimator 'ols' has a wrong error, nothing can be planned from it: use 'brownian'")
        D, stderr = diffusion.D_cm2_per_s, diffusion.D_stderr_cm2_per_s
        if stderr is None:
            raise LpsmdError("one replica gives no error to plan from: run at least 2")
        if not D > 0.0:
            raise LpsmdError(f"D is {D:.2g} cm^2/s, a positive one is needed to plan a relative error: run longer")
        between = diffusion.D_between_structures_cm2_per_s
        nested = diffusion.n_independent if between is not None else None
        squared = (stderr / D) ** 2
        # what structures explain of the error found, so that the present numbers give the present error
        part = 0.0 if between is None or nested is None else min(squared, (between / D) ** 2 / nested)
        return cls(
            within=(squared - part) * diffusion.n_replicas,
            between=0.0 if nested is None else part * nested,
            n_replicas=diffusion.n_replicas,
            n_structures=nested,
            confidence=diffusion.confidence,
            looking=looking,
        )

    def half(self, *, n_replicas: float, n_structures: int | None = None, times_as_long: float = 1.0) -> float:
        """Half the interval over D; of the present structures if none are given."""
        structures = self.n_structures if n_structures is None else n_structures
        independent = int(n_replicas) if structures is None else structures
        squared = self.within / (n_replicas * times_as_long) + (self.between / structures if structures else 0.0)
        quantile = student_half_interval(self.confidence, independent - 1)
        return quantile * math.sqrt(squared * (1.0 + self.looking / independent))

    def replicas_for(self, target: float) -> int | None:
        """The smallest n > 1 that will do; None where the structures alone leave a larger error.

        Raises
        ------
        LpsmdError
            If it is beyond all planning.
        """
        if self.n_structures is not None and self.half(n_replicas=math.inf) >= target:
            return None
        least = 2 if self.n_structures is None else self.n_structures
        return _smallest(lambda n: self.half(n_replicas=n) <= target, least, target, "replicas")

    def structures_for(self, target: float, *, n_replicas: int | None = None) -> int | None:
        """The smallest number of structures that will do; None where replicas are not nested.

        Each holds as many replicas as now, or its part of `n_replicas` if these are given; then they must do in as
        many structures.

        Raises
        ------
        LpsmdError
            If it is beyond all planning.
        """
        if self.n_structures is None:
            return None
        each = self.n_replicas / self.n_structures

        def enough(s: int) -> bool:
            return self.half(n_replicas=each * s if n_replicas is None else n_replicas, n_structures=s) <= target

        return _smallest(enough, 2, target, "structures")

    def times_as_long_for(self, target: float) -> float | None:
        """Length of as many replicas as now that will do, over the present one; None where none will."""
        now, floor = (
            self.half(n_replicas=self.n_replicas),
            self.half(n_replicas=self.n_replicas, times_as_long=math.inf),
        )
        return None if floor >= target else (now**2 - floor**2) / (target**2 - floor**2)


def plan(diffusion: Diffusion, *, target_relative_error: float) -> Plan:
    r"""How many replicas, or how long ones, bring half the interval of D down to a part of D.

    .. math:: t_{n'-1} \, \sigma / \sqrt{n'} \le \epsilon D, \qquad T' = T (h / \epsilon D)^2

    with :math:`\sigma = \sqrt n \, \mathrm{stderr}` the spread of replicas of length T, n' the smallest number
    that will do, and h half the present interval. Assumed are independent replicas and a fit window that is a fixed
    part of their length, so that :math:`\sigma \propto 1 / \sqrt T`: true of a motion that is diffusive on all
    scales of the window. The spread is itself known to :math:`1 / \sqrt{2 (n - 1)}` only, and the answer to twice
    that.

    Replicas nested in S structures have

    .. math:: t_{S-1} \sqrt{\sigma_b^2 / S + \sigma_w^2 / n'} \le \epsilon D

    and neither replicas nor length bring the error below :math:`t_{S-1} \, \sigma_b / \sqrt S`: that takes more
    structures. The spread between few structures is known badly, to :math:`1 / \sqrt{2 (S - 1)}` at best.

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
    precision = Precision.of(diffusion)
    half = diffusion.D_half_interval_cm2_per_s
    assert half is not None
    now = half / diffusion.D_cm2_per_s
    if precision.n_structures is None:
        longer: float | None = (now / target_relative_error) ** 2
    else:
        longer = precision.times_as_long_for(target_relative_error)
    return Plan(
        target_relative_error=target_relative_error,
        confidence=diffusion.confidence,
        relative_error_now=now,
        replicas_now=diffusion.n_replicas,
        duration_now_ps=diffusion.duration_ps,
        replicas_needed=precision.replicas_for(target_relative_error),
        duration_needed_ps=None if longer is None else diffusion.duration_ps * longer,
        verdict=diffusion.verdict,
        structures_now=precision.n_structures,
        structures_needed=precision.structures_for(target_relative_error),
    )


def plan_to_dict(found: Plan) -> dict[str, Any]:
    """Every field as JSON-ready values, with the sentence that `str` gives."""
    return {**asdict(found), "verdict": str(found.verdict), "text": str(found)}


def _smallest(enough: Callable[[int], bool], least: int, target: float, what: str) -> int:
    """The smallest number from `least` on that is enough; the width falls with it, so bisect."""
    if enough(least):
        return least
    low, high = least, 2 * least
    while not enough(high):
        low, high = high, 2 * high
        if high > MAX_REPLICAS:
            raise LpsmdError(f"a target error of {target:g} needs more than {MAX_REPLICAS} {what}: ask for less")
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
