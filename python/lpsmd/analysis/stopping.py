"""When an ensemble has enough replicas: waves of them until the interval of D is as narrow as asked for."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from lpsmd.analysis.diffusion import Diffusion
from lpsmd.analysis.distributions import fisher_tail
from lpsmd.analysis.planning import MAX_REPLICAS, Precision
from lpsmd.analysis.verdict import Remedy, Verdict
from lpsmd.errors import LpsmdError

#: Below this the spread, and with it every prediction, is known to less than 20 %.
MIN_REPLICAS = 16
#: The variance at a stop is too small by 2 / N of itself, see `decide`.
LOOKING = 2.0
#: Below this part of the predicted number the next wave goes to its half only: the prediction is too uncertain.
_NEAR_HALF = 0.4
#: No wave multiplies the replicas by more: a spread or a D that is off by chance must not cost many times too much.
_LARGEST_GROWTH = 4
#: A wave after the predicted number was reached in vain is this part of all replicas, so that looks stay few.
_TOP_UP = 0.05
#: Growth where the verdict, not the width, asks for more replicas: there is no number to go to.
_UNJUDGED_GROWTH = 1.5
#: Waves are rounded up to equal numbers in each structure where that adds no more than this part.
_BALANCE_COST = 0.25


class Action(StrEnum):
    """What to do after a wave of replicas."""

    MORE_REPLICAS = "more replicas"
    TARGET_REACHED = "target reached"
    MAXIMUM_REACHED = "maximum reached"
    LONGER_RUNS = "longer runs"
    MORE_STRUCTURES = "more structures"
    FRAMEWORK_BROKEN = "framework broken"


@dataclass(frozen=True, kw_only=True)
class StoppingRule:
    """How narrow the interval of D is to be, and how many replicas may be spent on it.

    Attributes
    ----------
    target_relative_error
        Half the interval over D, at the confidence of the coefficient.
    minimum_replicas, maximum_replicas
        Complete ones.
    """

    target_relative_error: float
    minimum_replicas: int = MIN_REPLICAS
    maximum_replicas: int

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if not 0.0 < self.target_relative_error < 1.0:
            raise LpsmdError(
                f"target_relative_error is {self.target_relative_error}, a part of D between 0 and 1 is needed, as 0.05"
            )
        if self.minimum_replicas < MIN_REPLICAS:
            raise LpsmdError(
                f"minimum_replicas is {self.minimum_replicas}, at least {MIN_REPLICAS} are needed: the spread of fewer "
                "is known too badly to stop by"
            )
        if self.maximum_replicas < self.minimum_replicas:
            raise LpsmdError(
                f"maximum_replicas is {self.maximum_replicas}, at least minimum_replicas is needed, "
                f"{self.minimum_replicas}"
            )


@dataclass(frozen=True, kw_only=True)
class Decision:
    r"""What to do next, and what is expected of it.

    Attributes
    ----------
    action
        All but ``more replicas`` are ends.
    n_replicas
        Complete replicas that there should be next, in all; as many as there are where `action` is an end.
    predicted_replicas, predicted_low, predicted_high
        The number at which the target will be reached, and the interval of that prediction, :math:`1 \pm
        2 \sqrt{2 / N}` for an error from N independent values; None where nothing can be predicted. The number may be
        beyond the maximum.
    relative_error
        Half the interval over D as it is held against the target, corrected for repeated looking; None without one.
    D_half_interval_cm2_per_s
        The same in absolute terms, for a report that wants to quote it; see `decide`.
    production_ps
        For ``longer runs``, about how long each run should be at least; None where nothing tells.
    n_structures
        For ``more structures``, how many there should be, with as many replicas each as now.
    text
        One sentence for people.
    """

    action: Action
    n_replicas: int
    predicted_replicas: int | None = None
    predicted_low: int | None = None
    predicted_high: int | None = None
    relative_error: float | None = None
    D_half_interval_cm2_per_s: float | None = None
    production_ps: float | None = None
    n_structures: int | None = None
    text: str

    @property
    def goes_on(self) -> bool:
        """Whether replicas are to be run."""
        return self.action is Action.MORE_REPLICAS

    def __str__(self) -> str:
        """Action and sentence."""
        return f"{self.action}: {self.text}"


def decide(
    diffusion: Diffusion | None,
    rule: StoppingRule,
    *,
    n_complete: int,
    n_structures: int = 1,
    round_to: int = 1,
) -> Decision:
    r"""What to do after a wave of replicas.

    The waves go to the minimum; to half the predicted number, where there is less, by at most a factor of four at a
    time; to the predicted number; and from there by a twentieth at a time. These are two to five looks, after the
    three stages of Hall (1981, Ann. Stat. 9, 1229). The number predicted is the smallest n with

    .. math:: t_{n-1} \frac{s}{\sqrt n} \sqrt{1 + \frac{2}{n}} \le \epsilon D .

    The last factor is the price of looking. A number that follows the spread stops where the spread is small: with
    :math:`N = \lambda s_M^2` from the spread of the first M values, :math:`n^* = \lambda \sigma^2`, and the rest
    unbiased,

    .. math:: \langle s_N^2 \rangle = \Big\langle \frac{M s_M^2 + (N - M) \sigma^2}{N} \Big\rangle
        = \sigma^2 \Big[ 1 + \frac{M}{n^*} \Big( 1 - \Big\langle \frac{\sigma^2}{s_M^2} \Big\rangle \Big) \Big]
        \approx \sigma^2 \Big( 1 - \frac{2}{n^*} \Big)

    whatever M, since :math:`\langle \sigma^2 / s_M^2 \rangle = (M - 1) / (M - 3)`. Stopping earlier by chance is
    what keeps the fixed-width intervals of Chow and Robbins (1965, doi:10.1214/aoms/1177700156) below their level at
    any finite n; the first wave of at least 16 and Student's quantile, as in Stein (1945,
    doi:10.1214/aoms/1177731088), bound the rest of it. How often the interval at the stop holds the true D is
    counted in docs/estimators.md, for the corrected one and for that of the coefficient, which lacks the factor.

    Where replicas are nested in S structures, the S means take the place of n values.

    The ends, the first that holds:

    ``framework broken``
        The verdict says so, whatever the number.
    ``longer runs``
        From the minimum on, where the verdict can be cured by longer runs only (`lpsmd.analysis.verdict.Remedy`), or
        no coefficient can be made of the replicas.
    ``target reached``
        The interval is as narrow as asked for and the verdict ``diffusive``.
    ``more structures``
        The spread between structures alone is more than the target allows, and it is no chance; or the maximum is
        reached, and more structures with no more replicas would have done.
    ``maximum reached``
        As it says.

    Parameters
    ----------
    diffusion
        Of all complete replicas; None where there is none.
    rule
        The target and the limits.
    n_complete
        Complete replicas.
    n_structures
        Structures that the study runs replicas in, turn by turn.
    round_to
        Replicas run side by side: totals are multiples of it where the maximum allows.

    Raises
    ------
    LpsmdError
        If the coefficient is not that of the complete replicas, or its error is that of ``ols``.
    """
    _check(diffusion, n_complete, n_structures, round_to)
    step = _Step(rule=rule, n_complete=n_complete, n_structures=n_structures, round_to=round_to)
    if diffusion is not None and diffusion.verdict is Verdict.FRAMEWORK_BROKEN:
        return step.end(Action.FRAMEWORK_BROKEN, f"{diffusion.reason}; more replicas do not mend it")
    if n_complete < rule.minimum_replicas:
        return step.more(
            rule.minimum_replicas, f"{n_complete} of at least {rule.minimum_replicas} replicas are complete"
        )
    if diffusion is None or diffusion.remedy is Remedy.LONGER_RUNS:
        return _longer(step, diffusion)
    if diffusion.D_half_interval_cm2_per_s is None or not diffusion.D_cm2_per_s > 0.0:
        return step.more_or_maximum(
            _UNJUDGED_GROWTH * n_complete, f"there is no positive D with an interval ({diffusion.reason})"
        )
    return _by_width(step, diffusion)


def decision_to_dict(decision: Decision) -> dict[str, Any]:
    """Every field as JSON-ready values."""
    return {**asdict(decision), "action": str(decision.action)}


@dataclass(frozen=True, kw_only=True)
class _Step:
    """Decisions from where a condition stands, within its limits."""

    rule: StoppingRule
    n_complete: int
    n_structures: int
    round_to: int

    def end(self, action: Action, text: str, **found: Any) -> Decision:
        return Decision(action=action, n_replicas=self.n_complete, text=text, **found)

    def more(self, wanted: float, text: str, **found: Any) -> Decision:
        total = self._total(wanted)
        return Decision(action=Action.MORE_REPLICAS, n_replicas=total, text=f"{text}: on to {total} replicas", **found)

    def more_or_maximum(self, wanted: float, text: str, **found: Any) -> Decision:
        if self.n_complete < self.rule.maximum_replicas:
            return self.more(wanted, text, **found)
        text = f"{text} with the maximum of {self.rule.maximum_replicas} replicas: raise it, or run longer"
        return self.end(Action.MAXIMUM_REACHED, text, **found)

    def _total(self, wanted: float) -> int:
        """A whole number of replicas, of waves and of structures, above what there is and within the maximum."""
        total = _round_up(max(math.ceil(wanted), self.n_complete + 1), self.round_to)
        balanced = _round_up(total, math.lcm(self.round_to, self.n_structures))
        if balanced <= (1.0 + _BALANCE_COST) * total and balanced <= self.rule.maximum_replicas:
            total = balanced
        return max(self.n_complete, min(total, self.rule.maximum_replicas))


def _by_width(step: _Step, diffusion: Diffusion) -> Decision:
    """The decision where there is an interval to hold against the target."""
    rule, n = step.rule, step.n_complete
    precision = Precision.of(diffusion, looking=LOOKING)
    correction = math.sqrt(1.0 + LOOKING / diffusion.n_independent)
    half = diffusion.D_half_interval_cm2_per_s
    assert half is not None
    now = correction * half / diffusion.D_cm2_per_s
    found: dict[str, Any] = {"relative_error": now, "D_half_interval_cm2_per_s": correction * half}
    state = f"the error of D is {_percent(now)}, {_percent(rule.target_relative_error)} is wanted"
    if now <= rule.target_relative_error:
        if diffusion.verdict is Verdict.DIFFUSIVE:
            return step.end(
                Action.TARGET_REACHED, f"{state}, with {n} replicas", **found, **_prediction(n, n, diffusion)
            )
        return step.more_or_maximum(
            _UNJUDGED_GROWTH * n, f"{state}, but {diffusion.verdict} ({diffusion.reason})", **found
        )
    predicted = _predicted(precision, rule.target_relative_error)
    if predicted is None and n < rule.maximum_replicas and not _structures_differ(diffusion):
        text = f"{state}, and it is not clear yet whether structures differ too much for it"
        return step.more(_UNJUDGED_GROWTH * n, text, **found)
    if predicted is None:
        return _more_structures(step, precision, state, found)
    found |= _prediction(max(predicted, n), n, diffusion)
    if n >= rule.maximum_replicas and _would_do_apart(precision, n, rule):
        return _as_many_apart(step, precision, state, found)
    low, high = found["predicted_low"], found["predicted_high"]
    text = f"{state}, which should take {found['predicted_replicas']} replicas ({low} to {high})"
    if predicted > rule.maximum_replicas:
        text += f", more than the maximum of {rule.maximum_replicas}"
    return step.more_or_maximum(_next(predicted, n), text, **found)


def _next(predicted: int, n: int) -> int:
    """Where the next wave goes."""
    if predicted <= n:
        return n + math.ceil(_TOP_UP * n)
    return predicted if n >= _NEAR_HALF * predicted else min(math.ceil(predicted / 2), _LARGEST_GROWTH * n)


def _predicted(precision: Precision, target: float) -> int | None:
    """Replicas in the present structures; None where none will do."""
    try:
        return precision.replicas_for(target)
    except LpsmdError:
        # beyond all planning is beyond every maximum
        return MAX_REPLICAS


def _prediction(predicted: int, n: int, diffusion: Diffusion) -> dict[str, int]:
    """The number with its interval, which is not below what there is already."""
    width = 2.0 * math.sqrt(2.0 / diffusion.n_independent)
    return {
        "predicted_replicas": predicted,
        "predicted_low": max(n, math.floor((1.0 - width) * predicted)),
        "predicted_high": math.ceil((1.0 + width) * predicted),
    }


def _structures_differ(diffusion: Diffusion) -> bool:
    """Whether the F test of the analysis of variance shows it: few replicas of few structures differ by chance."""
    within, between = diffusion.D_within_structures_cm2_per_s, diffusion.D_between_structures_cm2_per_s
    if not within or between is None:
        return True
    n, n_structures = diffusion.n_replicas, diffusion.n_independent
    ratio = 1.0 + n / n_structures * (between / within) ** 2
    return fisher_tail(ratio, n_structures - 1, n - n_structures) < 1.0 - diffusion.confidence


def _would_do_apart(precision: Precision, n: int, rule: StoppingRule) -> bool:
    """Whether as many replicas would do, each in a structure of its own."""
    if precision.n_structures is None:
        return False
    return precision.half(n_replicas=n, n_structures=n) <= rule.target_relative_error


def _as_many_apart(step: _Step, precision: Precision, state: str, found: dict[str, Any]) -> Decision:
    n = step.n_complete
    needed = precision.structures_for(step.rule.target_relative_error, n_replicas=n)
    text = f"{state}, and as many replicas in about {needed} structures instead of {precision.n_structures} would do"
    return step.end(Action.MORE_STRUCTURES, text, n_structures=needed, **found)


def _more_structures(step: _Step, precision: Precision, state: str, found: dict[str, Any]) -> Decision:
    floor = precision.half(n_replicas=math.inf)
    try:
        needed = precision.structures_for(step.rule.target_relative_error)
    except LpsmdError:
        needed = None
    wanted = "more than can be run" if needed is None else f"about {needed}"
    text = (
        f"{state}, and the spread between {precision.n_structures} structures alone leaves {_percent(floor)}, whatever "
        f"the number of replicas: {wanted} structures are needed"
    )
    return step.end(Action.MORE_STRUCTURES, text, n_structures=needed, **found)


def _longer(step: _Step, diffusion: Diffusion | None) -> Decision:
    """The end where more replicas of the present length do not help."""
    if diffusion is None:
        text = f"{step.n_complete} complete replicas give no D: raise production_ps, the same folder continues"
        return step.end(Action.LONGER_RUNS, text)
    production_ps = _production_ps(diffusion)
    how_long = "how long cannot be told, no ion has left its cage"
    if production_ps is not None:
        how_long = f"about {production_ps:.2g} ps instead of {diffusion.duration_ps:.3g} ps at least"
    text = (
        f"{diffusion.verdict}: {diffusion.reason}; more replicas do not help: raise production_ps, {how_long}, "
        "and the same folder continues"
    )
    return step.end(Action.LONGER_RUNS, text, production_ps=production_ps)


def _production_ps(diffusion: Diffusion) -> float | None:
    """Length at which an ion makes one hop within the window at the present rate, at least twice the present one.

    A motion that is not straight yet is slower later, so this is a lower bound. None where the slope is not positive
    beyond its interval.
    """
    D, half = diffusion.D_cm2_per_s, diffusion.D_half_interval_cm2_per_s
    if half is None or D - half <= 0.0:
        return None
    hops_per_ps = diffusion.n_hops / (diffusion.n_replicas * diffusion.n_atoms * diffusion.duration_ps)
    end = diffusion.fit_end_ps / diffusion.duration_ps
    return max(2.0 * diffusion.duration_ps, 1.0 / (hops_per_ps * end))


def _check(diffusion: Diffusion | None, n_complete: int, n_structures: int, round_to: int) -> None:
    if diffusion is not None and diffusion.n_replicas != n_complete:
        raise LpsmdError(
            f"found a coefficient of {diffusion.n_replicas} replicas and {n_complete} complete ones, that of all "
            "complete replicas is needed: analyse them again"
        )
    if diffusion is not None and diffusion.is_comparison:
        raise LpsmdError("estimator 'ols' has a wrong error, nothing can be decided by it: use 'brownian'")
    for name, value in (("n_structures", n_structures), ("round_to", round_to)):
        if value < 1:
            raise LpsmdError(f"{name} is {value}, at least 1 is needed")


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _percent(part: float) -> str:
    return f"{100 * part:.2g} %"
