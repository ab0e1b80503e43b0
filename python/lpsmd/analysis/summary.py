"""All that an ensemble tells: D with its verdict, and what follows from the same replicas in the same window."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lpsmd.analysis.conductivity import (
    CollectiveDiffusion,
    Conductivity,
    collective_diffusion,
    collective_to_dict,
    conductivity,
    conductivity_to_dict,
)
from lpsmd.analysis.diffusion import Diffusion, diffusion_to_dict
from lpsmd.analysis.msd import Msd
from lpsmd.analysis.planning import Plan, plan, plan_to_dict
from lpsmd.analysis.tables import Cell
from lpsmd.analysis.tensor import DiffusionTensor, diffusion_tensor, tensor_to_dict
from lpsmd.errors import LpsmdError
from lpsmd.text import short, without_nan

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class Summary:
    """D and the quantities derived from it; None where they were not asked for or cannot be had.

    Attributes
    ----------
    diffusion
        Tracer coefficient.
    tensor
        Diffusion tensor and anisotropy.
    collective
        Collective coefficient and Haven ratio.
    conductivity
        Where the temperature is known.
    plan
        What a target error needs.
    temperature_K
        Of the runs, if known.
    """

    diffusion: Diffusion
    tensor: DiffusionTensor | None
    collective: CollectiveDiffusion | None
    conductivity: Conductivity | None
    plan: Plan | None
    temperature_K: float | None


def summarise(
    msds: Sequence[Msd],
    diffusion: Diffusion,
    *,
    temperature_K: float | None = None,
    charge_e: float = 1.0,
    target_relative_error: float | None = None,
) -> Summary:
    """Everything that the replicas of a coefficient tell.

    Parameters
    ----------
    msds
        One for each replica.
    diffusion
        The coefficient from these.
    temperature_K
        Of the runs; no conductivity without it.
    charge_e
        Charge of an ion, in elementary charges.
    target_relative_error
        Half the interval over D that is wanted; no plan without it.

    Raises
    ------
    LpsmdError
        As from `conductivity`.
    """
    collective = None
    if all(msd.collective_A2 is not None for msd in msds):
        collective = collective_diffusion(msds, diffusion)
    conducted = None
    if temperature_K is not None:
        conducted = conductivity(msds, diffusion, temperature_K=temperature_K, charge_e=charge_e, collective=collective)
    return Summary(
        diffusion=diffusion,
        tensor=diffusion_tensor(msds, diffusion) if all(len(msd.tensor_A2) for msd in msds) else None,
        collective=collective,
        conductivity=conducted,
        plan=_plan(diffusion, target_relative_error),
        temperature_K=temperature_K,
    )


def _plan(diffusion: Diffusion, target_relative_error: float | None) -> Plan | None:
    """A plan that cannot be had must not take D with it."""
    if target_relative_error is None:
        return None
    try:
        return plan(diffusion, target_relative_error=target_relative_error)
    except LpsmdError as error:
        _log.warning("no plan for a relative error of %g: %s", target_relative_error, error)
        return None


def summary_to_dict(summary: Summary) -> dict[str, Any]:
    """Every part as JSON-ready values, units in the keys, a verdict in each."""
    return without_nan(
        {
            "temperature_K": summary.temperature_K,
            "diffusion": diffusion_to_dict(summary.diffusion),
            "tensor": None if summary.tensor is None else tensor_to_dict(summary.tensor),
            "collective": None if summary.collective is None else collective_to_dict(summary.collective),
            "conductivity": None if summary.conductivity is None else conductivity_to_dict(summary.conductivity),
            "plan": None if summary.plan is None else plan_to_dict(summary.plan),
        }
    )


def summary_lines(summary: Summary) -> Iterator[str]:
    """What a terminal shows: a line for each quantity, the verdict in each."""
    found = summary.diffusion
    window = f"fit {short(found.fit_start_ps)}-{short(found.fit_end_ps)} of {short(found.duration_ps)} ps"
    yield f"D({found.species}) = {found.value_text}, {window}: {found.verdict}"
    yield f"  {found.verdict}: {found.reason}"
    quality = "" if math.isnan(found.motion.quality) else f"; quality Q = {found.motion.quality:.2g}"
    yield (
        f"  MSD at the end of the window {found.msd_reached_A2:.1f} Angstrom^2, of the line at zero lag "
        f"{found.offset_A2 + 0.0:.1f}; {found.n_hops:.0f} hops in all{quality}"
    )
    for part in (summary.tensor, summary.collective, summary.conductivity, summary.plan):
        if part is not None:
            yield str(part)


def summary_row(summary: Summary) -> dict[str, Cell]:
    """The numbers of a summary as one row of a table, the verdict among them; empty where there is none."""
    found, collective, conducted = summary.diffusion, summary.collective, summary.conductivity
    values: dict[str, Any] = {
        "species": found.species,
        "temperature_K": summary.temperature_K,
        "D_cm2_per_s": found.D_cm2_per_s,
        "D_stderr_cm2_per_s": found.D_stderr_cm2_per_s,
        "D_half_interval_cm2_per_s": found.D_half_interval_cm2_per_s,
        "confidence": found.confidence,
        "verdict": str(found.verdict),
        "reason": found.reason,
        "estimator": found.options.estimator,
        "error_from": found.error_from,
        "n_replicas": found.n_replicas,
        "n_atoms": found.n_atoms,
        "duration_ps": found.duration_ps,
        "fit_start_ps": found.fit_start_ps,
        "fit_end_ps": found.fit_end_ps,
        "exponent": found.motion.exponent,
        "straightness": found.motion.straightness,
        "quality": found.motion.quality,
        "msd_reached_A2": found.msd_reached_A2,
        "n_hops": found.n_hops,
        "anisotropy": summary.tensor and summary.tensor.anisotropy,
        "collective_D_cm2_per_s": collective and collective.D_cm2_per_s,
        "collective_D_stderr_cm2_per_s": collective and collective.D_stderr_cm2_per_s,
        "haven_ratio": collective and collective.haven_ratio,
        "haven_ratio_stderr": collective and collective.haven_ratio_stderr,
        "collective_verdict": collective and str(collective.verdict),
        "nernst_einstein_S_per_cm": conducted and conducted.nernst_einstein_S_per_cm,
        "nernst_einstein_stderr_S_per_cm": conducted and conducted.nernst_einstein_stderr_S_per_cm,
        "collective_S_per_cm": conducted and conducted.collective_S_per_cm,
        "collective_stderr_S_per_cm": conducted and conducted.collective_stderr_S_per_cm,
    }
    empty = {name for name, value in values.items() if value is None or value != value}
    return {name: "" if name in empty else value for name, value in values.items()}
