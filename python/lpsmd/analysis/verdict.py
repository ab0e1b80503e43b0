"""The sentence that stands beside every D."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from lpsmd.analysis.motion import Motion


class Verdict(StrEnum):
    """What may be said of the motion behind a coefficient."""

    DIFFUSIVE = "diffusive"
    NOT_YET_DIFFUSIVE = "not yet diffusive"
    TOO_FEW_EVENTS = "too few events"
    TOO_SHORT = "too short to judge"
    FRAMEWORK_BROKEN = "framework broken"


class Remedy(StrEnum):
    """What would make a verdict ``diffusive``; more replicas where these do, though longer runs might too."""

    NOTHING = "nothing"
    MORE_REPLICAS = "more replicas"
    LONGER_RUNS = "longer runs"
    OTHER_DYNAMICS = "another model or other dynamics"


class Judgement(NamedTuple):
    """A verdict, its reason with numbers, and its remedy."""

    verdict: Verdict
    reason: str
    remedy: Remedy


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a verdict is given on; `framework_reason` is None where the framework is whole or was not checked."""

    slope: float
    slope_half_interval: float | None
    ions_taken_as_independent: bool
    motion: Motion
    offset_A2: float
    msd_reached_A2: float
    n_hops: float
    framework_reason: str | None


def judge(
    evidence: Evidence,
    *,
    hop_distance_A: float,
    min_hops: float,
    exponent_margin: float,
    exponent_uncertainty: float,
    straightness_uncertainty: float,
) -> Judgement:
    """The verdict and its reason, by the rules in `lpsmd.analysis.diffusion_coefficient`, and what cures it.

    Replicas narrow intervals and add events. They neither let an ion leave its cage nor straighten an MSD; where each
    ion has made less than one hop, or no more than an exponent's own approximation is in doubt, runs must be longer.
    """
    if evidence.framework_reason is not None:
        return Judgement(Verdict.FRAMEWORK_BROKEN, evidence.framework_reason, Remedy.OTHER_DYNAMICS)
    motion = evidence.motion
    if motion.is_caged(straightness_uncertainty):
        return Judgement(
            Verdict.NOT_YET_DIFFUSIVE,
            f"caged, {motion.exponent_text}, 1 is needed (MSD {evidence.msd_reached_A2:.2g} Angstrom^2 at the end of "
            f"the window, one hop of {hop_distance_A:g} Angstrom is {hop_distance_A**2:.1f})",
            Remedy.LONGER_RUNS,
        )
    if motion.is_bent(exponent_margin):
        reason = f"the MSD is not straight, {motion.straightness_text}, 1 is needed"
        return Judgement(Verdict.NOT_YET_DIFFUSIVE, reason, Remedy.LONGER_RUNS)
    if evidence.ions_taken_as_independent or evidence.slope_half_interval is None:
        return Judgement(
            Verdict.TOO_SHORT,
            "one trajectory too short for blocks does not tell how ions move together, which its interval leaves out: "
            "run longer or more replicas",
            Remedy.MORE_REPLICAS,
        )
    beyond = evidence.msd_reached_A2 - max(0.0, evidence.offset_A2)
    below_a_hop = beyond < hop_distance_A**2
    if evidence.n_hops < min_hops:
        return Judgement(
            Verdict.TOO_FEW_EVENTS,
            f"about {evidence.n_hops:.0f} hops of {hop_distance_A:g} Angstrom in all, at least {min_hops:g} are "
            "needed, run longer or more replicas",
            # replicas add hops, but the next rule would ask for longer runs all the same
            Remedy.LONGER_RUNS if below_a_hop else Remedy.MORE_REPLICAS,
        )
    if below_a_hop:
        rattling = f", {evidence.offset_A2:.1f} of it rattling" if evidence.offset_A2 > 0.05 else ""
        return Judgement(
            Verdict.TOO_SHORT,
            f"MSD {evidence.msd_reached_A2:.1f} Angstrom^2 at the end of the window{rattling}, one hop of "
            f"{hop_distance_A:g} Angstrom is {hop_distance_A**2:.1f}, run longer",
            Remedy.LONGER_RUNS,
        )
    if evidence.slope - evidence.slope_half_interval <= 0.0:
        reason = "the interval of D includes zero, run longer or more replicas"
        return Judgement(Verdict.TOO_SHORT, reason, Remedy.MORE_REPLICAS)
    half = motion.exponent_half_interval
    if half is not None and half > exponent_uncertainty:
        return Judgement(
            Verdict.TOO_SHORT,
            f"{motion.exponent_text} cannot tell caged from diffusive, run longer or more replicas",
            Remedy.MORE_REPLICAS,
        )
    if motion.has_unclear_exponent(exponent_margin, straightness_uncertainty):
        return Judgement(
            Verdict.TOO_SHORT,
            f"{motion.exponent_text}, 1 is needed; {motion.straightness_text} cannot tell whether rattling or "
            "subdiffusion lowers it, run longer or more replicas",
            Remedy.LONGER_RUNS if motion.is_as_sharp_as_can_be else Remedy.MORE_REPLICAS,
        )
    return Judgement(
        Verdict.DIFFUSIVE,
        f"{motion.exponent_text}, {motion.straightness_text}, MSD {evidence.msd_reached_A2:.1f} Angstrom^2 at the end "
        f"of the window, about {evidence.n_hops:.0f} hops",
        Remedy.NOTHING,
    )
