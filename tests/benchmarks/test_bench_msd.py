"""Reading a 4,000-frame, 416-atom dump and its MSD, beside plain numpy; the answers are asserted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpsmd.analysis import mean_squared_displacement, read_dump
from support.dumps import frame_text, rows_of
from tolerances import DUMP_POSITION_A, MSD_RELATIVE

N_FRAMES = 4000
ELEMENTS = (["Li"] * 24 + ["P"] * 4 + ["S"] * 20 + ["Cl"] * 4) * 8
LI = np.flatnonzero(np.array(ELEMENTS) == "Li")


@pytest.fixture(scope="module")
def positions() -> np.ndarray:
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 20, (416, 3))
    return start + rng.normal(0, 0.05, (N_FRAMES, 416, 3)).cumsum(axis=0)


@pytest.fixture(scope="module")
def dump(positions: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "big.dump"
    with path.open("w") as stream:
        for index, frame in enumerate(positions):
            stream.write(frame_text(10 * index, rows_of(frame, ELEMENTS), bounds=((0.0, 20.0),) * 3))
    return path


def read_with_numpy(path: Path) -> np.ndarray:
    """What one writes in a few lines: fixed layout, no check of anything."""
    frames = []
    with path.open() as stream:
        while stream.readline():
            for _ in range(8):
                stream.readline()
            lines = [stream.readline() for _ in range(416)]
            frames.append(np.loadtxt(lines, usecols=(0, 2, 3, 4)))
    table = np.array(frames)
    return table[:, np.argsort(table[0, :, 0]), 1:]


def msd_with_numpy(positions: np.ndarray, n_lags: int) -> np.ndarray:
    moved = positions[:, LI]
    return np.array([((moved[lag:] - moved[: N_FRAMES - lag]) ** 2).sum(axis=2).mean() for lag in range(n_lags)])


def test_read(benchmark: Any, dump: Path, positions: np.ndarray) -> None:
    found = benchmark.pedantic(read_dump, (dump,), rounds=5)
    benchmark.extra_info["MB_per_s"] = dump.stat().st_size / 1e6 / benchmark.stats.stats.min
    np.testing.assert_allclose(found.positions_A, positions, rtol=0, atol=DUMP_POSITION_A)


def test_read_only_lithium(benchmark: Any, dump: Path, positions: np.ndarray) -> None:
    found = benchmark.pedantic(read_dump, (dump,), {"species": "Li"}, rounds=5)
    benchmark.extra_info["MB_per_s"] = dump.stat().st_size / 1e6 / benchmark.stats.stats.min
    np.testing.assert_allclose(found.positions_A, positions[:, LI], rtol=0, atol=DUMP_POSITION_A)


def test_read_with_numpy(benchmark: Any, dump: Path, positions: np.ndarray) -> None:
    found = benchmark.pedantic(read_with_numpy, (dump,), rounds=1)
    benchmark.extra_info["MB_per_s"] = dump.stat().st_size / 1e6 / benchmark.stats.stats.min
    np.testing.assert_allclose(found, positions, rtol=0, atol=DUMP_POSITION_A)


def test_msd(benchmark: Any, dump: Path) -> None:
    trajectory = read_dump(dump)
    options = {"species": "Li", "timestep_fs": 2.0, "drift": "none", "max_lag_fraction": 0.5}
    found = benchmark.pedantic(mean_squared_displacement, (trajectory,), options, rounds=3)
    assert len(found.msd_A2) == 2000
    few = msd_with_numpy(trajectory.positions_A, 20)
    np.testing.assert_allclose(found.msd_A2[:20], few, rtol=MSD_RELATIVE)


def test_msd_with_numpy(benchmark: Any, positions: np.ndarray) -> None:
    """A hundredth of the lags: the whole takes a minute."""
    found = benchmark.pedantic(msd_with_numpy, (positions, 20), rounds=1)
    assert found[0] == 0.0
