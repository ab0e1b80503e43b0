"""Replicas nested in structures: the error includes what structures do."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lpsmd.analysis import (
    Diffusion,
    DiffusionOptions,
    Msd,
    collective_diffusion,
    diffusion_coefficient,
    diffusion_tensor,
    diffusion_to_dict,
    mean_over_replicas,
    plan,
    summarise,
    summary_row,
    window_scan,
)
from lpsmd.analysis.structures import nested_labels, structure_means, variance_components
from lpsmd.errors import LpsmdError
from support.coefficients import diffusion_of
from support.coverage import N_FRAMES
from support.ensembles import msds_of, random_walk
from support.walks import line_msd
from tolerances import BY_HAND_RELATIVE, COVERAGE_95, COVERAGE_SMALL_95, NESTED_TAKEN_AS_INDEPENDENT_95

STRUCTURES = (0, 1, 2, 0, 1, 2, 0, 1, 2)
#: Relative D of three structures, and of replicas in them
FACTORS = np.array([1.0, 1.3, 0.8] * 3) + np.array([0.02, -0.05, 0.03, -0.02, 0.05, 0.0, 0.0, 0.0, -0.03])


def lines(factors: np.ndarray = FACTORS) -> list[Msd]:
    return [line_msd(4 * factor * np.eye(3), haven_ratio=0.5) for factor in factors]


def nested() -> Diffusion:
    return diffusion_coefficient(lines(), structures=STRUCTURES)


def test_the_interval_is_that_of_the_structure_means() -> None:
    found = nested()
    means = 2e-4 * FACTORS.reshape(3, 3).mean(axis=0)
    assert found.D_cm2_per_s == pytest.approx(means.mean())
    assert found.D_stderr_cm2_per_s == pytest.approx(stats.sem(means))
    assert found.D_half_interval_cm2_per_s == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem(means))
    assert (found.error_from, found.dof, found.n_structures, found.n_independent) == ("structures", 2, 3, 3)
    assert found.D_replicas_cm2_per_s == pytest.approx(2e-4 * FACTORS)
    assert "(95 %, n = 9, 3 structures)" in found.value_text
    values = json.loads(json.dumps(diffusion_to_dict(found)))
    assert values["structures"] == list(STRUCTURES)
    assert (values["error_from"], values["n_structures"]) == ("structures", 3)


def test_components_against_the_analysis_of_variance() -> None:
    found = nested()
    groups = FACTORS.reshape(3, 3).T
    F, _ = stats.f_oneway(*groups)
    within = groups.var(axis=1, ddof=1).mean()
    between = within * (F - 1) / 3
    assert found.D_within_structures_cm2_per_s == pytest.approx(2e-4 * math.sqrt(within))
    assert found.D_between_structures_cm2_per_s == pytest.approx(2e-4 * math.sqrt(between))


def test_components_are_unbiased_for_unequal_counts() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 9])
    found = []
    for _ in range(2000):
        parts = variance_components(2.0 * rng.normal(size=6)[labels] + 1.5 * rng.normal(size=len(labels)), labels)
        found.append((parts.within**2, parts.between**2))
    within, between = np.array(found).T
    assert abs(within.mean() - 2.25) < 4 * stats.sem(within)
    assert abs(between.mean() - 4.0) < 4 * stats.sem(between)


def test_no_spread_between_structures_is_zero_not_negative() -> None:
    parts = variance_components(np.array([1.0, 2.0, 2.0, 1.0]), np.array([0, 0, 1, 1]))
    assert parts.between == 0.0
    assert parts.within == pytest.approx(math.sqrt(0.5))


@pytest.mark.parametrize("structures", [None, [7] * 9, list(range(9))])
def test_one_structure_or_one_for_each_replica_is_as_without(structures: list[int] | None) -> None:
    plain, found = diffusion_coefficient(lines()), diffusion_coefficient(lines(), structures=structures)
    assert found.D_half_interval_cm2_per_s == plain.D_half_interval_cm2_per_s
    assert (found.error_from, found.dof, str(found)) == ("replicas", 8, str(plain))
    assert found.D_between_structures_cm2_per_s is None


@pytest.mark.parametrize("estimator", ["brownian", "wls-ice", "bootstrap", "gls"])
def test_other_estimators_rest_on_structures_too(estimator: str) -> None:
    rng = np.random.default_rng(3)
    factors = np.repeat(1.0 + 0.2 * rng.normal(size=60), 2)
    msds = [
        replace(line_msd(4 * factor * np.eye(3)), msd_A2=12 * factor * np.arange(101) * 0.1 + noise)
        for factor, noise in zip(factors, 0.1 * rng.normal(size=(120, 101)).cumsum(axis=1), strict=True)
    ]
    options = DiffusionOptions(estimator=estimator)  # type: ignore[arg-type]
    structures = np.arange(120) // 2
    found = diffusion_coefficient(msds, options, structures=structures.tolist())
    apart = diffusion_coefficient(msds, options)
    assert found.D_stderr_cm2_per_s is not None
    assert apart.D_stderr_cm2_per_s is not None
    assert found.D_stderr_cm2_per_s == pytest.approx(math.sqrt(2) * apart.D_stderr_cm2_per_s, rel=0.25)
    assert len(found.D_replicas_cm2_per_s) == 120


def test_derived_quantities_share_the_mechanism() -> None:
    found = nested()
    tensor, collective = diffusion_tensor(lines(), found), collective_diffusion(lines(), found)
    half = found.D_half_interval_cm2_per_s
    assert half is not None
    assert tensor.D_half_interval_cm2_per_s is not None
    np.testing.assert_allclose(np.diag(tensor.D_half_interval_cm2_per_s), half, rtol=BY_HAND_RELATIVE)
    assert collective.D_half_interval_cm2_per_s == pytest.approx(2 * half)
    assert len(collective.D_replicas_cm2_per_s) == 9
    assert collective.haven_ratio == pytest.approx(0.5)
    conducted = summarise(lines(), found, temperature_K=300.0)
    assert conducted.conductivity is not None
    relative = half / found.D_cm2_per_s
    sigma = conducted.conductivity
    assert sigma.nernst_einstein_half_interval_S_per_cm == pytest.approx(relative * sigma.nernst_einstein_S_per_cm)
    assert summary_row(conducted)["error_from"] == "structures"
    _, stderr = mean_over_replicas(lines(), structures=STRUCTURES)
    _, values, errors = window_scan(lines(), structures=STRUCTURES)
    assert stderr is not None
    assert stderr[50] == pytest.approx(stats.sem(60 * FACTORS.reshape(3, 3).mean(axis=0)))
    np.testing.assert_allclose(errors, found.D_stderr_cm2_per_s, rtol=BY_HAND_RELATIVE)
    np.testing.assert_allclose(values, found.D_cm2_per_s, rtol=BY_HAND_RELATIVE)


def test_user_errors() -> None:
    with pytest.raises(LpsmdError, match="found 2 structure labels for 9 replicas, one for each is needed"):
        diffusion_coefficient(lines(), structures=[0, 1])
    options = DiffusionOptions(estimator="gls")
    with pytest.raises(LpsmdError, match=r"found 3 structures for 16 lags, .*: run more structures"):
        diffusion_coefficient(lines(), options, structures=STRUCTURES)
    bootstrap = DiffusionOptions(estimator="bootstrap")
    with pytest.raises(LpsmdError, match="found 2 structures, at least 3 are needed"):
        diffusion_coefficient(lines(), bootstrap, structures=[0, 1] * 4 + [0])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_means_of_structures(structures: list[int]) -> None:
    values = np.arange(len(structures), dtype=np.float64) ** 2
    labels = nested_labels(structures, len(structures))
    found = structure_means(values, labels)
    names = sorted(set(structures))
    if 1 < len(names) < len(structures):
        expected = [np.mean([v for v, s in zip(values, structures, strict=True) if s == name]) for name in names]
        np.testing.assert_allclose(found, expected)
    else:
        assert labels is None
        np.testing.assert_array_equal(found, values)


# ---- how often the interval holds the truth ---------------------------------------------------------------


def shares_covered(counts: list[int], *, between: float, n_studies: int = 2000) -> tuple[float, float]:
    """Of the nested interval and of that which takes replicas as independent, for spreads `between` and 1."""
    rng = np.random.default_rng(4)
    structures = np.repeat(np.arange(len(counts)), counts)
    covered = np.zeros(2)
    for _ in range(n_studies):
        values = 100.0 + between * rng.normal(size=len(counts))[structures] + rng.normal(size=len(structures))
        for column, labels in enumerate((structures.tolist(), None)):
            found = diffusion_of(values, labels)
            assert found.D_half_interval_cm2_per_s is not None
            covered[column] += abs(found.D_cm2_per_s - 100.0) <= found.D_half_interval_cm2_per_s
    nested, naive = covered / n_studies
    return float(nested), float(naive)


@pytest.mark.parametrize("counts", [[4] * 4, [2] * 8, [8] * 3, [3, 2, 2, 2, 2, 2]])
@pytest.mark.parametrize("between", [0.0, 0.5, 1.0])
def test_nested_interval_of_drawn_values(counts: list[int], between: float) -> None:
    found, naive = shares_covered(counts, between=between)
    assert found == pytest.approx(0.95, abs=COVERAGE_95)
    if between == 1.0:
        assert naive < NESTED_TAKEN_AS_INDEPENDENT_95


def test_very_unequal_counts_err_on_the_safe_side() -> None:
    found, _ = shares_covered([16, 16, 16, 1], between=0.0)
    assert 0.95 - COVERAGE_95 < found < 1.0


def test_nested_interval_of_random_walks() -> None:
    """200 studies of 16 walks in 4 structures, which scale D by 15 %; D of a replica is known to 9 %."""
    rng = np.random.default_rng(5)
    n_studies, covered, naive = 200, 0, 0
    structures = [k % 4 for k in range(16)]
    for _ in range(n_studies):
        scale = np.sqrt(1.0 + 0.15 * rng.normal(size=4))[structures]
        msds = msds_of(scale[:, None, None, None] * random_walk(rng, 16, N_FRAMES))
        for labels in (structures, None):
            found = diffusion_coefficient(msds, structures=labels)
            assert found.D_half_interval_cm2_per_s is not None
            hit = abs(found.D_cm2_per_s - 0.5e-4) <= found.D_half_interval_cm2_per_s
            if labels is None:
                naive += hit
            else:
                covered += hit
    assert covered / n_studies == pytest.approx(0.95, abs=COVERAGE_SMALL_95)
    assert naive / n_studies < NESTED_TAKEN_AS_INDEPENDENT_95


# ---- planning -----------------------------------------------------------------------------------------------


def test_replicas_cannot_go_below_the_spread_of_structures() -> None:
    found = nested()
    assert found.D_between_structures_cm2_per_s is not None
    floor = stats.t.ppf(0.975, 2) * found.D_between_structures_cm2_per_s / math.sqrt(3) / found.D_cm2_per_s
    below = plan(found, target_relative_error=0.9 * floor)
    assert (below.replicas_needed, below.duration_needed_ps) == (None, None)
    assert below.structures_now == 3
    assert below.structures_needed is not None
    relative = stats.sem(FACTORS.reshape(3, 3).mean(axis=0)) * math.sqrt(3) / FACTORS.mean()
    for s, is_enough in ((below.structures_needed, True), (below.structures_needed - 1, False)):
        assert bool(stats.t.ppf(0.975, s - 1) * relative / math.sqrt(s) <= 0.9 * floor) is is_enough
    assert str(below).split(": ")[1] == f"only {below.structures_needed} structures (now 3) of 3 replicas each"


def test_replicas_and_length_above_the_floor() -> None:
    rng = np.random.default_rng(6)
    factors = 1.0 + np.repeat(0.02 * rng.normal(size=8), 4) + 0.2 * rng.normal(size=32)
    found = diffusion_coefficient(lines(factors), structures=np.repeat(np.arange(8), 4).tolist())
    target = 0.9 * plan(found, target_relative_error=0.5).relative_error_now
    planned = plan(found, target_relative_error=target)
    assert planned.replicas_needed is not None
    assert planned.duration_needed_ps is not None
    assert planned.replicas_needed > 32
    assert planned.duration_needed_ps > 20.0
    assert planned.structures_needed is not None
    assert planned.structures_needed > 8
    assert "structures (now 8) of 4 replicas each" in str(planned)
