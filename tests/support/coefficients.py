"""Coefficients of replicas whose D are given, without the way from trajectories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from lpsmd.analysis import Diffusion, diffusion_coefficient
from lpsmd.analysis.structures import nested_labels, structure_means, variance_components
from support.walks import line_msd

#: A coefficient whose verdict is good; its numbers are replaced.
_GOOD = diffusion_coefficient([line_msd(factor * np.eye(3)) for factor in (4.0, 4.1)])


def diffusion_of(values: NDArray[np.float64], structures: Sequence[int] | None = None) -> Diffusion:
    """The coefficient of replicas [n] whose D are known, without the way there."""
    labels = nested_labels(structures, len(values))
    means = structure_means(values, labels)
    stderr = float(means.std(ddof=1)) / math.sqrt(len(means))
    parts = None if labels is None else variance_components(values, labels)
    return replace(
        _GOOD,
        D_cm2_per_s=float(means.mean()),
        D_stderr_cm2_per_s=stderr,
        D_half_interval_cm2_per_s=float(special.stdtrit(len(means) - 1, 0.975)) * stderr,
        D_replicas_cm2_per_s=tuple(values.tolist()),
        dof=len(means) - 1,
        error_from="replicas" if labels is None else "structures",
        structures=None if structures is None else tuple(structures),
        D_within_structures_cm2_per_s=None if parts is None else parts.within,
        D_between_structures_cm2_per_s=None if parts is None else parts.between,
    )
