"""Mean squared displacements from blocks of frames: the oracle over their own origins, checkpoints, errors."""

from __future__ import annotations

import copy
import itertools
import pickle
from dataclasses import replace

import numpy as np
import pytest

from lpsmd._core import MsdAccumulator, StreamingMsd
from lpsmd.analysis import Trajectory, mean_squared_displacement, stream_mean_squared_displacement
from lpsmd.errors import LpsmdError
from support.motions import KINDS, assert_tensors_agree, motion, pair_sums, trajectory, without_drift
from tolerances import MSD_RELATIVE

ELEMENTS = ["Li"] * 20 + ["P"] * 2 + ["S"] * 4
MASSES = np.array([0.0] * 20 + [30.97] * 2 + [32.06] * 4)
LI = np.arange(20)


def stream(**options: object) -> StreamingMsd:
    defaults = {"n_atoms": 26, "frame_interval": 5, "longest_lag": 5 * 300, "points": 8, "drift_weights": MASSES}
    return StreamingMsd(**{**defaults, **options})  # type: ignore[arg-type]


def origins_of(lag: int, n_frames: int, points: int) -> np.ndarray:
    """First frames of the windows: every frame up to the first `points`, then a stride that doubles."""
    stride = 1
    while lag >= points * stride:
        stride *= 2
    return np.arange(0, max(0, n_frames - lag), stride)


def blocks_of(whole: Trajectory, edges: list[int]) -> list[Trajectory]:
    return [
        replace(
            whole,
            timesteps=whole.timesteps[first:last],
            positions_A=whole.positions_A[first:last],
            cells_A=whole.cells_A[first:last],
            origins_A=whole.origins_A[first:last],
        )
        for first, last in itertools.pairwise(edges)
    ]


@pytest.mark.parametrize("n_frames", [1, 2, 9, 100, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_against_the_definition(kind: str, n_frames: int) -> None:
    positions = motion(kind, n_frames, 26)
    atoms, together = stream(selection=LI), stream(charges=(np.arange(26) < 20).astype(float))
    for part in np.array_split(np.arange(n_frames), 7):
        atoms.push(positions[part] + 1e4, 35 + 5 * part)
        together.push(positions[part] + 1e4, 35 + 5 * part)
    lags = atoms.lag_steps // 5
    assert lags.tolist()[:13] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16]
    assert lags[-1] == 256
    moved = without_drift(positions, ELEMENTS, [])
    moved = moved - np.einsum("tik,i->tk", moved, MASSES)[:, None] / MASSES.sum()
    origins = [origins_of(lag, n_frames, 8) for lag in lags]
    pairs = [(t, t + lag) for t, lag in zip(origins, lags, strict=True)]
    expected = pair_sums(moved[:, LI], pairs)
    result = atoms.result()
    np.testing.assert_array_equal(result.counts, [20 * len(t) for t in origins])
    assert_tensors_agree(result.sums, expected[:, :6], MSD_RELATIVE)
    known = result.quartic_counts > 0
    np.testing.assert_allclose(result.quartic_sums[known], expected[known, 6], rtol=MSD_RELATIVE)
    assert n_frames < 2 or known.sum() > 0
    np.testing.assert_array_equal(together.result().counts, [len(t) for t in origins])
    one = pair_sums(moved[:, LI].sum(axis=1, keepdims=True), pairs)
    assert_tensors_agree(together.result().sums, one[:, :6], MSD_RELATIVE)


def test_short_lags_are_those_of_the_whole() -> None:
    """At the first level every frame is an origin."""
    positions = motion("walk", 200, 26)
    streamed, whole = stream(selection=LI), MsdAccumulator(5 * np.arange(8))
    streamed.push(positions, 5 * np.arange(200))
    whole.add(positions, 5 * np.arange(200), selection=LI, drift_weights=MASSES)
    np.testing.assert_array_equal(streamed.result().counts[:8], whole.counts)
    assert_tensors_agree(streamed.result().sums[:8], whole.sums, MSD_RELATIVE)


@pytest.mark.parametrize("stop", [0, 1, 57, 99])
def test_going_on_from_a_checkpoint_equals_never_having_stopped(stop: int) -> None:
    positions, times = motion("walk", 150, 26), 5 * np.arange(150)
    through, stopped = stream(selection=LI), stream(selection=LI)
    for t in range(0, 150, 30):
        through.push(positions[t : t + 30], times[t : t + 30])
    stopped.push(positions[:stop], times[:stop])
    for other in (pickle.loads(pickle.dumps(stopped)), copy.copy(stopped), copy.deepcopy(stopped)):
        assert other == stopped
        other.push(positions[stop:], times[stop:])
        assert other == through
        assert other.result() == through.result()
        assert other != stopped


def test_replicas_merge() -> None:
    one, two = stream(selection=LI), stream(selection=LI)
    one.push(motion("walk", 50, 26), 5 * np.arange(50))
    two.push(motion("walk", 70, 26, seed=1), 5 * np.arange(70))
    merged = one.result()
    merged += two.result()
    np.testing.assert_array_equal(merged.sums, one.result().sums + two.result().sums)
    np.testing.assert_array_equal(merged.counts, one.result().counts + two.result().counts)


def test_memory_is_bounded_and_stated() -> None:
    sums = stream(selection=LI)
    before = sums.memory_bytes
    # seven levels of 8 frames of 20 atoms, in batches of 16: 7 x 8 x 2 x 48 doubles, and a little
    assert 7 * 8 * 2 * 48 * 8 < before < 7 * 8 * 2 * 48 * 8 + 10_000
    sums.push(motion("walk", 3000, 26), 5 * np.arange(3000))
    assert sums.memory_bytes == before


def test_blocks_of_a_trajectory() -> None:
    whole = trajectory(motion("walk", 500, 26), ELEMENTS)
    options = {"species": "Li", "timestep_fs": 2.0, "reference_species": ["P"]}
    found = stream_mean_squared_displacement(
        blocks_of(whole, [0, 100, 101, 350, 500]), longest_lag_ps=5.0, points=16, **options
    )
    expected = mean_squared_displacement(whole, max_lag_fraction=1.0, **options)
    assert found.time_ps[-1] <= 5.0
    short = slice(0, 16)
    for name in ("time_ps", "msd_A2", "components_A2", "tensor_A2", "collective_A2", "collective_tensor_A2", "counts"):
        np.testing.assert_allclose(
            getattr(found, name)[short], getattr(expected, name)[short], rtol=100 * MSD_RELATIVE, atol=1e-12
        )
    np.testing.assert_allclose(found.alpha2[:9], expected.alpha2[:9], rtol=100 * MSD_RELATIVE)
    for name in ("species", "drift", "n_atoms", "n_frames", "duration_ps", "reference_species"):
        assert getattr(found, name) == getattr(expected, name)
    assert found.volume_A3 == pytest.approx(expected.volume_A3)
    alone = stream_mean_squared_displacement([whole], longest_lag_ps=5.0, collective=False, **options)
    assert alone.collective_A2 is None


def test_lags_beyond_the_trajectory_are_left_out() -> None:
    whole = trajectory(motion("walk", 40, 26), ELEMENTS)
    found = stream_mean_squared_displacement([whole], species="Li", timestep_fs=1.0, longest_lag_ps=100.0)
    assert found.time_ps[-1] == pytest.approx(0.38)
    assert (found.counts > 0).all()


def test_errors() -> None:
    x = np.zeros((4, 26, 3))
    sums = stream(selection=LI)
    with pytest.raises(LpsmdError, match=r"frame 2 is of step 11, 10 is needed: streaming takes frames every 5 steps"):
        sums.push(x, [0, 5, 11, 15])
    sums.push(x, [0, 5, 10, 15])
    with pytest.raises(LpsmdError, match=r"frame 4 is of step 25, 20 is needed"):
        sums.push(x, [25, 30, 35, 40])
    x[1, 3, 0] = np.nan
    with pytest.raises(LpsmdError, match=r"frame 5, atom 3 \(both counted from 0\): coordinate x is nan"):
        sums.push(x, [20, 25, 30, 35])
    assert sums.n_frames == 4
    with pytest.raises(LpsmdError, match=r"found frames of 25 atoms, 26 are needed as in the frames before"):
        sums.push(x[:, :25], [20, 25, 30, 35])
    with pytest.raises(LpsmdError, match=r"found 312 coordinates for 3 timesteps"):
        sums.push(x, [20, 25, 30])
    with pytest.raises(
        LpsmdError, match=r"found 7 points at each level, an even number up to 1048576 is needed, as 32"
    ):
        stream(selection=LI, points=7)
    with pytest.raises(LpsmdError, match=r"found 1048578 points at each level, an even number up to 1048576 is"):
        stream(selection=LI, points=2**20 + 2)
    with pytest.raises(LpsmdError, match=r"the longest lag is 4 steps, at least one frame interval, 5 steps"):
        stream(selection=LI, longest_lag=4)
    with pytest.raises(LpsmdError, match=r"a selection of atoms or charges are needed, and not both"):
        stream(selection=LI, charges=np.ones(26))
    with pytest.raises(LpsmdError, match=r"a selection of atoms or charges are needed"):
        stream()
    with pytest.raises(LpsmdError, match=r"the frame interval is 0 steps, at least 1"):
        stream(selection=LI, frame_interval=0)


@pytest.mark.parametrize("longest_lag", [5 * (2**40 + 1), 2**63 - 1])
def test_a_lag_longer_than_any_run_is_refused(longest_lag: int) -> None:
    message = rf"the longest lag is {longest_lag} steps, at most 1099511627776 times the frame interval, 5 steps"
    with pytest.raises(LpsmdError, match=message):
        stream(selection=LI, longest_lag=longest_lag)


@pytest.mark.parametrize("points", [2, 4, 8, 32, 4098])
@pytest.mark.parametrize("longest", [1, 2, 3, 15, 16, 17, 1000, 1023, 1024])
def test_lags_double_up_to_the_longest(points: int, longest: int) -> None:
    lags, stride = list(range(points)), 2
    while lags[-1] < longest:
        lags += [back * stride for back in range(points // 2, points)]
        stride *= 2
    found = stream(selection=LI, points=points, longest_lag=5 * longest).lag_steps
    assert found.tolist() == [5 * lag for lag in lags if lag <= longest]


def test_many_levels() -> None:
    sums = stream(selection=[0], longest_lag=5 * 2**40, points=2)
    assert sums.lag_steps[1:].tolist() == [5 * 2**level for level in range(41)]
    assert sums.memory_bytes < 100_000


@pytest.mark.parametrize("longest_lag_ps", [np.inf, np.nan, -1.0, 0.0])
def test_longest_lag_must_be_a_positive_number(longest_lag_ps: float) -> None:
    whole = trajectory(motion("walk", 30, 26), ELEMENTS)
    with pytest.raises(LpsmdError, match=rf"longest_lag_ps is {longest_lag_ps}, a positive finite number of picosec"):
        stream_mean_squared_displacement([whole], species="Li", timestep_fs=1.0, longest_lag_ps=longest_lag_ps)


@pytest.mark.parametrize(("longest_lag_ps", "message"), [
    (1e17, r"longest_lag_ps is 1e\+17, that is 1e\+20 steps of 1 fs; fewer than 2.31e\+18 are needed: give"),
    (1e14, r"the longest lag is 10000000000\d+ steps, at most 1099511627776 times the frame interval"),
], ids=["steps", "frames"])  # fmt: skip
def test_longest_lag_beyond_any_run(longest_lag_ps: float, message: str) -> None:
    whole = trajectory(motion("walk", 30, 26), ELEMENTS)
    with pytest.raises(LpsmdError, match=message):
        stream_mean_squared_displacement([whole], species="Li", timestep_fs=1.0, longest_lag_ps=longest_lag_ps)


def test_errors_of_blocks() -> None:
    options = {"species": "Li", "timestep_fs": 1.0, "longest_lag_ps": 1.0}
    whole = trajectory(motion("walk", 30, 26), ELEMENTS)
    first, second = blocks_of(whole, [0, 10, 30])
    with pytest.raises(LpsmdError, match=r"found no block of frames, at least one is needed"):
        stream_mean_squared_displacement([], **options)
    with pytest.raises(LpsmdError, match=r"frame 10 is of step 0, 100 is needed"):
        stream_mean_squared_displacement([first, first], **options)
    with pytest.raises(LpsmdError, match=r"a block has 26 atoms that are not the 26 of the first block"):
        stream_mean_squared_displacement([first, replace(second, ids=second.ids + 1)], **options)
    with pytest.raises(LpsmdError, match=r"found 1 frame, at least 2 are needed"):
        stream_mean_squared_displacement(blocks_of(whole, [0, 1, 30]), **options)
