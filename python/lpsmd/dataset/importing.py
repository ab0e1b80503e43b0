"""Labelled frames from any code into one set, each of them checked."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import Bohr, Hartree, Rydberg, kcal, mol

from lpsmd.dataset.checks import (
    LabelledFrame,
    Tolerances,
    duplicates,
    geometry_fault,
    label_faults,
    other_zeros,
    unit_fault,
)
from lpsmd.ensemble.files import write_atomically
from lpsmd.errors import LpsmdError

#: Energy in eV and force in eV/Angstrom of one unit of the file; positions are in Angstrom in any case.
UNITS: Mapping[str, tuple[float, float]] = {
    "eV/Angstrom": (1.0, 1.0),
    "Hartree/Bohr": (Hartree, Hartree / Bohr),
    "Ry/Bohr": (Rydberg, Rydberg / Bohr),
    "kcal/mol/Angstrom": (kcal / mol, kcal / mol),
}

#: Where labels are if not where ASE puts them.
_ENERGY_KEYS = ("REF_energy", "dft_energy")
_FORCES_KEYS = ("REF_forces", "dft_forces")


class DatasetError(LpsmdError):
    """Labelled frames that no model should be trained on."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A frame that is not taken: its file, its number (from 0), and why."""

    file: str
    number: int
    why: str

    def __str__(self) -> str:
        return f"{self.file} frame {self.number}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Imported:
    """How many frames were written and left out, and every fault of the latter."""

    written: int
    left_out: int
    refused: tuple[Refused, ...]


def import_dataset(
    files: Sequence[Path],
    output: Path,
    *,
    units: str | None = None,
    tolerances: Tolerances | None = None,
    skip_bad: bool = False,
) -> Imported:
    """Check labelled frames and write them as one extended XYZ file in eV and Angstrom.

    Parameters
    ----------
    files
        Anything that ASE reads with energies and forces; positions in Angstrom.
    output
        Extended XYZ to write, atomically.
    units
        One of `UNITS`, converted to eV and Angstrom. None stands for eV/Angstrom, and files that look otherwise are
        refused.
    tolerances
        What is let pass.
    skip_bad
        Leave bad frames out; else one bad frame means that nothing is written.

    Raises
    ------
    DatasetError
        Naming each bad frame, or that no frame is left.
    """
    allowed = tolerances or Tolerances()
    good: list[LabelledFrame] = []
    refused: list[Refused] = []
    for file in files:
        found, bad = _read(file, units or "eV/Angstrom", allowed)
        refused += bad
        looks = unit_fault(found) if units is None else None
        if looks:
            refused += [_refuse(frame, looks) for frame in found]
        else:
            good += found
    repeated = duplicates([(frame.place, frame.atoms) for frame in good])
    zeros = other_zeros(good, allowed)
    kept = []
    for index, frame in enumerate(good):
        faults = list(label_faults(frame, allowed))
        if index in repeated:
            faults.append(f"repeats the geometry of {repeated[index]}")
        if index in zeros:
            faults.append(zeros[index])
        refused += [_refuse(frame, fault) for fault in faults]
        if not faults:
            kept.append(frame)
    refused.sort(key=lambda entry: (entry.file, entry.number))
    if refused and not skip_bad:
        raise DatasetError("\n  ".join([_headline(refused), *map(str, refused)]))
    if not kept:
        raise DatasetError("\n  ".join([f"found no good frame in {', '.join(map(str, files))}", *map(str, refused)]))
    _write(output, kept)
    return Imported(written=len(kept), left_out=_frames(refused), refused=tuple(refused))


def _refuse(frame: LabelledFrame, why: str) -> Refused:
    return Refused(file=frame.file, number=frame.number, why=why)


def _frames(refused: Sequence[Refused]) -> int:
    return len({(entry.file, entry.number) for entry in refused})


def _headline(refused: Sequence[Refused]) -> str:
    frames = _frames(refused)
    return f"{frames} bad frame{'s' if frames > 1 else ''}; nothing was written (--skip-bad leaves them out)"


def _read(file: Path, units: str, allowed: Tolerances) -> tuple[list[LabelledFrame], list[Refused]]:
    """Frames with labels and a possible geometry, and the others."""
    try:
        found = ase.io.read(file, ":")
    except Exception as error:  # ASE's readers raise anything
        raise DatasetError(f"{file}: cannot be read: {error}") from error
    good, refused = [], []
    for number, atoms in enumerate(found):
        fault = geometry_fault(atoms, closest=allowed.closest)
        labels = None if fault else _labels(atoms)
        if isinstance(labels, str):
            fault = labels
        if fault:
            refused.append(Refused(file=str(file), number=number, why=fault))
        elif isinstance(labels, tuple):
            energy, forces = labels
            in_eV, in_eV_per_A = UNITS[units]
            good.append(
                LabelledFrame(
                    file=str(file),
                    number=number,
                    atoms=atoms,
                    energy_eV=energy * in_eV,
                    forces_eV_per_A=forces * in_eV_per_A,
                )
            )
    return good, refused


def _labels(atoms: Atoms) -> tuple[float, Any] | str:
    """Energy and forces as they stand there, or what is missing."""
    results = {} if atoms.calc is None else atoms.calc.results
    energy = results.get("energy", _first(atoms.info, _ENERGY_KEYS))
    forces = results.get("forces", _first(atoms.arrays, _FORCES_KEYS))
    missing = [name for name, value in (("energy", energy), ("forces", forces)) if value is None]
    if missing:
        names = {"energy": _ENERGY_KEYS, "forces": _FORCES_KEYS}
        keys = ", ".join(f"{name} (or {', '.join(names[name])})" for name in missing)
        return f"found no {keys}; its keys are {', '.join([*atoms.info, *atoms.arrays])}"
    return float(energy), np.asarray(forces, dtype=float)


def _first(values: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((values[key] for key in keys if key in values), None)


def _write(output: Path, frames: Sequence[LabelledFrame]) -> None:
    stream = io.StringIO()
    ase.io.write(stream, [_labelled(frame) for frame in frames], format="extxyz")
    write_atomically(output, stream.getvalue())


def _labelled(frame: LabelledFrame) -> Atoms:
    """As ASE has it: no stress, since its unit and sign are not known; with the key `frame` and where it comes from."""
    atoms = Atoms(
        frame.atoms.get_chemical_symbols(),
        positions=frame.atoms.positions,
        cell=frame.atoms.cell,
        pbc=frame.atoms.pbc,
    )
    plain = {
        key: value
        for key, value in frame.atoms.info.items()
        if isinstance(value, str | bool | int | float | np.bool_ | np.integer | np.floating) and key not in _ENERGY_KEYS
    }
    name = f"{Path(frame.file).stem}_{frame.number}"
    atoms.info = {"frame": name, **plain, "source": frame.place}
    atoms.calc = SinglePointCalculator(atoms, energy=frame.energy_eV, forces=frame.forces_eV_per_A)
    return atoms
