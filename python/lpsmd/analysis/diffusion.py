"""The diffusion coefficient of an ensemble of replicas or of one trajectory, with its interval and a verdict."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lpsmd.analysis.covariance import brownian_covariance, brownian_line_weights, lag_grid
from lpsmd.analysis.estimators import Estimator, FitData, SlopeFit, brownian_fit, fit_slope, frames_per_ps
from lpsmd.analysis.formats import read_trajectory
from lpsmd.analysis.framework import (
    FrameworkCheck,
    FrameworkOptions,
    check_framework,
    framework_for,
    framework_reason,
)
from lpsmd.analysis.motion import Motion, describe_motion
from lpsmd.analysis.msd import Drift, Msd, mean_squared_displacement
from lpsmd.analysis.replicas import map_replicas, same_lags
from lpsmd.analysis.structures import nested_labels, variance_components
from lpsmd.analysis.trajectory import Trajectory
from lpsmd.analysis.verdict import Evidence, Remedy, Verdict, judge
from lpsmd.errors import LpsmdError
from lpsmd.text import format_with_error, short, without_nan

#: 1 Angstrom^2/ps = 1e-16 cm^2 / 1e-12 s
CM2_PER_S_IN_A2_PER_PS = 1e-4
#: D in cm^2/s of a slope in Angstrom^2/ps: the Einstein relation MSD = 2 d D t in three dimensions.
D_CM2_PER_S_OF_SLOPE = CM2_PER_S_IN_A2_PER_PS / 6
#: Lags below this many cannot be cut into an early and a late half.
MIN_LAGS_IN_WINDOW = 4
#: Window starts tried where the first is not diffusive yet.
_N_STARTS = 5
#: An exponent this near to 1 is straight, however small its interval; it moves the slope by some 4 %.
_STRAIGHT = 0.05
#: A single trajectory is cut into this many blocks of at least so many frames.
_N_BLOCKS = 8
_MIN_FRAMES_IN_BLOCK = 40
#: Options that `judge` takes as they are.
_JUDGED = ("exponent_margin", "exponent_uncertainty", "straightness_uncertainty")


@dataclass(frozen=True, kw_only=True)
class DiffusionOptions:
    """How D is fitted and judged.

    Attributes
    ----------
    fit_start_fraction, fit_end_fraction
        The fit window as parts of the length of a replica.
    latest_start_fraction
        Where the motion is not diffusive from `fit_start_fraction` on, later starts up to this one are tried, and
        the earliest that is diffusive is taken. As large as `fit_start_fraction` or smaller: the start is fixed.
    fit_ps
        The fit window in ps, fixed; it takes the place of the fractions.
    estimator
        See `lpsmd.analysis.estimators.fit_slope`.
    confidence
        Of every interval, two-sided.
    hop_distance_A
        The step that long-range motion is made of. 2.9 Angstrom is the shortest distance between 48h sites
        of neighbouring cages in Li6PS5Cl (a = 9.86 Angstrom, x = 0.183, z = 0.024); steps inside a cage are
        1.9 and 2.2 Angstrom. An MSD below its square, rattling taken off, says nothing of leaving the cage.
    min_hops
        Fewer effective hops than this in the whole ensemble are too few events for an interval to be believed.
    exponent_margin
        The exponent may be this far from 1 without harm: over the default window, a factor of five in
        time, it moves the slope by about as much as its own value, 15 %.
    exponent_uncertainty
        With a half-interval of the exponent above this, half the way from caged (0) to diffusive (1), the
        two cannot be told apart.
    straightness_uncertainty
        Where the local exponent is not 1, either rattling adds a constant to a straight MSD or the motion is
        subdiffusive. Only where the whole interval of the exponent with a free offset is this near to 1, and does
        not hold the local exponent, is it taken for the former.
    """

    fit_start_fraction: float = 0.1
    fit_end_fraction: float = 0.5
    latest_start_fraction: float = 0.3
    fit_ps: tuple[float, float] | None = None
    estimator: Estimator = "brownian"
    confidence: float = 0.95
    hop_distance_A: float = 2.9
    min_hops: float = 30.0
    exponent_margin: float = 0.15
    exponent_uncertainty: float = 0.5
    straightness_uncertainty: float = 0.25

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if not 0.0 < self.fit_start_fraction < self.fit_end_fraction <= 1.0:
            raise LpsmdError(
                f"the fit window is {self.fit_start_fraction} to {self.fit_end_fraction} of the length, "
                "0 < start < end <= 1 is needed, for example 0.1 to 0.5"
            )
        if self.fit_ps is not None and not 0.0 < self.fit_ps[0] < self.fit_ps[1]:
            raise LpsmdError(
                f"the fit window is {self.fit_ps[0]} to {self.fit_ps[1]} ps, 0 < start < end is needed, as 7 to 35"
            )
        if not 0.01 <= self.confidence <= 0.999999:
            raise LpsmdError(f"confidence is {self.confidence}, a number from 0.01 to 0.999999 is needed, as 0.95")
        for name in ("hop_distance_A", "min_hops", *_JUDGED):
            if not getattr(self, name) > 0.0:
                raise LpsmdError(f"{name} is {getattr(self, name)}, a positive number is needed")

    @classmethod
    def fixed(cls, start_fraction: float, end_fraction: float, **others: Any) -> DiffusionOptions:
        """Options whose fit window is that part of the length of a replica, and no other."""
        return cls(
            fit_start_fraction=start_fraction,
            latest_start_fraction=start_fraction,
            fit_end_fraction=end_fraction,
            **others,
        )

    def windows_ps(self, duration_ps: float) -> list[tuple[float, float]]:
        """Start and end of the windows to try, in order, for replicas of a length."""
        if self.fit_ps is not None:
            return [self.fit_ps]
        latest = max(self.fit_start_fraction, min(self.latest_start_fraction, 0.6 * self.fit_end_fraction))
        starts = np.linspace(self.fit_start_fraction, latest, _N_STARTS)
        return [(float(start) * duration_ps, self.fit_end_fraction * duration_ps) for start in dict.fromkeys(starts)]

    def max_lag_fraction(self, duration_ps: float) -> float:
        """The longest lag that a fit or a plot needs, as a part of the length of a replica."""
        wanted = 0.0 if self.fit_ps is None else self.fit_ps[1] / duration_ps
        return min(1.0, max(wanted, self.fit_end_fraction))


#: The window of blocks is their own, whatever is fitted in the whole.
_BLOCK_OPTIONS = DiffusionOptions()


@dataclass(frozen=True, eq=False, kw_only=True)
class Diffusion:
    """A diffusion coefficient, never without its interval, window and verdict.

    Attributes
    ----------
    species
        Chemical symbol.
    D_cm2_per_s
        Mean over replicas; over the means of structures where replicas are nested in these.
    D_stderr_cm2_per_s
        Its standard error; None where there is none.
    D_half_interval_cm2_per_s
        Half the two-sided interval; None where there is none.
    D_replicas_cm2_per_s
        [n] each replica's.
    error_from
        ``replicas``: their spread; ``structures``: that of the means of structures; ``blocks``: one trajectory, the
        analytic covariance scaled by the spread of its blocks; ``independent ions``: one trajectory too short for
        blocks, the analytic covariance as it is.
    dof
        Degrees of freedom of the standard error; infinite where it is taken as exact.
    confidence
        Of the intervals.
    fit_start_ps, fit_end_ps
        First and last lag fitted.
    duration_ps
        Length of each replica.
    motion
        Exponents and quality of the motion in the window.
    offset_A2
        What the fitted line has at zero lag: rattling in the cage where positive.
    msd_reached_A2
        Mean MSD at the end of the window.
    n_hops
        Effective number of hops of all ions of all replicas, 6 D t over the squared hop distance.
    n_atoms
        Ions of the species in each replica.
    verdict, reason
        What may be said of the motion, and why, with numbers.
    framework_checked
        Whether the framework was looked at.
    options
        How it was fitted and judged.
    remedy
        What a verdict that is not ``diffusive`` asks for.
    structures
        [n] label of the structure of each replica; None where none were told.
    D_within_structures_cm2_per_s, D_between_structures_cm2_per_s
        Standard deviations of D over replicas of one structure and of the true D over structures
        (`lpsmd.analysis.structures.variance_components`); None where replicas are not nested.
    """

    species: str
    D_cm2_per_s: float
    D_stderr_cm2_per_s: float | None
    D_half_interval_cm2_per_s: float | None
    D_replicas_cm2_per_s: tuple[float, ...]
    error_from: str
    dof: float
    confidence: float
    fit_start_ps: float
    fit_end_ps: float
    duration_ps: float
    motion: Motion
    offset_A2: float
    msd_reached_A2: float
    n_hops: float
    n_atoms: int
    verdict: Verdict
    reason: str
    framework_checked: bool
    options: DiffusionOptions
    remedy: Remedy = Remedy.NOTHING
    structures: tuple[int, ...] | None = None
    D_within_structures_cm2_per_s: float | None = None
    D_between_structures_cm2_per_s: float | None = None

    @property
    def n_structures(self) -> int | None:
        """Number of structures; None where none were told."""
        return None if self.structures is None else len(set(self.structures))

    @property
    def n_independent(self) -> int:
        """Number of values that the error rests on: structures where replicas are nested in these, else replicas."""
        labels = nested_labels(self.structures, self.n_replicas)
        return self.n_replicas if labels is None else int(labels.max()) + 1

    @property
    def n_replicas(self) -> int:
        """Number of replicas."""
        return len(self.D_replicas_cm2_per_s)

    @property
    def exponent(self) -> float:
        """Local exponent d ln MSD / d ln t over the window."""
        return self.motion.exponent

    @property
    def value_text(self) -> str:
        """``(1.2 +- 0.5)e-5 cm^2/s (95 %, n = 4)``; for tables that show the verdict beside it."""
        value = format_with_error(self.D_cm2_per_s, self.D_half_interval_cm2_per_s)
        if self.D_half_interval_cm2_per_s is None:
            return f"{value} cm^2/s (no interval, n = {self.n_replicas})"
        notes = []
        if self.error_from == "structures":
            notes.append(f"{self.n_structures} structures")
        elif self.error_from != "replicas":
            notes.append(self.error_from)
        if self.options.estimator != "brownian" and self.n_replicas > 1:
            notes.append(self.options.estimator + (", wrong error, for comparison only" if self.is_comparison else ""))
        return f"{value} cm^2/s ({', '.join([f'{100 * self.confidence:g} %', f'n = {self.n_replicas}', *notes])})"

    @property
    def is_comparison(self) -> bool:
        """Whether the error is that of ordinary least squares, on which nothing may rest."""
        return self.options.estimator == "ols" and self.n_replicas > 1

    def __str__(self) -> str:
        """``D = (1.2 +- 0.5)e-5 cm^2/s (95 %, n = 4), fit 0.4-1.0 ps: verdict: reason``."""
        window = f"fit {short(self.fit_start_ps)}-{short(self.fit_end_ps)} ps"
        return f"D = {self.value_text}, {window}: {self.verdict}: {self.reason}"


@dataclass(frozen=True, eq=False, kw_only=True)
class ReplicaAnalysis:
    """All that `analyse_replicas` finds: each replica's MSD and framework, and D from them."""

    msds: tuple[Msd, ...]
    frameworks: tuple[FrameworkCheck, ...] | None = None
    diffusion: Diffusion


def analyse_replicas(
    replicas: Sequence[Sequence[str | os.PathLike[str]] | str | os.PathLike[str]],
    *,
    species: str,
    timestep_fs: float | None = None,
    drift: Drift = "framework",
    options: DiffusionOptions | None = None,
    framework: FrameworkOptions | Literal["auto"] | None = "auto",
    structures: Sequence[int] | None = None,
    read: Callable[..., Trajectory] = read_trajectory,
    processes: int | None = None,
    on_replica: Callable[[int], None] | None = None,
) -> ReplicaAnalysis:
    """Read, check and analyse the replicas of one model, several at a time.

    Parameters
    ----------
    replicas
        For each replica its dump, or the dumps of its chunks in order. A single one is analysed in blocks.
    species
        Element that diffuses.
    timestep_fs
        The integrator's step; needed for dumps, other formats know their own time.
    drift
        See `mean_squared_displacement`.
    options
        See `DiffusionOptions`; defaults if None.
    framework
        See `FrameworkOptions`; ``auto`` checks PS4 units where P and S are there; None leaves the check out, and
        the result says so.
    structures
        See `diffusion_coefficient`.
    read
        Makes a trajectory of an entry of `replicas`; called with ``species`` (None for all) and ``threads``.
    processes
        Replicas in memory at a time; one for each core if None.
    on_replica
        Called with the number of replicas done, as each is.

    Raises
    ------
    LpsmdError
        As from `read_trajectory`, `mean_squared_displacement`, `check_framework`, `diffusion_coefficient`.
    """
    options = options or DiffusionOptions()
    # Before hours of reading
    nested_labels(structures, len(replicas))
    one = len(replicas) == 1

    def analyse(paths: Any, threads: int) -> tuple[Msd, FrameworkCheck | None, tuple[Msd, ...]]:
        return analyse_replica(
            paths,
            species=species,
            timestep_fs=timestep_fs,
            drift=drift,
            options=options,
            framework=framework,
            read=read,
            threads=threads,
            in_blocks=one,
        )

    found = map_replicas(analyse, replicas, processes=processes, on_replica=on_replica)
    msds = tuple(msd for msd, _, _ in found)
    _refuse_copies(msds, replicas)
    checks = tuple(check for _, check, _ in found if check is not None)
    frameworks = checks if checks and len(checks) == len(msds) else None
    diffusion = diffusion_coefficient(
        msds, options, frameworks=frameworks, blocks=found[0][2] if one else (), structures=structures
    )
    return ReplicaAnalysis(msds=msds, frameworks=frameworks, diffusion=diffusion)


def analyse_replica(
    paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    *,
    species: str,
    timestep_fs: float | None,
    drift: Drift,
    options: DiffusionOptions,
    framework: FrameworkOptions | Literal["auto"] | None = "auto",
    read: Callable[..., Trajectory] = read_trajectory,
    threads: int = 1,
    in_blocks: bool = False,
) -> tuple[Msd, FrameworkCheck | None, tuple[Msd, ...]]:
    """MSD of one replica, the check of its framework, and, with `in_blocks`, the MSDs of its successive parts.

    The parameters are those of `analyse_replicas`.

    Raises
    ------
    LpsmdError
        As from `read_trajectory`, `mean_squared_displacement`, `check_framework`.
    """
    alone = drift == "none" and framework is None
    trajectory = read(paths, species=species if alone else None, threads=threads)
    longest = options.max_lag_fraction(float(trajectory.times_ps(timestep_fs)[-1]))

    def msd_of(part: Trajectory, max_lag_fraction: float) -> Msd:
        return mean_squared_displacement(
            part,
            species=species,
            timestep_fs=timestep_fs,
            drift=drift,
            max_lag_fraction=max_lag_fraction,
            threads=threads,
        )

    chosen = framework_for(trajectory.elements) if framework == "auto" else framework
    check = None if chosen is None else check_framework(trajectory, timestep_fs=timestep_fs, options=chosen)
    blocks = _blocks(trajectory) if in_blocks else []
    parts = tuple(msd_of(block, _BLOCK_OPTIONS.fit_end_fraction) for block in blocks)
    return msd_of(trajectory, longest), check, parts


def diffusion_coefficient(
    msds: Sequence[Msd],
    options: DiffusionOptions | None = None,
    *,
    frameworks: Sequence[FrameworkCheck] | None = None,
    blocks: Sequence[Msd] = (),
    structures: Sequence[int] | None = None,
) -> Diffusion:
    r"""D from the Einstein relation, the mean over replicas with a Student interval, and a verdict.

    Each replica gives :math:`D_r = s_r / 6` with :math:`s_r` the slope of its MSD in the fit window, by fixed
    analytic weights (`lpsmd.analysis.estimators.brownian_fit`); the error is that of the spread over replicas:
    :math:`\bar D \pm t_{n-1} s / \sqrt n`.

    Replicas of fewer structures than replicas are not independent: what their structure does to D they share. Then D
    is the mean over the means :math:`m_s` of the S structures, each counted once, and the error that of their spread:
    :math:`\bar m \pm t_{S-1} \, \mathrm{std}(m) / \sqrt S`. With equal numbers of replicas in each structure this
    is the exact interval of the nested design; with unequal ones the variance is still unbiased and the interval
    approximate, rather too wide than too narrow (`lpsmd.analysis.structures.structure_means`). One structure for all
    replicas: the interval is of the D of that structure alone.

    One trajectory has no spread. Its error is that of the analytic covariance, for independent ions, times
    the ratio of the spread of its blocks over what the same covariance expects of blocks: so ions that move
    together count as few. Student's t with one degree of freedom less than blocks.

    The fit window starts at the first of a few starts from which the MSD is straight (exponent with a free offset
    within its 99 % interval of 1, or within 0.05); else from which it is within the margin; else at the first of all.
    A later start also needs an interval short enough to show it (`DiffusionOptions.straightness_uncertainty`).
    The verdict is the first of these that holds:

    ``framework broken``
        a named bond is broken, the framework's MSD exceeds its limit, or it rises beyond its Student
        interval at a rate that passes the limit within the length of a replica.
    ``not yet diffusive``
        caged: the exponent of the MSD is below one half by more than its interval, and the MSD is not shown to be
        straight beyond an offset; or not straight: the exponent
        with a free offset differs from 1 by more than its 99 % interval and by more than the margin.
    ``too few events``
        fewer effective hops in the whole ensemble than the minimum.
    ``too short to judge``
        there is no interval; the MSD at the end of the window, rattling taken off, is below the square of the hop
        distance; the interval of D includes zero; that of the exponent is too wide to tell caged from
        diffusive; or the exponent is not 1 and that with a free offset too uncertain to tell why.
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
    blocks
        For a single trajectory, the MSDs of its successive parts of equal length.
    structures
        Label of the structure of each replica, where several replicas share one; None: each has its own.

    Raises
    ------
    LpsmdError
        If there is no replica, if replicas differ in species, lags or length, the window holds too few
        lags, or there are too few replicas for the estimator.
    """
    options = options or DiffusionOptions()
    same_lags(msds)
    if frameworks is not None and len(frameworks) != len(msds):
        raise LpsmdError(f"found {len(frameworks)} framework checks for {len(msds)} replicas, one for each is needed")
    first = msds[0]
    data, fit, motion = _choose_window(msds, blocks, options, structures)
    slope = fit.slope
    half = fit.half_interval(options.confidence)
    mean = data.independent_rows.mean(axis=0)
    offset = float(brownian_line_weights(data.lags, data.n_frames)[0] @ mean)
    error_from = _error_from(data, blocks)
    within, between = _components(data, fit)
    n_hops = len(msds) * first.n_atoms * max(0.0, slope) * first.duration_ps / options.hop_distance_A**2
    verdict, reason, remedy = judge(
        Evidence(
            slope=slope,
            slope_half_interval=half,
            ions_taken_as_independent=error_from == "independent ions",
            motion=motion,
            offset_A2=offset,
            msd_reached_A2=float(mean[-1]),
            n_hops=n_hops,
            framework_reason=framework_reason(frameworks, options.confidence) if frameworks is not None else None,
        ),
        hop_distance_A=options.hop_distance_A,
        min_hops=options.min_hops,
        **{name: getattr(options, name) for name in _JUDGED},
    )
    if frameworks is None:
        reason += "; the framework was not checked"
    return Diffusion(
        species=first.species,
        D_cm2_per_s=slope * D_CM2_PER_S_OF_SLOPE,
        D_stderr_cm2_per_s=None if fit.stderr is None else fit.stderr * D_CM2_PER_S_OF_SLOPE,
        D_half_interval_cm2_per_s=None if half is None else half * D_CM2_PER_S_OF_SLOPE,
        D_replicas_cm2_per_s=tuple(float(value) * D_CM2_PER_S_OF_SLOPE for value in fit.replicas),
        error_from=error_from,
        dof=fit.dof,
        confidence=options.confidence,
        fit_start_ps=float(data.time_ps[0]),
        fit_end_ps=float(data.time_ps[-1]),
        duration_ps=first.duration_ps,
        motion=motion,
        offset_A2=offset,
        msd_reached_A2=float(mean[-1]),
        n_hops=n_hops,
        n_atoms=first.n_atoms,
        verdict=verdict,
        reason=reason,
        framework_checked=frameworks is not None,
        options=options,
        remedy=remedy,
        structures=None if structures is None else tuple(int(label) for label in structures),
        D_within_structures_cm2_per_s=within,
        D_between_structures_cm2_per_s=between,
    )


def diffusion_to_dict(diffusion: Diffusion) -> dict[str, Any]:
    """Every field as JSON-ready values, units in the keys, with the sentence that `str` gives."""
    values: dict[str, Any] = asdict(diffusion)
    values["D_replicas_cm2_per_s"] = list(diffusion.D_replicas_cm2_per_s)
    values["verdict"] = str(diffusion.verdict)
    values["remedy"] = str(diffusion.remedy)
    values["n_replicas"] = diffusion.n_replicas
    values["n_structures"] = diffusion.n_structures
    values["text"] = str(diffusion)
    return without_nan(values)


def window_scan(
    msds: Sequence[Msd],
    options: DiffusionOptions | None = None,
    *,
    n_starts: int = 24,
    structures: Sequence[int] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """D against the start of the fit window, its end kept: flat where the motion is diffusive.

    Starts from which too few lags are left are passed over. Structures are those of `diffusion_coefficient`.

    Returns
    -------
    tuple
        Starts [K] in ps, D [K] and its standard error [K] in cm^2/s (NaN for a single replica).

    Raises
    ------
    LpsmdError
        As from `diffusion_coefficient`.
    """
    options = options or DiffusionOptions()
    same_lags(msds)
    first = msds[0]
    end = options.windows_ps(first.duration_ps)[0][1]
    earliest = max(float(first.time_ps[1]), 0.01 * end)
    starts, values, errors = [], [], []
    for start in np.linspace(earliest, 0.7 * end, n_starts):
        if not all(_can_be_fitted(msd, float(start), end) for msd in msds):
            continue
        data = fit_data(msds, float(start), end, structures=structures)
        fit = fit_slope(data)
        starts.append(float(data.time_ps[0]))
        values.append(fit.slope)
        errors.append(math.nan if fit.stderr is None else fit.stderr)
    return np.array(starts), D_CM2_PER_S_OF_SLOPE * np.array(values), D_CM2_PER_S_OF_SLOPE * np.array(errors)


def _refuse_copies(msds: Sequence[Msd], replicas: Sequence[Any]) -> None:
    """A trajectory that counts twice makes an interval too small."""
    seen: dict[bytes, int] = {}
    for index, msd in enumerate(msds):
        earlier = seen.setdefault(msd.msd_A2.tobytes(), index)
        if earlier != index and msd.msd_A2.any():
            raise LpsmdError(
                f"replica {index} ({replicas[index]}) has the very MSD of replica {earlier} ({replicas[earlier]}); "
                "independent replicas are needed: give each once, and run each with a seed of its own"
            )


# ---- the window -----------------------------------------------------------------------------------------


def _choose_window(
    msds: Sequence[Msd], blocks: Sequence[Msd], options: DiffusionOptions, structures: Sequence[int] | None
) -> tuple[FitData, SlopeFit, Motion]:
    """The earliest window whose motion is straight, else within the margin of it, else the first of all."""
    tried: list[tuple[FitData, SlopeFit, Motion]] = []
    scale, dof = _block_scale(blocks)
    for start, end in options.windows_ps(msds[0].duration_ps):
        if tried and not _can_be_fitted(msds[0], start, end):
            break
        data = fit_data(msds, start, end, structures=structures)
        if len(msds) > 1:
            covariance = None
            fit = fit_slope(data, options.estimator, confidence=options.confidence)
        else:
            covariance = _analytic_covariance(data, msds[0].n_atoms) * scale
            fit = _single_fit(data, covariance, dof)
        motion = describe_motion(data, covariance=covariance, dof=fit.dof)
        tried.append((data, fit, motion))
        # noise bends no line at later starts: it must show straight there, or subdiffusion passes for diffusion
        if len(tried) > 1 and not motion.is_surely_straight(options.straightness_uncertainty):
            tried.pop()
        elif not motion.is_caged(options.straightness_uncertainty) and not motion.is_bent(_STRAIGHT):
            return tried[-1]
    caged = [entry[2].is_caged(options.straightness_uncertainty) for entry in tried]
    bent = [entry[2].is_bent(options.exponent_margin) for entry in tried]
    usable = [entry for entry, a, b in zip(tried, caged, bent, strict=True) if not (a or b)]
    return (usable or tried)[0]


def fit_data(
    msds: Sequence[Msd], start_ps: float, end_ps: float, *, structures: Sequence[int] | None = None
) -> FitData:
    """At most 16 lags of the window, evenly spread, of every replica."""
    first = msds[0]
    window = _window(first, start_ps, end_ps)
    # For unequal intervals a lag counts as that of as many equal ones: weights decide the error, not the mean
    frames = np.maximum(1, np.rint(first.time_ps / first.duration_ps * (first.n_frames - 1))).astype(np.int64)
    inside = np.flatnonzero(window)
    inside = inside[np.unique(frames[inside], return_index=True)[1]]
    inside = inside[frames[inside] < first.n_frames]
    chosen = inside[lag_grid(frames[inside])]
    return FitData(
        time_ps=first.time_ps[chosen],
        lags=frames[chosen],
        rows=np.array([msd.msd_A2[chosen] for msd in msds]),
        n_frames=first.n_frames,
        structures=nested_labels(structures, len(msds)),
    )


def _error_from(data: FitData, blocks: Sequence[Msd]) -> str:
    if len(data.rows) > 1:
        return "replicas" if data.structures is None else "structures"
    return "blocks" if _usable(blocks) else "independent ions"


def _components(data: FitData, fit: SlopeFit) -> tuple[float | None, float | None]:
    """Standard deviations of D within and between structures, in cm^2/s."""
    if data.structures is None:
        return None, None
    found = variance_components(fit.replicas, data.structures)
    return D_CM2_PER_S_OF_SLOPE * found.within, D_CM2_PER_S_OF_SLOPE * found.between


def _inside(msd: Msd, start_ps: float, end_ps: float) -> NDArray[np.bool_]:
    slack = 1e-9 * msd.duration_ps
    return (msd.time_ps >= start_ps - slack) & (msd.time_ps <= end_ps + slack) & (msd.time_ps > 0.0)


def _can_be_fitted(msd: Msd, start_ps: float, end_ps: float) -> bool:
    window = _inside(msd, start_ps, end_ps)
    return int(np.count_nonzero(window)) >= MIN_LAGS_IN_WINDOW and float(msd.msd_A2[window].min()) > 0.0


def _window(msd: Msd, start_ps: float, end_ps: float) -> NDArray[np.bool_]:
    """[L] which lags are fitted."""
    if end_ps > msd.duration_ps * (1.0 + 1e-9):
        raise LpsmdError(
            f"the fit window ends at {short(end_ps)} ps, the trajectory is {short(msd.duration_ps)} ps long; end it "
            f"there or before, best at half of it, {short(0.5 * msd.duration_ps)} ps"
        )
    # lags of unequal frames need not reach the end itself
    if msd.time_ps[-1] < end_ps - 1e-9 * msd.duration_ps - np.diff(msd.time_ps).max():
        raise LpsmdError(
            f"the MSD goes up to a lag of {short(msd.time_ps[-1])} ps, the fit window ends at {short(end_ps)} "
            f"ps; compute it with max_lag_fraction >= {end_ps / msd.duration_ps:g}"
        )
    window = _inside(msd, start_ps, end_ps)
    if np.count_nonzero(window) < MIN_LAGS_IN_WINDOW:
        raise LpsmdError(
            f"the fit window {short(start_ps)}-{short(end_ps)} ps holds {np.count_nonzero(window)} lags, at "
            f"least {MIN_LAGS_IN_WINDOW} are needed: run longer, dump more often or widen the window"
        )
    if not msd.msd_A2[window].min() > 0.0:
        raise LpsmdError(f"the MSD of {msd.species} is zero in the fit window: the atoms do not move, look at the run")
    return window


# ---- one trajectory -------------------------------------------------------------------------------------


def _blocks(trajectory: Trajectory) -> list[Trajectory]:
    """Successive parts of equal length; none where they would be too short."""
    size = trajectory.n_frames // _N_BLOCKS
    if size < _MIN_FRAMES_IN_BLOCK:
        return []
    parts = [slice(k * size, (k + 1) * size) for k in range(_N_BLOCKS)]
    return [
        replace(
            trajectory,
            timesteps=trajectory.timesteps[part],
            positions_A=trajectory.positions_A[part],
            cells_A=trajectory.cells_A[part],
            origins_A=trajectory.origins_A[part],
        )
        for part in parts
    ]


def _usable(blocks: Sequence[Msd]) -> bool:
    """Blocks of unequal frame intervals need not have the same lags, and then they say nothing."""
    return len(blocks) > 1 and all(np.array_equal(block.time_ps, blocks[0].time_ps) for block in blocks)


def _analytic_covariance(data: FitData, n_atoms: int) -> NDArray[np.float64]:
    """Of the MSD of one trajectory at the lags of the window, for independent Brownian ions that rattle."""
    offset, slope = brownian_line_weights(data.lags, data.n_frames) @ data.rows.mean(axis=0)
    slope = abs(float(slope)) or float(data.rows.mean()) / data.lags[-1]
    covariance = brownian_covariance(data.lags, data.n_frames, noise=max(0.0, 0.5 * float(offset) / slope))
    # 2 D dt = slope / 3 is the variance of a step along an axis; three axes add up, n_atoms ions are averaged
    return covariance * 3.0 / n_atoms * (slope / 3.0) ** 2


def _block_scale(blocks: Sequence[Msd]) -> tuple[float, float]:
    """Variance of the slopes of blocks over what the analytic covariance expects, and its degrees of freedom.

    One, taken as exact, where there are no blocks to tell; see `diffusion_coefficient`.
    """
    if not _usable(blocks):
        return 1.0, math.inf
    same_lags(blocks)
    start, end = _BLOCK_OPTIONS.windows_ps(blocks[0].duration_ps)[0]
    part = fit_data(blocks, start, end)
    weights = brownian_line_weights(part.lags, part.n_frames)[1]
    expected = float(weights @ _analytic_covariance(part, blocks[0].n_atoms) @ weights)
    found = float((part.rows @ weights).var(ddof=1))
    return found / expected, len(blocks) - 1


def _single_fit(data: FitData, covariance: NDArray[np.float64], dof: float) -> SlopeFit:
    weights = brownian_line_weights(data.lags, data.n_frames)[1] * frames_per_ps(data)
    return replace(brownian_fit(data), stderr=math.sqrt(float(weights @ covariance @ weights)), dof=dof)
