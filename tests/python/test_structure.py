from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.geometry import get_distances
from ase.spacegroup import crystal
from click.testing import CliRunner

import tolerances
from lpsmd.cli.structure import structure as structure_command
from lpsmd.inputs import find_lammps_input
from lpsmd.structure import (
    Structure,
    StructureError,
    lammps_data,
    li6ps5cl,
    read_structure,
    write_structure,
)


def as_atoms(cell: Structure) -> Atoms:
    return Atoms(cell.symbols, positions=cell.positions_A, cell=cell.cell_A, pbc=True)


def distances(cell: Structure, a: str, b: str) -> np.ndarray:
    """[A, B] shortest distances between elements, an atom and itself left out as infinity."""
    symbols = np.array(cell.symbols)
    pick = [cell.positions_A[symbols == element] for element in (a, b)]
    _, found = get_distances(*pick, cell=cell.cell_A, pbc=True)
    return np.where(found < 1e-9, np.inf, found)


@pytest.mark.parametrize(("supercell", "cells"), [((1, 1, 1), 1), ((2, 1, 3), 6)])
def test_composition(supercell: tuple[int, int, int], cells: int) -> None:
    cell = li6ps5cl(a_A=9.86, supercell=supercell, inversion=0.5)
    counts = Counter(cell.symbols)
    assert counts == {"Li": 24 * cells, "P": 4 * cells, "S": 20 * cells, "Cl": 4 * cells}
    assert cell.volume_A3 == pytest.approx(cells * 9.86**3)
    assert cell.elements == ("Li", "P", "S", "Cl")
    assert (np.diff(cell.types) >= 0).all()


def test_sites_are_those_of_space_group_216() -> None:
    # ASE expands the same positions with its own tables of F-43m.
    full = crystal(
        ["Li", "P", "S", "S", "Cl"],
        [(0.183, 0.183, 0.024), (0.5, 0.5, 0.5), (0.619, 0.619, 0.619), (0.25, 0.25, 0.25), (0.0, 0.0, 0.0)],
        spacegroup=216,
        cellpar=[10.0, 10.0, 10.0, 90, 90, 90],
    )
    cell = li6ps5cl(a_A=10.0)
    for element in cell.elements:
        ours = cell.positions_A[np.array(cell.symbols) == element]
        theirs = full.positions[np.array(full.get_chemical_symbols()) == element]
        _, apart = get_distances(ours, theirs, cell=cell.cell_A, pbc=True)
        assert apart.min(axis=1).max() < tolerances.STRUCTURE_POSITION_A
        assert len(theirs) == (48 if element == "Li" else len(ours))


def test_bonds_are_those_of_the_crystal() -> None:
    cell = li6ps5cl(a_A=9.86)
    p_s = np.sort(distances(cell, "P", "S"), axis=1)
    assert p_s[:, :4] == pytest.approx(2.04, abs=tolerances.STRUCTURE_BOND_A)
    assert (p_s[:, 4] > 3.5).all()
    assert distances(cell, "Li", "S").min() == pytest.approx(2.42, abs=tolerances.STRUCTURE_BOND_A)
    assert distances(cell, "Li", "P").min() > 2.7


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_lithium_takes_one_site_of_each_pair_with_the_fewest_contacts(seed: int) -> None:
    cell = li6ps5cl(a_A=9.86, supercell=(2, 1, 1), seed=seed)
    li_li = distances(cell, "Li", "Li")
    # 1.87 A would be both sites of a face-sharing pair; 2.22 A is the contact inside a cage.
    assert li_li.min() > 2.2
    contacts = np.count_nonzero(li_li < 2.3) // 2
    # Six Li on the six edges of a tetrahedron's corners: (2, 2, 1, 1) at the corners is the best there is.
    cages = 8
    assert contacts == 2 * cages


def test_seeds_decide_and_repeat() -> None:
    first, again, other = (li6ps5cl(a_A=9.86, inversion=0.5, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first.positions_A, again.positions_A)
    assert not np.array_equal(first.positions_A, other.positions_A)


@pytest.mark.parametrize(("inversion", "swapped"), [(0.0, 0), (0.25, 8), (0.5, 16), (1.0, 32)])
def test_inversion_swaps_as_many_chlorides_as_sulfides(inversion: float, swapped: int) -> None:
    cell = li6ps5cl(a_A=10.0, supercell=(2, 2, 2), inversion=inversion, seed=5)
    fractional = cell.positions_A[np.array(cell.symbols) == "Cl"] / 10.0
    on_4c = np.isclose((fractional * 4) % 2, 1.0).all(axis=1)
    assert on_4c.sum() == swapped
    assert f"({swapped} of 32 sites)" in cell.title


@pytest.mark.parametrize("name", ["cell.lmp", "cell.data", "cell.extxyz", "cell.cif"])
def test_files_come_back(tmp_path: Path, name: str) -> None:
    cell = li6ps5cl(a_A=9.9, inversion=0.5, seed=4)
    write_structure(cell, tmp_path / name)
    back = read_structure(tmp_path / name)
    assert back.symbols == cell.symbols
    assert back.elements == cell.elements
    assert np.allclose(back.cell_A, cell.cell_A, atol=tolerances.STRUCTURE_POSITION_A)
    assert np.allclose(back.positions_A, cell.positions_A, atol=tolerances.STRUCTURE_POSITION_A)


def test_a_rotated_triclinic_cell_keeps_its_distances(tmp_path: Path) -> None:
    cell = np.array([[1.0, 9.0, 0.5], [-8.0, 2.0, 1.0], [0.5, 1.0, 11.0]])
    positions = np.random.default_rng(1).random((6, 3)) @ cell
    types = np.array([0, 1, 1, 0, 1, 0])
    skewed = Structure(elements=("Li", "S"), types=types, positions_A=positions, cell_A=cell, title="skewed")
    write_structure(skewed, tmp_path / "skewed.data")
    back = read_structure(tmp_path / "skewed.data")
    before, after = (as_atoms(s).get_all_distances(mic=True) for s in (skewed, back))
    assert np.allclose(before, after, atol=tolerances.STRUCTURE_POSITION_A)


def test_data_file_names_its_elements(tmp_path: Path) -> None:
    write_structure(li6ps5cl(a_A=9.86), tmp_path / "cell.lmp")
    lines = (tmp_path / "cell.lmp").read_text().splitlines()
    assert "Li6PS5Cl F-43m" in lines[0]
    assert "units metal" in lines[0]
    start = lines.index("Masses") + 2
    assert lines[start : start + 4] == ["1 6.94  # Li", "2 30.9738  # P", "3 32.06  # S", "4 35.45  # Cl"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"a_A": 5.0}, r"lattice parameter a: found 5 Angstrom, needed 9 to 11"),
        ({"a_A": float("nan")}, r"lattice parameter a: found nan Angstrom"),
        ({"supercell": (2, 0, 2)}, r"supercell: found 2 0 2, needed three whole numbers from 1 up"),
        ({"inversion": 1.5}, r"inversion: found 1.5, needed a fraction from 0"),
        ({"inversion": -0.1}, r"inversion: found -0.1, needed a fraction"),
        ({"seed": -1}, r"seed: found -1, needed a whole number, at least 0"),
    ],
)
def test_parameters_that_are_no_crystal_are_refused(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(StructureError, match=text):
        li6ps5cl(**({"a_A": 9.86} | wrong))  # type: ignore[arg-type]


def test_unusable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StructureError, match=r"none\.data: no such file"):
        read_structure(tmp_path / "none.data")
    (tmp_path / "junk.data").write_text("junk\n")
    with pytest.raises(StructureError, match=r"junk\.data: cannot be read .* needed a LAMMPS data file"):
        read_structure(tmp_path / "junk.data")
    (tmp_path / "open.xyz").write_text("1\n\nLi 0 0 0\n")
    with pytest.raises(StructureError, match=r"found pbc .*, needed one periodic in x, y and z"):
        read_structure(tmp_path / "open.xyz")
    cell = li6ps5cl(a_A=9.86)
    with pytest.raises(StructureError, match=r"no format goes with the extension '\.what'"):
        write_structure(cell, tmp_path / "cell.what")
    with pytest.raises(StructureError, match=r"the folder .*missing does not exist; create it first"):
        write_structure(cell, tmp_path / "missing" / "cell.data")


def test_the_shipped_cell_is_the_generator_s(tmp_path: Path) -> None:
    shipped = find_lammps_input("li6ps5cl.data").read_text(encoding="utf-8")
    assert shipped == lammps_data(li6ps5cl(a_A=10.0))


def test_command_line(tmp_path: Path) -> None:
    out = tmp_path / "data.lmp"
    arguments = f"li6ps5cl --a 9.86 --supercell 2 2 2 --inversion 0.5 --seed 1 -o {out}".split()
    result = CliRunner().invoke(structure_command, arguments)
    assert result.exit_code == 0
    assert "416 atoms" in result.output
    assert len(read_structure(out).types) == 416
