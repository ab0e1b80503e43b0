"""Mean squared displacements from trajectories: of single atoms and collective, whole or streamed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from lpsmd import _core
from lpsmd.analysis.trajectory import Trajectory
from lpsmd.errors import LpsmdError

Drift = Literal["framework", "com", "none"]

#: Places of xx, yy, zz, xy, xz, yz in a symmetric tensor.
_TENSOR_PLACES = np.array([[0, 3, 4], [3, 1, 5], [4, 5, 2]])
#: Steps are int64 in the core; no run has this many.
_MOST_STEPS = 2.0**61


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
        Atoms averaged over, N.
    n_frames
        Frames of the trajectory.
    duration_ps
        Time from the first to the last frame.
    time_ps
        [L] lag.
    msd_A2
        [L] mean squared displacement of an atom (tracer).
    components_A2
        [L, 3] its x, y and z parts, which add up to `msd_A2`.
    counts
        [L] int64, windows times atoms behind each value; windows overlap, so these are not independent.
    tensor_A2
        [L, 3, 3] mean of the products of the components of a displacement; its trace is `msd_A2`. Empty if it
        was not evaluated.
    collective_A2
        [L] mean of the squared sum of all displacements, over N. None if it was not evaluated.
    collective_tensor_A2
        [L, 3, 3] the same for the products of components.
    alpha2_time_ps
        [Q] log-spaced lags of `alpha2`.
    alpha2
        [Q] non-Gaussian parameter, 0 for a Gaussian distribution of displacements; nan where nothing moved.
    volume_A3
        Mean over the frames; nan if unknown.
    reference_species
        Elements of the framework where they were named.
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
    tensor_A2: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3, 3)))
    collective_A2: NDArray[np.float64] | None = None
    collective_tensor_A2: NDArray[np.float64] | None = None
    alpha2_time_ps: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    alpha2: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    volume_A3: float = float("nan")
    reference_species: tuple[str, ...] = ()

    @property
    def distinct_A2(self) -> NDArray[np.float64] | None:
        """[L] what different atoms share of the collective displacement: collective less tracer; or None."""
        return None if self.collective_A2 is None else self.collective_A2 - self.msd_A2

    def curve(self, like: Msd | None = None) -> Msd:
        """The same with `msd_A2` alone, which is all that D follows from: to hold thousands.

        Parameters
        ----------
        like
            Of the same lags: shares them.
        """
        shared = like is not None and np.array_equal(like.time_ps, self.time_ps)
        # Copies fill the gaps that reading left in memory; the originals would keep them apart.
        return replace(
            self,
            time_ps=like.time_ps if like is not None and shared else self.time_ps.copy(),
            msd_A2=self.msd_A2.copy(),
            components_A2=np.empty((0, 3)),
            counts=np.empty(0, dtype=np.int64),
            tensor_A2=np.empty((0, 3, 3)),
            collective_A2=None,
            collective_tensor_A2=None,
            alpha2_time_ps=np.empty(0),
            alpha2=np.empty(0),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class CollectiveMsd:
    """Mean squared displacement of the charge in one replica, for L lags, the zero lag first.

    Attributes
    ----------
    charges
        Elementary charges of each element; elements that are not named carry none.
    drift
        What was taken as at rest: ``framework``, ``com`` or ``none``.
    n_frames
        Frames of the trajectory.
    duration_ps
        Time from the first to the last frame.
    time_ps
        [L] lag.
    msd_e2A2
        [L] mean of the squared sum of charge times displacement.
    tensor_e2A2
        [L, 3, 3] the same for the products of components.
    counts
        [L] int64, windows.
    volume_A3
        Mean over the frames.
    """

    charges: Mapping[str, float]
    drift: Drift
    n_frames: int
    duration_ps: float
    time_ps: NDArray[np.float64]
    msd_e2A2: NDArray[np.float64]
    tensor_e2A2: NDArray[np.float64]
    counts: NDArray[np.int64]
    volume_A3: float


def mean_squared_displacement(
    trajectory: Trajectory,
    *,
    species: str,
    timestep_fs: float | None = None,
    drift: Drift = "framework",
    reference_species: str | Sequence[str] | None = None,
    max_lag_fraction: float = 0.5,
    collective: bool = True,
    alpha2: bool = True,
    threads: int = 1,
) -> Msd:
    r"""Windowed mean squared displacement of one species over all time origins.

    .. math::

        \mathrm{MSD}(m) = \frac{1}{N (F - m)} \sum_{i} \sum_{t=0}^{F-m-1}
            \left| \mathbf{u}_i(t + m) - \mathbf{u}_i(t) \right|^2,
        \quad \mathbf{u}_i(t) = \mathbf{r}_i(t) - \mathbf{R}(t)

    with :math:`\mathbf{R}` the mass-weighted mean position of the reference; collectively

    .. math::

        \mathrm{MSD_c}(m) = \frac{1}{N (F - m)} \sum_{t=0}^{F-m-1}
            \left| \sum_i \mathbf{u}_i(t + m) - \mathbf{u}_i(t) \right|^2

    and the non-Gaussian parameter, at about 20 lags per decade,
    :math:`\alpha_2 = 3 \langle \Delta u^4 \rangle / (5 \langle \Delta u^2 \rangle^2) - 1`.

    Every origin and every lag counts, in float64. Equally spaced frames go through Fourier transforms [1]_, in a
    time near linear in their number; lags at which cancellation could cost digits are summed directly. Frames may be
    missing: there is a value at each time difference that occurs. Each missing frame costs an addition at each lag;
    where frames fill less than half of equally spaced times (log-spaced ones, short bursts far apart), all pairs of
    frames are summed, in a time that grows as the square of their number: half a minute for 20,000 frames of 200
    atoms on one thread. Ctrl-C ends it.

    Parameters
    ----------
    trajectory
        With all atoms of the reference, so read with ``species=None`` for drift ``framework`` or ``com``.
    species
        Chemical symbol, ``"Li"``.
    timestep_fs
        The integrator's step; needed for dumps, other formats know their own time.
    drift
        The reference: ``framework`` is every atom that is not of `species` (or those of `reference_species`),
        ``com`` every atom, ``none`` leaves the positions as they are.
    reference_species
        Elements of the framework, where not everything else belongs to it.
    max_lag_fraction
        Longest lag as a part of the trajectory, above 0 and at most 1.
    collective
        Also the collective displacement; it costs little.
    alpha2
        Also the non-Gaussian parameter; it is a third of the time.
    threads
        The atoms are split over. The last bits may depend on the number, not on timing.

    Raises
    ------
    LpsmdError
        If the species or the reference is not in the trajectory, an option is out of its range, a position is not
        finite, or unequally spaced frames have more than 200,000 different time differences.

    References
    ----------
    .. [1] Calandrini, Pellegrini, Calligari, Hinsen, Kneller 2011, doi:10.1051/sfn/201112010
    """
    _check_drift(drift)
    step_fs = trajectory.step_fs(timestep_fs)
    reference = _names(reference_species)
    lag_steps = _lag_steps(trajectory, max_lag_fraction)
    selection = trajectory.indices_of(species)
    weights = _drift_weights(trajectory, moving=(species,), drift=drift, reference=reference)
    tracer, together = summed(
        trajectory.positions_A,
        trajectory.timesteps,
        lag_steps=lag_steps,
        selection=selection,
        weights=weights,
        collective=collective,
        alpha2=alpha2,
        threads=threads,
    )
    return msd_from_sums(
        tracer,
        together,
        species=species,
        drift=drift,
        reference=reference,
        n_atoms=len(selection),
        n_frames=trajectory.n_frames,
        duration_steps=int(trajectory.timesteps[-1] - trajectory.timesteps[0]),
        step_fs=step_fs,
        volume_A3=_mean_volume(trajectory),
    )


def stream_mean_squared_displacement(
    blocks: Iterable[Trajectory],
    *,
    species: str,
    timestep_fs: float | None = None,
    longest_lag_ps: float,
    drift: Drift = "framework",
    reference_species: str | Sequence[str] | None = None,
    collective: bool = True,
    points: int = 32,
) -> Msd:
    """Mean squared displacement of a trajectory that does not fit into memory, from consecutive blocks of it.

    Each level of time keeps its last `points` frames, a level for each doubling of the lag (the multiple-window
    algorithm of Dubbeldam et al. [1]_, with exact differences and without averages). Lags are then log-spaced,
    `points` / 2 for each doubling; lags of 2^l to 2^(l+1) times `points` / 2 frames have an origin every 2^l frames,
    where `mean_squared_displacement` has one at every frame. Memory is that of one block and of about
    log2(2 `longest_lag_ps` / interval / `points`) times `points` frames of the species.

    Parameters
    ----------
    blocks
        Pieces of one trajectory in order, equally spaced, without gap or overlap; taken one at a time.
    species, timestep_fs, drift, reference_species, collective
        As for `mean_squared_displacement`.
    longest_lag_ps
        Lags beyond are left out; finite, at most 2^40 intervals between frames.
    points
        Frames kept at each level, even, at most 2^20.

    Raises
    ------
    LpsmdError
        As `mean_squared_displacement`; also if `longest_lag_ps` is not positive or beyond its limit, if there is no
        block, the first has one frame only, or a block does not go on where the one before has ended.

    References
    ----------
    .. [1] Dubbeldam, Ford, Ellis, Snurr 2009, doi:10.1080/08927020902818039
    """
    _check_drift(drift)
    if not 0.0 < longest_lag_ps < math.inf:
        raise LpsmdError(f"longest_lag_ps is {longest_lag_ps}, a positive finite number of picoseconds is needed")
    reference = _names(reference_species)
    first: Trajectory | None = None
    streams: list[_core.StreamingMsd] = []
    volume, last_step, step_fs = 0.0, 0, 0.0
    for block in blocks:
        if first is None:
            first, step_fs = block, block.step_fs(timestep_fs)
            streams = _streams(
                block,
                species=species,
                longest_lag_steps=_steps_up_to(longest_lag_ps, step_fs),
                weights=_drift_weights(block, moving=(species,), drift=drift, reference=reference),
                collective=collective,
                points=points,
            )
        elif block.elements != first.elements or not np.array_equal(block.ids, first.ids):
            raise LpsmdError(
                f"{block.name}: a block has {len(block.ids)} atoms that are not the {len(first.ids)} of the first "
                "block; one trajectory with the same atoms in all frames is needed"
            )
        for stream in streams:
            stream.push(block.positions_A, block.timesteps)
        volume += _mean_volume(block) * block.n_frames
        last_step = int(block.timesteps[-1])
    if first is None:
        raise LpsmdError("found no block of frames, at least one is needed: is the trajectory empty?")
    n_frames = streams[0].n_frames
    return msd_from_sums(
        streams[0].result(),
        streams[1].result() if collective else None,
        species=species,
        drift=drift,
        reference=reference,
        n_atoms=len(first.indices_of(species)),
        n_frames=n_frames,
        duration_steps=last_step - int(first.timesteps[0]),
        step_fs=step_fs,
        volume_A3=volume / n_frames,
    )


def collective_msd(
    trajectory: Trajectory,
    charges: Mapping[str, float],
    *,
    timestep_fs: float | None = None,
    drift: Drift = "com",
    reference_species: str | Sequence[str] | None = None,
    max_lag_fraction: float = 0.5,
) -> CollectiveMsd:
    r"""Mean squared displacement of the charge, over all time origins: what a conductivity is made of.

    .. math::

        \left\langle \left| \sum_i q_i \left[ \mathbf{u}_i(t + m) - \mathbf{u}_i(t) \right] \right|^2 \right\rangle_t

    Its slope over :math:`6 V k_\mathrm{B} T` is the conductivity (Frenkel and Smit, Understanding Molecular
    Simulation, 2002, chapter 4).

    Parameters
    ----------
    trajectory
        With every charged atom and the reference.
    charges
        Elementary charges, ``{"Li": 1.0, "P": 5.0, "S": -2.0, "Cl": -1.0}``. Elements that are not named carry none.
    timestep_fs, max_lag_fraction
        As for `mean_squared_displacement`.
    drift, reference_species
        The reference: ``com`` every atom, ``framework`` the elements of `reference_species` or else those without
        a charge, ``none``. It matters unless the charges add up to zero.

    Raises
    ------
    LpsmdError
        If an element is not in the trajectory, all charges are zero, and as `mean_squared_displacement`.
    """
    _check_drift(drift)
    step_fs = trajectory.step_fs(timestep_fs)
    lag_steps = _lag_steps(trajectory, max_lag_fraction)
    values = np.zeros(len(trajectory.elements))
    for element, charge in charges.items():
        values[trajectory.indices_of(element)] = charge
    weights = _drift_weights(trajectory, moving=tuple(charges), drift=drift, reference=_names(reference_species))
    sums = _core.MsdAccumulator(lag_steps)
    sums.add_collective(trajectory.positions_A, trajectory.timesteps, charges=values, drift_weights=weights)
    tensor = tensor_of(sums)
    return CollectiveMsd(
        charges=dict(charges),
        drift=drift,
        n_frames=trajectory.n_frames,
        duration_ps=int(trajectory.timesteps[-1] - trajectory.timesteps[0]) * step_fs / 1000.0,
        time_ps=_times(sums.lag_steps, step_fs),
        msd_e2A2=np.trace(tensor, axis1=1, axis2=2),
        tensor_e2A2=tensor,
        counts=sums.counts,
        volume_A3=_mean_volume(trajectory),
    )


def summed(
    positions_A: NDArray[np.float64],
    steps: NDArray[np.int64],
    *,
    lag_steps: NDArray[np.int64],
    selection: NDArray[np.int64],
    weights: NDArray[np.float64],
    collective: bool,
    alpha2: bool,
    threads: int,
) -> tuple[_core.MsdAccumulator, _core.MsdAccumulator | None]:
    """Sums of the selected atoms and, if wanted, of their collective displacement."""
    tracer = _core.MsdAccumulator(lag_steps)
    tracer.add(positions_A, steps, selection=selection, drift_weights=weights, threads=threads, quartic=alpha2)
    if not collective:
        return tracer, None
    together = _core.MsdAccumulator(lag_steps)
    charges = np.zeros(positions_A.shape[1])
    charges[selection] = 1.0
    together.add_collective(positions_A, steps, charges=charges, drift_weights=weights)
    return tracer, together


def tensor_of(sums: _core.MsdAccumulator) -> NDArray[np.float64]:
    """[L, 3, 3] means of the products of components; nan at lags that do not occur."""
    counts = sums.counts.astype(np.float64)[:, None]
    means = np.full((len(counts), 6), np.nan)
    np.divide(sums.sums, counts, out=means, where=counts > 0)
    return means[:, _TENSOR_PLACES]


def non_gaussian_parameter(sums: _core.MsdAccumulator) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Lags in steps, [Q], and alpha2 at them, [Q]; nan where nothing moved, or with some fourth powers missing."""
    known = (sums.quartic_counts > 0) & (sums.lag_steps > 0)
    square = sums.sums[known, :3].sum(axis=1) / sums.counts[known]
    quartic = sums.quartic_sums[known] / sums.quartic_counts[known]
    alpha2 = np.full(len(square), np.nan)
    np.divide(
        3.0 * quartic,
        5.0 * square**2,
        out=alpha2,
        where=(square > 0.0) & (sums.quartic_counts[known] == sums.counts[known]),
    )
    return sums.lag_steps[known], alpha2 - 1.0


def msd_from_sums(
    tracer: _core.MsdAccumulator,
    collective: _core.MsdAccumulator | None,
    *,
    species: str,
    drift: Drift,
    reference: tuple[str, ...],
    n_atoms: int,
    n_frames: int,
    duration_steps: int,
    step_fs: float,
    volume_A3: float,
) -> Msd:
    """Means of the sums, at the lags that occur."""
    seen = tracer.counts > 0
    tensor = tensor_of(tracer)[seen]
    components = np.ascontiguousarray(np.diagonal(tensor, axis1=1, axis2=2))
    collective_tensor = None if collective is None else tensor_of(collective)[seen] / n_atoms
    alpha2_steps, alpha2 = non_gaussian_parameter(tracer)
    return Msd(
        species=species,
        drift=drift,
        reference_species=reference,
        n_atoms=n_atoms,
        n_frames=n_frames,
        duration_ps=duration_steps * step_fs / 1000.0,
        time_ps=_times(tracer.lag_steps[seen], step_fs),
        msd_A2=components.sum(axis=1),
        components_A2=components,
        counts=tracer.counts[seen],
        tensor_A2=tensor,
        collective_A2=None if collective_tensor is None else np.trace(collective_tensor, axis1=1, axis2=2),
        collective_tensor_A2=collective_tensor,
        alpha2_time_ps=_times(alpha2_steps, step_fs),
        alpha2=alpha2,
        volume_A3=volume_A3,
    )


def _streams(
    block: Trajectory,
    *,
    species: str,
    longest_lag_steps: int,
    weights: NDArray[np.float64],
    collective: bool,
    points: int,
) -> list[_core.StreamingMsd]:
    """The accumulator of single atoms and, if wanted, the collective one."""
    _check_two_frames(block)
    selection = block.indices_of(species)
    n_atoms, interval = len(block.elements), int(block.timesteps[1] - block.timesteps[0])

    def stream(*, selection: NDArray[np.int64], charges: NDArray[np.float64]) -> _core.StreamingMsd:
        return _core.StreamingMsd(
            n_atoms=n_atoms,
            frame_interval=interval,
            longest_lag=longest_lag_steps,
            points=points,
            selection=selection,
            charges=charges,
            drift_weights=weights,
        )

    streams = [stream(selection=selection, charges=np.empty(0))]
    if collective:
        charges = np.zeros(n_atoms)
        charges[selection] = 1.0
        streams.append(stream(selection=np.empty(0, dtype=np.int64), charges=charges))
    return streams


def _check_drift(drift: str) -> None:
    if drift not in get_args(Drift):
        raise LpsmdError(f"drift is '{drift}', one of {', '.join(get_args(Drift))} is needed")


def _check_two_frames(trajectory: Trajectory) -> None:
    if trajectory.n_frames < 2:
        raise LpsmdError(
            f"{trajectory.name}: found {trajectory.n_frames} frame, at least 2 are needed for a displacement: "
            "run longer or dump more often"
        )


def _names(species: str | Sequence[str] | None) -> tuple[str, ...]:
    return (species,) if isinstance(species, str) else tuple(species or ())


def check_max_lag_fraction(max_lag_fraction: float) -> None:
    """An error unless it is a part."""
    if not 0.0 < max_lag_fraction <= 1.0:
        raise LpsmdError(f"max_lag_fraction is {max_lag_fraction}, a number above 0 and at most 1 is needed")


def lag_steps_up_to(steps: NDArray[np.int64], max_lag_fraction: float) -> NDArray[np.int64]:
    """Differences of two or more steps up to a part of their whole, one at least."""
    check_max_lag_fraction(max_lag_fraction)
    whole = int(steps[-1]) - int(steps[0])
    # the small part keeps 0.1 * 30 from falling below 3
    longest = min(whole, int(max_lag_fraction * whole * (1 + 1e-12)), int(np.iinfo(np.int64).max))
    return _core.lag_steps_of(steps, max(longest, min(whole, int(np.diff(steps).min()))))


def _lag_steps(trajectory: Trajectory, max_lag_fraction: float) -> NDArray[np.int64]:
    check_max_lag_fraction(max_lag_fraction)
    _check_two_frames(trajectory)
    return lag_steps_up_to(trajectory.timesteps, max_lag_fraction)


def _steps_up_to(longest_lag_ps: float, step_fs: float) -> int:
    # the small part keeps 0.3 ps over 0.1 ps from falling below 3
    steps = longest_lag_ps * 1000.0 / step_fs * (1 + 1e-12)
    if steps >= _MOST_STEPS:
        raise LpsmdError(
            f"longest_lag_ps is {longest_lag_ps:g}, that is {steps:.3g} steps of {step_fs:g} fs; fewer than "
            f"{_MOST_STEPS:.3g} are needed: give the longest lag that the trajectory has, in ps"
        )
    return int(steps)


def _times(steps: NDArray[np.int64], step_fs: float) -> NDArray[np.float64]:
    """Steps in ps."""
    return steps.astype(np.float64) * (step_fs / 1000.0)


def _mean_volume(trajectory: Trajectory) -> float:
    return float(np.abs(np.linalg.det(trajectory.cells_A)).mean())


def _drift_weights(
    trajectory: Trajectory, *, moving: tuple[str, ...], drift: Drift, reference: tuple[str, ...]
) -> NDArray[np.float64]:
    """[N] masses of the reference's atoms, zero elsewhere; empty for none."""
    if reference and drift != "framework":
        raise LpsmdError(
            f"reference_species is {', '.join(reference)} with drift '{drift}'; it needs drift 'framework', whose "
            "atoms it names"
        )
    if drift == "none":
        return np.empty(0)
    elements = np.array(trajectory.elements)
    if drift == "com":
        chosen = np.ones(len(elements), dtype=bool)
    elif reference:
        chosen = np.zeros(len(elements), dtype=bool)
        for element in reference:
            chosen[trajectory.indices_of(element)] = True
    else:
        chosen = ~np.isin(elements, moving)
        if not chosen.any():
            raise LpsmdError(
                f"{trajectory.name}: found only {', '.join(moving)}, so there is no framework to take the drift from; "
                "read the dump with all species, or choose drift 'com' or 'none'"
            )
    masses = {element: _mass(trajectory, element) for element in dict.fromkeys(elements[chosen].tolist())}
    return np.array([masses[e] if c else 0.0 for e, c in zip(trajectory.elements, chosen, strict=True)])


def _mass(trajectory: Trajectory, element: str) -> float:
    """Standard atomic mass in g/mol."""
    number = atomic_numbers.get(element)
    if number is None:
        raise LpsmdError(
            f"{trajectory.name}: element '{element}' is not a chemical symbol, so its mass is unknown; "
            "name the types with `dump_modify ... element Li P S Cl`, or choose drift 'none'"
        )
    return float(atomic_masses[number])
