"""Mean squared displacements of MDAnalysis Universes, beside MDAnalysis' own."""

from __future__ import annotations

from typing import Any

import MDAnalysis
import numpy as np
import pytest
from ase.data import atomic_masses, atomic_numbers
from MDAnalysis.analysis.msd import EinsteinMSD
from MDAnalysis.coordinates.memory import MemoryReader

from lpsmd import _core
from lpsmd._core import MsdAccumulator
from lpsmd.analysis.universe import MeanSquaredDisplacement
from lpsmd.errors import LpsmdError
from support.motions import assert_tensors_agree, definition, motion, without_drift
from tolerances import EINSTEIN_MSD_A2, FLOAT32_UNWRAP_A2, MSD_RELATIVE, UNWRAP_POSITION_A

ELEMENTS = ["Li"] * 7 + ["P"] * 2 + ["S"] * 3
BOX = [9.0, 9.0, 9.0, 90.0, 90.0, 90.0]


def universe_of(positions: np.ndarray, box: list[float] | np.ndarray | None = None) -> Any:
    """In memory, 0.02 ps between frames; MDAnalysis rounds to float32."""
    universe = MDAnalysis.Universe.empty(positions.shape[1], trajectory=False)
    universe.add_TopologyAttr("elements", ELEMENTS)
    universe.add_TopologyAttr("masses", [atomic_masses[atomic_numbers[element]] for element in ELEMENTS])
    dimensions = None if box is None else np.asarray(box, dtype=np.float32)
    universe.load_new(positions.astype(np.float32), format=MemoryReader, dt=0.02, dimensions=dimensions)
    return universe


def in_single_precision(kind: str, n_frames: int) -> np.ndarray:
    return motion(kind, n_frames, len(ELEMENTS)).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("kind", ["walk", "harmonic"])
def test_beside_einstein_msd(kind: str) -> None:
    positions = in_single_precision(kind, 1000)
    universe = universe_of(positions)
    theirs = EinsteinMSD(universe, select="element Li", msd_type="xyz", fft=True).run()
    ours = MeanSquaredDisplacement(universe, select="element Li", max_lag_fraction=1.0, threads=2).run()
    np.testing.assert_allclose(ours.results.msd_A2, theirs.results.timeseries, rtol=0, atol=EINSTEIN_MSD_A2)
    np.testing.assert_allclose(ours.results.time_ps, 0.02 * np.arange(1000))
    np.testing.assert_array_equal(ours.results.counts, 7 * (1000 - np.arange(1000)))
    # and the accumulator, without a Universe between
    sums = MsdAccumulator(np.arange(1000))
    sums.add(positions, np.arange(1000), selection=np.arange(7))
    np.testing.assert_array_equal(ours.results.msd_A2, (sums.sums[:, :3] / sums.counts[:, None]).sum(axis=1))
    for axis, letter in enumerate("xyz"):
        one = EinsteinMSD(universe, select="element Li", msd_type=letter, fft=True).run()
        np.testing.assert_allclose(
            ours.results.components_A2[:, axis], one.results.timeseries, rtol=0, atol=EINSTEIN_MSD_A2
        )


def test_reference_and_collective() -> None:
    positions = in_single_precision("walk", 80)
    found = MeanSquaredDisplacement(
        universe_of(positions), select="element Li", reference="element P S", max_lag_fraction=1.0
    ).run()
    moved = without_drift(positions, ELEMENTS, ["P", "S"])[:, :7]
    expected = definition(moved, 80) / (7 * (80 - np.arange(80)))[:, None]
    together = definition(moved.sum(axis=1, keepdims=True), 80) / (7 * (80 - np.arange(80)))[:, None]
    tensors = ((found.results.tensor_A2, expected), (found.results.collective_tensor_A2, together))
    for tensor, wanted in tensors:
        sides = np.stack([tensor[:, a, b] for a, b in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))], axis=1)
        assert_tensors_agree(sides, wanted[:, :6], MSD_RELATIVE)
    assert found.results.n_atoms == 7


def test_a_group_of_atoms_and_a_part_of_the_frames() -> None:
    positions = in_single_precision("walk", 60)
    universe = universe_of(positions)
    group = universe.select_atoms("element Li P")
    found = MeanSquaredDisplacement(group, select="element P", max_lag_fraction=1.0, collective=False)
    found.run(start=10, stop=50, step=2)
    moved = positions[10:50:2, 7:9]
    expected = definition(moved - moved[0], 20)[:, :3].sum(axis=1) / found.results.counts
    np.testing.assert_allclose(found.results.msd_A2, expected, rtol=MSD_RELATIVE)
    np.testing.assert_allclose(found.results.time_ps, 0.04 * np.arange(20))
    assert found.results.collective_A2 is None


@pytest.mark.parametrize("box", [BOX, [9.0, 10.0, 11.0, 80.0, 75.0, 70.0]], ids=["orthogonal", "triclinic"])
def test_unwrap(box: list[float]) -> None:
    positions = in_single_precision("walk", 400)
    cell = MDAnalysis.lib.mdamath.triclinic_vectors(box).astype(np.float64)
    wrapped = (positions @ np.linalg.inv(cell)) % 1.0 @ cell
    assert np.abs(np.diff(wrapped, axis=0)).max() > 4.0
    options = {"select": "element Li", "reference": "element S"}
    found = MeanSquaredDisplacement(universe_of(wrapped, box), unwrap=True, **options).run()
    expected = MeanSquaredDisplacement(universe_of(positions), **options).run()
    np.testing.assert_allclose(found.results.msd_A2, expected.results.msd_A2, rtol=0, atol=FLOAT32_UNWRAP_A2)


def test_unwrap_in_a_breathing_cell() -> None:
    """Atoms that rest in a cell that breathes do not move by cell vectors when their images change."""
    length = 9.0 + 0.3 * np.sin(0.3 * np.arange(100))
    rest = np.random.default_rng(0).uniform(0, 1, (len(ELEMENTS), 3))
    walk = np.random.default_rng(1).normal(0, 0.02, (100, len(ELEMENTS), 3)).cumsum(axis=0)
    fractions = rest + walk
    boxes = np.array([[a, a, a, 90, 90, 90] for a in length])
    universe = universe_of((fractions % 1.0) * length[:, None, None], boxes)
    steps = (np.diff(fractions % 1.0, axis=0) + 0.5) % 1.0 - 0.5
    assert np.abs(steps).max() < 1 / 3
    found = MeanSquaredDisplacement(universe, unwrap=True).run()
    # nothing jumps: within one cell length of where it began
    assert found.results.msd_A2.max() < 3 * 9.0**2


def test_one_rule_for_steps_in_dumps_and_universes() -> None:
    """0.3 of a long side is more than a third of the short one, and still one step."""
    box = [40.0, 10.0, 10.0, 90.0, 90.0, 90.0]
    moved = np.zeros((6, len(ELEMENTS), 3))
    moved[:, 0, 0] = 12.0 * np.arange(6)
    universe = universe_of(moved % 40.0, box)
    found = MeanSquaredDisplacement(universe, unwrap=True, max_lag_fraction=1.0).run()
    expected = (12.0 * np.arange(6)) ** 2 / len(ELEMENTS)
    np.testing.assert_allclose(found.results.msd_A2, expected, rtol=0, atol=FLOAT32_UNWRAP_A2)
    dumped = _core.unwrap("dump", moved % 40.0, np.tile(np.diag(box[:3]), (6, 1, 1)), (True,) * 3, nearest=True)
    np.testing.assert_allclose(dumped, moved, rtol=0, atol=UNWRAP_POSITION_A)


def test_errors() -> None:
    positions = in_single_precision("walk", 40)
    universe = universe_of(positions, BOX)
    with pytest.raises(LpsmdError, match=r"selection 'element Na' has no atom, at least one is needed"):
        MeanSquaredDisplacement(universe, select="element Na")
    with pytest.raises(LpsmdError, match=r"max_lag_fraction is 0, a number above 0"):
        MeanSquaredDisplacement(universe, max_lag_fraction=0)
    with pytest.raises(LpsmdError, match=r"found 1 frame, at least 2 are needed"):
        MeanSquaredDisplacement(universe).run(stop=1)
    far = positions.copy()
    far[5, 3] += 4.0
    message = (
        r"\(frames and atoms counted among those analysed\), frame 5: atom 4 moves 0\.\d+ of the cell along [abc] in "
        r"one step \(.* Angstrom\), at most a third is needed to tell its periodic image"
    )
    with pytest.raises(LpsmdError, match=message):
        MeanSquaredDisplacement(universe_of(far, BOX), unwrap=True).run()
    with pytest.raises(LpsmdError, match=r"frame 0 has no cell, which unwrap needs: give unwrapped positions"):
        MeanSquaredDisplacement(universe_of(positions), unwrap=True).run()
    far[7, 2, 1] = np.nan
    with pytest.raises(LpsmdError, match=r"frame 7, atom 2 \(both counted from 0\): coordinate y is nan"):
        MeanSquaredDisplacement(universe_of(far)).run()
