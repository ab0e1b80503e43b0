"""Whether the models of two functionals know what these differ in, by what their passports tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lpsmd.study import R2, ModelSpec, Study


@dataclass(frozen=True, kw_only=True)
class FunctionalResolution:
    """R^2 of the predicted F_other - F_base on held-out frames, of all atoms and of the species that moves.

    Both must reach `lpsmd.models.accuracy.RESOLVED_R2`: what moves feels the difference of its own forces, and follows
    that of the framework's. Where passports do not tell both, `reason` says why, and R^2 are none.
    """

    base: str
    other: str
    all_atoms: R2 | None
    species: R2 | None
    reason: str

    @property
    def resolved(self) -> bool | None:
        """None where it is not known."""
        if self.all_atoms is None or self.species is None:
            return None
        return min(self.all_atoms.value, self.species.value) >= _needed_R2()

    def __str__(self) -> str:
        """``functional not resolved: R^2 = 0.971 +- 0.011 of F_HSE06 - F_PBE, 0.214 +- 0.052 on Li (needed 0.5)``."""
        if self.all_atoms is None or self.species is None:
            return f"not known whether the models resolve the functional: {self.reason}"
        verdict, needed = ("resolved", "") if self.resolved else ("not resolved", f" (needed {_needed_R2():g})")
        return (
            f"functional {verdict}: R^2 = {self.all_atoms} of F_{self.other} - F_{self.base}, {self.species} on "
            f"{self.species.of}{needed}"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "resolved": self.resolved,
            "needed_r2": _needed_R2(),
            "all_atoms": None if self.all_atoms is None else asdict(self.all_atoms),
            "species": None if self.species is None else asdict(self.species),
            "reason": self.reason or None,
        }


def resolution_of(base: ModelSpec, other: ModelSpec, *, species: str) -> FunctionalResolution:
    """What the passport of `other` tells of its difference to `base`."""
    told = other.functional_difference
    reason, found = "", {} if told is None else {entry.of: entry for entry in told.r2}
    if told is None:
        reason = f"the passport of {other.label} has no functional_difference"
    elif told.base.lower() != base.functional.lower():
        reason = f"the passport of {other.label} tells of {told.base}, not of {base.functional}"
    elif None not in (told.base_sha256, base.weights_sha256) and told.base_sha256 != base.weights_sha256:
        reason = f"the passport of {other.label} tells of another {base.functional} model than {base.label}"
    elif missing := [of for of in (R2.ALL, species) if of not in found]:
        reason = f"the passport of {other.label} has no R^2 for {' and '.join(missing)}"
    known = {} if reason else found
    return FunctionalResolution(
        base=base.functional,
        other=other.functional,
        all_atoms=known.get(R2.ALL),
        species=known.get(species),
        reason=reason,
    )


def family(study: Study, model: ModelSpec) -> tuple[str, int | None]:
    """Architecture and, where the study has several, training seed: functionals are compared within."""
    several = len({other.training_seed for other in study.models}) > 1
    return model.architecture, model.training_seed if several else None


def pairs(study: Study) -> Iterator[tuple[ModelSpec, ModelSpec]]:
    """The models of each family against that of PBE, or the first."""
    for kind in dict.fromkeys(family(study, model) for model in study.models):
        same = [model for model in study.models if family(study, model) == kind]
        base = base_of(same)
        yield from ((base, other) for other in same if other.functional != base.functional)


def base_of(models: Sequence[ModelSpec]) -> ModelSpec:
    """What the others are compared with: the one of PBE, else the first."""
    return next((model for model in models if model.functional == "PBE"), models[0])


def _needed_R2() -> float:
    # Here and not above: ASE takes its time.
    from lpsmd.models.accuracy import RESOLVED_R2

    return RESOLVED_R2
