"""Mean squared displacements: analytic cases, an O(N^2) oracle, merging."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.data import atomic_masses, atomic_numbers
from hypothesis import given, settings
from hypothesis import strategies as st

from lpsmd._core import MsdAccumulator
from lpsmd.analysis import Trajectory, mean_squared_displacement, read_dump
from lpsmd.errors import LpsmdError
from support.dumps import write_dump
from tolerances import MSD_FAR_RELATIVE, MSD_RELATIVE, RANDOM_WALK_MSD_RELATIVE

ELEMENTS = ["Li"] * 5 + ["P"] * 2 + ["S"] * 4


def trajectory(positions: np.ndarray, elements: list[str], interval: int = 10) -> Trajectory:
    n_frames, n_atoms, _ = positions.shape
    return Trajectory(
        paths=("memory",),
        timesteps=interval * np.arange(n_frames),
        positions_A=positions,
        ids=1 + np.arange(n_atoms),
        elements=tuple(elements),
        cells_A=np.broadcast_to(10 * np.eye(3), (n_frames, 3, 3)),
        origins_A=np.zeros((n_frames, 3)),
        periodic=(True, True, True),
        repeated_frames=0,
    )


def oracle(positions: np.ndarray, elements: list[str], species: str, drift: str, n_lags: int) -> np.ndarray:
    """[n_lags, 3] by the definition: every pair of frames, one after another."""
    mass = np.array([atomic_masses[atomic_numbers[element]] for element in elements])
    chosen = np.array([element == species for element in elements])
    weight = {"none": 0 * mass, "com": mass, "framework": mass * ~chosen}[drift]
    moved = positions.copy()
    if weight.any():
        moved = moved - np.einsum("tik,i->tk", positions, weight)[:, None] / weight.sum()
    sums, counts = np.zeros((n_lags, 3)), np.zeros(n_lags)
    for start in range(len(moved)):
        for end in range(start, min(len(moved), start + n_lags)):
            sums[end - start] += ((moved[end, chosen] - moved[start, chosen]) ** 2).sum(axis=0)
            counts[end - start] += chosen.sum()
    return sums / counts[:, None]


@pytest.mark.parametrize("drift", ["framework", "com", "none"])
@pytest.mark.parametrize("n_frames", [2, 3, 17, 90])
def test_against_the_definition(drift: str, n_frames: int) -> None:
    rng = np.random.default_rng(n_frames)
    positions = rng.normal(0, 0.2, (n_frames, 11, 3)).cumsum(axis=0) + rng.uniform(0, 10, (11, 3))
    found = mean_squared_displacement(
        trajectory(positions, ELEMENTS), species="Li", timestep_fs=2.0, drift=drift, max_lag_fraction=1.0
    )
    expected = oracle(positions, ELEMENTS, "Li", drift, n_frames)
    np.testing.assert_allclose(found.components_A2, expected, rtol=MSD_RELATIVE, atol=1e-20)
    np.testing.assert_allclose(found.msd_A2, expected.sum(axis=1), rtol=MSD_RELATIVE, atol=1e-20)
    np.testing.assert_array_equal(found.counts, 5 * (n_frames - np.arange(n_frames)))
    np.testing.assert_allclose(found.time_ps, 0.02 * np.arange(n_frames))


def test_dump_against_the_definition(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    positions = np.round(rng.normal(0, 0.2, (60, 11, 3)).cumsum(axis=0) + rng.uniform(0, 10, (11, 3)), 8)
    path = write_dump(tmp_path / "a.dump", positions, ELEMENTS, rng=rng)
    found = mean_squared_displacement(read_dump(path), species="Li", timestep_fs=2.0)
    expected = oracle(positions, ELEMENTS, "Li", "framework", 30)
    np.testing.assert_allclose(found.components_A2, expected, rtol=MSD_RELATIVE, atol=1e-20)


def test_far_from_the_origin() -> None:
    rng = np.random.default_rng(9)
    positions = rng.normal(0, 0.1, (80, 11, 3)).cumsum(axis=0)
    near = mean_squared_displacement(trajectory(positions, ELEMENTS), species="Li", timestep_fs=1.0)
    far = mean_squared_displacement(trajectory(positions + 1e4, ELEMENTS), species="Li", timestep_fs=1.0)
    np.testing.assert_allclose(far.msd_A2, near.msd_A2, rtol=MSD_FAR_RELATIVE)


def test_ballistic() -> None:
    velocity = np.array([1.0, -2.0, 0.5])
    time = 0.02 * np.arange(50)
    positions = np.zeros((50, 2, 3))
    positions[:, 0] = time[:, None] * velocity
    found = mean_squared_displacement(trajectory(positions, ["Li", "P"]), species="Li", timestep_fs=2.0)
    np.testing.assert_allclose(found.components_A2, found.time_ps[:, None] ** 2 * velocity**2, rtol=MSD_RELATIVE)


def test_harmonic() -> None:
    # every phase equally often: <|u(t + m) - u(t)|^2> = a^2 (1 - cos(w m)) for each axis
    n, amplitude, period = 64, 0.3, 16
    phase = 2 * np.pi * np.arange(n) / n
    angle = 2 * np.pi * np.arange(40)[:, None] / period + phase
    positions = np.repeat(amplitude * np.cos(angle)[:, :, None], 3, axis=2)
    found = mean_squared_displacement(trajectory(positions, ["Li"] * n), species="Li", timestep_fs=1.0, drift="none")
    expected = 3 * amplitude**2 * (1 - np.cos(2 * np.pi * np.arange(len(found.time_ps)) / period))
    np.testing.assert_allclose(found.msd_A2, expected, rtol=MSD_RELATIVE, atol=1e-15)


def test_random_walk() -> None:
    rng = np.random.default_rng(10)
    step_A = 0.1
    positions = rng.normal(0, step_A, (1001, 401, 3)).cumsum(axis=0)
    found = mean_squared_displacement(
        trajectory(positions, ["Li"] * 400 + ["P"]), species="Li", timestep_fs=1.0, drift="none"
    )
    assert found.msd_A2[1] == pytest.approx(3 * step_A**2, rel=RANDOM_WALK_MSD_RELATIVE)


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


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    n_lags=st.integers(2, 40),
    seed=st.integers(0, 10**6),
)
def test_merge_equals_all_together(lengths: list[int], n_lags: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    replicas = [rng.normal(0, 1, (length, 6, 3)).cumsum(axis=0) for length in lengths]
    together = MsdAccumulator(n_lags=n_lags, frame_interval=5)
    merged = MsdAccumulator(n_lags=n_lags, frame_interval=5)
    for replica in replicas:
        part = MsdAccumulator(n_lags=n_lags, frame_interval=5)
        part.add(replica, selection=[0, 1, 4], drift_weights=[0, 0, 1, 1, 0, 2])
        merged += part
        together.add(replica, selection=[0, 1, 4], drift_weights=[0, 0, 1, 1, 0, 2])
    assert merged == together
    atoms = MsdAccumulator(n_lags=n_lags, frame_interval=5)
    for replica in replicas:
        for atom in (0, 1, 4):
            atoms.add(replica, selection=[atom], drift_weights=[0, 0, 1, 1, 0, 2])
    np.testing.assert_allclose(atoms.sums, together.sums, rtol=MSD_RELATIVE, atol=1e-20)
    np.testing.assert_array_equal(atoms.counts, together.counts)


def test_consecutive_pieces_lose_the_windows_across_the_seam() -> None:
    positions = np.random.default_rng(12).normal(0, 1, (20, 3, 3)).cumsum(axis=0)
    whole, pieces = (MsdAccumulator(n_lags=5, frame_interval=1) for _ in range(2))
    whole.add(positions, selection=[0, 1, 2])
    pieces.add(positions[:10], selection=[0, 1, 2])
    pieces.add(positions[10:], selection=[0, 1, 2])
    assert (whole.counts - pieces.counts).tolist() == [0, 3, 6, 9, 12]


def test_value_semantics() -> None:
    filled = MsdAccumulator(n_lags=4, frame_interval=3)
    filled.add(np.random.default_rng(13).normal(0, 1, (9, 2, 3)), selection=[1])
    for other in (pickle.loads(pickle.dumps(filled)), copy.copy(filled), copy.deepcopy(filled)):
        assert other == filled
        other += filled
        assert other != filled
        np.testing.assert_array_equal(other.sums, 2 * filled.sums)
    assert filled != MsdAccumulator(n_lags=4, frame_interval=3)


def test_accumulator_errors() -> None:
    sums = MsdAccumulator(n_lags=4, frame_interval=3)
    x = np.zeros((5, 2, 3))
    with pytest.raises(LpsmdError, match=r"cannot merge MSDs of 4 and 5 lags; equal numbers are needed"):
        sums += MsdAccumulator(n_lags=5, frame_interval=3)
    with pytest.raises(LpsmdError, match=r"frames every 3 and every 2 steps; equal intervals are needed"):
        sums += MsdAccumulator(n_lags=4, frame_interval=2)
    with pytest.raises(LpsmdError, match=r"found 1 lags, at least 2"):
        MsdAccumulator(n_lags=1, frame_interval=1)
    with pytest.raises(LpsmdError, match=r"frame interval is 0 steps, at least 1 is needed"):
        MsdAccumulator(n_lags=4, frame_interval=0)
    with pytest.raises(LpsmdError, match=r"selected atom 2 is outside 0 \.\. 1"):
        sums.add(x, selection=[2])
    with pytest.raises(LpsmdError, match=r"no atom is selected"):
        sums.add(x, selection=[])
    with pytest.raises(LpsmdError, match=r"found 1 drift weights, one for each of the 2 atoms"):
        sums.add(x, selection=[0], drift_weights=[1.0])
    with pytest.raises(LpsmdError, match=r"a drift weight is -1\.0+, finite and not negative"):
        sums.add(x, selection=[0], drift_weights=[1.0, -1.0])
    with pytest.raises(LpsmdError, match=r"all drift weights are zero"):
        sums.add(x, selection=[0], drift_weights=[0.0, 0.0])
    with pytest.raises(LpsmdError, match=r"positions have 2 dimensions, an array \[frames, atoms, 3\]"):
        sums.add(x[0], selection=[0])


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
    with pytest.raises(LpsmdError, match=r"found only Li, so there is no framework .*read the dump with all species"):
        mean_squared_displacement(trajectory(np.zeros((5, 1, 3)), ["Li"]), species="Li", timestep_fs=1.0)
    with pytest.raises(LpsmdError, match=r"found 1 frame, at least 2 are needed for a displacement"):
        mean_squared_displacement(trajectory(np.zeros((1, 2, 3)), ["Li", "P"]), species="Li", timestep_fs=1.0)


def test_changing_cell_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    breathing = trajectory(np.zeros((5, 2, 3)), ["Li", "P"])
    breathing = replace(breathing, cells_A=breathing.cells_A * np.linspace(1, 1.01, 5)[:, None, None])
    mean_squared_displacement(breathing, species="Li", timestep_fs=1.0)
    assert "memory: the cell changes by 0.01 of its length" in caplog.text
