"""Mean squared displacements: analytic cases, an O(N^2) oracle, merging."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.data import atomic_masses, atomic_numbers
from hypothesis import given, settings
from hypothesis import strategies as st

from lpsmd._core import MsdAccumulator, StreamingMsd, lag_steps_of
from lpsmd.analysis import collective_msd, mean_squared_displacement, read_dump
from lpsmd.analysis.msd import non_gaussian_parameter
from lpsmd.errors import LpsmdError
from support.dumps import write_dump
from support.motions import KINDS, assert_tensors_agree, definition, motion, pair_sums, trajectory, without_drift
from tolerances import GAUSSIAN_ALPHA2, INTERRUPT_S, MSD_OUTLIER_TIMES, MSD_RELATIVE, RANDOM_WALK_MSD_RELATIVE

ELEMENTS = ["Li"] * 5 + ["P"] * 2 + ["S"] * 4
REFERENCES = {"none": [], "com": ["Li", "P", "S"], "framework": ["P", "S"]}
PLACES = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]


def six(tensor: np.ndarray) -> np.ndarray:
    """[L, 6] of [L, 3, 3], checked to be symmetric."""
    np.testing.assert_array_equal(tensor, tensor.transpose(0, 2, 1))
    return np.stack([tensor[:, a, b] for a, b in PLACES], axis=1)


# ----- the definition --------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset_A", [0.0, 1e4])
@pytest.mark.parametrize("drift", ["framework", "com", "none"])
@pytest.mark.parametrize("n_frames", [2, 3, 17, 90, 400])
@pytest.mark.parametrize("kind", KINDS)
def test_against_the_definition(kind: str, n_frames: int, drift: str, offset_A: float) -> None:
    positions = motion(kind, n_frames, 11, seed=n_frames)
    found = mean_squared_displacement(
        trajectory(positions + offset_A, ELEMENTS), species="Li", timestep_fs=2.0, drift=drift, max_lag_fraction=1.0
    )
    moved = without_drift(positions, ELEMENTS, REFERENCES[drift])[:, :5]
    counts = 5 * (n_frames - np.arange(n_frames))
    expected = definition(moved, n_frames) / counts[:, None]
    assert_tensors_agree(six(found.tensor_A2), expected[:, :6], MSD_RELATIVE)
    np.testing.assert_allclose(found.components_A2, expected[:, :3], rtol=MSD_RELATIVE, atol=1e-20)
    np.testing.assert_allclose(found.msd_A2, expected[:, :3].sum(axis=1), rtol=MSD_RELATIVE, atol=1e-20)
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_allclose(found.time_ps, 0.02 * np.arange(n_frames))
    together = definition(moved.sum(axis=1, keepdims=True), n_frames) / (counts / 5)[:, None] / 5
    assert_tensors_agree(six(found.collective_tensor_A2), together[:, :6], MSD_RELATIVE)
    np.testing.assert_allclose(found.collective_A2, together[:, :3].sum(axis=1), rtol=MSD_RELATIVE, atol=1e-20)
    np.testing.assert_allclose(found.distinct_A2, found.collective_A2 - found.msd_A2)
    lags = np.round(found.alpha2_time_ps / 0.02).astype(int)
    assert lags[0] == 1
    alpha2 = 3 * expected[lags, 6] / (5 * expected[lags, :3].sum(axis=1) ** 2) - 1
    np.testing.assert_allclose(found.alpha2 + 1, alpha2 + 1, rtol=MSD_RELATIVE)


@pytest.mark.parametrize("offset_A", [0.0, 1e4])
@pytest.mark.parametrize("kind", KINDS)
def test_long_trajectories_against_the_definition(kind: str, offset_A: float) -> None:
    positions = motion(kind, 5000, 2)
    sums = MsdAccumulator(np.arange(5000))
    sums.add(positions + offset_A, np.arange(5000), selection=[0, 1])
    assert_tensors_agree(sums.sums, definition(without_drift(positions, ["Li"] * 2, []), 5000)[:, :6], MSD_RELATIVE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_thousand_frames_at_some_lags(kind: str) -> None:
    n_frames, times = 100_000, np.arange(100_000)
    positions = motion(kind, n_frames, 2)
    sums = MsdAccumulator(np.arange(n_frames))
    sums.add(positions + 1e4, times, selection=[0, 1])
    lags = [0, 1, 2, 3, 5, 10, 33, 100, 1000, 9999, 50_000, 65_536, 99_990, 99_999]
    expected = pair_sums(positions, [(times[: n_frames - lag], times[lag:]) for lag in lags])[:, :6]
    assert_tensors_agree(sums.sums[lags], expected, MSD_RELATIVE)


def test_a_jump_of_a_thousand_angstrom_leaves_vibrations_exact() -> None:
    positions = motion("harmonic", 800, 3)
    positions[500:, 0] += 1024.0
    sums = MsdAccumulator(np.arange(800))
    sums.add(positions, np.arange(800), selection=[0, 1, 2])
    assert_tensors_agree(sums.sums, definition(positions - positions[0], 800)[:, :6], MSD_RELATIVE)


@pytest.mark.parametrize("frame", [0, 1, 400, 799])
def test_one_frame_out_of_place(frame: int) -> None:
    positions = motion("harmonic", 800, 3)
    positions[frame] += 1024.0
    sums = MsdAccumulator(np.arange(800))
    sums.add(positions, np.arange(800), selection=[0, 1, 2])
    assert_tensors_agree(sums.sums, definition(positions - positions[1], 800)[:, :6], MSD_RELATIVE)


def test_a_first_frame_out_of_place_costs_no_time() -> None:
    """Displacements from it are all long: without an offset taken off, every lag was summed pair by pair."""
    plain = 0.05 * np.random.default_rng(14).normal(size=(20_000, 16, 3))
    moved = plain.copy()
    moved[0] += 5.0

    def work(positions: np.ndarray) -> None:
        sums = MsdAccumulator(np.arange(10_000))
        sums.add(positions, np.arange(20_000), selection=np.arange(16))

    assert best_seconds(lambda: work(moved)) < MSD_OUTLIER_TIMES * best_seconds(lambda: work(plain))


def test_short_lags_of_a_slow_wide_swing() -> None:
    """The transform alone is 1e-9 off here: neighbouring frames differ by a thousandth of the amplitude."""
    angle = 2 * np.pi * np.arange(6000) / 6000
    positions = np.round(50 * np.sin(angle[:, None, None] + np.arange(3)) * 2**20) / 2**20
    sums = MsdAccumulator(np.arange(1000))
    sums.add(positions, np.arange(6000), selection=[0])
    assert_tensors_agree(sums.sums, definition(positions - positions[0], 1000)[:, :6], MSD_RELATIVE)


@pytest.mark.parametrize("n_atoms", [1, 15, 16, 17, 40])
@pytest.mark.parametrize("n_frames", [20, 300])
def test_any_number_of_atoms(n_atoms: int, n_frames: int) -> None:
    positions = motion("walk", n_frames, n_atoms + 3)
    chosen = np.random.default_rng(0).permutation(n_atoms + 3)[:n_atoms]
    expected = definition(positions[:, chosen] - positions[0, chosen], n_frames)[:, :6]
    one, three = MsdAccumulator(np.arange(n_frames)), MsdAccumulator(np.arange(n_frames))
    one.add(positions, np.arange(n_frames), selection=chosen)
    three.add(positions, np.arange(n_frames), selection=chosen, threads=3)
    assert_tensors_agree(one.sums, expected, MSD_RELATIVE)
    assert_tensors_agree(three.sums, expected, MSD_RELATIVE)
    np.testing.assert_array_equal(one.counts, three.counts)


def test_threads_give_the_same_bits_every_time() -> None:
    positions = motion("walk", 500, 70)
    results = []
    for _ in range(5):
        sums = MsdAccumulator(np.arange(250))
        sums.add(positions, np.arange(500), selection=np.arange(70), threads=4)
        results.append(sums)
    assert all(other == results[0] for other in results)


def test_dump_against_the_definition(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    positions = np.round(rng.normal(0, 0.2, (60, 11, 3)).cumsum(axis=0) + rng.uniform(0, 10, (11, 3)), 8)
    path = write_dump(tmp_path / "a.dump", positions, ELEMENTS, rng=rng)
    found = mean_squared_displacement(read_dump(path), species="Li", timestep_fs=2.0)
    moved = without_drift(positions, ELEMENTS, ["P", "S"])[:, :5]
    expected = definition(moved, 30)[:, :3] / found.counts[:, None]
    np.testing.assert_allclose(found.components_A2, expected, rtol=MSD_RELATIVE, atol=1e-20)
    assert found.volume_A3 == pytest.approx(1000.0)


@pytest.mark.parametrize("timesteps", [
    np.array([0, 1, 2, 4, 8, 16, 32, 64]),
    np.unique((10 * 1.3 ** np.arange(40)).astype(int)),
    (np.arange(0, 2000, 100)[:, None] + np.array([0, 1, 3, 10])).ravel(),  # bursts, as for short and long lags
], ids=["doubling", "logarithmic", "bursts"])  # fmt: skip
def test_unequal_intervals(timesteps: np.ndarray) -> None:
    positions = motion("walk", len(timesteps), 11)
    found = mean_squared_displacement(
        trajectory(positions, ELEMENTS, timesteps=timesteps), species="Li", timestep_fs=2.0, max_lag_fraction=1.0,
        threads=2,
    )  # fmt: skip
    moved = without_drift(positions, ELEMENTS, ["P", "S"])[:, :5]
    early, late = np.triu_indices(len(timesteps))
    differences = timesteps[late] - timesteps[early]
    lags = np.unique(differences)
    expected = pair_sums(moved, [(early[differences == lag], late[differences == lag]) for lag in lags])
    counts = 5 * np.array([(differences == lag).sum() for lag in lags])
    np.testing.assert_allclose(found.time_ps, 0.002 * lags)
    np.testing.assert_array_equal(found.counts, counts)
    assert_tensors_agree(six(found.tensor_A2), expected[:, :6] / counts[:, None], MSD_RELATIVE)
    at = np.searchsorted(lags, np.round(found.alpha2_time_ps / 0.002).astype(int))
    mean = expected[at] / counts[at, None]
    np.testing.assert_allclose(found.alpha2 + 1, 0.6 * mean[:, 6] / mean[:, :3].sum(axis=1) ** 2, rtol=MSD_RELATIVE)
    assert found.n_frames == len(timesteps)


def frames_left(pattern: str, n_frames: int) -> np.ndarray:
    """Numbers of the frames that are there."""
    all_frames = np.arange(n_frames)
    if pattern == "one missing":
        return np.delete(all_frames, n_frames // 2)
    if pattern == "chunk missing":
        return np.delete(all_frames, slice(n_frames // 5, n_frames // 3))
    if pattern == "half missing":
        inner = np.random.default_rng(16).permutation(np.arange(1, n_frames - 1))[: n_frames // 2]
        return np.delete(all_frames, inner)
    return all_frames[(all_frames % 5 < 3) & (all_frames < n_frames - n_frames % 5)]


PATTERNS = ("one missing", "chunk missing", "half missing", "bursts")


def pairs_at(timesteps: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    early = np.flatnonzero(np.isin(timesteps + lag, timesteps))
    return early, np.searchsorted(timesteps, timesteps[early] + lag)


@pytest.mark.parametrize("kind", [*KINDS, "runaway"])
@pytest.mark.parametrize("n_frames", [20, 601])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_missing_frames(pattern: str, n_frames: int, kind: str) -> None:
    positions = motion("harmonic" if kind == "runaway" else kind, n_frames, 23)
    if kind == "runaway":
        positions[:, 3] += 2.0 ** np.linspace(-20, 13, n_frames).round()[:, None]
    timesteps = 7 + 10 * frames_left(pattern, n_frames)
    positions = positions[frames_left(pattern, n_frames)]
    lags = lag_steps_of(timesteps, int(timesteps[-1]))
    assert lags.tolist() == np.unique(np.abs(timesteps[:, None] - timesteps)).tolist()
    chosen = np.arange(1, 23)
    pairs = [pairs_at(timesteps, lag) for lag in lags]
    expected = pair_sums(positions[:, chosen] - positions[0, chosen], pairs)
    for threads in (1, 2):
        sums = MsdAccumulator(lags)
        sums.add(positions + 1e4, timesteps, selection=chosen, threads=threads)
        np.testing.assert_array_equal(sums.counts, [22 * len(early) for early, _ in pairs])
        assert_tensors_agree(sums.sums, expected[:, :6], MSD_RELATIVE)
        known = sums.quartic_counts > 0
        np.testing.assert_allclose(sums.quartic_sums[known], expected[known, 6], rtol=MSD_RELATIVE)
        np.testing.assert_array_equal(sums.quartic_counts[known], sums.counts[known])


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("kind", KINDS)
def test_missing_frames_of_a_long_trajectory(kind: str, pattern: str) -> None:
    frames = frames_left(pattern, 8000)
    positions = motion(kind, 8000, 20)[frames]
    lags = lag_steps_of(10 * frames, 40_000)
    sums = MsdAccumulator(lags)
    sums.add(positions, 10 * frames, selection=np.arange(20))
    some = np.unique(np.geomspace(1, len(lags) - 1, 40).astype(int))
    expected = pair_sums(positions - positions[0], [pairs_at(10 * frames, lag) for lag in lags[some]])
    assert_tensors_agree(sums.sums[some], expected[:, :6], MSD_RELATIVE)


def test_lags_that_missing_frames_leave_out_have_no_counts() -> None:
    timesteps = 10 * frames_left("one missing", 90)
    sums = MsdAccumulator([0, 5, 10, 14, 20])
    sums.add(motion("walk", 90, 1)[timesteps // 10], timesteps, selection=[0])
    assert sums.counts.tolist() == [89, 0, 87, 0, 86]
    assert lag_steps_of([0, 2, 4, 10, 12, 14, 20, 22, 24], 9).tolist() == [0, 2, 4, 6, 8]


def best_seconds(work: Callable[[], None]) -> float:
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def test_a_missing_frame_costs_little() -> None:
    positions = motion("walk", 10_000, 16)
    whole, gap = 10 * np.arange(10_000), 10 * np.delete(np.arange(10_001), 5000)

    def work(timesteps: np.ndarray) -> None:
        sums = MsdAccumulator(lag_steps_of(timesteps, 50_000))
        sums.add(positions, timesteps, selection=np.arange(16))

    assert best_seconds(lambda: work(gap)) < MSD_OUTLIER_TIMES * best_seconds(lambda: work(whole))


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_a_long_sum(threads: int) -> None:
    """Frames on no grid: 2e8 pairs of 4 batches, many seconds."""
    positions = np.zeros((20_000, 64, 3))
    timesteps = np.cumsum(1 + 1000 * (np.arange(20_000) % 7))
    sums = MsdAccumulator([0, *range(1, 50_000_000, 5000)])
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        sums.add(positions, timesteps, selection=np.arange(64), threads=threads)
    assert time.perf_counter() - start < INTERRUPT_S
    assert not sums.counts.any()


@pytest.mark.parametrize("interval", [1, 10**7, 10**9, 10**12])
@pytest.mark.parametrize(("part", "whole"), [(3, 30), (3, 11), (15, 22), (13, 23), (35, 50), (49, 70), (30, 30)])
def test_longest_lag_is_the_part_asked_for(part: int, whole: int, interval: int) -> None:
    """Parts times many steps fall below whole numbers in float64, by less or more than a fixed slack."""
    found = mean_squared_displacement(
        trajectory(motion("walk", 1 + whole, 1), ["Li"], interval=interval),
        species="Li", timestep_fs=1.0, drift="none", max_lag_fraction=part / whole,
    )  # fmt: skip
    assert len(found.time_ps) == 1 + part


def test_few_wanted_lags_of_many_frames() -> None:
    positions = motion("walk", 3000, 3)
    lags = np.array([0, 1, 7, 500, 2999])
    sums = MsdAccumulator(10 * lags)
    sums.add(positions, 10 * np.arange(3000), selection=[0, 2])
    expected = definition(positions[:, [0, 2]] - positions[0, [0, 2]], 3000)[lags, :6]
    assert_tensors_agree(sums.sums, expected, MSD_RELATIVE)
    np.testing.assert_array_equal(sums.counts, 2 * (3000 - lags))


# ----- known answers ---------------------------------------------------------------------------------------


def test_ballistic() -> None:
    velocity = np.array([1.0, -2.0, 0.5])
    time = 0.02 * np.arange(50)
    positions = np.zeros((50, 2, 3))
    positions[:, 0] = time[:, None] * velocity
    found = mean_squared_displacement(trajectory(positions, ["Li", "P"]), species="Li", timestep_fs=2.0)
    expected = found.time_ps[:, None, None] ** 2 * np.outer(velocity, velocity)
    np.testing.assert_allclose(found.tensor_A2, expected, rtol=MSD_RELATIVE)
    np.testing.assert_allclose(found.alpha2, -0.4)  # all steps equally long: 3/5 - 1


def test_harmonic() -> None:
    # every phase equally often: <|u(t + m) - u(t)|^2> = a^2 (1 - cos(w m)) for each axis
    n, amplitude, period = 64, 0.3, 16
    phase = 2 * np.pi * np.arange(n) / n
    angle = 2 * np.pi * np.arange(40)[:, None] / period + phase
    positions = np.repeat(amplitude * np.cos(angle)[:, :, None], 3, axis=2)
    found = mean_squared_displacement(trajectory(positions, ["Li"] * n), species="Li", timestep_fs=1.0, drift="none")
    expected = 3 * amplitude**2 * (1 - np.cos(2 * np.pi * np.arange(len(found.time_ps)) / period))
    np.testing.assert_allclose(found.msd_A2, expected, rtol=MSD_RELATIVE, atol=1e-15)


def test_random_walk_is_gaussian() -> None:
    rng = np.random.default_rng(10)
    step_A = 0.1
    positions = rng.normal(0, step_A, (1001, 401, 3)).cumsum(axis=0)
    found = mean_squared_displacement(
        trajectory(positions, ["Li"] * 400 + ["P"]), species="Li", timestep_fs=1.0, drift="none"
    )
    assert found.msd_A2[1] == pytest.approx(3 * step_A**2, rel=RANDOM_WALK_MSD_RELATIVE)
    assert found.alpha2[0] == pytest.approx(0.0, abs=GAUSSIAN_ALPHA2)


def test_alpha2_of_movers_and_sitters() -> None:
    # half of the atoms move by a, half stay: 3 (a^4 / 2) / (5 (a^2 / 2)^2) - 1 = 1/5
    positions = np.zeros((200, 8, 3))
    positions[:, ::2, 1] = 0.25 * np.arange(200)[:, None]
    found = mean_squared_displacement(trajectory(positions, ["Li"] * 8), species="Li", timestep_fs=1.0, drift="none")
    np.testing.assert_allclose(found.alpha2, 0.2, rtol=MSD_RELATIVE)
    # about 20 lags per decade: the first at or above each power of 10^(1/20)
    lags = np.round(found.alpha2_time_ps / 0.01).astype(int)
    assert lags[:12].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13]
    assert ((lags >= 10) & (lags < 100)).sum() == 20


def test_alpha2_of_atoms_at_rest_is_nan() -> None:
    found = mean_squared_displacement(
        trajectory(np.ones((200, 2, 3)), ["Li", "P"]), species="Li", timestep_fs=1.0, drift="none"
    )
    assert np.isnan(found.alpha2).all()
    assert not found.msd_A2.any()


def test_collective_and_distinct() -> None:
    steps = motion("walk", 300, 1)
    copies = np.repeat(steps, 4, axis=1)
    found = mean_squared_displacement(trajectory(copies, ["Li"] * 4), species="Li", timestep_fs=1.0, drift="none")
    np.testing.assert_allclose(found.collective_A2, 4 * found.msd_A2, rtol=MSD_RELATIVE)
    np.testing.assert_allclose(found.distinct_A2, 3 * found.msd_A2, rtol=MSD_RELATIVE)
    opposite = copies - steps[0]
    opposite[:, :2] *= -1
    found = mean_squared_displacement(trajectory(opposite, ["Li"] * 4), species="Li", timestep_fs=1.0, drift="none")
    np.testing.assert_allclose(found.collective_A2, 0.0, atol=1e-20)
    np.testing.assert_allclose(found.distinct_A2, -found.msd_A2, rtol=MSD_RELATIVE)
    alone = mean_squared_displacement(
        trajectory(copies, ["Li"] * 4), species="Li", timestep_fs=1.0, drift="none", collective=False
    )
    assert alone.collective_A2 is None
    assert alone.distinct_A2 is None


def test_charge_msd() -> None:
    positions = motion("walk", 200, 11)
    charges = {"Li": 1.0, "P": 5.0, "S": -2.0}
    q = np.array([charges[element] for element in ELEMENTS])
    found = collective_msd(trajectory(positions, ELEMENTS), charges, timestep_fs=2.0, max_lag_fraction=1.0)
    moved = without_drift(positions, ELEMENTS, ["Li", "P", "S"])
    expected = definition(np.einsum("tik,i->tk", moved, q)[:, None], 200)[:, :6] / found.counts[:, None]
    assert_tensors_agree(six(found.tensor_e2A2), expected, MSD_RELATIVE)
    np.testing.assert_allclose(found.msd_e2A2, expected[:, :3].sum(axis=1), rtol=MSD_RELATIVE, atol=1e-20)
    np.testing.assert_array_equal(found.counts, 200 - np.arange(200))
    # charges of one species are its collective displacement
    one = collective_msd(trajectory(positions, ELEMENTS), {"Li": 1.0}, timestep_fs=2.0, drift="framework")
    tracer = mean_squared_displacement(trajectory(positions, ELEMENTS), species="Li", timestep_fs=2.0)
    np.testing.assert_allclose(one.msd_e2A2, 5 * tracer.collective_A2, rtol=MSD_RELATIVE)


# ----- drift -----------------------------------------------------------------------------------------------


def test_drift_is_removed_with_masses() -> None:
    rng = np.random.default_rng(11)
    positions = rng.normal(0, 0.1, (40, 11, 3)).cumsum(axis=0)
    wind = np.cumsum(rng.normal(0, 1.0, (40, 1, 3)), axis=0)
    for drift in ("framework", "com"):
        still = mean_squared_displacement(trajectory(positions, ELEMENTS), species="Li", timestep_fs=1.0, drift=drift)
        blown = mean_squared_displacement(
            trajectory(positions + wind, ELEMENTS), species="Li", timestep_fs=1.0, drift=drift
        )
        np.testing.assert_allclose(blown.msd_A2, still.msd_A2, rtol=MSD_RELATIVE)


@pytest.mark.parametrize("drift", ["com", "framework"])
@pytest.mark.parametrize("n_cells", [5, 150])
def test_drift_over_10000_angstrom_against_long_doubles(n_cells: int, drift: str) -> None:
    """Vibrations of 0.05 Angstrom on no grid; summed up in float64, the displacements are 2e-9 off."""
    n_frames, elements = 300, ELEMENTS * n_cells
    rng = np.random.default_rng(12)
    wind = np.linspace(0, 1e4, n_frames)[:, None] * [1.0, -0.3, 0.01]
    positions = 0.05 * rng.normal(size=(n_frames, len(elements), 3)) + wind[:, None]
    found = mean_squared_displacement(
        trajectory(positions, elements), species="Li", timestep_fs=1.0, drift=drift, max_lag_fraction=1.0
    )
    exact = positions.astype(np.longdouble)
    mass = np.array([atomic_masses[atomic_numbers[e]] * (e in REFERENCES[drift]) for e in elements], np.longdouble)
    moved = (exact - np.einsum("tik,i->tk", exact, mass)[:, None] / mass.sum())[:, np.array(elements) == "Li"]
    n_atoms = moved.shape[1]
    for lag in (1, 2, 5, 30, 100, 150, 299):
        steps = moved[lag:] - moved[:-lag]
        assert found.msd_A2[lag] == pytest.approx(float((steps**2).sum(axis=2).mean()), rel=MSD_RELATIVE)
        together = (steps.sum(axis=1) ** 2).sum(axis=1).mean() / n_atoms
        assert found.collective_A2 is not None
        assert found.collective_A2[lag] == pytest.approx(float(together), rel=MSD_RELATIVE)


def test_named_framework() -> None:
    positions = motion("walk", 60, 11)
    found = mean_squared_displacement(
        trajectory(positions, ELEMENTS), species="Li", timestep_fs=1.0, reference_species="P", max_lag_fraction=1.0
    )
    moved = without_drift(positions, ELEMENTS, ["P"])[:, :5]
    expected = definition(moved, 60)[:, :3].sum(axis=1) / found.counts
    np.testing.assert_allclose(found.msd_A2, expected, rtol=MSD_RELATIVE)
    assert found.reference_species == ("P",)


# ----- a value ---------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 120), min_size=1, max_size=4),
    n_lags=st.integers(2, 40),
    seed=st.integers(0, 10**6),
)
def test_merge_equals_all_together(lengths: list[int], n_lags: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lags = 5 * np.arange(n_lags)
    weights = [0, 0, 1, 1, 0, 2]
    replicas = [(rng.normal(0, 1, (n, 6, 3)).cumsum(axis=0), 5 * np.arange(n)) for n in lengths]
    together, merged, atoms = (MsdAccumulator(lags) for _ in range(3))
    for positions, times in replicas:
        part = MsdAccumulator(lags)
        part.add(positions, times, selection=[0, 1, 4], drift_weights=weights)
        merged += part
        together.add(positions, times, selection=[0, 1, 4], drift_weights=weights)
        for atom in (0, 1, 4):
            atoms.add(positions, times, selection=[atom], drift_weights=weights)
    assert merged == together
    assert_tensors_agree(atoms.sums, together.sums, MSD_RELATIVE)
    np.testing.assert_allclose(atoms.quartic_sums, together.quartic_sums, rtol=MSD_RELATIVE)
    np.testing.assert_array_equal(atoms.counts, together.counts)
    np.testing.assert_array_equal(atoms.quartic_counts, together.quartic_counts)


def test_consecutive_pieces_lose_the_windows_across_the_seam() -> None:
    positions = np.random.default_rng(12).normal(0, 1, (20, 3, 3)).cumsum(axis=0)
    whole, pieces = (MsdAccumulator(np.arange(5)) for _ in range(2))
    whole.add(positions, np.arange(20), selection=[0, 1, 2])
    pieces.add(positions[:10], np.arange(10), selection=[0, 1, 2])
    pieces.add(positions[10:], np.arange(10, 20), selection=[0, 1, 2])
    assert (whole.counts - pieces.counts).tolist() == [0, 3, 6, 9, 12]


def test_value_semantics() -> None:
    filled = MsdAccumulator(3 * np.arange(4))
    filled.add(np.random.default_rng(13).normal(0, 1, (9, 2, 3)), 3 * np.arange(9), selection=[1])
    for other in (pickle.loads(pickle.dumps(filled)), copy.copy(filled), copy.deepcopy(filled)):
        assert other == filled
        other += filled
        assert other != filled
        np.testing.assert_array_equal(other.sums, 2 * filled.sums)
        np.testing.assert_array_equal(other.quartic_sums, 2 * filled.quartic_sums)
    assert filled != MsdAccumulator(3 * np.arange(4))


def test_atoms_and_collective_displacements_do_not_mix() -> None:
    x, times = motion("walk", 30, 4), np.arange(30)
    atoms, together, empty = (MsdAccumulator(np.arange(10)) for _ in range(3))
    assert empty.population == "none"
    atoms.add(x, times, selection=[0])
    together.add_collective(x, times, charges=np.ones(4))
    assert (atoms.population, together.population) == ("atoms", "collective")
    message = r"cannot add sums of a collective displacement to those of single atoms: use an MsdAccumulator for each"
    with pytest.raises(LpsmdError, match=message):
        atoms += together
    with pytest.raises(LpsmdError, match=message):
        atoms.add_collective(x, times, charges=np.ones(4))
    with pytest.raises(LpsmdError, match=r"cannot add sums of single atoms to those of a collective displacement"):
        together += pickle.loads(pickle.dumps(atoms))
    before = copy.copy(atoms)
    atoms += empty
    assert atoms == before
    empty += together
    assert empty == together
    assert empty.population == "collective"


def test_streamed_sums_know_their_population() -> None:
    options = {"n_atoms": 4, "frame_interval": 1, "longest_lag": 10}
    assert StreamingMsd(selection=[0], **options).result().population == "atoms"
    assert StreamingMsd(charges=np.ones(4), **options).result().population == "collective"


def test_alpha2_is_unknown_where_fourth_powers_are_of_a_part() -> None:
    x, times = motion("walk", 60, 4), np.arange(60)
    with_quartic, without = MsdAccumulator(np.arange(30)), MsdAccumulator(np.arange(30))
    with_quartic.add(x, times, selection=[0])
    assert np.isfinite(non_gaussian_parameter(with_quartic)[1]).all()
    without.add(100 * x, times, selection=[0], quartic=False)
    with_quartic += without
    steps, alpha2 = non_gaussian_parameter(with_quartic)
    assert len(steps) > 5
    assert np.isnan(alpha2).all()


# ----- errors ----------------------------------------------------------------------------------------------


def test_accumulator_errors() -> None:
    sums = MsdAccumulator([0, 3, 6, 9])
    x, times = np.zeros((5, 2, 3)), 3 * np.arange(5)
    with pytest.raises(LpsmdError, match=r"cannot merge MSDs of 4 and 5 lags; equal numbers are needed"):
        sums += MsdAccumulator(3 * np.arange(5))
    with pytest.raises(LpsmdError, match=r"whose lag 1 is 3 and 2 steps; equal lags are needed: analyse all replicas"):
        sums += MsdAccumulator(2 * np.arange(4))
    with pytest.raises(LpsmdError, match=r"found 1 lags, at least 2"):
        MsdAccumulator([0])
    with pytest.raises(LpsmdError, match=r"the first lag is 1 steps, 0 is needed"):
        MsdAccumulator([1, 2])
    with pytest.raises(LpsmdError, match=r"a lag of 3 steps follows one of 3, ascending ones are needed"):
        MsdAccumulator([0, 3, 3])
    with pytest.raises(LpsmdError, match=r"selected atom 2 is outside 0 \.\. 1"):
        sums.add(x, times, selection=[2])
    with pytest.raises(LpsmdError, match=r"no atom is selected"):
        sums.add(x, times, selection=[])
    with pytest.raises(LpsmdError, match=r"found 1 drift weights, one for each of the 2 atoms"):
        sums.add(x, times, selection=[0], drift_weights=[1.0])
    with pytest.raises(LpsmdError, match=r"a drift weight is -1\.0+, finite and not negative"):
        sums.add(x, times, selection=[0], drift_weights=[1.0, -1.0])
    with pytest.raises(LpsmdError, match=r"all drift weights are zero"):
        sums.add(x, times, selection=[0], drift_weights=[0.0, 0.0])
    with pytest.raises(LpsmdError, match=r"positions have 2 dimensions, an array \[frames, atoms, 3\]"):
        sums.add(x[0], times, selection=[0])
    with pytest.raises(LpsmdError, match=r"found 0 threads, at least 1 is needed"):
        sums.add(x, times, selection=[0], threads=0)
    with pytest.raises(LpsmdError, match=r"found 1000000 threads, 1 to 1024 are needed: as many as there are cores"):
        sums.add(x, times, selection=[0], threads=10**6)
    with pytest.raises(LpsmdError, match=r"found 4 timesteps for 5 frames, one for each"):
        sums.add(x, times[:4], selection=[0])
    with pytest.raises(
        LpsmdError, match=r"timestep 3 of frame 2 follows 3, ascending ones are needed: sort the frames"
    ):
        sums.add(x, [0, 3, 3, 6, 9], selection=[0])
    with pytest.raises(LpsmdError, match=r"a lag of 3 steps is no multiple of the 2 steps between frames: give lags"):
        sums.add(x, 2 * np.arange(5), selection=[0])
    with pytest.raises(LpsmdError, match=r"found 1 charges, one for each of the 2 atoms"):
        sums.add_collective(x, times, charges=[1.0])
    with pytest.raises(LpsmdError, match=r"all charges are zero, at least one"):
        sums.add_collective(x, times, charges=[0.0, 0.0])
    assert not sums.counts.any()


def test_only_integers_are_indices_and_steps() -> None:
    sums = MsdAccumulator([0, 1, 2])
    x, times = np.zeros((5, 4, 3)), np.arange(5)
    mask = np.array([False, False, True, True])
    with pytest.raises(LpsmdError, match=r"selection holds values of type bool, integers are needed: give indices, np"):
        sums.add(x, times, selection=mask)
    with pytest.raises(LpsmdError, match=r"selection holds values of type float64"):
        StreamingMsd(n_atoms=4, frame_interval=1, longest_lag=2, selection=[0.0, 1.5])
    message = r"timesteps holds values of type float64, integers are needed: give steps of the integrator"
    with pytest.raises(LpsmdError, match=message):
        sums.add(x, 1.5 * times, selection=[0])
    with pytest.raises(LpsmdError, match=message):
        sums.add_collective(x, 1.5 * times, charges=np.ones(4))
    with pytest.raises(LpsmdError, match=message):
        lag_steps_of(1.5 * times, 2)
    with pytest.raises(LpsmdError, match=message):
        StreamingMsd(n_atoms=4, frame_interval=1, longest_lag=2, selection=[0]).push(x, 1.5 * times)
    with pytest.raises(LpsmdError, match=r"lag_steps holds values of type float64, integers are needed"):
        MsdAccumulator([0.0, 1.5])
    with pytest.raises(LpsmdError, match=r"timesteps holds a value above 2\^63 - 1"):
        sums.add(x, times.astype(np.uint64) + np.uint64(2**63), selection=[0])
    sums.add(x, times.astype(np.int32), selection=np.array([2, 3], dtype=np.uint8))
    assert sums.counts.tolist() == [10, 8, 6]


@pytest.mark.parametrize("step", [-(2**63), -(2**61), 2**61, 2**63 - 1])
def test_timesteps_whose_differences_could_overflow(step: int) -> None:
    timesteps = np.array(sorted([0, 1, step]))
    message = rf"timestep {step} of frame . is out of range, less than 2\^61 = 2305843009213693952 from zero is needed"
    with pytest.raises(LpsmdError, match=message):
        lag_steps_of(timesteps, 2**63 - 1)
    with pytest.raises(LpsmdError, match=message):
        MsdAccumulator([0, 1]).add(np.zeros((3, 1, 3)), timesteps, selection=[0])
    far = trajectory(np.zeros((3, 1, 3)), ["Li"], timesteps=np.array([-(2**63), 0, 2**63 - 1]))
    with pytest.raises(LpsmdError, match=r"timestep -9223372036854775808 of frame 0 is out of range"):
        mean_squared_displacement(far, species="Li", timestep_fs=1.0, drift="none")
    assert lag_steps_of([1 - 2**61, 2**61 - 1], 2**63 - 1).tolist() == [0, 2**62 - 2]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_named(value: float) -> None:
    x = np.zeros((5, 3, 3))
    x[3, 1, 2] = value
    sums = MsdAccumulator([0, 1])
    message = rf"frame 3, atom 1 \(both counted from 0\): coordinate z is {value}, finite numbers are needed"
    with pytest.raises(LpsmdError, match=message):
        sums.add(x, np.arange(5), selection=[0])
    with pytest.raises(LpsmdError, match=message):
        sums.add_collective(x, np.arange(5), charges=[1.0, 0.0, 0.0])


def test_too_many_unequal_lags() -> None:
    timesteps = np.arange(700) ** 3 + np.arange(700)
    with pytest.raises(LpsmdError, match=r"the 700 unequally spaced frames have more than 200000 different time"):
        lag_steps_of(timesteps, int(timesteps[-1]))
    assert lag_steps_of(timesteps, 10).tolist() == [0, 2, 8, 10]


def test_msd_errors() -> None:
    good = trajectory(np.zeros((5, 2, 3)), ["Li", "Q"])
    with pytest.raises(LpsmdError, match=r"memory: no atom of element 'Na'; found Li, Q: choose among these"):
        mean_squared_displacement(good, species="Na", timestep_fs=1.0)
    with pytest.raises(LpsmdError, match=r"element 'Q' is not a chemical symbol, so its mass is unknown"):
        mean_squared_displacement(good, species="Li", timestep_fs=1.0)
    with pytest.raises(LpsmdError, match=r"timestep_fs is 0\.0, a positive number of femtoseconds is needed"):
        mean_squared_displacement(good, species="Li", timestep_fs=0.0)
    with pytest.raises(LpsmdError, match=r"max_lag_fraction is 1\.5, a number above 0 and at most 1"):
        mean_squared_displacement(good, species="Li", timestep_fs=1.0, max_lag_fraction=1.5)
    with pytest.raises(LpsmdError, match=r"drift is 'frame', one of framework, com, none is needed"):
        mean_squared_displacement(good, species="Li", timestep_fs=1.0, drift="frame")  # type: ignore[arg-type]
    with pytest.raises(LpsmdError, match=r"reference_species is P with drift 'com'; it needs drift 'framework'"):
        mean_squared_displacement(good, species="Li", timestep_fs=1.0, drift="com", reference_species="P")
    with pytest.raises(LpsmdError, match=r"no atom of element 'P'; found Li, Q"):
        mean_squared_displacement(good, species="Li", timestep_fs=1.0, reference_species=["P"])
    with pytest.raises(LpsmdError, match=r"found only Li, so there is no framework .*read the dump with all species"):
        mean_squared_displacement(trajectory(np.zeros((5, 1, 3)), ["Li"]), species="Li", timestep_fs=1.0)
    with pytest.raises(LpsmdError, match=r"found 1 frame, at least 2 are needed for a displacement"):
        mean_squared_displacement(trajectory(np.zeros((1, 2, 3)), ["Li", "P"]), species="Li", timestep_fs=1.0)
