"""Whether a frame of the dynamics wants a label: refused, known, wanted or unphysical."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data.vdw_alvarez import vdw_radii
from ase.neighborlist import neighbor_list

from lpsmd.analysis.framework import framework_for
from lpsmd.dataset.checks import geometry_fault
from lpsmd.ensemble.files import read_json, write_json
from lpsmd.models.contract import ModelFileError
from lpsmd.selection.committee import Bounds, Committee, Trust
from lpsmd.selection.sampling import SampledFrame

#: The verdict on a frame that is not refused, where no committee is asked.
WHOLE = "whole"
#: Of the closest distance that is known, the least that passes. Against the first 61 frames of the data set, those of
#: batch 1 have 0.87 or more, but for three in which two Cl came together as Cl2: 0.54 to 0.59.
CLOSEST_KNOWN = 0.8


class Refusal(StrEnum):
    """Why a frame is not labelled, whatever the committee says of it."""

    DISTANCE = "impossible distance"
    BROKEN = "broken unit"
    CONTACT = "contact closer than known"
    MODEL = "refused by a model"


@dataclass(frozen=True, kw_only=True, eq=False)
class SeenFrame:
    """A frame and what was found: a refusal, or the deviation of the committee and where that lies.

    All are None for a whole frame about which no committee was asked.
    """

    frame: SampledFrame
    refusal: Refusal | None = None
    deviation_eV_per_A: float | None = None
    trust: Trust | None = None

    @property
    def verdict(self) -> str:
        """In one word or two."""
        return str(self.refusal or self.trust or WHOLE)


class Deviations:
    """Committee deviations of frames, kept in a file, so that other bounds do not ask the models again; refusals too.

    Parameters
    ----------
    committee
        Who is asked about frames that are not in the file.
    file
        JSON; what another committee said there is forgotten.
    """

    def __init__(self, committee: Committee, file: Path) -> None:
        self._committee = committee
        self._file = file
        kept = read_json(file) if file.is_file() else {}
        mine = kept.get("committee") == committee.sha256
        self._known: dict[str, float] = kept["deviations"] if mine else {}
        self._refused: dict[str, str] = kept.get("refused", {}) if mine else {}

    def of(self, frame: SampledFrame) -> float | None:
        """The deviation, eV/Angstrom; None where a model cannot take the frame: more neighbours than it allows for."""
        if frame.name not in self._known.keys() | self._refused.keys():
            try:
                self._known[frame.name] = self._committee.deviation_eV_per_A(frame.atoms)
            except ModelFileError as error:
                self._refused[frame.name] = str(error)
        return self._known.get(frame.name)

    def keep(self) -> None:
        """Write the file."""
        write_json(
            self._file,
            {"committee": self._committee.sha256, "deviations": self._known, "refused": self._refused},
        )


def judge(
    frame: SampledFrame, deviations: Deviations, bounds: Bounds, limits_A: Mapping[tuple[str, str], float] | None = None
) -> SeenFrame:
    """Refuse a frame, see `refusal_of`, or find the deviation of the committee."""
    refusal = refusal_of(frame.atoms, limits_A)
    if refusal is not None:
        return SeenFrame(frame=frame, refusal=refusal)
    deviation = deviations.of(frame)
    if deviation is None:
        return SeenFrame(frame=frame, refusal=Refusal.MODEL)
    return SeenFrame(frame=frame, deviation_eV_per_A=deviation, trust=bounds.place(deviation))


def contact_limits_A(known: Sequence[Atoms]) -> dict[tuple[str, str], float]:
    """How close two atoms of each pair of elements may come: 0.8 times the closest distance in known frames, Angstrom.

    Parameters
    ----------
    known
        Periodic frames that have labels. Elements that are in one of them, but never closer than the sum of their van
        der Waals radii (Alvarez, doi:10.1039/c3dt50599e), count as if that close: Cl-Cl is 5.4 Angstrom in ordered
        cells, and 3.2 with disorder. Elements that are not in one frame have no limit.
    """
    limits_A: dict[tuple[str, str], float] = {}
    for atoms in known:
        radii_A = np.nan_to_num(vdw_radii[atoms.numbers])
        first, second, distances_A = neighbor_list("ijd", atoms, radii_A)
        radius_A = dict(zip(atoms.symbols, radii_A, strict=True))
        for one, other in itertools.combinations_with_replacement(sorted(radius_A), 2):
            of_pair = (atoms.symbols[first] == one) & (atoms.symbols[second] == other)
            closest_A = float(distances_A[of_pair].min(initial=radius_A[one] + radius_A[other]))
            limits_A[one, other] = min(limits_A.get((one, other), np.inf), CLOSEST_KNOWN * closest_A)
    return limits_A


def refusal_of(atoms: Atoms, limits_A: Mapping[tuple[str, str], float] | None = None) -> Refusal | None:
    """Atoms on one another; in thiophosphates, a P with fewer than four S within 2.8 Angstrom; atoms within a limit.

    Parameters
    ----------
    atoms
        A frame.
    limits_A
        Of pairs of elements, see `contact_limits_A`; none if left out.
    """
    if geometry_fault(atoms) is not None:
        return Refusal.DISTANCE
    if _is_broken(atoms):
        return Refusal.BROKEN
    return Refusal.CONTACT if limits_A and len(neighbor_list("i", atoms, limits_A)) else None


def _is_broken(atoms: Atoms) -> bool:
    framework = framework_for(atoms.get_chemical_symbols())
    if framework is None:
        return False
    centre, _ = framework.bond
    bonded = neighbor_list("i", atoms, {framework.bond: framework.bond_limit_A})
    bonds = np.bincount(bonded, minlength=len(atoms))[atoms.symbols == centre]
    return bool(bonds.min() < framework.coordination)
