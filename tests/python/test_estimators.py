"""Slopes with errors: the covariance they rest on, each estimator against its definition, and one trajectory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lpsmd.analysis import FitData, brownian_covariance, diffusion_coefficient, fit_slope
from lpsmd.analysis.covariance import MAX_LAGS, brownian_line_weights, lag_grid, line_weights
from lpsmd.analysis.estimators import jackknife
from lpsmd.errors import LpsmdError
from support.ensembles import KINDS, N_IONS, msds_of
from tolerances import ALGEBRA_RELATIVE, BOOTSTRAP_RELATIVE, SINGLE_ERROR_RELATIVE


def covariance_by_definition(lags: list[int], n_frames: int, noise: float) -> np.ndarray:
    """Every pair of windows, one after another, from the covariance of the positions themselves."""
    times = np.arange(n_frames)
    positions = np.minimum.outer(times, times) + noise * np.eye(n_frames)

    def window(start: int, lag: int) -> np.ndarray:
        change = np.zeros(n_frames)
        change[start] -= 1.0
        change[start + lag] += 1.0
        return change

    found = np.zeros((len(lags), len(lags)))
    for a, m in enumerate(lags):
        for b, n in enumerate(lags):
            pairs = [window(i, m) @ positions @ window(j, n) for i in range(n_frames - m) for j in range(n_frames - n)]
            found[a, b] = 2.0 * np.mean(np.square(pairs))
    return found


@pytest.mark.parametrize("noise", [0.0, 0.7, 5.0])
@pytest.mark.parametrize("n_frames", [6, 13])
def test_covariance_against_the_definition(n_frames: int, noise: float) -> None:
    lags = [1, 2, 3, 5] if n_frames == 6 else [1, 4, 7, 12]
    found = brownian_covariance(np.array(lags), n_frames, noise=noise)
    np.testing.assert_allclose(found, covariance_by_definition(lags, n_frames, noise), rtol=ALGEBRA_RELATIVE)


def test_covariance_of_one_lag_is_that_of_qian_sheetz_and_elson() -> None:
    # doi:10.1016/S0006-3495(91)82125-7, eq. for K = F - m >= m, one coordinate, steps of variance one
    n_frames = 50
    for m in (1, 3, 20):
        k = n_frames - m
        expected = (4 * m**2 * k + 2 * k + m - m**3) * m / (3 * k**2)
        found = brownian_covariance(np.array([m]), n_frames)[0, 0]
        assert found == pytest.approx(expected, rel=ALGEBRA_RELATIVE)


@settings(max_examples=100, deadline=None)
@given(first=st.integers(1, 50), count=st.integers(1, 300))
def test_grid_holds_both_ends_and_few_lags(first: int, count: int) -> None:
    lags = np.arange(first, first + count)
    grid = lags[lag_grid(lags)]
    assert len(grid) == min(count, MAX_LAGS)
    assert (grid[0], grid[-1]) == (lags[0], lags[-1])
    assert (np.diff(grid) > 0).all()
    if count > MAX_LAGS:
        assert np.ptp(np.diff(grid)) <= 1


@settings(max_examples=30, deadline=None)
@given(first=st.integers(1, 30), count=st.integers(2, 40), seed=st.integers(0, 1000))
def test_weights_give_lines_back(first: int, count: int, seed: int) -> None:
    lags = np.arange(first, first + count)
    offset, slope = np.random.default_rng(seed).normal(0, 3, 2)
    chosen = lags[lag_grid(lags)]
    found = brownian_line_weights(chosen, first + count + 5) @ (offset + slope * chosen)
    np.testing.assert_allclose(found, [offset, slope], rtol=1e-7, atol=1e-7)


def noisy_lines(n: int, m: int = 6, seed: int = 0) -> FitData:
    """Rows of random walks around a line, as strongly correlated as MSDs are."""
    rng = np.random.default_rng(seed)
    lags = np.arange(4, 4 + 2 * m, 2)
    time_ps = 0.5 * lags
    noise = rng.normal(0, 1, (n, m)).cumsum(axis=1) * np.linspace(0.5, 2.0, m)
    return FitData(time_ps=time_ps, lags=lags, rows=3.0 + 2.0 * time_ps + noise, n_frames=60)


def test_brownian_error_is_that_of_students_t_test() -> None:
    data = noisy_lines(7)
    found = fit_slope(data)
    slopes = data.rows @ brownian_line_weights(data.lags, data.n_frames)[1] * 2.0
    np.testing.assert_allclose(found.replicas, slopes, rtol=ALGEBRA_RELATIVE)
    interval = stats.ttest_1samp(slopes, 0.0).confidence_interval(0.9)
    half = found.half_interval(0.9)
    assert half is not None
    assert (found.slope - half, found.slope + half) == pytest.approx(tuple(interval), rel=ALGEBRA_RELATIVE)


def test_gls_is_generalised_least_squares_with_the_replicas_covariance() -> None:
    data = noisy_lines(40)
    found = fit_slope(data, "gls")
    covariance = np.cov(data.rows, rowvar=False)
    design = np.stack([np.ones_like(data.time_ps), data.time_ps], axis=1)
    inverse = np.linalg.inv(covariance)
    normal = design.T @ inverse @ design
    expected = np.linalg.solve(normal, design.T @ inverse @ data.rows.mean(axis=0))[1]
    assert found.slope == pytest.approx(expected, rel=1e-8)
    # the plain formula leaves out that the covariance itself was estimated
    assert found.stderr is not None
    assert found.stderr > math.sqrt(np.linalg.inv(normal)[1, 1] / 40)
    assert found.dof == 40 - 1 - 4


def test_wls_ice_error_is_the_sandwich() -> None:
    data = noisy_lines(40)
    found = fit_slope(data, "wls-ice")
    covariance = np.cov(data.rows, rowvar=False)
    weights = line_weights(data.time_ps, np.diag(np.diag(covariance)))[1]
    assert found.slope == pytest.approx(weights @ data.rows.mean(axis=0), rel=ALGEBRA_RELATIVE)
    assert found.stderr == pytest.approx(math.sqrt(weights @ covariance @ weights / 40), rel=ALGEBRA_RELATIVE)


def test_ols_is_that_of_a_textbook() -> None:
    data = noisy_lines(5)
    found, expected = fit_slope(data, "ols"), stats.linregress(data.time_ps, data.rows.mean(axis=0))
    assert (found.slope, found.stderr) == pytest.approx((expected.slope, expected.stderr), rel=ALGEBRA_RELATIVE)
    np.testing.assert_allclose(
        found.replicas, [stats.linregress(data.time_ps, row).slope for row in data.rows], rtol=1e-9
    )


def test_bootstrap_agrees_with_student_for_many_normal_replicas() -> None:
    data = noisy_lines(200)
    student, resampled = fit_slope(data), fit_slope(data, "bootstrap", confidence=0.9)
    assert resampled.slope == student.slope
    assert resampled.half_interval(0.9) == pytest.approx(student.half_interval(0.9), rel=BOOTSTRAP_RELATIVE)


@pytest.mark.parametrize(
    ("estimator", "n", "message"),
    [
        ("gls", 18, r"estimator 'gls': found 18 replicas for 6 lags, more than 3 for each lag are needed, 19"),
        ("wls-ice", 5, r"estimator 'wls-ice': found 5 replicas for 6 lags, .* use estimator 'brownian'"),
        ("bootstrap", 2, r"estimator 'bootstrap': found 2 replicas, at least 3 are needed"),
        ("lsq", 5, r"estimator is 'lsq', one of brownian, gls, wls-ice, bootstrap, ols is needed"),
    ],
)
def test_estimators_refuse(estimator: str, n: int, message: str) -> None:
    with pytest.raises(LpsmdError, match=message):
        fit_slope(noisy_lines(n), estimator)  # type: ignore[arg-type]


def test_jackknife_against_leaving_out_one_by_one() -> None:
    rows = np.random.default_rng(3).uniform(1, 2, (9, 4))

    def statistic(means: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.log(means).sum(axis=1)
        return found

    whole = np.log(rows.mean(axis=0)).sum()
    pseudo = [9 * whole - 8 * np.log(np.delete(rows, k, axis=0).mean(axis=0)).sum() for k in range(9)]
    value, half = jackknife(rows, statistic, 0.95)
    assert value == pytest.approx(np.mean(pseudo), rel=ALGEBRA_RELATIVE)
    assert half == pytest.approx(stats.t.ppf(0.975, 8) * stats.sem(pseudo), rel=ALGEBRA_RELATIVE)
    assert jackknife(rows[:1], statistic, 0.95) == (pytest.approx(np.log(rows[0]).sum()), None)


@pytest.mark.parametrize("name", ["random walk", "correlated ions"])
def test_error_of_one_trajectory_is_its_scatter(name: str) -> None:
    """Stochastic, with a fixed seed: the error stated by 300 trajectories against how much their D scatter.

    Without blocks ions count as independent, so the error of those that move together is far too small.
    """
    kind, n_frames = KINDS[name], 481
    rng = np.random.default_rng(17)
    values, stated, naive = [], [], []
    for _ in range(300):
        positions = kind.make(rng, 1, n_frames)
        blocks = msds_of(positions[:, :480].reshape(8, 60, N_IONS, 3))
        (whole,) = msds_of(positions)
        found, alone = diffusion_coefficient([whole], blocks=blocks), diffusion_coefficient([whole])
        assert (found.error_from, alone.error_from) == ("blocks", "independent ions")
        assert found.D_stderr_cm2_per_s is not None
        assert alone.D_stderr_cm2_per_s is not None
        values.append(found.D_cm2_per_s)
        stated.append(found.D_stderr_cm2_per_s)
        naive.append(alone.D_stderr_cm2_per_s)
    scatter = np.std(values, ddof=1)
    assert np.sqrt(np.mean(np.square(stated))) == pytest.approx(scatter, rel=SINGLE_ERROR_RELATIVE)
    if name == "correlated ions":
        assert np.mean(naive) < 0.7 * scatter
    else:
        assert np.mean(naive) == pytest.approx(scatter, rel=SINGLE_ERROR_RELATIVE)
