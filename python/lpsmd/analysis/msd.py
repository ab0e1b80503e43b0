"""Mean squared displacements from trajectories."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from lpsmd import _core
from lpsmd.analysis.trajectory import Trajectory
from lpsmd.errors import LpsmdError

Drift = Literal["framework", "com", "none"]

_log = logging.getLogger(__name__)

#: A cell that changes by less than this, relative, is a fixed cell printed with a few digits.
_CELL_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False, kw_only=True)
class Msd:
    """Mean squared displacement of one species in one replica, for L lags, the zero lag first.

    Attributes
    ----------
    species
        Chemical symbol.
    drift
        What was taken as at rest: ``framework``, ``com`` or ``none``.
    n_atoms
        Atoms averaged over.
    n_frames
        Frames of the trajectory.
    duration_ps
        Time from the first to the last frame.
    time_ps
        [L] lag.
    msd_A2
        [L] mean squared displacement.
    components_A2
        [L, 3] its x, y and z parts, which add up to `msd_A2`.
    counts
        [L] int64, windows times atoms behind each value; windows overlap, so these are not independent.
    """

    species: str
    drift: Drift
    n_atoms: int
    n_frames: int
    duration_ps: float
    time_ps: NDArray[np.float64]
    msd_A2: NDArray[np.float64]
    components_A2: NDArray[np.float64]
    counts: NDArray[np.int64]


def mean_squared_displacement(
    trajectory: Trajectory,
    *,
    species: str,
    timestep_fs: float,
    drift: Drift = "framework",
    max_lag_fraction: float = 0.5,
) -> Msd:
    r"""Windowed mean squared displacement of one species over all time origins.

    .. math::

        \mathrm{MSD}(m) = \frac{1}{N (F - m)} \sum_{i} \sum_{t=0}^{F-m-1}
            \left| \mathbf{u}_i(t + m) - \mathbf{u}_i(t) \right|^2,
        \quad \mathbf{u}_i(t) = \mathbf{r}_i(t) - \mathbf{R}(t)

    with :math:`\mathbf{R}` the mass-weighted mean position of the reference. The sum is exact: float64,
    every origin, every lag.

    Parameters
    ----------
    trajectory
        With all atoms of the reference, so read with ``species=None`` for drift ``framework`` or ``com``.
    species
        Chemical symbol, ``"Li"``.
    timestep_fs
        The integrator's step.
    drift
        The reference: ``framework`` is every atom that is not of `species`, ``com`` every atom, ``none``
        leaves the positions as they are.
    max_lag_fraction
        Longest lag as a part of the trajectory, above 0 and at most 1.

    Raises
    ------
    LpsmdError
        If the species or the reference is not in the trajectory or an option is out of its range.
    """
    if drift not in get_args(Drift):
        raise LpsmdError(f"drift is '{drift}', one of {', '.join(get_args(Drift))} is needed")
    if not 0.0 < max_lag_fraction <= 1.0:
        raise LpsmdError(f"max_lag_fraction is {max_lag_fraction}, a number above 0 and at most 1 is needed")
    interval_ps = trajectory.frame_interval_ps(timestep_fs)
    selection = trajectory.indices_of(species)
    _warn_of_changing_cell(trajectory)
    last = trajectory.n_frames - 1
    # the small term keeps 0.1 * 30 from falling below 3
    n_lags = 1 + max(1, int(max_lag_fraction * last + 1e-9))
    interval_steps = int(trajectory.timesteps[1] - trajectory.timesteps[0])
    sums = _core.MsdAccumulator(n_lags=n_lags, frame_interval=interval_steps)
    weights = _drift_weights(trajectory, selection, species, drift)
    sums.add(trajectory.positions_A, selection=selection, drift_weights=weights)
    components = sums.sums / sums.counts[:, None]
    return Msd(
        species=species,
        drift=drift,
        n_atoms=len(selection),
        n_frames=trajectory.n_frames,
        duration_ps=last * interval_ps,
        time_ps=interval_ps * np.arange(n_lags, dtype=np.float64),
        msd_A2=components.sum(axis=1),
        components_A2=components,
        counts=sums.counts,
    )


def _drift_weights(
    trajectory: Trajectory, selection: NDArray[np.int64], species: str, drift: Drift
) -> NDArray[np.float64]:
    """[N] masses of the reference's atoms, zero elsewhere; empty for none."""
    if drift == "none":
        return np.empty(0)
    weights = np.array([_mass(trajectory, element) for element in trajectory.elements])
    if drift == "framework":
        weights[selection] = 0.0
        if not weights.any():
            raise LpsmdError(
                f"{trajectory.name}: found only {species}, so there is no framework to take the drift from; "
                "read the dump with all species, or choose drift 'com' or 'none'"
            )
    return weights


def _mass(trajectory: Trajectory, element: str) -> float:
    """Standard atomic mass in g/mol."""
    number = atomic_numbers.get(element)
    if number is None:
        raise LpsmdError(
            f"{trajectory.name}: element '{element}' is not a chemical symbol, so its mass is unknown; "
            "name the types with `dump_modify ... element Li P S Cl`, or choose drift 'none'"
        )
    return float(atomic_masses[number])


def _warn_of_changing_cell(trajectory: Trajectory) -> None:
    """Unwrapped coordinates of a breathing cell also carry the motion of the cell."""
    first = trajectory.cells_A[0]
    change = float(np.abs(trajectory.cells_A - first).max() / np.abs(first).max())
    if change > _CELL_TOLERANCE:
        _log.warning(
            "%s: the cell changes by %.2g of its length; unwrapped coordinates then carry its motion, "
            "so run at constant volume for a diffusion coefficient (doi:10.1063/5.0008316)",
            trajectory.name,
            change,
        )
