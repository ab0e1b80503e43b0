"""From a text dump to a mean squared displacement, beside MDAnalysis on the same file in the same process.

    make benchmark

4,000 frames of 416 atoms; the MSD of Li at all lags, no drift correction, as EinsteinMSD does it. Imports are not
counted; what each side does with the file is: MDAnalysis' index of the frames, its topology, reading, the MSD. The
answers are asserted equal, the ratios printed and kept in `extra_info`. Also: memory over the state after the
imports, the cost against the number of frames, and the own Fourier transform beside scipy's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import fft

from lpsmd._core import MsdAccumulator
from lpsmd.analysis import Msd, mean_squared_displacement, read_dump
from tolerances import (
    BENCHMARK_COST_PER_FRAME_RATIO,
    BENCHMARK_EXTRA_MEMORY_MB,
    BENCHMARK_MSD_RELATIVE,
    MSD_RELATIVE,
)

N_FRAMES = 4000
ELEMENTS = (["Li"] * 24 + ["P"] * 4 + ["S"] * 20 + ["Cl"] * 4) * 8
TYPES = {"Li": 1, "P": 2, "S": 3, "Cl": 4}
LI = np.flatnonzero(np.array(ELEMENTS) == "Li")
ROUNDS = 3


def write_walk(path: Path, elements: list[str], n_frames: int) -> Path:
    """A dump of a random walk, made frame by frame."""
    rng = np.random.default_rng(0)
    n_atoms = len(elements)
    positions = rng.uniform(0, 20, (n_atoms, 3))
    names = [f"{i + 1} {TYPES[element]} {element}" for i, element in enumerate(elements)]
    with path.open("w") as stream:
        for t in range(n_frames):
            positions += rng.normal(0, 0.05, (n_atoms, 3))
            stream.write(f"ITEM: TIMESTEP\n{10 * t}\nITEM: NUMBER OF ATOMS\n{n_atoms}\nITEM: BOX BOUNDS pp pp pp\n")
            stream.write("0.0 20.0\n" * 3 + "ITEM: ATOMS id type element xu yu zu\n")
            rows = zip(names, positions.tolist(), strict=True)
            stream.writelines(f"{name} {x:.8f} {y:.8f} {z:.8f}\n" for name, (x, y, z) in rows)
    return path


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_walk(tmp_path_factory.mktemp("bench") / "big.dump", ELEMENTS, N_FRAMES)


def with_lpsmd(path: Path, threads: int) -> Msd:
    return mean_squared_displacement(
        read_dump(path, species="Li", threads=threads),
        species="Li",
        timestep_fs=2.0,
        drift="none",
        max_lag_fraction=1.0,
        collective=False,
        alpha2=False,
        threads=threads,
    )


def with_mdanalysis(path: Path) -> np.ndarray:
    import MDAnalysis
    from MDAnalysis.analysis.msd import EinsteinMSD

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # masses are guessed
        universe = MDAnalysis.Universe(
            str(path),
            format="LAMMPSDUMP",
            topology_format="LAMMPSDUMP",
            lammps_coordinate_convention="unwrapped",
            dt=0.02,
        )
        result: np.ndarray = (
            EinsteinMSD(universe, select="element Li", msd_type="xyz", fft=True).run().results.timeseries
        )
    return result


def seconds(work: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Best of some rounds, and the last answer."""
    best, answer = np.inf, None
    for _ in range(rounds):
        start = time.perf_counter()
        answer = work()
        best = min(best, time.perf_counter() - start)
    return best, answer


@pytest.fixture(scope="module")
def theirs(dump: Path) -> tuple[float, np.ndarray]:
    import MDAnalysis.analysis.msd  # noqa: F401  (imports are not counted)

    return seconds(lambda: with_mdanalysis(dump), ROUNDS)


@pytest.mark.parametrize("threads", [1, 2])
def test_dump_to_msd(benchmark: Any, dump: Path, theirs: tuple[float, np.ndarray], threads: int) -> None:
    found = benchmark.pedantic(with_lpsmd, (dump, threads), rounds=ROUNDS, warmup_rounds=1)
    their_seconds, expected = theirs
    np.testing.assert_allclose(found.msd_A2[1:], expected[1:], rtol=BENCHMARK_MSD_RELATIVE)
    ours = benchmark.stats.stats.min
    read_seconds, trajectory = seconds(lambda: read_dump(dump, species="Li", threads=threads), ROUNDS)
    assert trajectory.n_frames == N_FRAMES
    benchmark.extra_info.update(
        mdanalysis_s=their_seconds,
        ratio=their_seconds / ours,
        read_s=read_seconds,
        read_MB_per_s=dump.stat().st_size / 1e6 / read_seconds,
    )
    print(
        f"\n{threads} thread(s): lpsmd {ours:.3f} s (reading {read_seconds:.3f} s), "
        f"MDAnalysis {their_seconds:.2f} s: {their_seconds / ours:.1f} times"
    )


MEMORY_PROGRAM = """
import json, sys
from pathlib import Path
from lpsmd.analysis import mean_squared_displacement, read_dump

def peak_MB():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew, from what the imports have left
before = peak_MB()
trajectory = read_dump(sys.argv[1], species="Li", threads=2)
options = {"species": "Li", "timestep_fs": 2.0, "drift": "none", "max_lag_fraction": 1.0, "threads": 2}
found = mean_squared_displacement(trajectory, **options)
grown, selected = peak_MB() - before, trajectory.positions_A.nbytes / 2**20
print(json.dumps({"grown": grown, "selected": selected, "msd": found.msd_A2[1]}))
"""


def test_memory(benchmark: Any, dump: Path) -> None:
    def run() -> dict[str, float]:
        command = [sys.executable, "-c", MEMORY_PROGRAM, str(dump)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        result: dict[str, float] = json.loads(done.stdout)
        return result

    found = benchmark.pedantic(run, rounds=1)
    assert found["msd"] == pytest.approx(3 * 0.05**2, rel=0.01)
    extra = found["grown"] - found["selected"]
    benchmark.extra_info.update(found, extra_MB=extra)
    print(f"\npeak memory {found['grown']:.0f} MB for {found['selected']:.0f} MB of coordinates")
    assert extra < BENCHMARK_EXTRA_MEMORY_MB


def test_cost_against_frames(benchmark: Any) -> None:
    """Few atoms, so that 100,000 frames are quick; lags up to half the length."""
    per_frame = {}
    for n_frames in (1000, 10_000, 100_000):
        positions = np.random.default_rng(0).normal(0, 0.1, (n_frames, 16, 3)).cumsum(axis=0)
        times = np.arange(n_frames)

        def work(positions: np.ndarray = positions, times: np.ndarray = times) -> MsdAccumulator:
            sums = MsdAccumulator(times[: 1 + len(times) // 2])
            sums.add(positions, times, selection=np.arange(16))
            return sums

        best, sums = seconds(work, 5)
        per_frame[n_frames] = best / n_frames * 1e6
        for lag in (1, 10, n_frames // 2):
            direct = ((positions[lag:] - positions[:-lag]) ** 2).sum(axis=(0, 1))
            np.testing.assert_allclose(sums.sums[lag, :3], direct, rtol=MSD_RELATIVE)
    benchmark.pedantic(work, rounds=1)
    benchmark.extra_info.update({f"us_per_frame_{n}": cost for n, cost in per_frame.items()})
    print("\n" + ", ".join(f"{n} frames: {cost:.2f} us each" for n, cost in per_frame.items()))
    assert per_frame[100_000] < BENCHMARK_COST_PER_FRAME_RATIO * per_frame[1000]


def test_cost_of_reading_and_msd_against_frames(benchmark: Any, tmp_path: Path) -> None:
    """The 52-atom cell, one thread, from the dump to the MSD at lags up to half the length."""
    per_frame = {}
    for n_frames in (1000, 10_000, 100_000):
        path = write_walk(tmp_path / f"{n_frames}.dump", ELEMENTS[:52], n_frames)

        def work(path: Path = path) -> Msd:
            return mean_squared_displacement(read_dump(path, threads=1), species="Li", timestep_fs=2.0, drift="none")

        best, found = seconds(work, 3)
        per_frame[n_frames] = best / n_frames * 1e6
        assert found.msd_A2[1] == pytest.approx(3 * 0.05**2, rel=0.02)
    benchmark.pedantic(work, rounds=1)
    benchmark.extra_info.update({f"us_per_frame_{n}": cost for n, cost in per_frame.items()})
    print("\n" + ", ".join(f"{n} frames: {cost:.2f} us each" for n, cost in per_frame.items()))


def sums_with_scipy(positions: np.ndarray) -> np.ndarray:
    """[F, 3] S1 - 2 S2 of all atoms by scipy's real transforms, one thread: what the own transform stands against."""
    n_frames = len(positions)
    series = np.ascontiguousarray((positions - positions[0]).transpose(2, 1, 0))
    size = fft.next_fast_len(2 * n_frames, real=True)
    power = (np.abs(fft.rfft(series, size)) ** 2).sum(axis=1)
    correlation = fft.irfft(power, size)[:, :n_frames]
    square = (series**2).sum(axis=1)
    head = np.cumsum(square, axis=1)[:, ::-1]
    tail = np.cumsum(square[:, ::-1], axis=1)[:, ::-1]
    result: np.ndarray = (head + tail - 2 * correlation).T
    return result


def test_transform_beside_scipy(benchmark: Any) -> None:
    positions = np.random.default_rng(0).normal(0, 0.1, (N_FRAMES, len(LI), 3)).cumsum(axis=0)
    times = np.arange(N_FRAMES)

    def own() -> np.ndarray:
        sums = MsdAccumulator(times)
        sums.add(positions, times, selection=np.arange(len(LI)), quartic=False)
        return sums.sums[:, :3]

    found = benchmark.pedantic(own, rounds=5, warmup_rounds=1)
    scipy_seconds, expected = seconds(lambda: sums_with_scipy(positions), 3)
    np.testing.assert_allclose(found[1:], expected[1:], rtol=BENCHMARK_MSD_RELATIVE)
    ratio = scipy_seconds / benchmark.stats.stats.min
    benchmark.extra_info.update(scipy_s=scipy_seconds, ratio=ratio)
    print(
        f"\n192 atoms, {N_FRAMES} frames: {1e3 * benchmark.stats.stats.min:.1f} ms with mixed components, "
        f"scipy.fft {1e3 * scipy_seconds:.1f} ms without: {ratio:.1f} times"
    )
