"""Slopes of other curves of the same replicas, in the fit window of a `Diffusion`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lpsmd.analysis.diffusion import Diffusion, fit_data
from lpsmd.analysis.estimators import FitData, SlopeFit, brownian_fit
from lpsmd.analysis.msd import Msd
from lpsmd.analysis.structures import nested_labels, structure_means
from lpsmd.errors import LpsmdError


def window_data(msds: Sequence[Msd], diffusion: Diffusion, curves: NDArray[np.float64]) -> FitData:
    """Curves [n, L] of the replicas at the lags that D was fitted to.

    Raises
    ------
    LpsmdError
        If the replicas are not those of the coefficient.
    """
    if len(msds) != diffusion.n_replicas:
        raise LpsmdError(
            f"found {len(msds)} MSDs for a coefficient of {diffusion.n_replicas} replicas, the same ones are needed"
        )
    data = fit_data(msds, diffusion.fit_start_ps, diffusion.fit_end_ps, structures=diffusion.structures)
    chosen = np.searchsorted(msds[0].time_ps, data.time_ps)
    return replace(data, rows=curves[:, chosen])


def curve_slope(msds: Sequence[Msd], diffusion: Diffusion, curves: NDArray[np.float64]) -> SlopeFit:
    """Slope over time of the mean of curves [n, L], by the fixed analytic weights whatever D was fitted with.

    What is compared with each other, tensor components, tracers and charge, then has the same weights. A single
    trajectory gives a slope without an error.
    """
    return brownian_fit(window_data(msds, diffusion, curves))


def independent_slopes(msds: Sequence[Msd], diffusion: Diffusion, curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n] the slope over time of each curve [n, L], by the same weights; [S] means of structures where nested."""
    labels = nested_labels(diffusion.structures, len(msds))
    return structure_means(curve_slope(msds, diffusion, curves).replicas, labels)
