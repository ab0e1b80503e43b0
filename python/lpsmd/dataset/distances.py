"""How far geometries are from one another: over periodic boundaries, whatever way their cells are turned in space."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

#: Geometries closer than this, in every atom and cell vector, are one: VASP writes 1e-5 Angstrom, extended XYZ 1e-8.
SAME_A = 1e-4
#: Cells of one shape: their vectors, at a volume of one, differ by no more than this.
_SAME_SHAPE = 0.02
_INVARIANTS = 8
#: Frames that are measured, of those with the shortest chords.
_CANDIDATES = 16


@dataclass(frozen=True, eq=False)
class Geometry:
    """A geometry that no rotation changes.

    Two can be compared where `composition` (symbols in order, periodic directions, handedness of the cell) is the same.
    `cell_A` is the lower triangular form of the cell, `fractional` has shape [atoms, 3].
    """

    composition: Hashable
    cell_A: NDArray[np.float64]
    fractional: NDArray[np.float64]
    periodic: NDArray[np.bool_]

    @classmethod
    def of(cls, atoms: Atoms) -> Geometry:
        """Without three cell vectors there is no frame to turn back to: such a geometry is taken as it lies."""
        cell = atoms.cell.complete()
        handedness = int(np.sign(np.linalg.det(cell.array)))
        return cls(
            composition=(atoms.symbols.get_chemical_formula("reduce"), tuple(atoms.pbc), atoms.cell.rank, handedness),
            cell_A=np.asarray((cell.standard_form()[0] if atoms.cell.rank == 3 else cell).array),
            fractional=cell.scaled_positions(atoms.positions),
            periodic=np.array(atoms.pbc),
        )

    @property
    def least_height_A(self) -> float:
        """Least distance between opposite faces of the cell."""
        return float(1.0 / np.linalg.norm(np.linalg.inv(self.cell_A), axis=0).max())


def is_same_geometry(first: Atoms, second: Atoms, *, tolerance_A: float = SAME_A) -> bool:
    """Whether no atom, to its nearest image, and no cell vector differs by more than the tolerance.

    Seen through are rotations of the whole, and images of atoms; not seen through are equal atoms in another order,
    translations, and other cells of the same lattice.
    """
    return _is_same(Geometry.of(first), Geometry.of(second), tolerance_A)


def unturned(atoms: Atoms, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors of a frame (forces; shape [atoms, 3]) in the axes in which `Geometry` has its cell."""
    return np.asarray(vectors @ atoms.cell.standard_form()[1].T if atoms.cell.rank == 3 else vectors)


def repeated_geometries(frames: Sequence[Atoms], *, tolerance_A: float = SAME_A) -> Mapping[int, int]:
    """Frames that repeat an earlier geometry, in the sense of `is_same_geometry`: index, and that of the earlier one.

    Only frames that agree in some invariants are compared: sums of cosines of the fractional coordinates, which images
    leave alone, and which change by no more than an atom moves.

    Parameters
    ----------
    frames
        In order.
    tolerance_A
        Largest difference of one geometry, Angstrom.
    """
    geometries = [Geometry.of(atoms) for atoms in frames]
    members: dict[Hashable, list[int]] = {}
    for index, geometry in enumerate(geometries):
        members.setdefault(geometry.composition, []).append(index)
    found: dict[int, int] = {}
    for indices in members.values():
        found.update(_repeated([geometries[index] for index in indices], indices, tolerance_A))
    return found


def _repeated(geometries: Sequence[Geometry], indices: Sequence[int], tolerance_A: float) -> dict[int, int]:
    invariants = _invariants(geometries)
    reach = 1.01 * 2.0 * np.pi * tolerance_A / min(geometry.least_height_A for geometry in geometries)
    tree = cKDTree(invariants)
    found: dict[int, int] = {}
    for n, geometry in enumerate(geometries):
        for earlier in sorted(tree.query_ball_point(invariants[n], reach, p=np.inf)):
            if earlier >= n:
                break
            if _is_same(geometries[earlier], geometry, tolerance_A):
                found[indices[n]] = found.get(indices[earlier], indices[earlier])
                break
    return found


def _invariants(geometries: Sequence[Geometry]) -> NDArray[np.float64]:
    """Shape [geometries, _INVARIANTS]; none moves by more than the largest phase, 2 pi times a fractional change."""
    shape = geometries[0].fractional.shape
    generator = np.random.default_rng(1)
    weights = generator.uniform(-1.0, 1.0, (_INVARIANTS, *shape)) / (shape[0] * shape[1])
    offsets = generator.uniform(0.0, 2.0 * np.pi, shape)
    return np.array(
        [np.tensordot(weights, np.cos(2.0 * np.pi * geometry.fractional + offsets), 2) for geometry in geometries]
    )


def _is_same(first: Geometry, second: Geometry, tolerance_A: float) -> bool:
    if first.composition != second.composition or np.abs(first.cell_A - second.cell_A).max() > tolerance_A:
        return False
    moved_A = _nearest(first.fractional - second.fractional, first.periodic) @ first.cell_A
    return bool((np.linalg.norm(moved_A, axis=-1) <= tolerance_A).all())


def _nearest(difference: NDArray[np.float64], periodic: NDArray[np.bool_]) -> NDArray[np.float64]:
    """To the nearest image, in fractional coordinates."""
    return difference - np.where(periodic, np.rint(difference), 0.0)


def nearest_frames(frames: Sequence[Atoms], others: Sequence[Atoms]) -> list[tuple[int, float] | None]:
    """For each frame the closest of `others`: its index, and the rms displacement of the atoms in Angstrom.

    Displacements are to nearest images, between frames of equal atoms in one order and of cells of one shape; they are
    measured in the mean of the two cells, so that a change of volume alone is no distance. None where nothing can be
    compared. Seen through and not seen through is the same as in `is_same_geometry`.
    """
    pools: dict[Hashable, list[tuple[int, Geometry]]] = {}
    for index, atoms in enumerate(others):
        geometry = Geometry.of(atoms)
        pools.setdefault(geometry.composition, []).append((index, geometry))
    stacks = {key: _Stack(pool) for key, pool in pools.items()}
    found: list[tuple[int, float] | None] = []
    for atoms in frames:
        geometry = Geometry.of(atoms)
        stack = stacks.get(geometry.composition)
        found.append(None if stack is None else stack.nearest(geometry))
    return found


class _Stack:
    """Geometries of one composition as arrays."""

    def __init__(self, pool: Sequence[tuple[int, Geometry]]) -> None:
        self.indices = [index for index, _ in pool]
        self.cells_A = np.array([geometry.cell_A for _, geometry in pool])
        self.shapes = np.array([_shape(geometry.cell_A) for _, geometry in pool])
        self.fractional = np.array([geometry.fractional for _, geometry in pool])
        self.on_circles = np.array([self._on_circles(geometry) for _, geometry in pool])

    def _on_circles(self, geometry: Geometry) -> NDArray[np.float64]:
        """Each coordinate on a circle of the length of its cell vector: chords are hardly shorter than small moves."""
        lengths_A = np.linalg.norm(self.cells_A[0], axis=1)
        phases = 2.0 * np.pi * geometry.fractional
        return np.concatenate([np.cos(phases) * lengths_A, np.sin(phases) * lengths_A], axis=1).ravel() / (2.0 * np.pi)

    def nearest(self, geometry: Geometry) -> tuple[int, float] | None:
        alike = np.abs(self.shapes - _shape(geometry.cell_A)).max(axis=(1, 2)) <= _SAME_SHAPE
        if not alike.any():
            return None
        chords_A = np.where(alike, cdist(self._on_circles(geometry)[None], self.on_circles)[0], np.inf)
        close = np.argsort(chords_A)[: min(_CANDIDATES, alike.sum())]
        moved = _nearest(self.fractional[close] - geometry.fractional, geometry.periodic)
        moved_A = moved @ ((self.cells_A[close] + geometry.cell_A) / 2.0)
        rms_A = np.sqrt((moved_A**2).sum(axis=2).mean(axis=1))
        least = int(np.argmin(rms_A))
        return self.indices[close[least]], float(rms_A[least])


def _shape(cell_A: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cell_A / abs(np.linalg.det(cell_A)) ** (1.0 / 3.0))
