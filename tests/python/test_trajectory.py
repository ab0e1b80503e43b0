"""Trajectories of other formats, written by MDAnalysis and ASE, and the refusals."""

from __future__ import annotations

import gzip
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from ase.io.trajectory import Trajectory as AseTrajectory

from lpsmd import _core
from lpsmd.analysis import mean_squared_displacement, read_dump, read_trajectory
from lpsmd.errors import LpsmdError
from support.dumps import write_dump
from tolerances import DUMP_POSITION_A, MSD_RELATIVE, SINGLE_PRECISION_POSITION_A, XDATCAR_POSITION_A, XTC_POSITION_A

ELEMENTS = ["Li", "Li", "P", "S", "S", "Cl"]
CELL = np.array([[9.0, 0, 0], [-3.1, 10.0, 0], [2.2, 4.7, 11.0]])


@pytest.fixture
def fractions() -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.uniform(0, 1, (6, 3)) + rng.normal(0, 0.05, (30, 6, 3)).cumsum(axis=0)


def atoms_of(fractions: np.ndarray, **options: Any) -> list[Atoms]:
    return [Atoms(ELEMENTS, scaled_positions=f, cell=CELL, pbc=True, **options) for f in fractions]


def xdatcar(fractions: np.ndarray) -> str:
    lines = ["title", "1.0", *(" ".join(f"{x:.8f}" for x in row) for row in CELL), "Li P S Cl", "2 1 2 1"]
    for n, frame in enumerate(fractions % 1.0, start=1):
        lines += [f"Direct configuration= {n:5d}", *(" ".join(f"{x:.8f}" for x in row) for row in frame)]
    return "\n".join(lines) + "\n"


def unwrapped_from_first_cell(fractions: np.ndarray) -> np.ndarray:
    return (fractions - np.floor(fractions[0])) @ CELL


def test_xdatcar_is_unwrapped_and_joined(tmp_path: Path, fractions: np.ndarray) -> None:
    (tmp_path / "run1.XDATCAR").write_text(xdatcar(fractions[:12]))
    with gzip.open(tmp_path / "run2.XDATCAR.gz", "wt") as stream:
        stream.write(xdatcar(fractions[12:]))
    found = read_trajectory([tmp_path / "run1.XDATCAR", tmp_path / "run2.XDATCAR.gz"], frame_interval_fs=100.0)
    expected = unwrapped_from_first_cell(fractions)
    np.testing.assert_allclose(found.positions_A, expected, rtol=0, atol=XDATCAR_POSITION_A)
    assert list(found.elements) == ELEMENTS
    assert found.frame_interval_ps() == pytest.approx(0.1)
    np.testing.assert_allclose(found.times_ps(), 0.1 * np.arange(30))
    assert not found.positions_A.flags.writeable
    only = read_trajectory(tmp_path / "run1.XDATCAR", frame_interval_fs=100.0, species=["Li", "S"], ids=[2, 3, 4])
    assert only.ids.tolist() == [2, 4]
    np.testing.assert_allclose(only.positions_A, expected[:12, [1, 3]], rtol=0, atol=XDATCAR_POSITION_A)


def test_a_step_too_long_to_unwrap(tmp_path: Path, fractions: np.ndarray) -> None:
    fractions[7:, 4, 2] += 0.4
    (tmp_path / "XDATCAR").write_text(xdatcar(fractions))
    with pytest.raises(LpsmdError, match=r"XDATCAR, frame 7: atom 5 moves 0\.\d+ of the cell along c in one step"):
        read_trajectory(tmp_path / "XDATCAR", frame_interval_fs=1.0)


@pytest.mark.parametrize("suffix", ["extxyz", "XDATCAR", "xtc"])
def test_a_seam_without_times(
    tmp_path: Path, fractions: np.ndarray, caplog: pytest.LogCaptureFixture, suffix: str
) -> None:
    """The last frame of a file at the start of the next is taken once."""
    paths, options = list[Path](), dict[str, Any](frame_interval_fs=2.0)
    for n, part in enumerate((fractions[:12], fractions[11:])):
        (tmp_path / str(n)).mkdir()
        path = tmp_path / str(n) / f"a.{suffix}"
        if suffix == "xtc":
            options["topology"], path = mdanalysis_files(tmp_path / str(n), part, suffix)
        elif suffix == "XDATCAR":
            path.write_text(xdatcar(part))
        else:
            write(path, atoms_of(part))
        paths.append(path)
    caplog.set_level("INFO")
    found = read_trajectory(paths, **options)
    assert (found.n_frames, found.repeated_frames) == (30, 1)
    assert re.search(r"1.a\.\w+: its first frame is the last one of the file before and is taken once", caplog.text)
    expected = unwrapped_from_first_cell(fractions) if suffix == "XDATCAR" else fractions @ CELL
    np.testing.assert_allclose(found.positions_A, expected, rtol=0, atol=XTC_POSITION_A)


def test_flips_are_no_jumps(tmp_path: Path, fractions: np.ndarray) -> None:
    """Other vectors of the same lattice from frame 9 on."""
    atoms = atoms_of(fractions)
    for frame in atoms[9:]:
        frame.set_cell(np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]]) @ CELL)
    write(tmp_path / "a.extxyz", atoms)
    found = read_trajectory(tmp_path / "a.extxyz", frame_interval_fs=2.0)
    np.testing.assert_allclose(found.positions_A, fractions @ CELL, rtol=0, atol=XDATCAR_POSITION_A)


@pytest.mark.parametrize("suffix", ["extxyz", "traj"])
def test_ase_formats(tmp_path: Path, fractions: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "traj":
        with AseTrajectory(str(path), "w") as out:
            for atoms in atoms_of(fractions):
                out.write(atoms)
    else:
        write(path, atoms_of(fractions))
    found = read_trajectory(path, frame_interval_fs=2.0)
    np.testing.assert_allclose(found.positions_A, fractions @ CELL, rtol=0, atol=XDATCAR_POSITION_A)
    np.testing.assert_allclose(found.cells_A, np.broadcast_to(CELL, (30, 3, 3)), rtol=0, atol=1e-12)
    with pytest.raises(LpsmdError, match=r"this format holds no time; give the time between frames"):
        read_trajectory(path)


def test_wrapped_positions_are_noticed(tmp_path: Path, fractions: np.ndarray) -> None:
    path = tmp_path / "a.extxyz"
    write(path, atoms_of(fractions % 1.0))
    with pytest.raises(
        LpsmdError, match=r"a\.extxyz, frame \d+: atom \d of those .*: ask for unwrapping \(unwrap=True"
    ):
        read_trajectory(path, frame_interval_fs=2.0)
    found = read_trajectory(path, frame_interval_fs=2.0, unwrap=True)
    np.testing.assert_allclose(found.positions_A, unwrapped_from_first_cell(fractions), rtol=0, atol=XDATCAR_POSITION_A)


def mdanalysis_files(folder: Path, fractions: np.ndarray, suffix: str, *, dt_ps: float = 0.05) -> tuple[Path, Path]:
    """A topology and a trajectory written by MDAnalysis."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import MDAnalysis

        universe = MDAnalysis.Universe.empty(6, trajectory=True)
        for name, values in {"elements": ELEMENTS, "names": ELEMENTS, "types": ELEMENTS}.items():
            universe.add_TopologyAttr(name, values)
        universe.add_TopologyAttr("resnames", ["LPS"])
        universe.dimensions = [*Atoms(cell=CELL).cell.cellpar()]
        # MDAnalysis' own axes of a triclinic cell are LAMMPS'
        universe.load_new(fractions @ CELL, dimensions=universe.dimensions, dt=dt_ps)
        topology, path = folder / "top.pdb", folder / f"a.{suffix}"
        universe.atoms.write(str(topology))
        with MDAnalysis.Writer(str(path), 6, dt=dt_ps) as out:
            for _ in universe.trajectory:
                out.write(universe.atoms)
    return topology, path


@pytest.mark.parametrize("suffix", ["xtc", "trr", "dcd", "ncdf"])
def test_mdanalysis_formats(tmp_path: Path, fractions: np.ndarray, suffix: str) -> None:
    topology, path = mdanalysis_files(tmp_path, fractions, suffix)
    found = read_trajectory(path, topology=topology)
    tolerance = XTC_POSITION_A if suffix == "xtc" else SINGLE_PRECISION_POSITION_A
    np.testing.assert_allclose(found.positions_A, fractions @ CELL, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.cells_A[0], CELL, rtol=0, atol=XTC_POSITION_A)
    assert found.frame_interval_ps() == pytest.approx(0.05, rel=1e-4)
    assert list(found.elements) == ELEMENTS
    only = read_trajectory(path, topology=topology, species="S", frame_interval_fs=7.0)
    assert only.ids.tolist() == [4, 5]
    assert only.frame_interval_ps() == pytest.approx(0.007)


def test_continued_xtc(tmp_path: Path, fractions: np.ndarray) -> None:
    """A continued run writes its first frame again; files that start at time 0 again cannot be told apart."""
    (tmp_path / "0").mkdir()
    (tmp_path / "1").mkdir()
    topology, first = mdanalysis_files(tmp_path / "0", fractions[:10], "xtc")
    _, again = mdanalysis_files(tmp_path / "1", fractions, "xtc")
    found = read_trajectory([first, again], topology=topology)
    assert (found.n_frames, found.repeated_frames) == (30, 10)
    np.testing.assert_allclose(found.positions_A, fractions @ CELL, rtol=0, atol=XTC_POSITION_A)
    mdanalysis_files(tmp_path / "1", fractions + 0.1, "xtc")
    with pytest.raises(LpsmdError, match=r"frame 0: the time 0 ps was read before with other positions"):
        read_trajectory([first, again], topology=topology)


def test_dumps_go_to_the_dump_reader(tmp_path: Path, fractions: np.ndarray) -> None:
    path = write_dump(tmp_path / "a.lammpstrj", fractions @ CELL, ELEMENTS, bounds=((0.0, 20.0),) * 3)
    found = read_trajectory(path, species="Li")
    np.testing.assert_array_equal(found.positions_A, read_dump(path, species="Li").positions_A)
    timed = read_trajectory(path, frame_interval_fs=20.0)
    assert timed.timestep_fs == 2.0
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_trajectory(packed, species="Li").positions_A, found.positions_A)


def test_the_same_msd_from_any_format(tmp_path: Path, fractions: np.ndarray) -> None:
    dump = write_dump(tmp_path / "a.dump", fractions @ CELL, ELEMENTS, bounds=((0.0, 20.0),) * 3, interval=1)
    write(tmp_path / "a.extxyz", atoms_of(fractions))
    one = mean_squared_displacement(read_dump(dump), species="Li", timestep_fs=2.0)
    two = read_trajectory(tmp_path / "a.extxyz", frame_interval_fs=2.0)
    other = mean_squared_displacement(two, species="Li", timestep_fs=2.0)
    np.testing.assert_allclose(other.msd_A2, one.msd_A2, rtol=1e4 * MSD_RELATIVE, atol=DUMP_POSITION_A)
    with pytest.raises(LpsmdError, match=r"timestep_fs is 1\.0, this trajectory counts in 2\.0 fs: leave it out"):
        two.frame_interval_ps(1.0)


# MDAnalysis' reader of XTC fails once more when it is deleted after it failed to open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_refusals(tmp_path: Path, fractions: np.ndarray) -> None:
    (tmp_path / "a.doc").write_text("hello\n")
    write(tmp_path / "a.extxyz", atoms_of(fractions))
    write(tmp_path / "b.extxyz", Atoms("LiCl", positions=np.zeros((2, 3)), cell=CELL, pbc=True))
    write(tmp_path / "flat.extxyz", Atoms("Li", positions=np.zeros((1, 3)), pbc=True))
    (tmp_path / "a.xtc").write_bytes(b"no xtc")
    topology, _ = mdanalysis_files(tmp_path, fractions[:1], "trr")
    cases: list[tuple[list[str], dict[str, Any], str]] = [
        ([], {}, r"no trajectory file given"),
        (["a.doc"], {}, r"a\.doc: the format is not known; one of these is needed: LAMMPS dump, XDATCAR"),
        (["none"], {}, r"none: cannot be opened"),
        (["a.extxyz", "a.doc"], {"frame_interval_fs": 1.0}, r"a\.doc: the format is not known"),
        (["a.extxyz", "a.xtc"], {"frame_interval_fs": 1.0}, r"a\.xtc: is no extxyz file as .*a\.extxyz is"),
        (["a.extxyz"], {"frame_interval_fs": -1.0}, r"frame_interval_fs is -1\.0, a positive number"),
        (["a.extxyz"], {"frame_interval_fs": 1.0, "types": [1]}, r"atoms cannot be selected by type in this format"),
        (["a.extxyz"], {"frame_interval_fs": 1.0, "species": "Na"}, r"no atom of element 'Na'; found Li, P, S, Cl"),
        (["a.extxyz"], {"frame_interval_fs": 1.0, "ids": [9]}, r"no atom of id 9; ids from 1 to 6 are there"),
        (["a.extxyz", "b.extxyz"], {"frame_interval_fs": 1.0}, r"b\.extxyz, frame 0: found 2 atoms"),
        (["flat.extxyz"], {"frame_interval_fs": 1.0}, r"flat\.extxyz, frame 0: the cell has no volume"),
        (["a.xtc"], {}, r"a\.xtc: this format does not tell the elements; give a topology"),
        (["a.xtc"], {"topology": topology}, r"a\.xtc: cannot be read with the topology .*top\.pdb"),
    ]
    for names, options, message in cases:
        with pytest.raises(LpsmdError, match=message):
            read_trajectory([tmp_path / name for name in names], **options)


def test_unwrap_of_the_core(fractions: np.ndarray) -> None:
    cells = np.broadcast_to(CELL, (30, 3, 3))
    found = _core.unwrap("here", (fractions % 1.0) @ CELL, cells, (True, True, True), nearest=True)
    np.testing.assert_allclose(found, unwrapped_from_first_cell(fractions), rtol=0, atol=XDATCAR_POSITION_A)
    with pytest.raises(LpsmdError, match=r"here: positions \[frames, atoms, 3\] and cells"):
        _core.unwrap("here", np.zeros((2, 3)), cells, (True, True, True), nearest=True)
