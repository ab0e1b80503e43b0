"""The sentence that stands beside every D."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lpsmd.analysis.motion import Motion


class Verdict(StrEnum):
    """What may be said of the motion behind a coefficient."""

    DIFFUSIVE = "diffusive"
    NOT_YET_DIFFUSIVE = "not yet diffusive"
    TOO_FEW_EVENTS = "too few events"
    TOO_SHORT = "too short to judge"
    FRAMEWORK_BROKEN = "framework broken"


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
) -> tuple[Verdict, str]:
    """The verdict and its reason, by the rules in `lpsmd.analysis.diffusion_coefficient`."""
    if evidence.framework_reason is not None:
        return Verdict.FRAMEWORK_BROKEN, evidence.framework_reason
    motion = evidence.motion
    if motion.is_caged(straightness_uncertainty):
        return (
            Verdict.NOT_YET_DIFFUSIVE,
            f"caged, {motion.exponent_text}, 1 is needed (MSD {evidence.msd_reached_A2:.2g} Angstrom^2 at the end of "
            f"the window, one hop of {hop_distance_A:g} Angstrom is {hop_distance_A**2:.1f})",
        )
    if motion.is_bent(exponent_margin):
        return Verdict.NOT_YET_DIFFUSIVE, f"the MSD is not straight, {motion.straightness_text}, 1 is needed"
    if evidence.ions_taken_as_independent or evidence.slope_half_interval is None:
        return (
            Verdict.TOO_SHORT,
            "one trajectory too short for blocks does not tell how ions move together, which its interval leaves out: "
            "run longer or more replicas",
        )
    if evidence.n_hops < min_hops:
        return (
            Verdict.TOO_FEW_EVENTS,
            f"about {evidence.n_hops:.0f} hops of {hop_distance_A:g} Angstrom in all, at least {min_hops:g} are "
            "needed, run longer or more replicas",
        )
    beyond = evidence.msd_reached_A2 - max(0.0, evidence.offset_A2)
    if beyond < hop_distance_A**2:
        rattling = f", {evidence.offset_A2:.1f} of it rattling" if evidence.offset_A2 > 0.05 else ""
        return (
            Verdict.TOO_SHORT,
            f"MSD {evidence.msd_reached_A2:.1f} Angstrom^2 at the end of the window{rattling}, one hop of "
            f"{hop_distance_A:g} Angstrom is {hop_distance_A**2:.1f}, run longer",
        )
    if evidence.slope - evidence.slope_half_interval <= 0.0:
        return Verdict.TOO_SHORT, "the interval of D includes zero, run longer or more replicas"
    half = motion.exponent_half_interval
    if half is not None and half > exponent_uncertainty:
        return (
            Verdict.TOO_SHORT,
            f"{motion.exponent_text} cannot tell caged from diffusive, run longer or more replicas",
        )
    if motion.has_unclear_exponent(exponent_margin, straightness_uncertainty):
        return (
            Verdict.TOO_SHORT,
            f"{motion.exponent_text}, 1 is needed; {motion.straightness_text} cannot tell whether rattling or "
            "subdiffusion lowers it, run longer or more replicas",
        )
    return (
        Verdict.DIFFUSIVE,
        f"{motion.exponent_text}, {motion.straightness_text}, MSD {evidence.msd_reached_A2:.1f} Angstrom^2 at the end "
        f"of the window, about {evidence.n_hops:.0f} hops",
    )
