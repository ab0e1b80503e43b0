"""How far the models of one functional are apart, which says what they have not learned yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from lpsmd.models.contract import ModelFile, load_model
from lpsmd.models.evaluate import evaluate
from lpsmd.selection.sampling import SelectionError
from lpsmd.study import ModelSpec


class Trust(StrEnum):
    """Where a deviation lies between the bounds."""

    BELOW = "below"
    WITHIN = "within"
    ABOVE = "above"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Trust levels of the committee deviation, eV/Angstrom.

    Below the lower one the models agree, and a label teaches little; above the upper one they know so little that the
    frame is likely unphysical. As in DP-GEN (doi:10.1016/j.cpc.2020.107206).
    """

    lower_eV_per_A: float
    upper_eV_per_A: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.lower_eV_per_A < self.upper_eV_per_A:
            raise SelectionError(
                f"--lower, --upper: found {self.lower_eV_per_A:g} and {self.upper_eV_per_A:g} eV/Angstrom, needed two "
                "numbers from 0 up, the upper one larger"
            )

    def place(self, deviation_eV_per_A: float) -> Trust:
        """Where a deviation lies; one that is not finite is above."""
        if deviation_eV_per_A < self.lower_eV_per_A:
            return Trust.BELOW
        return Trust.WITHIN if deviation_eV_per_A <= self.upper_eV_per_A else Trust.ABOVE


class Committee:
    """Models by functional, of which each has at least two.

    Parameters
    ----------
    models
        A functional with one model alone has no deviation, and is left out.

    Raises
    ------
    SelectionError
        If no functional has two models.
    """

    def __init__(self, models: Sequence[ModelSpec]) -> None:
        by_functional: dict[str, list[ModelSpec]] = {}
        for model in models:
            by_functional.setdefault(model.functional, []).append(model)
        voting = {functional: found for functional, found in by_functional.items() if len(found) > 1}
        if not voting:
            found = ", ".join(f"{model.label} ({model.functional})" for model in models)
            raise SelectionError(
                f"found {found}, needed at least two models of one functional: a committee of one has no deviation"
            )
        self.labels = {functional: [model.label for model in found] for functional, found in voting.items()}
        self.sha256 = [sorted(model.sha256 for model in found) for found in voting.values()]
        self._models: list[list[ModelFile]] = [[load_model(model.path) for model in found] for found in voting.values()]

    def deviation_eV_per_A(self, atoms: Atoms) -> float:
        """The largest deviation over functionals and atoms, see `force_deviation`; infinite where a model gives up.

        Raises
        ------
        lpsmd.models.contract.ModelFileError
            If a model cannot take the frame.
        """
        return max(
            force_deviation_eV_per_A(np.stack([evaluate(model, atoms).forces_eV_per_A for model in models]))
            for models in self._models
        )


def force_deviation_eV_per_A(forces_eV_per_A: NDArray[np.float64]) -> float:
    """Largest over the atoms of the standard deviation of the force vector over the models.

    max_i sqrt(<|F_i - <F_i>|^2>), the mean being over models; infinite if a force is not finite.

    Parameters
    ----------
    forces_eV_per_A
        [models, N, 3].
    """
    if not np.isfinite(forces_eV_per_A).all():
        return float("inf")
    return float(np.sqrt(forces_eV_per_A.var(axis=0).sum(axis=1)).max())
