"""What the conditions of a study tell together: functionals compared, activation energies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lpsmd.errors import LpsmdError
from lpsmd.resolution import FunctionalResolution, base_of, family, resolution_of
from lpsmd.study import Condition, ModelSpec, Study

if TYPE_CHECKING:
    from lpsmd.analysis import ArrheniusFit, Diffusion
    from lpsmd.analysis.comparison import Comparison


@dataclass(frozen=True, kw_only=True)
class FunctionalComparison:
    """Two functionals on one architecture, training seed and temperature: `found` is of `other` against `base`.

    `label` names what they share, as far as there is more than one of it in the study; `resolution` tells whether the
    models know what the functionals differ in.
    """

    label: str
    base: Condition
    other: Condition
    found: Comparison
    resolution: FunctionalResolution

    def __str__(self) -> str:
        """``nequip: D(HSE06) / D(PBE) = 1.02 +- 0.40 (95 %): they cannot be told apart``."""
        found, base, other = self.found, self.base.model.functional, self.other.model.functional
        verdict = "differ by more than the error" if found.significant else "cannot be told apart"
        if not found.both_diffusive:
            verdict += ", but not both are diffusive"
        if found.ratio is None or found.ratio_half_width is None:
            return f"{self.label}: D({other}) and D({base}) {verdict}"
        pairs = "" if found.paired_structures is None else f", over {found.paired_structures} shared structures"
        return (
            f"{self.label}: D({other}) / D({base}) = {found.ratio:.2f} +- {found.ratio_half_width:.2f} "
            f"(95 %{pairs}): they {verdict}"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values, units in the names."""
        base = self.base
        return {
            "label": self.label,
            "architecture": base.model.architecture,
            "training_seed": base.model.training_seed,
            "temperature_K": base.temperature_K,
            "base": base.model.functional,
            "other": self.other.model.functional,
            "base_label": base.model.label,
            "other_label": self.other.model.label,
            **asdict(self.found),
            "significant": self.found.significant,
            "functional_resolution": self.resolution.to_dict(),
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class ActivationEnergy:
    """The Arrhenius fit of a model over the study's temperatures; None with the reason where there is none."""

    model: ModelSpec
    fit: ArrheniusFit | None
    reason: str

    def __str__(self) -> str:
        """``nequip_pbe: Ea = 0.250 +- 0.020 eV, ...; left out: nequip_pbe-500K: not yet diffusive``."""
        if self.fit is None:
            return f"{self.model.label}: no activation energy: {self.reason}"
        left_out = ", ".join(f"{point.label}: {point.verdict}" for point in self.fit.left_out)
        return f"{self.model.label}: {self.fit}" + (f"; left out: {left_out}" if left_out else "")

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values, units in the names."""
        from lpsmd.analysis import arrhenius_to_dict

        return {
            "label": self.model.label,
            "architecture": self.model.architecture,
            "functional": self.model.functional,
            "training_seed": self.model.training_seed,
            "fit": None if self.fit is None else arrhenius_to_dict(self.fit),
            "reason": self.reason or None,
        }


def compare_functionals(study: Study, diffusions: Mapping[Condition, Diffusion]) -> Iterator[FunctionalComparison]:
    """The functionals of each architecture and training seed against its PBE, or its first, at each temperature."""
    from lpsmd.analysis.comparison import compare

    kinds = {condition: _kind(study, condition) for condition in diffusions}
    for kind in dict.fromkeys(kinds.values()):
        same = [condition for condition in diffusions if kinds[condition] == kind]
        first = base_of([condition.model for condition in same])
        base = next(condition for condition in same if condition.model == first)
        for other in same:
            if other.model.functional != first.functional:
                yield FunctionalComparison(
                    label=kind,
                    base=base,
                    other=other,
                    found=compare(diffusions[base], diffusions[other]),
                    resolution=resolution_of(first, other.model, species=study.analysis.species),
                )


def _kind(study: Study, condition: Condition) -> str:
    """What functionals are compared within: "nequip", or "nequip, training seed 2, 500 K" where there are several."""
    architecture, seed = family(study, condition.model)
    parts = [architecture]
    if seed is not None:
        parts.append(f"training seed {seed}")
    if len(study.temperatures_K) > 1:
        parts.append(f"{condition.temperature_K:g} K")
    return ", ".join(parts)


def activation_energies(study: Study, diffusions: Mapping[Condition, Diffusion]) -> Iterator[ActivationEnergy]:
    """Of each model, where the study has several temperatures.

    Errors are taken as independent at each temperature. Temperatures share their structures, however: what these do to
    all D of a model alike does not change its activation energy, whose error is then rather too large.
    """
    if len(study.temperatures_K) == 1:
        return
    for model in study.models:
        mine = {condition: found for condition, found in diffusions.items() if condition.model == model}
        yield _activation_energy(model, mine, n_temperatures=len(study.temperatures_K))


def _activation_energy(
    model: ModelSpec, diffusions: Mapping[Condition, Diffusion], *, n_temperatures: int
) -> ActivationEnergy:
    from lpsmd.analysis import Verdict, arrhenius_fit, arrhenius_point

    points = [
        arrhenius_point(found, temperature_K=condition.temperature_K, label=condition.name)
        for condition, found in diffusions.items()
    ]
    good = sum(point.verdict is Verdict.DIFFUSIVE for point in points)
    if good < 2:
        reason = f"D is diffusive at {good} of {n_temperatures} temperatures, 2 at least are needed"
        return ActivationEnergy(model=model, fit=None, reason=reason)
    try:
        return ActivationEnergy(model=model, fit=arrhenius_fit(points), reason="")
    except LpsmdError as error:
        return ActivationEnergy(model=model, fit=None, reason=str(error))
