"""Every model program, precision, number of ranks, newton setting and kind of structure against ASE.

One mpirun computes all selected cases of an architecture, precision and number of ranks: see `Matrix`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from ase import Atoms
from ase.build import make_supercell

from lpsmd.models.evaluate import Evaluation, evaluate
from support.dft import first_frames
from support.models import lj_model
from support.parity import ARCHITECTURES, PARITY
from support.ranks import RanksError, Task, compute_on_ranks
from support.simulation import TYPE_NAMES, Computed
from tolerances import (
    MATRIX_ATOM_ENERGY_EV,
    MATRIX_ENERGY_RELATIVE,
    MATRIX_FORCE_EV_PER_A,
    MATRIX_VIRIAL_EV_PER_ATOM,
    RANKS_ATOM_ENERGY_EV,
    RANKS_ENERGY_RELATIVE,
    RANKS_FORCE_EV_PER_A,
    RANKS_VIRIAL_EV_PER_ATOM,
)

# ----- structures ------------------------------------------------------------------------------------------


@cache
def dft_cell() -> Atoms:
    """52 atoms in the heat, 10 Angstrom wide: two layers of 5 Angstrom reach each atom's own images."""
    frame = first_frames()[20]
    return Atoms(frame.symbols, positions=frame.positions, cell=frame.cell, pbc=True)


def rattled(atoms: Atoms, amplitude_A: float = 0.05) -> Atoms:
    """So that no image of an atom has exactly its environment."""
    moved = atoms.copy()
    moved.positions += np.random.default_rng(11).normal(0.0, amplitude_A, moved.positions.shape)
    return moved


def supercell() -> Atoms:
    return rattled(dft_cell().repeat(2))


def tilted() -> Atoms:
    """Cell vectors askew by half a length, and a strain so that no tilt is a round number or zero."""
    atoms = make_supercell(dft_cell(), [[2, 0, 0], [1, 1, 0], [-1, 0, 1]])
    strain = np.array([[1.02, 0.01, -0.02], [0.05, 0.98, 0.03], [-0.04, 0.06, 1.01]])
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    return rattled(atoms)


def molecule() -> Atoms:
    """One PS4 and the Li and Cl around it."""
    atoms = dft_cell().copy()
    centre = atoms.symbols.indices()["P"][0]
    vectors = atoms.get_distances(centre, range(len(atoms)), mic=True, vector=True)
    distances = np.linalg.norm(vectors, axis=1)
    sulfur = atoms.symbols == "S"
    near = (sulfur & (distances < 2.7)) | (~sulfur & (distances < 5.0))
    cut_out = Atoms(atoms.symbols[near], positions=vectors[near])
    cut_out.center(vacuum=3.0)
    return cut_out


def slab() -> Atoms:
    """The cell at the bottom of a box four times as high: of 2 or 4 ranks along z the last have no atom.

    Of 4, the third has ghosts and no atom, the fourth neither.
    """
    atoms = dft_cell().copy()
    atoms.wrap()
    atoms.pbc = (True, True, False)
    atoms.positions[:, 2] += 1.0
    atoms.set_cell(atoms.cell.array * np.array([[1.0], [1.0], [4.0]]))
    return atoms


@dataclass(frozen=True, kw_only=True)
class Structure:
    """How a structure is made, and what LAMMPS is told about its box."""

    make: Callable[[], Atoms]
    boundary: str | None = None
    along_z: bool = False


STRUCTURES = {
    "small": Structure(make=dft_cell),
    "supercell": Structure(make=supercell),
    "tilted": Structure(make=tilted),
    "molecule": Structure(make=molecule),
    "shrink-wrapped": Structure(make=molecule, boundary="s s s"),
    "slab": Structure(make=slab, along_z=True),
}


@cache
def atoms_of(structure: str) -> Atoms:
    return STRUCTURES[structure].make()


# ----- models ----------------------------------------------------------------------------------------------

# Every pair of types has parameters and a cutoff of its own; minima near the distances in the crystal.
EPSILON_EV = 0.01 * np.array([[1, 2, 3, 4], [2, 5, 6, 7], [3, 6, 8, 9], [4, 7, 9, 10]])
SIGMA_A = np.array([[2.3, 2.5, 2.1, 2.2], [2.5, 3.0, 1.8, 3.0], [2.1, 1.8, 3.0, 3.1], [2.2, 3.0, 3.1, 3.2]])
CUTOFF_A = np.array([[4.0, 4.3, 5.1, 5.4], [4.3, 6.1, 4.7, 5.7], [5.1, 4.7, 5.5, 6.3], [5.4, 5.7, 6.3, 6.6]])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Model files by architecture and precision."""
    folder = tmp_path_factory.mktemp("models")
    files = {(name, dtype): PARITY / f"{name}_{dtype}.pt" for name, dtype in product(ARCHITECTURES, DTYPES)}
    for dtype in DTYPES:
        path = folder / f"lj_{dtype}.pt"
        files["lj", dtype] = lj_model(
            path, TYPE_NAMES, epsilon_eV=EPSILON_EV, sigma_A=SIGMA_A, cutoff_A=CUTOFF_A, dtype=dtype
        )
    return files


# ----- the cases -------------------------------------------------------------------------------------------

DTYPES = ("float64", "float32")
RANKS = (1, 2, 4)


class Group(NamedTuple):
    """What one mpirun computes together."""

    architecture: str
    dtype: str
    n_ranks: int


class Case(NamedTuple):
    """One test."""

    architecture: str
    dtype: str
    n_ranks: int
    newton: bool
    structure: str

    @property
    def group(self) -> Group:
        return Group(*self[:3])

    @property
    def reference(self) -> Case:
        """What other numbers of ranks and newton off are held against."""
        return self._replace(n_ranks=1, newton=True)

    @property
    def name(self) -> str:
        return f"{self.structure}-{'on' if self.newton else 'off'}"

    def __str__(self) -> str:
        return f"{self.architecture}-{self.dtype}-{self.n_ranks}-{self.name}"


CASES = [
    Case(architecture, dtype, n_ranks, newton, structure)
    for architecture in (*ARCHITECTURES, "lj")
    for dtype in DTYPES
    for n_ranks in RANKS
    for structure in STRUCTURES
    for newton in (True, False)
]

# Of each network, two structures in one precision; Lennard-Jones, which takes no time to load, has them all.
QUICK_STRUCTURES = {
    ("nequip", "float64"): ("small", "slab"),
    ("mace", "float32"): ("molecule", "tilted"),
    ("deepmd", "float64"): ("slab", "supercell"),
    ("lj", "float64"): tuple(STRUCTURES),
}


def is_quick(case: Case) -> bool:
    """True for the part of the matrix that `make test` runs: newton changes from case to case."""
    structures = QUICK_STRUCTURES.get((case.architecture, case.dtype), ())
    if case.structure not in structures:
        return False
    return case.newton == ((structures.index(case.structure) + RANKS.index(case.n_ranks)) % 2 == 0)


# ----- computing them --------------------------------------------------------------------------------------


@dataclass
class Matrix:
    """Results of the cases that were selected, made when the first of a group is asked for."""

    models: dict[tuple[str, str], Path]
    folder: Path
    wanted: dict[Group, set[Case]]
    found: dict[Group, dict[str, Computed] | RanksError] = field(default_factory=dict)
    expected: dict[tuple[str, str, str], Evaluation] = field(default_factory=dict)

    def in_lammps(self, case: Case) -> Computed:
        group = case.group
        if group not in self.found:
            folder = self.folder / "-".join(map(str, group))
            folder.mkdir()
            try:
                self.found[group] = compute_on_ranks(
                    [self._task(wanted) for wanted in sorted(self.wanted[group])], n_ranks=group.n_ranks, folder=folder
                )
            except RanksError as error:
                self.found[group] = error
        results = self.found[group]
        if isinstance(results, RanksError):
            pytest.fail(f"the run that computes this case failed:\n{results}", pytrace=False)
        return results[case.name]

    def in_ase(self, case: Case) -> Evaluation:
        key = (case.architecture, case.dtype, case.structure)
        if key not in self.expected:
            self.expected[key] = evaluate(self.models[key[:2]], atoms_of(case.structure))
        return self.expected[key]

    def _task(self, case: Case) -> Task:
        structure = STRUCTURES[case.structure]
        return Task(
            name=case.name,
            atoms=atoms_of(case.structure),
            model=self.models[case.architecture, case.dtype],
            newton=case.newton,
            boundary=structure.boundary,
            processors=f"1 1 {case.n_ranks}" if structure.along_z else None,
        )


@pytest.fixture(scope="module")
def matrix(
    request: pytest.FixtureRequest, models: dict[tuple[str, str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Matrix:
    wanted = defaultdict(set)
    for item in request.session.items:
        case = item.callspec.params.get("case") if hasattr(item, "callspec") else None
        if isinstance(case, Case):
            wanted[case.group].add(case)
            wanted[case.reference.group].add(case.reference)
    return Matrix(models, tmp_path_factory.mktemp("matrix"), wanted)


# ----- the tests -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=str(case), marks=() if is_quick(case) else pytest.mark.slow) for case in CASES]
)
def test_matrix(case: Case, matrix: Matrix) -> None:
    found = matrix.in_lammps(case)
    check_ranks(case, found)
    compare_with_ase(case, found, matrix.in_ase(case))
    if case != case.reference:
        compare_with_one_rank(case, found, matrix.in_lammps(case.reference))


def check_ranks(case: Case, found: Computed) -> None:
    """Atoms lie on the ranks that the structure is for."""
    counts = np.bincount(found.owners, minlength=case.n_ranks)
    assert len(counts) == case.n_ranks
    assert counts.sum() == len(atoms_of(case.structure))
    if case.structure == "slab" and case.n_ranks > 1:
        assert counts[0] > 0
        assert counts[-1] == 0
    else:
        assert counts.min() > 0


def compare_with_ase(case: Case, found: Computed, expected: Evaluation) -> None:
    dtype, n = case.dtype, len(found.forces)
    scale = np.abs(expected.atom_energies_eV).sum()
    assert found.energy == pytest.approx(expected.energy_eV, rel=0, abs=MATRIX_ENERGY_RELATIVE[dtype] * scale)
    assert_close(found.forces, expected.forces_eV_per_A, MATRIX_FORCE_EV_PER_A[dtype])
    assert_close(found.atom_energies, expected.atom_energies_eV, MATRIX_ATOM_ENERGY_EV[dtype])
    assert_close(found.virial / n, expected.virial_eV / n, MATRIX_VIRIAL_EV_PER_ATOM[dtype])


def compare_with_one_rank(case: Case, found: Computed, alone: Computed) -> None:
    dtype, n = case.dtype, len(found.forces)
    scale = np.abs(alone.atom_energies).sum()
    assert found.energy == pytest.approx(alone.energy, rel=0, abs=RANKS_ENERGY_RELATIVE[dtype] * scale)
    assert_close(found.forces, alone.forces, RANKS_FORCE_EV_PER_A[dtype])
    assert_close(found.atom_energies, alone.atom_energies, RANKS_ATOM_ENERGY_EV[dtype])
    assert_close(found.virial / n, alone.virial / n, RANKS_VIRIAL_EV_PER_ATOM[dtype])


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_structures_are_what_they_are_called() -> None:
    reach_A = 2 * 5.0
    assert atoms_of("small").cell.lengths().max() < 2 * reach_A
    assert len(atoms_of("supercell")) == 416
    cell = np.asarray(atoms_of("tilted").cell.standard_form()[0])
    assert min(abs(cell[1, 0]), abs(cell[2, 0])) > 0.4 * cell[0, 0]
    assert cell[2, 1] != 0.0
    assert set(atoms_of("molecule").symbols) == set(TYPE_NAMES)
    assert not any(atoms_of("molecule").pbc)
    assert atoms_of("slab").pbc.tolist() == [True, True, False]


def test_the_quick_part_has_some_of_everything() -> None:
    """Each architecture, precision, number of ranks, newton setting and structure; of a network all ranks."""
    quick = [case for case in CASES if is_quick(case)]
    assert [set(column) for column in zip(*quick, strict=True)] == [set(column) for column in zip(*CASES, strict=True)]
    for architecture in {case.architecture for case in CASES}:
        own = [case for case in quick if case.architecture == architecture]
        assert {(case.n_ranks, case.newton) for case in own} == set(product(RANKS, (True, False)))
