"""Whether a frame of the dynamics wants a label: refused, known, wanted or unphysical."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from lpsmd.analysis.framework import framework_for
from lpsmd.dataset.checks import geometry_fault
from lpsmd.ensemble.files import read_json, write_json
from lpsmd.models.contract import ModelFileError
from lpsmd.selection.committee import Bounds, Committee, Trust
from lpsmd.selection.sampling import SampledFrame

#: The verdict on a frame that is not refused, where no committee is asked.
WHOLE = "whole"


class Refusal(StrEnum):
    """Why a frame is not labelled, whatever the committee says of it."""

    DISTANCE = "impossible distance"
    BROKEN = "broken unit"
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


def judge(frame: SampledFrame, deviations: Deviations, bounds: Bounds) -> SeenFrame:
    """Refuse a frame, or find the deviation of the committee."""
    refusal = refusal_of(frame.atoms)
    if refusal is not None:
        return SeenFrame(frame=frame, refusal=refusal)
    deviation = deviations.of(frame)
    if deviation is None:
        return SeenFrame(frame=frame, refusal=Refusal.MODEL)
    return SeenFrame(frame=frame, deviation_eV_per_A=deviation, trust=bounds.place(deviation))


def refusal_of(atoms: Atoms) -> Refusal | None:
    """Atoms on one another; or, in thiophosphates, a P with fewer than four S within 2.8 Angstrom."""
    if geometry_fault(atoms) is not None:
        return Refusal.DISTANCE
    framework = framework_for(atoms.get_chemical_symbols())
    if framework is None:
        return None
    centre, _ = framework.bond
    bonded = neighbor_list("i", atoms, {framework.bond: framework.bond_limit_A})
    bonds = np.bincount(bonded, minlength=len(atoms))[atoms.symbols == centre]
    return Refusal.BROKEN if bonds.min() < framework.coordination else None
