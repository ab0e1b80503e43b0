"""Input and output of Quantum ESPRESSO's pw.x, for single points of an insulator at the Gamma point.

The numbers come from the XML file, in which they are whole; what went wrong is only in the printed text. Neither the
exit code nor the XML tell of an outer loop over the exchange that has not converged (version 6.7): the text does.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from ase.units import Bohr, Hartree
from numpy.typing import NDArray

from lpsmd.ensemble.failures import FailureKind, classify, signal_of, tail_of
from lpsmd.ensemble.files import read_text
from lpsmd.labels.pseudopotentials import pseudopotential_name
from lpsmd.labels.recipe import Recipe

#: Where pw.x keeps charge and wave functions, below the folder in which it runs.
SCRATCH = "out"
#: Its results, as seen from the folder in which it runs.
XML = Path(SCRATCH) / "lpsmd.save" / "data-file-schema.xml"
#: How pw.x calls the functionals, and its routines that read input.
_NAMES = {"PBE": "PBE", "HSE06": "HSE"}
_READS_INPUT = re.compile(r"iosys|read_namelists|read_cards|card_\w+|\w+_checkin|readpp|read_ps\w*|set_dft_\w+")
_EXCHANGE_CONVERGED = "EXX self-consistency reached"


class PwFailure(Exception):  # noqa: N818 (a result, not a fault of ours)
    """A run of pw.x that gave no label, with its own words."""


class PwRefusal(PwFailure):
    """pw.x does not take what it was asked for, and would not for any other frame."""


class PwBroken(PwFailure):
    """pw.x ended too soon and did not say that the frame is to blame: a crash, the memory, the disk, a person."""


@dataclass(frozen=True, kw_only=True)
class PwResult:
    """What pw.x found: forces [atoms, 3], stress [3, 3] with ASE's sign."""

    energy_eV: float
    forces_eV_per_A: NDArray[np.float64]
    stress_eV_per_A3: NDArray[np.float64] | None
    gap_eV: float
    version: str
    cpu_s: float
    wall_s: float


def geometry_cards(symbols: Sequence[str], positions: NDArray[np.float64], cell: NDArray[np.float64]) -> str:
    """The cards CELL_PARAMETERS and ATOMIC_POSITIONS, with eight digits, as extended XYZ has them.

    Parameters
    ----------
    symbols
        Element of each atom.
    positions
        Angstrom, shape [atoms, 3].
    cell
        Angstrom, one vector a row, shape [3, 3].
    """

    def row(vector: NDArray[np.float64]) -> str:
        return " ".join(f"{value:.8f}" for value in np.round(vector, 8) + 0.0)  # no -0

    atoms = [f"{symbol} {row(position)}" for symbol, position in zip(symbols, positions, strict=True)]
    return "\n".join(["CELL_PARAMETERS angstrom", *map(row, cell), "ATOMIC_POSITIONS angstrom", *atoms]) + "\n"


def pw_input(functional: str, recipe: Recipe, *, symbols: Sequence[str], geometry: str, pseudopotentials: str) -> str:
    """The input of pw.x for one functional; that of HSE06 starts from what a run with PBE has left.

    Parameters
    ----------
    functional : {"PBE", "HSE06"}
    recipe
        What is asked for.
    symbols
        Element of each atom.
    geometry
        What `geometry_cards` made of the atoms.
    pseudopotentials
        Folder of the pseudopotentials, as seen from where pw.x runs.
    """
    elements = [element for element in recipe.pseudopotentials if element in symbols]
    electrons = sum(recipe.valence(symbol) for symbol in symbols)
    system = {
        "ibrav": 0,
        "nat": len(symbols),
        "ntyp": len(elements),
        "ecutwfc": recipe.plane_waves.ecutwfc_Ry,
        "nbnd": electrons // 2 + recipe.plane_waves.empty_bands,
        "nosym": True,
        **(_hse06(recipe) if functional == "HSE06" else {"input_dft": "PBE"}),
    }
    control = {
        "calculation": "scf",
        "prefix": "lpsmd",
        "outdir": SCRATCH,
        "pseudo_dir": pseudopotentials,
        "disk_io": "low",
        "tprnfor": True,
        "tstress": functional == "PBE" and recipe.PBE.stress,
    }
    electrons_section = {
        "conv_thr": recipe.HSE06.conv_thr_Ry if functional == "HSE06" else recipe.PBE.conv_thr_Ry,
        "mixing_beta": recipe.scf.mixing_beta,
        "mixing_ndim": recipe.scf.mixing_ndim,
        "electron_maxstep": recipe.scf.electron_maxstep,
        **({"startingpot": "file", "startingwfc": "file"} if functional == "HSE06" else {}),
    }
    species = [
        f"{element} {atomic_masses[atomic_numbers[element]]:.4f} "
        f"{pseudopotential_name(recipe.pseudopotentials[element], element)}"
        for element in elements
    ]
    lists = [_namelist("CONTROL", control), _namelist("SYSTEM", system), _namelist("ELECTRONS", electrons_section)]
    return "\n".join([*lists, "ATOMIC_SPECIES", *species, geometry + "K_POINTS gamma"]) + "\n"


def _hse06(recipe: Recipe) -> dict[str, object]:
    section = recipe.HSE06
    return {
        "input_dft": "HSE",
        "exx_fraction": section.exx_fraction,
        "screening_parameter": section.screening_parameter_per_bohr,
        "ecutfock": section.ecutfock_Ry,
        "nqx1": section.nqx[0],
        "nqx2": section.nqx[1],
        "nqx3": section.nqx[2],
        "exxdiv_treatment": section.exxdiv_treatment,
        "x_gamma_extrapolation": section.x_gamma_extrapolation,
    }


def _namelist(name: str, values: dict[str, object]) -> str:
    def fortran(value: object) -> str:
        if isinstance(value, bool):
            return f".{str(value).lower()}."
        return f"'{value}'" if isinstance(value, str) else str(value)

    return "\n".join([f"&{name}", *(f"  {key} = {fortran(value)}" for key, value in values.items()), "/"])


def read_result(folder: Path, printed: Path, *, functional: str, recipe: Recipe, exit_code: int) -> PwResult:
    """What a run of pw.x found.

    Parameters
    ----------
    folder
        Where it ran.
    printed
        File with what it printed.
    functional, recipe, exit_code
        What it was asked for, and how it ended.

    Raises
    ------
    PwFailure
        If it did not converge, failed, or left numbers that are none.
    PwRefusal
        If it refused its input, or computed another functional.
    PwBroken
        If it ended too soon.
    """
    said = read_text(printed)
    problem = _problem(said, functional=functional, exit_code=exit_code)
    if problem:
        raise problem
    try:
        root = ElementTree.parse(folder / XML).getroot()
        _check_functional(root, functional, recipe)
        result = _parse(root)
    except (OSError, ElementTree.ParseError, AttributeError, ValueError) as error:
        raise PwFailure(f"pw.x ended well, but {XML} cannot be read: {error!r}") from error
    if not all(np.isfinite(value).all() for value in (result.energy_eV, result.forces_eV_per_A, result.gap_eV)):
        raise PwFailure("pw.x found numbers that are not finite")
    return result


def _problem(said: str, *, functional: str, exit_code: int) -> PwFailure | None:
    """What went wrong, in pw.x's own words."""
    unconverged = re.search(r"^ *(.*convergence NOT achieved.*)$", said, flags=re.MULTILINE)
    if unconverged:
        return PwFailure(unconverged[1].strip())
    error = re.search(r"Error in routine +(.*?):? *\n *(.*?) *\n *%%%", said, flags=re.DOTALL)
    if error:
        words = f"{error[1]}: {' '.join(error[2].split())}"
        kind, _ = classify(said=words, exit_code=1) or (None, "")
        if kind is FailureKind.MEMORY:
            return PwBroken(words)
        return (PwRefusal if _READS_INPUT.match(error[1]) else PwFailure)(words)
    if exit_code != 0 or "JOB DONE" not in said:
        ended = signal_of(exit_code)
        how = f"was ended by {ended.name}" if ended else f"ended with exit code {exit_code}"
        return PwBroken(f"pw.x {how}; its last words: {tail_of(said) or 'none'}")
    if functional == "HSE06" and _EXCHANGE_CONVERGED not in said:
        return PwFailure(f"pw.x did not say {_EXCHANGE_CONVERGED!r}")
    return None


def _check_functional(root: ElementTree.Element, functional: str, recipe: Recipe) -> None:
    """Refuse the numbers of another functional than the one that was asked for."""
    needed: dict[str, str | float] = {"functional": _NAMES[functional]}
    if functional == "HSE06":
        section = recipe.HSE06
        needed |= {
            "hybrid/exx_fraction": section.exx_fraction,
            "hybrid/screening_parameter": section.screening_parameter_per_bohr,
            "hybrid/ecutfock": section.ecutfock_Ry / 2,  # Hartree
        }
    for key, wanted in needed.items():
        found = root.findtext(f"output/dft/{key}", "none").strip()
        same = found == wanted if isinstance(wanted, str) else np.isclose(float(found), wanted, rtol=1e-6, atol=0.0)
        if not same:
            raise PwRefusal(f"{XML}: found {key} {found} in the output for {functional}, needed {wanted}")


def _parse(root: ElementTree.Element) -> PwResult:
    def text(path: str) -> str:
        found = root.find(path)
        if found is None or found.text is None:
            raise ValueError(f"found no {path}")
        return found.text

    def numbers(path: str) -> NDArray[np.float64]:
        return np.array(text(path).split(), dtype=float).reshape(-1, 3)

    highest = float(text("output/band_structure/highestOccupiedLevel"))
    lowest = float(text("output/band_structure/lowestUnoccupiedLevel"))
    creator = root.find("general_info/creator")
    stress = None if root.find("output/stress") is None else numbers("output/stress")
    return PwResult(
        energy_eV=float(text("output/total_energy/etot")) * Hartree,
        forces_eV_per_A=numbers("output/forces") * (Hartree / Bohr),
        # Of pw.x, a stress is positive under compression; of ASE, under tension.
        stress_eV_per_A3=None if stress is None else -stress * (Hartree / Bohr**3),
        gap_eV=(lowest - highest) * Hartree,
        version="unknown" if creator is None else creator.get("VERSION", "unknown"),
        cpu_s=round(float(text("timing_info/total/cpu")), 2),
        wall_s=round(float(text("timing_info/total/wall")), 2),
    )
