"""Cells of Li6PS5Cl with their disorder, and structure files in and out.

The cell is the cubic argyrodite, space group F-43m (216): P on 4b, S of the PS4 groups on 16e,
the two free anions on 4a (Cl where the crystal is ordered) and 4c (S), Li on half of 48h. Occupied
positions as refined by Deiseroth et al. 2008 (DOI 10.1002/anie.200703900) and Kraft et al. 2017
(DOI 10.1021/jacs.7b06327), here with the origin on Cl. The site that some authors call 4d is this 4c
seen from the other choice of origin.

The free coordinates are rounded: 16e x = 0.619 puts P-S at 2.03 Angstrom for a = 9.86 Angstrom, and
48h (0.183, 0.183, 0.024) is where the Li of the displaced cells of the DFT training set average to,
(0.1831, 0.1831, 0.0234). A few femtoseconds of dynamics relax what is left.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lpsmd.errors import LpsmdError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: The order of atom types in everything lpsmd writes for Li6PS5Cl.
LI6PS5CL_ELEMENTS = ("Li", "P", "S", "Cl")

#: Lattice parameters that can be Li6PS5Cl: 9.86 Angstrom at room temperature, some 5 % either way.
A_RANGE_A = (9.0, 11.0)

#: Atoms of a conventional cell.
ATOMS_PER_CELL = 52

# Fractional coordinates of one atom of each orbit, with the origin on Cl.
_P_4B = (0.5, 0.5, 0.5)
_S_16E = (0.619, 0.619, 0.619)
_ANION_4A = (0.0, 0.0, 0.0)
_ANION_4C = (0.25, 0.25, 0.25)
_LI_48H = (0.183, 0.183, 0.024)

# Li-Li contacts are counted up to this distance, in lattice parameters (3.5 Angstrom at 9.86).
_LI_CONTACT_RANGE = 0.355
_ANNEALING_SWEEPS = 60


class StructureError(LpsmdError):
    """A cell that cannot be built, read or written."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Structure:
    """A periodic cell of atoms.

    Attributes
    ----------
    elements
        Elements in the order of their atom types (type 1 first).
    types
        [N], indices into `elements`.
    positions_A
        [N, 3], Angstrom.
    cell_A
        [3, 3], rows are the lattice vectors, Angstrom.
    title
        One line that says what this is; it heads the data file.
    """

    elements: tuple[str, ...]
    types: IntArray
    positions_A: FloatArray
    cell_A: FloatArray
    title: str

    @property
    def symbols(self) -> list[str]:
        """Element of each atom."""
        return [self.elements[t] for t in self.types]

    @property
    def volume_A3(self) -> float:
        """Volume of the cell in cubic Angstrom."""
        return abs(float(np.linalg.det(self.cell_A)))

    def strained(self, volume_strain: float) -> Structure:
        """The same fractional coordinates in a cell of the same shape whose volume is 1 + `volume_strain` times it."""
        length = (1.0 + volume_strain) ** (1.0 / 3.0)
        return replace(
            self,
            positions_A=length * self.positions_A,
            cell_A=length * self.cell_A,
            title=f"{self.title}, volume {100.0 * volume_strain:+g} %",
        )


def li6ps5cl(*, a_A: float, supercell: Sequence[int] = (1, 1, 1), inversion: float = 0.0, seed: int = 1) -> Structure:
    """Build Li6PS5Cl with quenched disorder drawn from a seed.

    Parameters
    ----------
    a_A
        Lattice parameter of the conventional cubic cell (52 atoms: 24 Li, 4 P, 20 S, 4 Cl), Angstrom.
    supercell
        Conventional cells along x, y, z.
    inversion
        Fraction of the 4a sites that hold S instead of Cl; as many 4c sites hold Cl instead of S.
        0 is the ordered crystal, 0.5 full disorder. Rounded to whole sites.
    seed
        Decides which sites are inverted, and which Li site of each pair is taken.

    Returns
    -------
    Structure
        Atoms ordered Li, P, S, Cl.

    Raises
    ------
    StructureError
        If a parameter cannot be Li6PS5Cl; the text names the value found and the values allowed.

    Notes
    -----
    The 48h sites come in face-sharing pairs 1.9 Angstrom apart, and exactly one of each pair is taken.
    Which one is annealed against Li-Li repulsion from a random start: one Li per pair leaves at least two
    contacts of 2.2 Angstrom around each 4c site, and the annealed cells have no more than those.
    """
    _check_parameters(a_A=a_A, supercell=supercell, inversion=inversion, seed=seed)
    counts = (int(supercell[0]), int(supercell[1]), int(supercell[2]))
    rng = np.random.default_rng(seed)
    at_4a, at_4c = _repeat(_orbit(_ANION_4A), counts), _repeat(_orbit(_ANION_4C), counts)
    n_swapped = round(inversion * len(at_4a))
    s_on_4a = _choose(rng, len(at_4a), n_swapped)
    cl_on_4c = _choose(rng, len(at_4c), n_swapped)
    lithium = _occupy_lithium(_repeat(_orbit(_LI_48H), counts), counts=counts, rng=rng)
    by_element = (
        lithium,
        _repeat(_orbit(_P_4B), counts),
        np.concatenate([_repeat(_orbit(_S_16E), counts), at_4c[~cl_on_4c], at_4a[s_on_4a]]),
        np.concatenate([at_4a[~s_on_4a], at_4c[cl_on_4c]]),
    )
    title = (
        f"Li6PS5Cl F-43m a = {a_A:g} Angstrom, {counts[0]}x{counts[1]}x{counts[2]} cells, "
        f"anion inversion {n_swapped / len(at_4a):g} ({n_swapped} of {len(at_4a)} sites), seed {seed}"
    )
    return Structure(
        elements=LI6PS5CL_ELEMENTS,
        types=np.repeat(np.arange(4, dtype=np.int64), [len(sites) for sites in by_element]),
        positions_A=np.concatenate(by_element) * a_A,
        cell_A=np.diag(np.asarray(counts, dtype=np.float64) * a_A),
        title=title,
    )


def read_structure(path: str | Path) -> Structure:
    """Read a periodic cell from a LAMMPS data file (.lmp, .data) or any file that ASE reads.

    Elements keep the order of the data file's types, or of their first appearance in another format.

    Raises
    ------
    StructureError
        If the file is missing, unreadable, or not periodic in all directions.
    """
    from ase.io import read

    path = Path(path)
    if not path.is_file():
        raise StructureError(f"structure file {path}: no such file")
    is_data = path.suffix in _DATA_SUFFIXES
    atoms: Any  # ase.Atoms, whose methods carry no types
    # ASE wraps the parsers of many formats, which raise whatever they please on malformed input.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = read(path, format="lammps-data", atom_style="atomic") if is_data else read(path)
    except Exception as error:
        kind = "a LAMMPS data file of atom_style atomic with Masses" if is_data else "a format that ASE reads"
        raise StructureError(f"structure file {path}: cannot be read ({error}); needed {kind}") from error
    if atoms.cell.rank != 3 or not (is_data or atoms.pbc.all()):
        found = atoms.pbc.tolist()
        raise StructureError(f"structure file {path}: found pbc {found}, needed one periodic in x, y and z")
    symbols = atoms.get_chemical_symbols()
    if is_data:
        # By type; a data file may skip types in its atoms, so take what is there in the types' order.
        order = [symbols[i] for i in np.unique(atoms.arrays["type"], return_index=True)[1]]
        elements = tuple(dict.fromkeys(order))
    else:
        elements = tuple(dict.fromkeys(symbols))
    return Structure(
        elements=elements,
        types=np.asarray([elements.index(s) for s in symbols], dtype=np.int64),
        positions_A=np.asarray(atoms.get_positions(), dtype=np.float64),
        cell_A=np.asarray(atoms.cell.array, dtype=np.float64),
        title=f"{atoms.get_chemical_formula()} from {path.name}",
    )


def write_structure(structure: Structure, path: str | Path) -> None:
    """Write a cell; the extension decides the format (.lmp and .data: LAMMPS, else what ASE writes).

    Raises
    ------
    StructureError
        If the folder does not exist, cannot be written to, or the extension means no known format.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise StructureError(f"cannot write {path}: the folder {path.parent} does not exist; create it first")
    try:
        if path.suffix in _DATA_SUFFIXES:
            path.write_text(lammps_data(structure), encoding="utf-8")
        else:
            _write_with_ase(structure, path)
    except OSError as error:
        raise StructureError(f"cannot write {path}: {error.strerror}") from error


def lammps_data(structure: Structure) -> str:
    """The cell as a LAMMPS data file: atom_style atomic, units metal, masses with their elements.

    A general cell is turned into the orientation that LAMMPS needs (a along x, b in the xy plane).
    """
    from ase.calculators.lammps import Prism
    from ase.data import atomic_masses, atomic_numbers

    prism = Prism(structure.cell_A)
    lx, ly, lz, xy, xz, yz = prism.get_lammps_prism()
    positions = prism.vector_to_lammps(structure.positions_A, wrap=False)
    lines = [
        f"{structure.title} (units metal, atom_style atomic)",
        "",
        f"{len(structure.types)} atoms",
        f"{len(structure.elements)} atom types",
        "",
        f"0.0 {lx:.17g} xlo xhi",
        f"0.0 {ly:.17g} ylo yhi",
        f"0.0 {lz:.17g} zlo zhi",
    ]
    if prism.is_skewed():
        lines.append(f"{xy:.17g} {xz:.17g} {yz:.17g} xy xz yz")
    lines += ["", "Masses", ""]
    for atom_type, element in enumerate(structure.elements, 1):
        lines.append(f"{atom_type} {atomic_masses[atomic_numbers[element]]:.6g}  # {element}")
    lines += ["", "Atoms  # atomic", ""]
    lines += [
        f"{i} {t + 1} {x:.12f} {y:.12f} {z:.12f}"
        for i, (t, (x, y, z)) in enumerate(zip(structure.types, positions, strict=True), 1)
    ]
    return "\n".join(lines) + "\n"


_DATA_SUFFIXES = (".lmp", ".data")


def _write_with_ase(structure: Structure, path: Path) -> None:
    from ase import Atoms
    from ase.io import write
    from ase.io.formats import UnknownFileTypeError

    atoms = Atoms(structure.symbols, positions=structure.positions_A, cell=structure.cell_A, pbc=True)
    try:
        write(path, atoms)
    except UnknownFileTypeError as error:
        raise StructureError(
            f"cannot write {path}: no format goes with the extension '{path.suffix}'; "
            f"use .lmp or .data for LAMMPS, or one that ASE writes (.extxyz, .cif, .vasp)"
        ) from error


def _check_parameters(*, a_A: float, supercell: Sequence[int], inversion: float, seed: int) -> None:
    low, high = A_RANGE_A
    if not low <= a_A <= high:
        raise StructureError(
            f"lattice parameter a: found {a_A:g} Angstrom, needed {low:g} to {high:g} "
            f"(Li6PS5Cl has 9.86 at room temperature)"
        )
    if len(supercell) != 3 or any(n != int(n) or n < 1 for n in supercell):
        found = " ".join(str(n) for n in supercell)
        raise StructureError(f"supercell: found {found}, needed three whole numbers from 1 up, such as 2 2 2")
    if not 0.0 <= inversion <= 1.0:
        raise StructureError(
            f"inversion: found {inversion:g}, needed a fraction from 0 (ordered, Cl on 4a) to 1 (S on 4a); "
            f"0.5 is full disorder"
        )
    if seed < 0:
        raise StructureError(f"seed: found {seed}, needed a whole number, at least 0")


def _orbit(position: tuple[float, float, float]) -> FloatArray:
    """All images of a position in the conventional cell of F-43m, [M, 3] fractional in [0, 1).

    The point group -43m is every permutation of the axes with an even number of sign changes.
    """
    signs = [s for s in itertools.product((1, -1), repeat=3) if math.prod(s) == 1]
    centring = ((0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))
    images = {
        tuple(round((sign[k] * position[axes[k]] + shift[k]) % 1.0, 9) % 1.0 for k in range(3))
        for axes in itertools.permutations(range(3))
        for sign in signs
        for shift in centring
    }
    return np.asarray(sorted(images), dtype=np.float64)


def _repeat(sites: FloatArray, counts: tuple[int, int, int]) -> FloatArray:
    """Sites of one cell in every cell of the supercell, in lattice parameters, [M * cells, 3]."""
    shifts = np.asarray(list(itertools.product(*(range(n) for n in counts))), dtype=np.float64)
    repeated: FloatArray = (shifts[:, None, :] + sites[None, :, :]).reshape(-1, 3)
    return repeated


def _choose(rng: np.random.Generator, n_sites: int, n_chosen: int) -> npt.NDArray[np.bool_]:
    chosen = np.zeros(n_sites, dtype=np.bool_)
    chosen[rng.permutation(n_sites)[:n_chosen]] = True
    return chosen


def _occupy_lithium(sites: FloatArray, *, counts: tuple[int, int, int], rng: np.random.Generator) -> FloatArray:
    """Take one 48h site of each face-sharing pair, annealed against Li-Li repulsion, [M / 2, 3]."""
    contacts = _contacts(sites, counts)
    # The nearest of all is the other site of the pair: the two never hold Li together.
    partner = np.asarray([others[np.argmin(distances)] for others, distances in contacts], dtype=np.int64)
    first_sites = np.flatnonzero(np.arange(len(sites)) < partner)
    repulsion = [
        (others[others != partner[i]], (0.225 / distances[others != partner[i]]) ** 6)
        for i, (others, distances) in enumerate(contacts)
    ]
    occupied = np.zeros(len(sites), dtype=np.bool_)
    take_first = rng.random(len(first_sites)) < 0.5
    occupied[np.where(take_first, first_sites, partner[first_sites])] = True
    for sweep in range(_ANNEALING_SWEEPS):
        # Down to nothing, so that the last sweeps only descend.
        temperature = 0.5 * max(0.0, 1.0 - 1.25 * sweep / _ANNEALING_SWEEPS)
        for site in rng.permutation(first_sites):
            here, there = (site, partner[site]) if occupied[site] else (partner[site], site)
            gain = _felt(repulsion[here], occupied) - _felt(repulsion[there], occupied)
            if gain > 0 or (temperature > 0 and rng.random() < math.exp(gain / temperature)):
                occupied[here], occupied[there] = False, True
    return sites[occupied]


def _felt(repulsion: tuple[IntArray, FloatArray], occupied: npt.NDArray[np.bool_]) -> float:
    others, strength = repulsion
    return float(strength[occupied[others]].sum())


def _contacts(sites: FloatArray, counts: tuple[int, int, int]) -> list[tuple[IntArray, FloatArray]]:
    """Of each site, the sites within the contact range (periodic) and their distances."""
    from scipy.spatial import cKDTree

    box = np.asarray(counts, dtype=np.float64)
    wrapped = sites % box
    tree = cKDTree(wrapped, boxsize=box)
    found: list[tuple[IntArray, FloatArray]] = []
    for i, near in enumerate(tree.query_ball_point(wrapped, _LI_CONTACT_RANGE)):
        others = np.asarray(sorted(j for j in near if j != i), dtype=np.int64)
        step = wrapped[others] - wrapped[i]
        step -= box * np.round(step / box)
        found.append((others, np.linalg.norm(step, axis=1)))
    return found
