"""The diffusion tensor of walkers whose tensor is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lpsmd.analysis import DiffusionOptions, Msd, collective_diffusion, diffusion_coefficient
from lpsmd.analysis.tensor import DiffusionTensor, diffusion_tensor, isotropy_test, tensor_to_dict
from lpsmd.errors import LpsmdError
from support.walks import line_msd, walk_msd, walks
from tolerances import COVERAGE_95, FALSE_ALARMS_5, LINE_RELATIVE

# Angstrom^2/ps: along x' and y' rotated by 30 degrees, and z
TURN = np.array([[np.sqrt(0.75), -0.5, 0.0], [0.5, np.sqrt(0.75), 0.0], [0.0, 0.0, 1.0]])
D_A2_PER_PS = TURN @ np.diag([3.0, 1.0, 0.5]) @ TURN.T


def found(msds: list[Msd]) -> DiffusionTensor:
    return diffusion_tensor(msds, diffusion_coefficient(msds))


def ensemble(rng: np.random.Generator, D: np.ndarray, n: int) -> list[Msd]:
    return [walk_msd(walks(rng, D)) for _ in range(n)]


def fractional_anisotropy(values: np.ndarray) -> float:
    return float(np.sqrt(1.5 * ((values - values.mean()) ** 2).sum() / (values**2).sum()))


def test_lines_give_the_tensor_that_made_them() -> None:
    # <dr_a dr_b> = 2 D_ab t; 1 Angstrom^2/ps = 1e-4 cm^2/s
    tensor = found([line_msd(2 * D_A2_PER_PS), line_msd(2 * D_A2_PER_PS)])
    np.testing.assert_allclose(tensor.D_cm2_per_s, 1e-4 * D_A2_PER_PS, rtol=LINE_RELATIVE, atol=1e-16)
    np.testing.assert_allclose(tensor.eigenvalues_cm2_per_s, [3e-4, 1e-4, 0.5e-4], rtol=LINE_RELATIVE)
    np.testing.assert_allclose(np.abs(tensor.axes), np.abs(TURN.T), atol=1e-8)
    expected = fractional_anisotropy(np.array([3.0, 1.0, 0.5]))
    assert tensor.anisotropy == pytest.approx(expected, rel=LINE_RELATIVE)


def test_errors_are_those_of_the_spread() -> None:
    factors = np.array([0.8, 1.0, 1.1, 1.3])
    tensor = found([line_msd(2 * factor * D_A2_PER_PS) for factor in factors])
    assert tensor.D_stderr_cm2_per_s is not None
    assert tensor.D_half_interval_cm2_per_s is not None
    assert tensor.eigenvalues_half_interval_cm2_per_s is not None
    stderr = stats.sem(factors)
    np.testing.assert_allclose(tensor.D_stderr_cm2_per_s, 1e-4 * stderr * np.abs(D_A2_PER_PS), atol=1e-15)
    student = stats.t.ppf(0.975, 3)
    assert tensor.D_half_interval_cm2_per_s[0, 1] == pytest.approx(student * tensor.D_stderr_cm2_per_s[0, 1])
    np.testing.assert_allclose(
        tensor.eigenvalues_half_interval_cm2_per_s, 1e-4 * student * stderr * np.array([3, 1, 0.5])
    )


def test_a_third_of_the_trace_is_D() -> None:
    msds = ensemble(np.random.default_rng(5), D_A2_PER_PS, 6)
    diffusion = diffusion_coefficient(msds)
    tensor = diffusion_tensor(msds, diffusion)
    assert np.trace(tensor.D_cm2_per_s) / 3 == pytest.approx(diffusion.D_cm2_per_s, rel=LINE_RELATIVE)
    assert tensor.verdict is diffusion.verdict


def test_intervals_cover_an_anisotropic_tensor() -> None:
    """300 ensembles of 8 replicas: each component's interval and that of the anisotropy."""
    rng = np.random.default_rng(2026)
    truth, anisotropy = 1e-4 * D_A2_PER_PS, fractional_anisotropy(np.array([3.0, 1.0, 0.5]))
    covered, covered_anisotropy, alarms = np.zeros((3, 3)), 0, 0
    n_ensembles = 300
    for _ in range(n_ensembles):
        tensor = found(ensemble(rng, D_A2_PER_PS, 8))
        assert tensor.D_half_interval_cm2_per_s is not None
        assert tensor.anisotropy_interval is not None
        covered += np.abs(tensor.D_cm2_per_s - truth) < tensor.D_half_interval_cm2_per_s
        low, high = tensor.anisotropy_interval
        covered_anisotropy += low < anisotropy < high
        alarms += tensor.is_anisotropic
    np.testing.assert_allclose(covered / n_ensembles, 0.95, atol=COVERAGE_95 * np.sqrt(2))
    assert covered_anisotropy / n_ensembles == pytest.approx(0.95, abs=COVERAGE_95 * np.sqrt(2))
    assert alarms == n_ensembles


@pytest.mark.parametrize(("n_replicas", "test"), [(4, "F"), (16, "Hotelling")])
def test_isotropic_motion_is_called_isotropic(n_replicas: int, test: str) -> None:
    """Noise alone makes eigenvalues differ and the plain anisotropy positive; test and corrected one are not fooled."""
    rng = np.random.default_rng(7)
    n_ensembles = 300
    alarms, plain, corrected = 0, [], []
    for _ in range(n_ensembles):
        tensor = found(ensemble(rng, np.eye(3), n_replicas))
        assert tensor.isotropy_test == test
        alarms += tensor.is_anisotropic
        plain.append(fractional_anisotropy(tensor.eigenvalues_cm2_per_s))
        corrected.append(tensor.anisotropy)
    assert alarms / n_ensembles == pytest.approx(0.05, abs=FALSE_ALARMS_5)
    assert min(plain) > 0.0
    assert np.median(corrected) < 0.5 * np.median(plain)


@pytest.mark.parametrize("stretch", [1.0, 1.1])
def test_interval_of_a_small_anisotropy_is_never_too_narrow(stretch: float) -> None:
    """300 ensembles of 6 replicas; the jackknife alone says 0 to 0 for 2 % of them, which no data can say."""
    rng = np.random.default_rng(8)
    truth = fractional_anisotropy(np.array([stretch, 1.0, 1.0]))
    covered, n_ensembles = 0, 300
    for _ in range(n_ensembles):
        low, high = found(ensemble(rng, np.diag([stretch, 1.0, 1.0]), 6)).anisotropy_interval or (1.0, 0.0)
        assert high > 0.0
        covered += low <= truth <= high
    assert covered / n_ensembles > 0.95 - COVERAGE_95


def test_hotelling_by_its_definition() -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(20, 3, 3))
    replicas = np.eye(3) + np.diag([0.3, 0.0, -0.3]) + 0.3 * (noise + noise.transpose(0, 2, 1))
    rows = np.stack(
        [
            replicas[:, 0, 0] - replicas[:, 1, 1],
            replicas[:, 1, 1] - replicas[:, 2, 2],
            replicas[:, 0, 1],
            replicas[:, 0, 2],
            replicas[:, 1, 2],
        ],
        axis=1,
    )
    # invariant under linear maps of the five parts, so any basis of deviators will do
    t_squared = 20 * rows.mean(axis=0) @ np.linalg.inv(np.cov(rows.T)) @ rows.mean(axis=0)
    probability, name = isotropy_test(replicas)
    assert name == "Hotelling"
    assert probability == pytest.approx(stats.f.sf(15 / (5 * 19) * t_squared, 5, 15))


def test_one_trajectory_has_a_tensor_without_errors() -> None:
    tensor = found([line_msd(2 * D_A2_PER_PS)])
    assert tensor.D_half_interval_cm2_per_s is None
    assert tensor.isotropy_probability is None
    assert str(tensor) == f"anisotropy {tensor.anisotropy:.2f} (no interval): {tensor.verdict}"


def test_as_json_and_as_text() -> None:
    tensor = found(ensemble(np.random.default_rng(1), D_A2_PER_PS, 6))
    values = json.loads(json.dumps(tensor_to_dict(tensor), allow_nan=False))
    np.testing.assert_array_equal(values["D_cm2_per_s"], tensor.D_cm2_per_s)
    assert values["verdict"] == str(tensor.verdict)
    assert "not isotropic (p = " in values["text"]
    assert values["text"].endswith(f": {tensor.verdict}")


def test_user_errors() -> None:
    good = line_msd(2 * D_A2_PER_PS)
    diffusion = diffusion_coefficient([good, good])
    with pytest.raises(LpsmdError, match="found MSDs without tensor_A2, needed for a diffusion tensor"):
        diffusion_tensor([good, replace(good, tensor_A2=np.empty((0, 3, 3)))], diffusion)
    with pytest.raises(LpsmdError, match="found 1 MSDs for a coefficient of 2 replicas, the same ones are needed"):
        diffusion_tensor([good], diffusion)


def test_derived_quantities_have_the_same_weights_whatever_the_estimator() -> None:
    rng = np.random.default_rng(8)
    msds = [walk_msd(walks(rng, 0.5 * np.eye(3), n_frames=101, n_atoms=6)) for _ in range(52)]
    fits = [diffusion_coefficient(msds, DiffusionOptions(estimator=name)) for name in ("brownian", "gls", "ols")]
    tensors = [diffusion_tensor(msds, diffusion).D_cm2_per_s for diffusion in fits]
    haven = [collective_diffusion(msds, diffusion).haven_ratio for diffusion in fits]
    np.testing.assert_allclose(np.trace(tensors[0]) / 3, fits[0].D_cm2_per_s, rtol=LINE_RELATIVE)
    np.testing.assert_array_equal(tensors[1:], [tensors[0]] * 2)
    assert haven == [haven[0]] * 3
