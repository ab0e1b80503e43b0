"""Reading a 4,000-frame, 416-atom dump and its MSD, beside plain numpy; the answers are asserted."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from lpsmd.analysis import Trajectory, iterate_dump, mean_squared_displacement, read_dump
from support.dumps import binary_frame, frame_text, rows_of
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


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("species", [None, "Li"])
@pytest.mark.parametrize("packed", ["plain", "gz", "zst"])
def test_read(
    benchmark: Any, dump: Path, positions: np.ndarray, packed: str, species: str | None, threads: int
) -> None:
    """MB/s are of the text, whatever it is packed in."""
    path = packed_copy(dump, packed)
    found = benchmark.pedantic(read_dump, (path,), {"species": species, "threads": threads}, rounds=5)
    benchmark.extra_info["MB_per_s"] = dump.stat().st_size / 1e6 / benchmark.stats.stats.min
    expected = positions if species is None else positions[:, LI]
    np.testing.assert_allclose(found.positions_A, expected, rtol=0, atol=DUMP_POSITION_A)


def packed_copy(dump: Path, packed: str) -> Path:
    path = dump.with_suffix(f".{packed}")
    if packed == "plain":
        return dump
    if not path.exists():
        data = dump.read_bytes()
        path.write_bytes(gzip.compress(data, 1) if packed == "gz" else zstandard.ZstdCompressor().compress(data))
    return path


def test_read_in_blocks(benchmark: Any, dump: Path, positions: np.ndarray) -> None:
    """What streaming costs; one block at a time is in memory."""

    def last_block() -> Trajectory:
        return list(iterate_dump(dump, frames_per_block=250, threads=1))[-1]

    found = benchmark.pedantic(last_block, rounds=5)
    benchmark.extra_info["MB_per_s"] = dump.stat().st_size / 1e6 / benchmark.stats.stats.min
    np.testing.assert_allclose(found.positions_A, positions[-250:], rtol=0, atol=DUMP_POSITION_A)


def test_read_binary(benchmark: Any, positions: np.ndarray, tmp_path: Path) -> None:
    path, types = tmp_path / "big.bin", np.unique(ELEMENTS, return_inverse=True)[1] + 1.0
    with path.open("wb") as stream:
        for index, frame in enumerate(positions):
            rows = np.column_stack([np.arange(1.0, 417.0), types, frame])
            stream.write(binary_frame(10 * index, rows, "id type xu yu zu"))
    options = {"elements_of_types": sorted(set(ELEMENTS)), "threads": 1}
    found = benchmark.pedantic(read_dump, (path,), options, rounds=5)
    benchmark.extra_info["MB_per_s"] = path.stat().st_size / 1e6 / benchmark.stats.stats.min
    np.testing.assert_array_equal(found.positions_A, positions)


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
