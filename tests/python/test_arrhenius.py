"""Activation energies of data whose activation energy is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats

from lpsmd.analysis import Msd, Verdict, diffusion_coefficient, diffusion_to_dict
from lpsmd.analysis.arrhenius import (
    ArrheniusFit,
    ArrheniusPoint,
    arrhenius_fit,
    arrhenius_point,
    arrhenius_to_dict,
    read_arrhenius_point,
)
from lpsmd.analysis.constants import BOLTZMANN_EV_PER_K
from lpsmd.errors import LpsmdError
from support.walks import line_msd
from tolerances import COVERAGE_95, FALSE_ALARMS_5, LINE_RELATIVE

EA_EV = 0.25
D0 = 1e-3
TEMPERATURES_K = np.array([500.0, 600.0, 700.0, 900.0])
RELATIVE_ERRORS = np.array([0.12, 0.08, 0.05, 0.04])


def exact_D(temperature_K: float | np.ndarray) -> np.ndarray:
    return np.asarray(D0 * np.exp(-EA_EV / (BOLTZMANN_EV_PER_K * temperature_K)))


def point(
    temperature_K: float, D: float, stderr: float | None, dof: float = np.inf, verdict: Verdict = Verdict.DIFFUSIVE
) -> ArrheniusPoint:
    return ArrheniusPoint(
        label=f"d{temperature_K:g}.json",
        species="Li",
        temperature_K=temperature_K,
        D_cm2_per_s=D,
        D_stderr_cm2_per_s=stderr,
        dof=dof,
        verdict=verdict,
    )


def exact_points(relative: float = 1e-4) -> list[ArrheniusPoint]:
    return [point(T, D, relative * D) for T, D in zip(TEMPERATURES_K, exact_D(TEMPERATURES_K), strict=True)]


def noisy_points(rng: np.random.Generator, n_replicas: int) -> list[ArrheniusPoint]:
    """D of replicas whose slopes are sums of squares (gamma), its standard error from their spread."""
    found = []
    for T, D, relative in zip(TEMPERATURES_K, exact_D(TEMPERATURES_K), RELATIVE_ERRORS, strict=True):
        shape = 1.0 / (n_replicas * relative**2)
        replicas = D * rng.gamma(shape, 1.0 / shape, size=n_replicas)
        found.append(point(T, float(replicas.mean()), float(stats.sem(replicas)), n_replicas - 1))
    return found


def test_exact_data_give_what_made_them() -> None:
    fit = arrhenius_fit(exact_points(1e-6))
    assert fit.activation_energy_eV == pytest.approx(EA_EV, rel=LINE_RELATIVE)
    assert fit.prefactor_cm2_per_s == pytest.approx(D0, rel=1e-9)
    assert fit.extrapolate(300.0).D_cm2_per_s == pytest.approx(float(exact_D(300.0)), rel=1e-9)
    assert fit.chi_squared == pytest.approx(0.0, abs=1e-9)


def test_against_scipy() -> None:
    points = [
        replace(p, D_cm2_per_s=p.D_cm2_per_s * f)
        for p, f in zip(exact_points(0.01), (1.01, 0.99, 1, 1.02), strict=True)
    ]
    fit = arrhenius_fit(points)
    x = np.array([p.temperature_K for p in points])
    y = np.array([p.ln_D for p in points])
    found, covariance = optimize.curve_fit(
        lambda T, a, b: a - b / (BOLTZMANN_EV_PER_K * T),
        x,
        y,
        p0=[0.0, 0.1],
        sigma=[p.ln_D_stderr for p in points],
        absolute_sigma=True,
    )
    np.testing.assert_allclose([fit.ln_D0, fit.activation_energy_eV], found, rtol=1e-6)
    np.testing.assert_allclose(fit.covariance, covariance, rtol=1e-5)
    assert fit.probability == pytest.approx(stats.chi2.sf(fit.chi_squared, 2))


@pytest.mark.parametrize(("n_replicas", "coverage"), [(4, 0.925), (8, 0.945), (30, 0.95)])
def test_intervals_cover_the_truth(n_replicas: int, coverage: float) -> None:
    """600 sets of four temperatures: the interval of Ea, that of D at 300 K, and the probability of chi-squared.

    Weights from four replicas each are themselves so uncertain that some percent are lost; see arrhenius_fit.
    """
    rng = np.random.default_rng(9)
    n_sets = 600
    energy, room, alarms, energies = 0, 0, 0, []
    for _ in range(n_sets):
        fit = arrhenius_fit(noisy_points(rng, n_replicas))
        energy += abs(fit.activation_energy_eV - EA_EV) < fit.activation_energy_half_interval_eV
        at = fit.extrapolate(300.0)
        room += at.low_cm2_per_s < exact_D(300.0) < at.high_cm2_per_s
        alarms += fit.probability < 0.05
        energies.append(fit.activation_energy_eV)
    assert energy / n_sets == pytest.approx(coverage, abs=COVERAGE_95)
    assert room / n_sets == pytest.approx(coverage, abs=COVERAGE_95)
    assert alarms / n_sets == pytest.approx(0.05, abs=FALSE_ALARMS_5)
    assert abs(np.mean(energies) - EA_EV) < 4 * stats.sem(energies)


def test_the_error_band_is_that_of_the_joint_covariance() -> None:
    fit = arrhenius_fit(exact_points(0.05))
    row = np.array([1.0, -1.0 / (BOLTZMANN_EV_PER_K * 300.0)])
    stderr = np.sqrt(row @ fit.covariance @ row)
    at = fit.extrapolate(300.0)
    assert np.log(at.high_cm2_per_s / at.D_cm2_per_s) == pytest.approx(stats.norm.ppf(0.975) * stderr)
    assert at.is_extrapolated
    # far from independent: the variances alone would make the band several times too wide
    apart = np.sqrt(row**2 @ np.diag(fit.covariance))
    assert apart > 2 * stderr
    inside = fit.extrapolate(650.0)
    assert not inside.is_extrapolated
    assert str(inside).endswith("interpolated")
    assert inside.high_cm2_per_s / inside.low_cm2_per_s < at.high_cm2_per_s / at.low_cm2_per_s


def test_bad_verdicts_are_left_out_and_named() -> None:
    points = exact_points(0.01)
    points[0] = replace(points[0], D_cm2_per_s=10 * points[0].D_cm2_per_s, verdict=Verdict.NOT_YET_DIFFUSIVE)
    fit = arrhenius_fit(points)
    assert [p.temperature_K for p in fit.left_out] == [500.0]
    assert fit.activation_energy_eV == pytest.approx(EA_EV, rel=1e-3)
    assert fit.all_diffusive
    everything = arrhenius_fit(points, include_all=True)
    assert everything.left_out == ()
    assert not everything.all_diffusive
    assert not everything.is_straight
    assert str(everything).endswith(": not one straight line: not all points diffusive")
    assert str(everything.extrapolate(300.0)).endswith("not all points diffusive")
    values = json.loads(json.dumps(arrhenius_to_dict(fit), allow_nan=False))
    assert [(p["verdict"], p["fitted"]) for p in values["points"]].count(("not yet diffusive", False)) == 1


def test_two_points_have_no_chi_squared() -> None:
    fit = arrhenius_fit(exact_points()[:2])
    assert fit.residual_dof == 0
    assert np.isnan(fit.probability)
    assert "chi^2" not in str(fit)
    assert arrhenius_to_dict(fit)["probability"] is None


def test_files_of_the_command(tmp_path: Path) -> None:
    msds: list[Msd] = [line_msd(f * np.eye(3)) for f in (1.0, 1.1, 1.2)]
    diffusion = diffusion_coefficient(msds)
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"temperature_K": 500.0, "diffusion": diffusion_to_dict(diffusion)}))
    assert read_arrhenius_point(path) == arrhenius_point(diffusion, temperature_K=500.0, label=str(path))
    assert read_arrhenius_point(path).dof == 2


def test_user_errors(tmp_path: Path) -> None:
    good = exact_points()
    with pytest.raises(LpsmdError, match="found 1 temperature to fit, at least 2 are needed"):
        arrhenius_fit(good[:1])
    bad = [replace(p, verdict=Verdict.TOO_SHORT) for p in good]
    with pytest.raises(
        LpsmdError, match=r"found 0 temperatures .*left out: d500\.json: too short to judge; .*--include"
    ):
        arrhenius_fit(bad)
    with pytest.raises(LpsmdError, match="found coefficients of Li and Na, one species is needed"):
        arrhenius_fit([good[0], replace(good[1], species="Na")])
    with pytest.raises(LpsmdError, match=r"d500\.json: D has no error, one is needed for its weight"):
        arrhenius_fit([replace(good[0], D_stderr_cm2_per_s=None), *good[1:]])
    with pytest.raises(LpsmdError, match=r"d500\.json: D is -1e-07 cm\^2/s, a positive one is needed"):
        arrhenius_fit([replace(good[0], D_cm2_per_s=-1e-7), *good[1:]])
    with pytest.raises(LpsmdError, match=r"d-5\.json: the temperature is -5\.0 K, a positive one is needed"):
        arrhenius_fit([replace(good[0], temperature_K=-5.0, label="d-5.json"), *good[1:]])
    with pytest.raises(LpsmdError, match="confidence is 95, a number between 0 and 1"):
        arrhenius_fit(good, confidence=95)
    fit: ArrheniusFit = arrhenius_fit(good)
    with pytest.raises(LpsmdError, match=r"the temperature is 0\.0, a positive number of kelvin is needed"):
        fit.extrapolate(0.0)
    with pytest.raises(LpsmdError, match=r"none\.json: cannot be read: No such file"):
        read_arrhenius_point(tmp_path / "none.json")
    for text in ("no json", "[]", "{}", '{"temperature_K": 500, "diffusion": null}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(LpsmdError, match=r"bad\.json: not a result of `lpsmd diffusion --temperature-K T --out"):
            read_arrhenius_point(tmp_path / "bad.json")
    (tmp_path / "cold.json").write_text('{"temperature_K": null, "diffusion": {}}')
    with pytest.raises(LpsmdError, match=r"cold\.json: found no temperature; write it with"):
        read_arrhenius_point(tmp_path / "cold.json")
