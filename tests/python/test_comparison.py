"""Functionals compared, and activation energies: what the conditions of a study tell together."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lpsmd.across_conditions import activation_energies, compare_functionals
from lpsmd.analysis import Verdict
from lpsmd.analysis.arrhenius import BOLTZMANN_EV_PER_K
from lpsmd.analysis.comparison import compare
from lpsmd.resolution import pairs, resolution_of
from lpsmd.study import R2, Study
from lpsmd.study_file import load_study, study_warnings
from support.coefficients import diffusion_of
from support.studies import STUDY, soft_model, study_file
from tolerances import BY_HAND_RELATIVE, COVERAGE_95

#: A study of two functionals.
TWO = STUDY.replace("[dynamics]", '[[models]]\npath = "./soft_hse06.pt"\n\n[dynamics]')
#: Of ten structures, four replicas in each.
STRUCTURES = np.arange(40) % 10


def drawn(rng: np.random.Generator, *, ratio: float, between: float, within: float) -> tuple[np.ndarray, np.ndarray]:
    """[40] D of two models in the same structures, which scale both D alike."""
    scale = (1.0 + between * rng.normal(size=10))[STRUCTURES]
    return (
        scale * (1.0 + within * rng.normal(size=40)),
        ratio * scale * (1.0 + within * rng.normal(size=40)),
    )


def test_by_hand() -> None:
    base = diffusion_of(np.array([1.0, 2.0, 3.0, 4.0]), [0, 1, 0, 1])
    other = diffusion_of(np.array([2.0, 5.0, 4.0, 5.0]), [0, 1, 0, 1])
    found = compare(base, other)
    # Structure means 2, 3 and 3, 5: differences 1, 2; leaving one out, ratios 5/3 and 3/2 beside 8/5.
    student = stats.t.ppf(0.975, 1)
    assert found.paired_structures == 2
    assert found.difference_cm2_per_s == pytest.approx(1.5)
    assert found.difference_half_width_cm2_per_s == pytest.approx(student * 0.5, rel=BY_HAND_RELATIVE)
    pseudo = np.array([2 * 1.6 - 5 / 3, 2 * 1.6 - 3 / 2])
    assert found.ratio == pytest.approx(pseudo.mean())
    assert found.ratio_half_width == pytest.approx(student * stats.sem(pseudo), rel=BY_HAND_RELATIVE)
    assert not found.significant


@pytest.mark.parametrize("structures", [[0, 0, 0, 0], None])
def test_one_structure_or_none_is_in_quadrature(structures: list[int] | None) -> None:
    base = diffusion_of(np.array([1.0, 2.0, 3.0, 4.0]), structures)
    other = diffusion_of(np.array([9.0, 8.0, 9.5, 8.5]), structures)
    found = compare(base, other)
    e_base, e_other = base.D_half_interval_cm2_per_s, other.D_half_interval_cm2_per_s
    assert e_base is not None
    assert e_other is not None
    assert found.paired_structures is None
    assert found.ratio == pytest.approx(3.5)
    assert found.ratio_half_width == pytest.approx(math.hypot(e_other, 3.5 * e_base) / 2.5)
    assert found.difference_half_width_cm2_per_s == pytest.approx(math.hypot(e_base, e_other))
    assert found.significant


def test_a_structure_that_one_model_has_lost_is_left_out_of_both() -> None:
    base = diffusion_of(np.array([1.0, 2.0, 100.0]), [0, 1, 2])
    other = diffusion_of(np.array([2.0, 4.0]), [0, 1])
    found = compare(base, other)
    assert found.paired_structures == 2
    assert found.ratio == pytest.approx(2.0)
    assert found.difference_cm2_per_s == pytest.approx(1.5)


@pytest.mark.parametrize("moving", [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
def test_there_is_no_ratio_to_what_does_not_move(moving: list[float]) -> None:
    found = compare(diffusion_of(np.array(moving), [0, 1, 2]), diffusion_of(np.array([1.0, 2.0, 3.0]), [0, 1, 2]))
    assert (found.ratio, found.ratio_half_width) == (None, None)
    assert math.isfinite(found.difference_half_width_cm2_per_s)


@pytest.mark.parametrize("between", [0.0, 0.3])
def test_the_paired_interval_holds_the_truth_as_often_as_it_says(between: float) -> None:
    rng = np.random.default_rng(7)
    n_studies, ratio_covered, difference_covered, widths = 600, 0, 0, []
    for _ in range(n_studies):
        first, second = drawn(rng, ratio=1.2, between=between, within=0.2)
        found = compare(diffusion_of(first, STRUCTURES.tolist()), diffusion_of(second, STRUCTURES.tolist()))
        assert found.ratio is not None
        assert found.ratio_half_width is not None
        ratio_covered += abs(found.ratio - 1.2) <= found.ratio_half_width
        difference_covered += abs(found.difference_cm2_per_s - 0.2) <= found.difference_half_width_cm2_per_s
        alone = [diffusion_of(values, STRUCTURES.tolist()) for values in (first, second)]
        apart = math.hypot(*(found.D_half_interval_cm2_per_s or 0.0 for found in alone))
        widths.append(found.difference_half_width_cm2_per_s / apart)
    assert ratio_covered / n_studies == pytest.approx(0.95, abs=COVERAGE_95)
    assert difference_covered / n_studies == pytest.approx(0.95, abs=COVERAGE_95)
    # What structures do to both cancels: of (0.3^2 + 0.2^2/4)^(1/2) a third is left, 0.2/2.
    assert float(np.median(widths)) == pytest.approx(0.35 if between else 1.0, abs=0.05)


# ---- a study --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two functionals, three temperatures, two structures."""
    folder = tmp_path_factory.mktemp("study")
    soft_model(folder / "soft_hse06.pt", functional="HSE06")
    text = TWO.replace("temperature_K = 600", "temperatures_K = [500, 600, 800]").replace("= 10.0", "= 10.0\ncount = 2")
    return load_study(study_file(folder, text))


def test_functionals_are_compared_at_each_temperature(study: Study) -> None:
    diffusions = {
        condition: diffusion_of(np.array([1.0, 2.0]) * (1 + (condition.model.functional == "HSE06")), [0, 1])
        for condition in study.conditions
    }
    found = list(compare_functionals(study, diffusions))
    assert [entry.label for entry in found] == ["lj, 500 K", "lj, 600 K", "lj, 800 K"]
    assert str(found[0]).startswith(
        "lj, 500 K: D(HSE06) / D(PBE) = 2.00 +- 0.00 (95 %, over 2 shared structures): they "
    )
    values = found[2].to_dict()
    assert (values["temperature_K"], values["base"], values["other"]) == (800.0, "PBE", "HSE06")
    assert (values["ratio"], values["paired_structures"]) == (2.0, 2)


@pytest.mark.parametrize(
    ("error", "text"),
    [(None, "0.996"), (0.0, "0.996 +- 0.000"), (0.0023, "0.996 +- 0.002"), (0.00017, "0.99632 +- 0.00017")],
)
def test_an_error_that_is_small_does_not_round_to_nothing(error: float | None, text: str) -> None:
    assert str(R2(of="Li", value=0.99632, error=error)) == text


def told(r2: float, lithium: object, **more: object) -> dict[str, object]:
    """What a training writes into a passport."""
    by_element = {} if lithium is None else {"Li": {"r2": lithium, "r2_error": 0.05}, "S": {"r2": None}}
    return {"functional_difference": {"r2": r2, "r2_error": 0.01, "by_element": by_element, **more}}


def of_hse06(folder: Path, training: dict[str, object]) -> Study:
    """A study of two functionals, of which the passport of the second tells something."""
    soft_model(folder / "soft_hse06.pt", functional="HSE06", training=training)
    return load_study(study_file(folder, TWO))


@pytest.mark.parametrize(
    ("training", "resolved", "text"),
    [
        (
            told(0.97, 0.72),
            True,
            "functional resolved: R^2 = 0.970 +- 0.010 of F_HSE06 - F_PBE, 0.720 +- 0.050 on Li",
        ),
        (
            told(0.97, 0.21),
            False,
            "functional not resolved: R^2 = 0.970 +- 0.010 of F_HSE06 - F_PBE, 0.210 +- 0.050 on Li (needed 0.5)",
        ),
        (
            told(0.4, 0.6),
            False,
            "functional not resolved: R^2 = 0.400 +- 0.010 of F_HSE06 - F_PBE, 0.600 +- 0.050 on Li (needed 0.5)",
        ),
        ({}, None, "the passport of soft_hse06 has no functional_difference"),
        ({"functional_difference": "large"}, None, "the passport of soft_hse06 has no functional_difference"),
        (told(0.9, None), None, "the passport of soft_hse06 has no R^2 for Li"),
        (told(0.9, "high"), None, "the passport of soft_hse06 has no R^2 for Li"),
        (told(0.9, 0.9, base="PBEsol"), None, "the passport of soft_hse06 tells of PBEsol, not of PBE"),
    ],
)
def test_a_comparison_says_whether_the_functional_is_resolved(
    tmp_path: Path, training: dict[str, object], resolved: bool | None, text: str
) -> None:
    study = of_hse06(tmp_path, training)
    diffusions = {condition: diffusion_of(np.array([1.0, 2.0]), [0, 1]) for condition in study.conditions}
    (found,) = compare_functionals(study, diffusions)
    expected = text if resolved is not None else f"not known whether the models resolve the functional: {text}"
    assert str(found.resolution) == expected
    assert found.resolution.resolved is resolved
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))["functional_resolution"]
    assert (values["resolved"], values["needed_r2"]) == (resolved, 0.5)
    assert values["reason"] == (text if resolved is None else None)
    assert (values["species"] is None) == (resolved is None)
    # Before it runs, a study warns of models that are known not to.
    warned = [warning for warning in study_warnings(study) if text in warning]
    assert len(warned) == (resolved is False)
    # The record of a study tells it again, and one that was written before is read.
    record = json.loads(json.dumps(study.to_dict()))
    assert Study.from_dict(record).models == study.models
    for model in record["models"]:
        del model["functional_difference"]
    assert Study.from_dict(record).models[1].functional_difference is None


def test_the_parent_of_a_passport_is_told_by_its_weights(tmp_path: Path) -> None:
    path = study_file(tmp_path, TWO)
    stages = [{"stage": "teacher", "weights_sha256": "ff00"}, {"stage": "PBE", "weights_sha256": "00ff"}]
    soft_model(tmp_path / "soft_pbe.pt", training={"stages": stages})
    parent = {"functional": "PBE", "weights_sha256": "00ff"}
    soft_model(tmp_path / "soft_hse06.pt", functional="HSE06", training={**told(0.9, 0.9), "parent": parent})
    (pair,) = pairs(load_study(path))
    assert [model.label for model in pair] == ["soft_pbe", "soft_hse06"]
    assert resolution_of(*pair, species="Li").resolved is True
    assert resolution_of(*pair, species="P").reason == "the passport of soft_hse06 has no R^2 for P"
    soft_model(tmp_path / "soft_pbe.pt", training={"stages": stages[:1]})
    (pair,) = pairs(load_study(path))
    found = resolution_of(*pair, species="Li")
    assert found.resolved is None
    assert found.reason == "the passport of soft_hse06 tells of another PBE model than soft_pbe"


def test_an_activation_energy_for_each_model(study: Study) -> None:
    rng = np.random.default_rng(8)
    diffusions = {}
    for condition in study.conditions:
        Ea = 0.3 if condition.model.functional == "PBE" else 0.2
        D = 1e-2 * math.exp(-Ea / BOLTZMANN_EV_PER_K / condition.temperature_K)
        diffusions[condition] = diffusion_of(D * (1.0 + 0.1 * rng.normal(size=20)))
    pbe, hse06 = activation_energies(study, diffusions)
    for entry, Ea in ((pbe, 0.3), (hse06, 0.2)):
        assert entry.fit is not None
        assert entry.fit.activation_energy_eV == pytest.approx(Ea, abs=3 * entry.fit.activation_energy_stderr_eV)
    assert str(pbe).startswith("soft_pbe: Ea = 0.")
    values = pbe.to_dict()
    assert (values["label"], values["functional"], values["reason"]) == ("soft_pbe", "PBE", None)
    assert [point["temperature_K"] for point in values["fit"]["points"]] == [500.0, 600.0, 800.0]

    hottest = study.conditions[2]
    diffusions[hottest] = replace(diffusions[hottest], verdict=Verdict.FRAMEWORK_BROKEN)
    pbe, _ = activation_energies(study, diffusions)
    assert str(pbe).endswith("; left out: soft_pbe-800K: framework broken")
    del diffusions[study.conditions[1]]
    pbe, _ = activation_energies(study, diffusions)
    assert pbe.fit is None
    assert str(pbe) == "soft_pbe: no activation energy: D is diffusive at 1 of 3 temperatures, 2 at least are needed"


def test_one_temperature_has_no_activation_energy(study: Study) -> None:
    cold = replace(study, temperatures_K=(500.0,))
    assert not list(activation_energies(cold, {cold.conditions[0]: diffusion_of(np.array([1.0, 2.0]))}))
