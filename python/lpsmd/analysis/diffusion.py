"""The diffusion coefficient of an ensemble of replicas, with its interval and a verdict."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from ase.geometry import find_mic
from numpy.typing import NDArray
from scipy import stats

from lpsmd.analysis.msd import Drift, Msd, mean_squared_displacement
from lpsmd.analysis.trajectory import Trajectory, read_dump
from lpsmd.errors import LpsmdError

#: 1 Angstrom^2/ps = 1e-16 cm^2 / 1e-12 s
CM2_PER_S_IN_A2_PER_PS = 1e-4
#: Dimensions in the Einstein relation MSD = 2 d D t.
_DIMENSIONS = 3
#: Lags below this many leave nothing to fit a line and an exponent to.
_MIN_LAGS_IN_WINDOW = 3


class Verdict(StrEnum):
    """What may be said of the motion behind a coefficient."""

    DIFFUSIVE = "diffusive"
    NOT_YET_DIFFUSIVE = "not yet diffusive"
    TOO_SHORT = "too short to judge"
    FRAMEWORK_BROKEN = "framework broken"


@dataclass(frozen=True, kw_only=True)
class DiffusionOptions:
    """How D is fitted and judged.

    Attributes
    ----------
    fit_start_fraction, fit_end_fraction
        The fit window as parts of the length of a replica.
    confidence
        Of every interval, two-sided.
    hop_distance_A
        The step that long-range motion is made of. 2.9 Angstrom is the shortest distance between 48h sites
        of neighbouring cages in Li6PS5Cl (a = 9.86 Angstrom, x = 0.183, z = 0.024); steps inside a cage are
        1.9 and 2.2 Angstrom. An MSD below its square says nothing of leaving the cage.
    exponent_margin
        The local exponent may be this far from 1 without harm: over the default window, a factor of five in
        time, it moves the slope by about as much as its own value, 15 %.
    exponent_uncertainty
        With a half-interval of the exponent above this, half the way from caged (0) to diffusive (1), the
        two cannot be told apart.
    """

    fit_start_fraction: float = 0.1
    fit_end_fraction: float = 0.5
    confidence: float = 0.95
    hop_distance_A: float = 2.9
    exponent_margin: float = 0.15
    exponent_uncertainty: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if not 0.0 < self.fit_start_fraction < self.fit_end_fraction <= 1.0:
            raise LpsmdError(
                f"the fit window is {self.fit_start_fraction} to {self.fit_end_fraction} of the length, "
                "0 < start < end <= 1 is needed, for example 0.1 to 0.5"
            )
        if not 0.0 < self.confidence < 1.0:
            raise LpsmdError(f"confidence is {self.confidence}, a number between 0 and 1 is needed, as 0.95")
        for name in ("hop_distance_A", "exponent_margin", "exponent_uncertainty"):
            if not getattr(self, name) > 0.0:
                raise LpsmdError(f"{name} is {getattr(self, name)}, a positive number is needed")


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


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameworkCheck:
    """State of the framework in one replica.

    Attributes
    ----------
    options
        The bounds applied.
    msd
        MSD of the framework species, its own centre of mass taken as at rest.
    broken_bonds
        One text for each broken bond: ids, time, length.
    longest_bond_A
        The longest that any followed bond ever was.
    """

    options: FrameworkOptions
    msd: Msd
    broken_bonds: tuple[str, ...]
    longest_bond_A: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Diffusion:
    """A diffusion coefficient, never without its interval, window and verdict.

    Attributes
    ----------
    species
        Chemical symbol.
    D_cm2_per_s
        Mean over replicas.
    D_half_interval_cm2_per_s
        Half the two-sided Student interval; None for a single replica.
    D_replicas_cm2_per_s
        [n] each replica's.
    confidence
        Of the intervals.
    fit_start_ps, fit_end_ps
        First and last lag fitted.
    duration_ps
        Length of each replica.
    exponent, exponent_half_interval
        Local exponent d ln MSD / d ln t over the window and its interval; None for a single replica.
    msd_reached_A2
        Mean MSD at the end of the window.
    verdict, reason
        What may be said of the motion, and why, with numbers.
    framework_checked
        Whether the framework was looked at.
    options
        How it was fitted and judged.
    """

    species: str
    D_cm2_per_s: float
    D_half_interval_cm2_per_s: float | None
    D_replicas_cm2_per_s: tuple[float, ...]
    confidence: float
    fit_start_ps: float
    fit_end_ps: float
    duration_ps: float
    exponent: float
    exponent_half_interval: float | None
    msd_reached_A2: float
    verdict: Verdict
    reason: str
    framework_checked: bool
    options: DiffusionOptions

    @property
    def n_replicas(self) -> int:
        """Number of replicas."""
        return len(self.D_replicas_cm2_per_s)

    @property
    def value_text(self) -> str:
        """``(1.2 +- 0.5)e-5 cm^2/s (95 %, n = 4)``; for tables that show the verdict beside it."""
        value = format_with_error(self.D_cm2_per_s, self.D_half_interval_cm2_per_s)
        if self.D_half_interval_cm2_per_s is None:
            return f"{value} cm^2/s (no interval, n = 1)"
        return f"{value} cm^2/s ({100 * self.confidence:g} %, n = {self.n_replicas})"

    def __str__(self) -> str:
        """``D = (1.2 +- 0.5)e-5 cm^2/s (95 %, n = 4), fit 0.4-1.0 ps: verdict: reason``."""
        window = f"fit {_short(self.fit_start_ps)}-{_short(self.fit_end_ps)} ps"
        return f"D = {self.value_text}, {window}: {self.verdict}: {self.reason}"


@dataclass(frozen=True, eq=False, kw_only=True)
class ReplicaAnalysis:
    """All that `analyse_replicas` finds: each replica's MSD and framework, and D from them."""

    msds: tuple[Msd, ...]
    frameworks: tuple[FrameworkCheck, ...] | None = field(default=None)
    diffusion: Diffusion


def analyse_replicas(
    replicas: Sequence[Sequence[str | os.PathLike[str]] | str | os.PathLike[str]],
    *,
    species: str,
    timestep_fs: float,
    drift: Drift = "framework",
    options: DiffusionOptions | None = None,
    framework: FrameworkOptions | None = FrameworkOptions(),
) -> ReplicaAnalysis:
    """Read, check and analyse the replicas of one model; one trajectory is in memory at a time.

    Parameters
    ----------
    replicas
        For each replica its dump, or the dumps of its chunks in order.
    species
        Element that diffuses.
    timestep_fs
        The integrator's step.
    drift
        See `mean_squared_displacement`.
    options
        See `DiffusionOptions`; defaults if None.
    framework
        See `FrameworkOptions`; None leaves the check out, and the result says so.

    Raises
    ------
    LpsmdError
        As from `read_dump`, `mean_squared_displacement`, `check_framework`, `diffusion_coefficient`.
    """
    options = options or DiffusionOptions()
    msds, checks = [], []
    for paths in replicas:
        trajectory = read_dump(paths)
        msds.append(
            mean_squared_displacement(
                trajectory,
                species=species,
                timestep_fs=timestep_fs,
                drift=drift,
                max_lag_fraction=options.fit_end_fraction,
            )
        )
        if framework is not None:
            checks.append(check_framework(trajectory, timestep_fs=timestep_fs, options=framework))
    frameworks = tuple(checks) if framework is not None else None
    diffusion = diffusion_coefficient(msds, options, frameworks=frameworks)
    return ReplicaAnalysis(msds=tuple(msds), frameworks=frameworks, diffusion=diffusion)


def diffusion_coefficient(
    msds: Sequence[Msd],
    options: DiffusionOptions | None = None,
    *,
    frameworks: Sequence[FrameworkCheck] | None = None,
) -> Diffusion:
    r"""D from the Einstein relation, the mean over replicas with a Student interval, and a verdict.

    Each replica gives :math:`D_r = s_r / 6` with :math:`s_r` the slope of a weighted straight line through
    its MSD in the fit window. The weights are the inverse variances of a Brownian MSD over overlapping
    windows, :math:`\sigma_m^2 \propto m (2 m^2 + 1) / (F - m)` for lag m of F frames (Qian, Sheetz and
    Elson 1991, doi:10.1016/S0006-3495(91)82125-7). They are fixed beforehand, so D is unbiased whatever the
    correlations between lags, and those enter the error only through the spread over replicas:
    :math:`\bar D \pm t_{n-1} s / \sqrt n`. The local exponent :math:`\beta` is the slope of ln MSD over ln t
    of the mean MSD; its interval comes from jackknife pseudo-values over replicas, Student too.

    Student's interval takes the :math:`D_r` as normal. With a window up to half the length they are skewed to
    the right when few atoms move: a 95 % interval of Brownian replicas covers the truth in 95 % of cases for
    24 atoms and in 94 % where only 8 components are independent. Strongly correlated ions count as few.

    The verdict is the first of these that holds:

    ``framework broken``
        a named bond is broken, the framework's MSD exceeds its limit, or it rises beyond its Student
        interval at a rate that passes the limit within the length of a replica.
    ``too short to judge``
        there is one replica; the MSD at the end of the window is below the square of the hop distance; the
        interval of D includes zero; or that of the exponent is too wide to tell caged from diffusive.
    ``not yet diffusive``
        the exponent differs from 1 by more than its interval and by more than the margin.
    ``diffusive``
        none of these.

    Parameters
    ----------
    msds
        One for each replica, with the same lags.
    options
        Defaults if None.
    frameworks
        One for each replica; None if the framework was not looked at, which the reason then says.

    Raises
    ------
    LpsmdError
        If there is no replica, if replicas differ in species, lags or length, or the window holds too few
        lags.
    """
    options = options or DiffusionOptions()
    same_lags(msds)
    if frameworks is not None and len(frameworks) != len(msds):
        raise LpsmdError(f"found {len(frameworks)} framework checks for {len(msds)} replicas, one for each is needed")
    first = msds[0]
    window = _window(first, options)
    lags = np.arange(len(first.time_ps))[window]
    time_ps = first.time_ps[window]
    values = np.array([msd.msd_A2[window] for msd in msds])

    variance = lags * (2.0 * lags**2 + 1.0) / (first.n_frames - lags)
    slopes = _weighted_slope(time_ps, values, 1.0 / variance)
    replicas = slopes / (2 * _DIMENSIONS) * CM2_PER_S_IN_A2_PER_PS
    mean, half = student_interval(replicas, options.confidence)

    def exponent_of(rows: NDArray[np.float64]) -> float:
        # d ln MSD has the relative variance of the MSD
        slope = _weighted_slope(np.log(time_ps), np.log(rows.mean(axis=0))[None], lags**2 / variance)
        return float(slope[0])

    exponent, exponent_half = _jackknife(values, exponent_of, options.confidence)
    reached = float(values[:, -1].mean())
    broken = _framework_reason(frameworks, options.confidence) if frameworks is not None else None
    verdict, reason = _judge(
        mean=mean,
        half=half,
        exponent=exponent,
        exponent_half=exponent_half,
        reached_A2=reached,
        broken=broken,
        options=options,
    )
    if frameworks is None:
        reason += "; the framework was not checked"
    return Diffusion(
        species=first.species,
        D_cm2_per_s=mean,
        D_half_interval_cm2_per_s=half,
        D_replicas_cm2_per_s=tuple(float(value) for value in replicas),
        confidence=options.confidence,
        fit_start_ps=float(time_ps[0]),
        fit_end_ps=float(time_ps[-1]),
        duration_ps=first.duration_ps,
        exponent=exponent,
        exponent_half_interval=exponent_half,
        msd_reached_A2=reached,
        verdict=verdict,
        reason=reason,
        framework_checked=frameworks is not None,
        options=options,
    )


def check_framework(
    trajectory: Trajectory, *, timestep_fs: float, options: FrameworkOptions | None = None
) -> FrameworkCheck:
    """Follow the named bonds and the MSD of the framework through one replica.

    The bonds are those of each centre to its nearest neighbours (minimum image) in the first frame, so a
    unit that came apart before the production is found as well: its farthest bond stays too long.

    Parameters
    ----------
    trajectory
        With the framework's elements.
    timestep_fs
        The integrator's step.
    options
        Defaults if None.

    Raises
    ------
    LpsmdError
        If an element of the framework is not in the trajectory or has too few neighbours.
    """
    options = options or FrameworkOptions()
    interval_ps = trajectory.frame_interval_ps(timestep_fs)
    centre, neighbour = options.bond
    centres, others = trajectory.indices_of(centre), trajectory.indices_of(neighbour)
    if len(others) < options.coordination:
        raise LpsmdError(
            f"{trajectory.name}: found {len(others)} {neighbour}, at least {options.coordination} are needed "
            f"for the bonds of each {centre}: set bond and coordination, or leave the check out"
        )
    pairs, lengths = _bond_lengths(trajectory, centres, others, options.coordination)
    needed = max(2, math.floor(options.bond_persistence_ps / interval_ps + 1e-9) + 2)
    broken = []
    for (i, j), length in zip(pairs, lengths.T, strict=True):
        start = _first_run(length > options.bond_limit_A, needed)
        if start is not None:
            broken.append(
                f"{centre}-{neighbour} bond of atoms {trajectory.ids[i]} and {trajectory.ids[j]} broke at "
                f"{_short(start * interval_ps)} ps ({length[start]:.2f} Angstrom)"
            )
    only = _only(trajectory, trajectory.indices_of(options.species))
    msd = mean_squared_displacement(only, species=options.species, timestep_fs=timestep_fs, drift="com")
    return FrameworkCheck(options=options, msd=msd, broken_bonds=tuple(broken), longest_bond_A=float(lengths.max()))


def diffusion_to_dict(diffusion: Diffusion) -> dict[str, Any]:
    """Every field as JSON-ready values, units in the keys, with the sentence that `str` gives."""
    values = asdict(diffusion)
    values["D_replicas_cm2_per_s"] = list(diffusion.D_replicas_cm2_per_s)
    values["verdict"] = str(diffusion.verdict)
    values["n_replicas"] = diffusion.n_replicas
    values["text"] = str(diffusion)
    return values


def student_interval(values: NDArray[np.float64], confidence: float) -> tuple[float, float | None]:
    """Mean and half the two-sided Student interval of independent values [n]; None for n = 1."""
    mean = float(values.mean())
    n = len(values)
    if n < 2:
        return mean, None
    quantile = stats.t.ppf(0.5 + confidence / 2.0, n - 1)
    return mean, float(quantile * values.std(ddof=1) / math.sqrt(n))


def format_with_error(value: float, error: float | None) -> str:
    """``(1.2 +- 0.5)e-5``: the error to one digit (two if it starts with 1), the value to the same place."""
    largest = max(abs(value), abs(error or 0.0))
    if largest == 0.0 or not math.isfinite(largest):
        return f"({value:g} +- {error:g})" if error is not None else f"{value:g}"
    power = math.floor(math.log10(largest))
    if not error:
        return f"{value / 10.0**power:.2f}e{power}"
    scaled = error / 10.0**power
    place = -math.floor(math.log10(scaled))
    digits = max(0, place + (1 if scaled * 10.0**place < 1.95 else 0))
    return f"({value / 10.0**power:.{digits}f} +- {scaled:.{digits}f})e{power}"


def same_lags(msds: Sequence[Msd]) -> None:
    """Refuse replicas that cannot be averaged.

    Raises
    ------
    LpsmdError
        Naming the replica that differs from the first.
    """
    if not msds:
        raise LpsmdError("found no replica, at least one MSD is needed")
    first = msds[0]
    for index, msd in enumerate(msds):
        if msd.species != first.species or msd.drift != first.drift:
            raise LpsmdError(
                f"replica {index} is of {msd.species} with drift '{msd.drift}', replica 0 of {first.species} "
                f"with '{first.drift}'; one kind is needed"
            )
        if msd.n_frames != first.n_frames or not np.array_equal(msd.time_ps, first.time_ps):
            raise LpsmdError(
                f"replica {index} is {_short(msd.duration_ps)} ps long with {msd.n_frames} frames, replica 0 "
                f"{_short(first.duration_ps)} ps with {first.n_frames}; equal ones are needed: finish "
                "the short replicas, dropping them would bias D"
            )


def _window(msd: Msd, options: DiffusionOptions) -> NDArray[np.bool_]:
    """[L] which lags are fitted."""
    slack = 1e-9 * msd.duration_ps
    start = options.fit_start_fraction * msd.duration_ps - slack
    end = options.fit_end_fraction * msd.duration_ps + slack
    if msd.time_ps[-1] < end - 2 * slack - msd.time_ps[1]:
        raise LpsmdError(
            f"the MSD goes up to a lag of {_short(msd.time_ps[-1])} ps, the fit window ends at {_short(end)} "
            f"ps; compute it with max_lag_fraction >= {options.fit_end_fraction:g}"
        )
    window = (msd.time_ps >= start) & (msd.time_ps <= end) & (msd.time_ps > 0.0)
    if np.count_nonzero(window) < _MIN_LAGS_IN_WINDOW:
        raise LpsmdError(
            f"the fit window {_short(start)}-{_short(end)} ps holds {np.count_nonzero(window)} lags, at "
            f"least {_MIN_LAGS_IN_WINDOW} are needed: run longer, dump more often or widen the window"
        )
    if not msd.msd_A2[window].min() > 0.0:
        raise LpsmdError(f"the MSD of {msd.species} is zero in the fit window: the atoms do not move, look at the run")
    return window


def _weighted_slope(
    x: NDArray[np.float64], rows: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[n] slopes of weighted straight lines through rows [n, m] over x [m]."""
    weights = weights / weights.sum()
    centred = x - weights @ x
    slopes: NDArray[np.float64] = rows @ (weights * centred) / (weights @ centred**2)
    return slopes


def _jackknife(
    rows: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], float], confidence: float
) -> tuple[float, float | None]:
    """A statistic of all replicas, its bias of order 1/n removed, and its half-interval."""
    n = len(rows)
    whole = statistic(rows)
    if n < 2:
        return whole, None
    without = np.array([statistic(np.delete(rows, index, axis=0)) for index in range(n)])
    return student_interval(n * whole - (n - 1) * without, confidence)


def _judge(
    *,
    mean: float,
    half: float | None,
    exponent: float,
    exponent_half: float | None,
    reached_A2: float,
    broken: str | None,
    options: DiffusionOptions,
) -> tuple[Verdict, str]:
    """The verdict and its reason, by the rules in `diffusion_coefficient`."""
    if broken is not None:
        return Verdict.FRAMEWORK_BROKEN, broken
    if half is None or exponent_half is None:
        return Verdict.TOO_SHORT, "one replica gives no interval, at least 2 are needed"
    hop_A2 = options.hop_distance_A**2
    beta = f"local exponent {exponent:.2f} +- {exponent_half:.2f}"
    if reached_A2 < hop_A2:
        return (
            Verdict.TOO_SHORT,
            f"MSD {reached_A2:.1f} Angstrom^2 at the end of the window, one hop of "
            f"{options.hop_distance_A:g} Angstrom is {hop_A2:.1f}",
        )
    if mean - half <= 0.0:
        return Verdict.TOO_SHORT, "the interval of D includes zero, run longer or more replicas"
    if exponent_half > options.exponent_uncertainty:
        return Verdict.TOO_SHORT, f"{beta} cannot tell caged from diffusive, run longer or more replicas"
    if abs(exponent - 1.0) > max(exponent_half, options.exponent_margin):
        return Verdict.NOT_YET_DIFFUSIVE, f"{beta}, 1 is needed"
    return Verdict.DIFFUSIVE, f"{beta}, MSD {reached_A2:.1f} Angstrom^2 at the end of the window"


def _framework_reason(checks: Sequence[FrameworkCheck], confidence: float) -> str | None:
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
    rates = _weighted_slope(first.time_ps[later], values, np.ones(values.shape[1]))
    rate, half = student_interval(rates, confidence)
    end = values[:, -1].mean() + rate * (first.duration_ps - first.time_ps[-1])
    if half is None or rate - half <= 0.0 or end <= options.msd_limit_A2:
        return None
    return (
        f"MSD of {options.species} does not level off: it rises by {rate:.2g} +- {half:.1g} Angstrom^2/ps, "
        f"beyond {options.msd_limit_A2:g} Angstrom^2 within {_short(first.duration_ps)} ps"
    )


def _bond_lengths(
    trajectory: Trajectory, centres: NDArray[np.int64], others: NDArray[np.int64], coordination: int
) -> tuple[list[tuple[int, int]], NDArray[np.float64]]:
    """Pairs of atom indices, B = centres x coordination, and their lengths [F, B]."""
    positions = trajectory.positions_A
    cell = trajectory.cells_A[0]
    between = positions[0, others][None] - positions[0, centres][:, None]
    nearest, distances = find_mic(between.reshape(-1, 3), cell, trajectory.periodic)
    ranked = np.argsort(distances.reshape(len(centres), len(others)), axis=1)[:, :coordination]
    row = np.arange(len(centres))[:, None]
    i = np.broadcast_to(centres[:, None], ranked.shape).ravel()
    j = others[ranked].ravel()
    # whole cells between the unwrapped pair, kept through the run
    shift = (nearest.reshape(between.shape) - between)[row, ranked].reshape(-1, 3)
    images = np.rint(shift @ np.linalg.inv(cell))
    bonds = positions[:, j] - positions[:, i] + images @ trajectory.cells_A
    pairs = [(int(a), int(b)) for a, b in zip(i, j, strict=True)]
    return pairs, np.linalg.norm(bonds, axis=2)


def _first_run(flags: NDArray[np.bool_], needed: int) -> int | None:
    """Where the first run of at least `needed` true values begins."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    for start, stop in edges.reshape(-1, 2):
        if stop - start >= needed:
            return int(start)
    return None


def _only(trajectory: Trajectory, chosen: NDArray[np.int64]) -> Trajectory:
    """The trajectory of some of its atoms."""
    return Trajectory(
        paths=trajectory.paths,
        timesteps=trajectory.timesteps,
        positions_A=trajectory.positions_A[:, chosen],
        ids=trajectory.ids[chosen],
        elements=tuple(trajectory.elements[index] for index in chosen),
        cells_A=trajectory.cells_A,
        origins_A=trajectory.origins_A,
        periodic=trajectory.periodic,
        repeated_frames=trajectory.repeated_frames,
    )


def _short(value: float) -> str:
    """A time in three digits, at least one decimal."""
    text = f"{value:.3g}"
    return text if "." in text or "e" in text else text + ".0"
