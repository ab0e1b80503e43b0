"""Exponents, straightness and quality of motions whose kind is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lpsmd.analysis import FitData, diffusion_coefficient, local_exponent
from lpsmd.analysis.motion import Motion, describe_motion
from support.ensembles import KINDS, msds_of
from tolerances import ALGEBRA_RELATIVE, KOLMOGOROV_P, STRAIGHTNESS_EXPONENT

LAGS = np.arange(20, 101, 5)


def motion_of(rows: np.ndarray) -> Motion:
    data = FitData(time_ps=0.1 * LAGS, lags=LAGS, rows=np.atleast_2d(rows), n_frames=201)
    return describe_motion(data)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_exponent_of_a_power(power: float) -> None:
    rows = np.outer([1.0, 1.1, 1.3], LAGS.astype(float) ** power)
    found = motion_of(rows)
    assert found.exponent == pytest.approx(power, abs=1e-9)
    assert found.exponent_half_interval == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("power", [0.85, 0.95, 1.0, 1.1])
def test_an_offset_does_not_bend_a_line(power: float) -> None:
    rows = np.outer([1.0, 1.1, 1.3], 30.0 + LAGS.astype(float) ** power)
    found = motion_of(rows)
    assert found.exponent < 0.85
    assert found.straightness == pytest.approx(power, abs=STRAIGHTNESS_EXPONENT if power != 1.0 else 1e-8)


@pytest.mark.parametrize(
    ("exponent", "half", "caged"), [(0.1, 0.2, True), (0.4, 0.2, False), (1.0, 0.1, False), (0.1, None, False)]
)
def test_caged_is_said_beyond_the_interval_only(exponent: float, half: float | None, caged: bool) -> None:
    found = Motion(
        exponent=exponent,
        exponent_half_interval=half,
        straightness=1.0,
        straightness_half_interval=0.1,
        quality=0.5,
        dof=7,
    )
    assert found.is_caged() is caged
    # an interval of 0.1 around 1: a straight rise behind a large offset
    assert found.is_caged(0.2) is False
    assert found.is_caged(0.05) is caged


@pytest.mark.parametrize(
    ("straightness", "half", "bent"),
    [(0.8, 0.1, True), (0.8, 0.15, False), (0.8, 0.3, False), (0.9, 0.01, False), (1.3, 0.1, True), (0.2, None, False)],
)
def test_bent_is_said_beyond_the_interval_and_the_margin(straightness: float, half: float | None, bent: bool) -> None:
    found = Motion(
        exponent=1.0,
        exponent_half_interval=0.1,
        straightness=straightness,
        straightness_half_interval=half,
        quality=0.5,
        dof=7,
    )
    assert found.is_bent(0.15) is bent


def test_quality_of_diffusion_is_uniform() -> None:
    """400 ensembles of six Brownian replicas of ions that rattle; stochastic, with a fixed seed."""
    rng = np.random.default_rng(5)
    positions = KINDS["random walk"].make(rng, 6 * 400, 201)[:, :, :6]
    positions += rng.normal(0, 0.5, positions.shape)
    msds = msds_of(positions)
    found = [diffusion_coefficient(msds[6 * k : 6 * k + 6]).motion.quality for k in range(400)]
    assert stats.kstest(found, "uniform").pvalue > KOLMOGOROV_P


def test_quality_of_bent_motion_is_near_zero() -> None:
    rows = LAGS**0.6 * np.linspace(0.98, 1.02, 6)[:, None]
    rows += 1e-3 * np.random.default_rng(2).normal(0, 1, rows.shape)
    assert motion_of(rows).quality < 1e-6


def test_quality_needs_replicas_and_a_slope() -> None:
    assert math.isnan(motion_of(LAGS**1.0).quality)
    assert motion_of(np.outer([1.0, 1.1], 1.0 / LAGS)).quality == 0.0


def test_local_exponent() -> None:
    time_ps = 0.01 * np.arange(1001)
    t, beta = local_exponent(time_ps, 3.0 * time_ps**1.5)
    np.testing.assert_allclose(beta, 1.5, atol=2e-2)
    np.testing.assert_allclose(beta[t > 0.5], 1.5, atol=1e-3)
    assert t[0] == pytest.approx(0.01 * math.sqrt(2.0), rel=ALGEBRA_RELATIVE)
    assert t[-1] < 10.0
    assert (np.diff(t) > 0).all()
    empty, _ = local_exponent(time_ps[:2], time_ps[:2])
    assert len(empty) == 0
