"""Labelled frames as they stand in anyone's files: energy and forces of one source, names, and what they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree, Rydberg, kcal, mol
from numpy.typing import NDArray

from lpsmd.dataset.checks import LabelledFrame, geometry_fault
from lpsmd.dataset.errors import DatasetError
from lpsmd.dataset.keys import FRAME, START, TRAJECTORY, is_dynamics, is_plain

#: Energy in eV and force in eV/Angstrom of one unit of the file; positions are in Angstrom in any case.
UNITS: Mapping[str, tuple[float, float]] = {
    "eV/Angstrom": (1.0, 1.0),
    "Hartree/Bohr": (Hartree, Hartree / Bohr),
    "Ry/Bohr": (Rydberg, Rydberg / Bohr),
    "kcal/mol/Angstrom": (kcal / mol, kcal / mol),
}

#: The source of labels that is ASE's own: what its readers know as energy and forces.
CALCULATOR = "calculator"
#: Prefixes under which labels are looked for without being told: others may be those of a model's predictions.
PREFIXES = ("REF_", "ref_", "DFT_", "dft_")

#: Numbers of two sources, or of two copies, that are the same (eV, eV/Angstrom): extended XYZ rounds to 1e-8.
SAME_LABEL = 1e-6
_OF_OTHER_LABELS = ("energy", "forces", "stress", "virial", "virials", "stress_pulay")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files are read.

    `units` is one of `UNITS`, `source` `CALCULATOR` or a prefix (None: the one that there is), `level` and `recipe` are
    for frames that have none; `independent` says that frames that name no dynamics are of none.
    """

    units: str = "eV/Angstrom"
    source: str | None = None
    level: str | None = None
    recipe: str | None = None
    independent: bool = False


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A frame that is not taken: its file, its number (from 0), and why."""

    file: str
    number: int
    why: str

    def __str__(self) -> str:
        return f"{self.file} frame {self.number}: {self.why}"


def read_labelled(file: Path, reading: Reading, *, closest: float) -> tuple[list[LabelledFrame], list[Refused]]:
    """Frames with labels and a possible geometry, in eV and Angstrom, and the others.

    Parameters
    ----------
    file
        Anything that ASE reads.
    reading
        How.
    closest
        Least distance of two atoms, in sums of their covalent radii.

    Raises
    ------
    DatasetError
        If the file cannot be read.
    """
    try:
        found = ase.io.read(file, ":")
    except Exception as error:  # ASE's readers raise anything
        raise DatasetError(f"{file}: cannot be read: {error}") from error
    good, refused = [], []
    for number, atoms in enumerate(found):
        labels = geometry_fault(atoms, closest=closest) or labels_of(atoms, reading.source)
        if isinstance(labels, str):
            refused.append(Refused(file=str(file), number=number, why=labels))
            continue
        energy, forces = labels
        in_eV, in_eV_per_A = UNITS[reading.units]
        good.append(
            LabelledFrame(
                file=str(file),
                number=number,
                atoms=_bare(atoms, file, number, reading),
                energy_eV=energy * in_eV,
                forces_eV_per_A=forces * in_eV_per_A,
                had_stress=_has_stress(atoms),
            )
        )
    return good, refused


def labels_of(atoms: Atoms, source: str | None = None) -> tuple[float, NDArray[np.float64]] | str:
    """Energy and forces (shape [atoms, 3]) of one source as they stand there, or why there are none.

    Parameters
    ----------
    atoms
        With labels as ASE reads them, or under a prefix: `info['REF_energy']` and `arrays['REF_forces']`.
    source
        `CALCULATOR` or a prefix; None: ASE's, or one of `PREFIXES`, whichever is there. Two that differ are refused.
    """
    sources = _sources(atoms)
    complete = {name: values for name, values in sources.items() if all(value is not None for value in values)}
    wanted = [name for name in ((CALCULATOR, *PREFIXES) if source is None else (source,)) if name in complete]
    if not wanted:
        return _missing(atoms, sources, source)
    labels = {name: _numbers(atoms, name, *complete[name]) for name in wanted}
    first = labels[wanted[0]]
    for name, other in labels.items():
        if isinstance(other, str):
            return other
        if not isinstance(first, str) and not _agree(first, other):
            return (
                f"found labels that differ under {wanted[0]} and {name} (energies {first[0]:.8g} and {other[0]:.8g}); "
                f"say which are meant: --labels {wanted[0]} or --labels {name}"
            )
    return first


def _sources(atoms: Atoms) -> dict[str, tuple[Any, Any]]:
    """Energy and forces by source; None where one of them is missing."""
    results = {} if atoms.calc is None else atoms.calc.results
    prefixes = [key.removesuffix("energy") for key in atoms.info if key.endswith("energy")]
    prefixes += [key.removesuffix("forces") for key in atoms.arrays if key.endswith("forces")]
    found = {CALCULATOR: (results.get("energy"), results.get("forces"))}
    for prefix in dict.fromkeys(filter(None, prefixes)):
        found[prefix] = (atoms.info.get(f"{prefix}energy"), atoms.arrays.get(f"{prefix}forces"))
    return {name: values for name, values in found.items() if any(value is not None for value in values)}


def _missing(atoms: Atoms, sources: Mapping[str, tuple[Any, Any]], source: str | None) -> str:
    has = [
        f"{name}: {' and '.join(what for what, value in (('energy', energy), ('forces', forces)) if value is not None)}"
        for name, (energy, forces) in sources.items()
    ]
    needed = f"both under {source}" if source else "both from ASE's reader, or as REF_energy and REF_forces (dft_ ...)"
    return (
        f"found no energy with forces of one source ({', '.join(has) or 'no label at all'}), needed {needed}; "
        f"--labels PREFIX takes those under another prefix; its keys are {', '.join([*atoms.info, *atoms.arrays])}"
    )


def _numbers(atoms: Atoms, source: str, energy: Any, forces: Any) -> tuple[float, NDArray[np.float64]] | str:
    try:
        numbers = np.asarray(energy, dtype=float), np.asarray(forces, dtype=float)
    except (TypeError, ValueError):
        return f"found energy or forces under {source} that are no numbers"
    if numbers[0].size != 1:
        return f"found an energy of shape {numbers[0].shape} under {source}, needed one number"
    if numbers[1].shape != (len(atoms), 3):
        return f"found forces of shape {numbers[1].shape} under {source}, needed {(len(atoms), 3)}: three for each atom"
    return float(numbers[0].item()), numbers[1]


def _agree(first: tuple[float, NDArray[np.float64]], other: tuple[float, NDArray[np.float64]]) -> bool:
    return all(np.allclose(first[n], other[n], rtol=0.0, atol=SAME_LABEL, equal_nan=True) for n in (0, 1))


def _has_stress(atoms: Atoms) -> bool:
    results = {} if atoms.calc is None else atoms.calc.results
    return "stress" in results or any(key.lower().endswith(("stress", "virial", "virials")) for key in atoms.info)


def _bare(atoms: Atoms, file: Path, number: int, reading: Reading) -> Atoms:
    """Geometry and plain keys, with a name, a source, and what it belongs to; without any label."""
    bare = Atoms(atoms.get_chemical_symbols(), positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    origin = file.resolve()
    folder_and_stem = f"{origin.parent.name}/{origin.stem}"
    info = {key: value for key, value in atoms.info.items() if is_plain(value) and not key.endswith(_OF_OTHER_LABELS)}
    name = str(info.pop(FRAME, f"{folder_and_stem}_{number}"))
    bare.info = {FRAME: name, **info}
    if START not in info and TRAJECTORY not in info and is_dynamics(bare.info):
        # Which frames of a file are neighbours in time is not known: they stay together, unless none are said to be.
        bare.info[TRAJECTORY] = name if reading.independent else folder_and_stem
    for key, value in (("level", reading.level), ("recipe", reading.recipe)):
        if value is not None:
            bare.info.setdefault(key, value)
    bare.info.setdefault("source", f"{file} frame {number}")
    return bare
