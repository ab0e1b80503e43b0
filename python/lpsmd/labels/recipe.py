"""The recipe of the labels: a TOML file whose keys are those of pw.x's input."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from ase.data import atomic_numbers
from pydantic import AfterValidator, Field

from lpsmd.labels.errors import LabelError
from lpsmd.study_format import Section, explain

SHIPPED_RECIPE = Path(__file__).resolve().parent / "recipes" / "li6ps5cl.toml"

#: The functionals that can be asked for, in the order in which they are computed.
FUNCTIONALS = ("PBE", "HSE06")

#: Why there is none, for recipes and reports.
NO_HSE_STRESS = "not computed: that of Quantum ESPRESSO 6.7 is wrong, 3.5 GPa off the energies of strained cells"

_POTENTIAL = re.compile(r"GTH-PBE-q([1-9][0-9]*)")


def _potential(name: str) -> str:
    if not _POTENTIAL.fullmatch(name):
        raise ValueError('the name of a PBE potential in CP2K\'s data file, with its valence, such as "GTH-PBE-q6"')
    return name


def _elements(values: dict[str, str]) -> dict[str, str]:
    unknown = [name for name in values if name not in atomic_numbers]
    if unknown:
        raise ValueError(f"symbols of elements, but {unknown[0]!r} is none")
    return values


_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1)]


class PlaneWavesSection(Section):
    """[plane_waves]."""

    ecutwfc_Ry: _Positive
    k_points: Literal["gamma"]
    empty_bands: _Count


class ScfSection(Section):
    """[scf]."""

    mixing_beta: Annotated[float, Field(gt=0, le=1)]
    mixing_ndim: Annotated[int, Field(ge=1, le=25)]  # pw.x takes no more
    electron_maxstep: _Count


class PbeSection(Section):
    """[PBE]."""

    conv_thr_Ry: _Positive
    stress: bool


class Hse06Section(Section):
    """[HSE06]."""

    conv_thr_Ry: _Positive
    exx_fraction: Annotated[float, Field(ge=0, le=1)]
    screening_parameter_per_bohr: _Positive
    ecutfock_Ry: _Positive
    nqx: Annotated[list[_Count], Field(min_length=3, max_length=3)]
    exxdiv_treatment: Literal["none", "gygi-baldereschi"]  # the others want a cutoff of their own
    x_gamma_extrapolation: bool


class Recipe(Section):
    """A whole recipe."""

    plane_waves: PlaneWavesSection
    pseudopotentials: Annotated[
        dict[str, Annotated[str, AfterValidator(_potential)]], Field(min_length=1), AfterValidator(_elements)
    ]
    scf: ScfSection
    PBE: PbeSection
    HSE06: Hse06Section

    def valence(self, element: str) -> int:
        """Valence electrons of an element's pseudopotential."""
        found = _POTENTIAL.fullmatch(self.pseudopotentials[element])
        assert found is not None
        return int(found[1])


_SECTIONS: dict[str, type[Section]] = {
    "the file": Recipe,
    "[plane_waves]": PlaneWavesSection,
    "[pseudopotentials]": Section,
    "[scf]": ScfSection,
    "[PBE]": PbeSection,
    "[HSE06]": Hse06Section,
}


def read_recipe(path: Path = SHIPPED_RECIPE) -> Recipe:
    """Read and check a recipe.

    Raises
    ------
    LabelError
        Naming the file and, one a line, every fault: the section, the key, what was found and what is needed.
    """
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"recipe {path}: cannot be read: {error}; the one that ships is {SHIPPED_RECIPE}") from error
    except tomllib.TOMLDecodeError as error:
        raise LabelError(f"recipe {path}: not valid TOML: {error}") from error
    try:
        recipe = Recipe.model_validate(values)
    except pydantic.ValidationError as error:
        faults = explain(error, _SECTIONS, moved={("HSE06", "stress"): NO_HSE_STRESS})
        raise LabelError(f"recipe {path}: {faults}") from error
    lowest, found = recipe.plane_waves.ecutwfc_Ry, recipe.HSE06.ecutfock_Ry
    if not lowest <= found <= 4 * lowest:
        raise LabelError(
            f"recipe {path}: [HSE06]: ecutfock_Ry: found {found}, needed: {lowest} to {4 * lowest}, one to four times "
            f"ecutwfc_Ry, as pw.x does"
        )
    return recipe
