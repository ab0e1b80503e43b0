"""Whether the framework stayed whole: its MSD levels off, its named bonds hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase.geometry import find_mic
from numpy.typing import NDArray

from lpsmd.analysis.covariance import line_weights
from lpsmd.analysis.estimators import student_interval
from lpsmd.analysis.msd import Msd, mean_squared_displacement
from lpsmd.analysis.replicas import same_lags
from lpsmd.analysis.trajectory import Trajectory
from lpsmd.errors import LpsmdError
from lpsmd.text import short


@dataclass(frozen=True, kw_only=True)
class FrameworkOptions:
    """What must stay whole for the numbers to mean the crystal that was put in.

    Attributes
    ----------
    species
        Element whose MSD must level off.
    msd_limit_A2
        Bound on that MSD. Vibrations at 900 K give 0.2 to 0.4 Angstrom^2, a hop of P several.
    bond
        Centre and neighbour of the named bond.
    coordination
        Neighbours of each centre: the nearest ones of the first frame are followed.
    bond_limit_A
        Length beyond which a bond is broken; P-S is 2.05 Angstrom at rest.
    bond_persistence_ps
        A bond that returns within this time was stretched, not broken.
    """

    species: str = "P"
    msd_limit_A2: float = 1.0
    bond: tuple[str, str] = ("P", "S")
    coordination: int = 4
    bond_limit_A: float = 2.8
    bond_persistence_ps: float = 0.1


def framework_for(elements: Sequence[str]) -> FrameworkOptions | None:
    """The check of thiophosphates, which hold PS4 units; None where P or S is missing."""
    options = FrameworkOptions()
    return options if set(options.bond) <= set(elements) else None


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameworkCheck:
    """State of the framework in one replica.

    Attributes
    ----------
    options
        The bounds applied.
    msd
        MSD of the framework species, its own centre of mass taken as at rest; its curve alone.
    broken_bonds
        One text for each broken bond: ids, time, length.
    longest_bond_A
        The longest that any followed bond ever was.
    """

    options: FrameworkOptions
    msd: Msd
    broken_bonds: tuple[str, ...]
    longest_bond_A: float


def check_framework(
    trajectory: Trajectory, *, timestep_fs: float | None = None, options: FrameworkOptions | None = None
) -> FrameworkCheck:
    """Follow the named bonds and the MSD of the framework through one replica.

    The bonds are those of each centre to its nearest neighbours (minimum image) in the first frame, so a
    unit that came apart before the production is found as well: its farthest bond stays too long.

    Parameters
    ----------
    trajectory
        With the framework's elements.
    timestep_fs
        The integrator's step; needed for dumps.
    options
        Defaults if None.

    Raises
    ------
    LpsmdError
        If an element of the framework is not in the trajectory or has too few neighbours.
    """
    options = options or FrameworkOptions()
    centre, neighbour = options.bond
    centres, others = trajectory.indices_of(centre), trajectory.indices_of(neighbour)
    needed = options.coordination + (centre == neighbour)  # no atom is its own neighbour
    if len(others) < needed:
        raise LpsmdError(
            f"{trajectory.name}: found {len(others)} {neighbour}, at least {needed} are needed "
            f"for the bonds of each {centre}: set bond and coordination, or leave the check out"
        )
    pairs, lengths = _bond_lengths(trajectory, centres, others, options.coordination)
    time_ps = trajectory.times_ps(timestep_fs)
    broken = []
    for (i, j), length in zip(pairs, lengths.T, strict=True):
        start = _first_run(length > options.bond_limit_A, time_ps, options.bond_persistence_ps)
        if start is not None:
            broken.append(
                f"{centre}-{neighbour} bond of atoms {trajectory.ids[i]} and {trajectory.ids[j]} broke at "
                f"{short(time_ps[start])} ps ({length[start]:.2f} Angstrom)"
            )
    only = _only(trajectory, trajectory.indices_of(options.species))
    msd = mean_squared_displacement(
        only, species=options.species, timestep_fs=timestep_fs, drift="com", collective=False, alpha2=False
    )
    return FrameworkCheck(
        options=options, msd=msd.curve(), broken_bonds=tuple(broken), longest_bond_A=float(lengths.max())
    )


def framework_reason(checks: Sequence[FrameworkCheck], confidence: float) -> str | None:
    """Why the framework counts as broken, or None."""
    for index, check in enumerate(checks):
        if check.broken_bonds:
            more = len(check.broken_bonds) - 1
            return f"replica {index}: {check.broken_bonds[0]}" + (f" and {more} more" if more else "")
    options = checks[0].options
    for index, check in enumerate(checks):
        highest = float(check.msd.msd_A2.max())
        if highest > options.msd_limit_A2:
            return (
                f"replica {index}: MSD of {options.species} reaches {highest:.2f} Angstrom^2, "
                f"{options.msd_limit_A2:g} is the limit"
            )
    return _framework_growth(checks, confidence)


def _framework_growth(checks: Sequence[FrameworkCheck], confidence: float) -> str | None:
    """Why the framework's MSD does not level off, or None.

    It rises beyond chance, at a rate that passes the limit within a replica's length.
    """
    first, options = checks[0].msd, checks[0].options
    same_lags([check.msd for check in checks])
    later = first.time_ps >= 0.5 * first.time_ps[-1]
    values = np.array([check.msd.msd_A2[later] for check in checks])
    if np.count_nonzero(later) < 2:
        return None
    rates = values @ line_weights(first.time_ps[later], np.eye(values.shape[1]))[1]
    rate, half = student_interval(rates, confidence)
    end = values[:, -1].mean() + rate * (first.duration_ps - first.time_ps[-1])
    if half is None or rate - half <= 0.0 or end <= options.msd_limit_A2:
        return None
    return (
        f"MSD of {options.species} does not level off: it rises by {rate:.2g} +- {half:.1g} Angstrom^2/ps, "
        f"beyond {options.msd_limit_A2:g} Angstrom^2 within {short(first.duration_ps)} ps"
    )


def _bond_lengths(
    trajectory: Trajectory, centres: NDArray[np.int64], others: NDArray[np.int64], coordination: int
) -> tuple[list[tuple[int, int]], NDArray[np.float64]]:
    """Pairs of atom indices, B = centres x coordination, and their lengths [F, B]."""
    positions = trajectory.positions_A
    cell = trajectory.cells_A[0]
    between = positions[0, others][None] - positions[0, centres][:, None]
    nearest, distances = find_mic(between.reshape(-1, 3), cell, trajectory.periodic)
    distances = distances.reshape(len(centres), len(others))
    distances[centres[:, None] == others] = np.inf
    ranked = np.argsort(distances, axis=1)[:, :coordination]
    row = np.arange(len(centres))[:, None]
    i = np.broadcast_to(centres[:, None], ranked.shape).ravel()
    j = others[ranked].ravel()
    # whole cells between the unwrapped pair, kept through the run
    shift = (nearest.reshape(between.shape) - between)[row, ranked].reshape(-1, 3)
    images = np.rint(shift @ np.linalg.inv(cell))
    bonds = positions[:, j] - positions[:, i] + images @ trajectory.cells_A
    pairs = [(int(a), int(b)) for a, b in zip(i, j, strict=True)]
    return pairs, np.linalg.norm(bonds, axis=2)


def _first_run(flags: NDArray[np.bool_], time_ps: NDArray[np.float64], longer_than_ps: float) -> int | None:
    """Where the first run of true values begins that lasts longer than a time."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    for start, stop in edges.reshape(-1, 2):
        if time_ps[stop - 1] - time_ps[start] > longer_than_ps * (1.0 + 1e-9):
            return int(start)
    return None


def _only(trajectory: Trajectory, chosen: NDArray[np.int64]) -> Trajectory:
    """The trajectory of some of its atoms."""
    return replace(
        trajectory,
        positions_A=trajectory.positions_A[:, chosen],
        ids=trajectory.ids[chosen],
        elements=tuple(trajectory.elements[index] for index in chosen),
    )
