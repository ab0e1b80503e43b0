"""What is wrong with a frame, or with its labels, in one sentence; energies in eV, lengths in Angstrom."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

#: Atoms closer than this fraction of the sum of their covalent radii are on one another: 1.06 Angstrom for P-S.
CLOSEST = 0.5
#: Largest net force for each atom, eV/Angstrom. Codes that remove it leave rounding, others some 1e-4.
NET_FORCE_EV_PER_A = 1e-3
#: Energies of one composition lie within some 0.1 eV/atom, also at 1200 K; another zero is several eV away.
ENERGY_SPREAD_EV_PER_ATOM = 1.0
#: Force rms of a file that was meant in eV/Angstrom: about 1 at 900 K, it grows as the root of the temperature, so that
#: the least is that of vibrations at some 5 K, and the largest that of a structure that explodes.
FORCE_RMS_RANGE_EV_PER_A = (0.06, 15.0)

_HASH_STEP_A = 1e-4
#: Written coordinates end on round digits: rounding must not have its boundaries there.
_HASH_OFFSET = 0.382
# Thomas and Fermi: all electrons of an atom have -0.7687 Z^(7/3) Hartree, and the true energy is above.
_THOMAS_FERMI_EV = 20.92


@dataclass(frozen=True, kw_only=True)
class Tolerances:
    """What is let pass; see the constants of this module."""

    closest: float = CLOSEST
    net_force_eV_per_A: float = NET_FORCE_EV_PER_A
    energy_spread_eV_per_atom: float = ENERGY_SPREAD_EV_PER_ATOM


@dataclass(frozen=True, kw_only=True)
class LabelledFrame:
    """A frame with its labels; `file` and `number` (from 0) say where it comes from."""

    file: str
    number: int
    atoms: Atoms
    energy_eV: float
    forces_eV_per_A: NDArray[np.float64]

    @property
    def place(self) -> str:
        """Where it comes from, as messages say it."""
        return f"{self.file} frame {self.number}"

    @property
    def energy_eV_per_atom(self) -> float:
        """Energy for each atom."""
        return self.energy_eV / len(self.atoms)


def geometry_fault(atoms: Atoms, *, closest: float = CLOSEST) -> str | None:
    """Why these atoms are no structure, None if they are one.

    Parameters
    ----------
    atoms
        Positions and cell in Angstrom.
    closest
        Least distance of two atoms, in sums of their covalent radii.
    """
    if len(atoms) == 0:
        return "found no atoms"
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        return "found a position or cell vector that is not finite"
    if atoms.pbc.any() and not abs(atoms.cell.volume) > 0:
        return "found periodic boundaries without a cell"
    radii = covalent_radii[atoms.numbers]
    first, second, distances = neighbor_list("ijd", atoms, closest * radii)
    if len(distances) == 0:
        return None
    nearest = int(np.argmin(distances / (radii[first] + radii[second])))
    i, j = int(first[nearest]), int(second[nearest])
    needed = closest * (radii[i] + radii[j])
    return (
        f"found atoms {i} ({atoms.symbols[i]}) and {j} ({atoms.symbols[j]}) at {distances[nearest]:.3f} Angstrom, "
        f"needed at least {needed:.2f}"
    )


def label_faults(frame: LabelledFrame, tolerances: Tolerances) -> Iterator[str]:
    """What is wrong with the labels of one frame."""
    forces = frame.forces_eV_per_A
    if not np.isfinite(frame.energy_eV):
        yield f"found the energy {frame.energy_eV}, needed a finite number"
    else:
        lowest = -_THOMAS_FERMI_EV * float(np.mean(frame.atoms.numbers ** (7 / 3)))
        if frame.energy_eV_per_atom < lowest:
            yield (
                f"found {frame.energy_eV_per_atom:.0f} eV/atom, below {lowest:.0f}, which all electrons of these atoms "
                f"have: looks like kcal/mol or another unit; give --units"
            )
    if not np.isfinite(forces).all():
        yield "found a force that is not finite"
        return
    net = float(np.linalg.norm(forces.sum(axis=0))) / len(forces)
    if net > tolerances.net_force_eV_per_A:
        yield (
            f"the forces sum to {net * len(forces):.3g} eV/Angstrom, {net:.2g} for each atom, needed at most "
            f"{tolerances.net_force_eV_per_A:g}: a frame that was cut or not converged, or --net-force is too small"
        )


def unit_fault(frames: Sequence[LabelledFrame]) -> str | None:
    """What the forces of one file look like if not like eV/Angstrom; None if they look well."""
    finite = [frame.forces_eV_per_A for frame in frames if np.isfinite(frame.forces_eV_per_A).all()]
    if not finite:
        return None
    rms = float(np.sqrt(np.mean(np.concatenate(finite) ** 2)))
    low, high = FORCE_RMS_RANGE_EV_PER_A
    if low <= rms <= high:
        return None
    looks = "Hartree/Bohr or Ry/Bohr" if rms < low else "kcal/mol/Angstrom"
    return (
        f"the forces have an rms of {rms:.3g}, in eV/Angstrom needed {low:g} to {high:g}: looks like {looks}; give "
        f"--units, with eV/Angstrom if that is what they are"
    )


def duplicates(frames: Sequence[tuple[str, Atoms]]) -> Mapping[int, str]:
    """Frames that repeat an earlier geometry: index, and the place of the earlier one.

    Parameters
    ----------
    frames
        Place and atoms of each frame, in order.
    """
    first: dict[str, str] = {}
    repeated = {}
    for index, (place, atoms) in enumerate(frames):
        earlier = first.setdefault(geometry_hash(atoms), place)
        if earlier is not place:
            repeated[index] = earlier
    return repeated


def geometry_hash(atoms: Atoms) -> str:
    """SHA-256 of a geometry to 1e-4 Angstrom, the same however a periodic cell is turned in space.

    Equal atoms in another order, and other images of atoms, make another hash.
    """
    cell, rotation = atoms.cell.standard_form() if atoms.cell.rank == 3 else (atoms.cell, np.eye(3))
    lengths_A = np.concatenate([cell[:], atoms.positions @ rotation.T])
    digest = hashlib.sha256(" ".join(atoms.get_chemical_symbols()).encode())
    digest.update(np.floor(lengths_A / _HASH_STEP_A + _HASH_OFFSET).astype(np.int64).tobytes())
    return digest.hexdigest()


def other_zeros(frames: Sequence[LabelledFrame], tolerances: Tolerances) -> Mapping[int, str]:
    """Frames whose energy has another zero than that of most frames of the same composition: index and why."""
    groups: dict[str, list[int]] = {}
    for index, frame in enumerate(frames):
        if np.isfinite(frame.energy_eV):
            # Of one composition up to the number of units: supercells have the energy for each atom of their cell.
            groups.setdefault(frame.atoms.symbols.formula.reduce()[0].format("hill"), []).append(index)
    found = {}
    for formula, members in groups.items():
        middle = median(frames[index].energy_eV_per_atom for index in members)
        for index in members:
            off = frames[index].energy_eV_per_atom - middle
            if abs(off) > tolerances.energy_spread_eV_per_atom:
                found[index] = (
                    f"found {frames[index].energy_eV_per_atom:.3f} eV/atom, {off:+.2f} off the median of the "
                    f"{len(members)} frames of {formula}, needed at most "
                    f"{tolerances.energy_spread_eV_per_atom:g}: another energy zero, functional or code"
                )
    return found
