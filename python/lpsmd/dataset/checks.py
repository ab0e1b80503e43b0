"""What is wrong with a frame, or with its labels, in one sentence; energies in eV, lengths in Angstrom."""

from __future__ import annotations

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
#: Largest sum of the forces over the root of the number of atoms, eV/Angstrom. Errors of the forces (rounding, grids)
#: are independent, so that their sum goes as that root. The force on atoms that were lost does not grow with the
#: number of those that are left: a limit for each atom would let it pass in a large cell.
NET_FORCE_EV_PER_A = 1e-2
#: Energies of one composition lie within some 0.1 eV/atom, also at 1200 K; another zero is several eV away.
ENERGY_SPREAD_EV_PER_ATOM = 1.0
#: Force rms of a file in eV/Angstrom: about 1 at 900 K, it grows as the root of the temperature, so that the least is
#: that of vibrations at some 5 K, and the largest that of a structure that explodes. Units that differ from eV/Angstrom
#: by less than such a range, as eV/Bohr does by 1.9, cannot be told.
FORCE_RMS_RANGE_EV_PER_A = (0.06, 15.0)

# Thomas and Fermi: all electrons of an atom have -0.7687 Z^(7/3) Hartree, and the true energy is above.
_THOMAS_FERMI_EV = 20.92


@dataclass(frozen=True, kw_only=True)
class Tolerances:
    """What is let pass; see the constants of this module.

    `largest_force_eV_per_A` bounds the force on any atom. None by default: what is too much depends on what the models
    are for.
    """

    closest: float = CLOSEST
    net_force_eV_per_A: float = NET_FORCE_EV_PER_A
    energy_spread_eV_per_atom: float = ENERGY_SPREAD_EV_PER_ATOM
    largest_force_eV_per_A: float | None = None


@dataclass(frozen=True, kw_only=True)
class LabelledFrame:
    """A frame with its labels; `file` and `number` (from 0) say where it comes from.

    `atoms` has no calculator, and its `info` the keys with which it is written.
    """

    file: str
    number: int
    atoms: Atoms
    energy_eV: float
    forces_eV_per_A: NDArray[np.float64]
    had_stress: bool = False

    @property
    def name(self) -> str:
        """Its key `frame`."""
        return str(self.atoms.info["frame"])

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
    net = float(np.linalg.norm(forces.sum(axis=0)))
    allowed = tolerances.net_force_eV_per_A * len(forces) ** 0.5
    if net > allowed:
        yield (
            f"the forces sum to {net:.3g} eV/Angstrom, needed at most {allowed:.3g} ({tolerances.net_force_eV_per_A:g} "
            f"times the root of {len(forces)} atoms): atoms were lost, the frame is not converged, or --net-force is "
            f"too small"
        )
    limit = tolerances.largest_force_eV_per_A
    sizes = np.linalg.norm(forces, axis=1)
    strongest = int(np.argmax(sizes))
    if limit is not None and sizes[strongest] > limit:
        yield (
            f"found a force of {sizes[strongest]:.2f} eV/Angstrom on atom {strongest} "
            f"({frame.atoms.symbols[strongest]}), needed at most {limit:g} (--largest-force)"
        )


def unit_fault(frames: Sequence[LabelledFrame], *, converted_from: str | None = None) -> str | None:
    """What the forces of one file look like if not like eV/Angstrom; None if they look well.

    Parameters
    ----------
    frames
        In eV/Angstrom, if the file was what it was taken for.
    converted_from
        What it was taken for, if not for eV/Angstrom.
    """
    finite = [frame.forces_eV_per_A for frame in frames if np.isfinite(frame.forces_eV_per_A).all()]
    if not finite:
        return None
    rms = float(np.sqrt(np.mean(np.concatenate(finite) ** 2)))
    low, high = FORCE_RMS_RANGE_EV_PER_A
    if low <= rms <= high:
        return None
    if converted_from is not None:
        return (
            f"the forces have an rms of {rms:.3g} eV/Angstrom if those of the file are in {converted_from}, needed "
            f"{low:g} to {high:g}: the file is in other units; give those as --units, or leave it out for eV/Angstrom"
        )
    looks = "Hartree/Bohr or Ry/Bohr" if rms < low else "kcal/mol/Angstrom"
    return (
        f"the forces have an rms of {rms:.3g}, in eV/Angstrom needed {low:g} to {high:g}: looks like {looks}; give "
        f"--units, with eV/Angstrom if that is what they are"
    )


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
