"""The stated intervals hold the true D as often as they say. Stochastic, with fixed seeds."""

from __future__ import annotations

import pytest

from lpsmd.analysis import Verdict
from support.coverage import SIZES, measure, measure_single
from support.ensembles import KINDS
from tolerances import (
    BIAS_STANDARD_ERRORS,
    COVERAGE_68_RANGE,
    COVERAGE_95_RANGE,
    COVERAGE_SMALL_68,
    COVERAGE_SMALL_95,
    OLS_COVERAGE_95,
    SUBDIFFUSION_TAKEN_FOR_DIFFUSION,
)

MOVING = [name for name, kind in KINDS.items() if kind.D_A2_per_ps]


@pytest.mark.parametrize("name", MOVING)
def test_intervals_of_few_replicas(name: str) -> None:
    """150 ensembles of 8 and 30 replicas: enough to see a factor in the error, not a per cent of coverage."""
    for tally in measure(name, 150, sizes=(8, 30), seed=1):
        assert tally.coverage(0.68) == pytest.approx(0.68, abs=COVERAGE_SMALL_68)
        assert tally.coverage(0.95) == pytest.approx(0.95, abs=COVERAGE_SMALL_95)
        assert tally.share(Verdict.DIFFUSIVE) > 0.9


def test_caged_ions_are_not_called_diffusive() -> None:
    for tally in measure("caged", 50, sizes=(8, 30), seed=1):
        assert tally.share(Verdict.NOT_YET_DIFFUSIVE) == 1.0
    assert measure_single("caged", 50, seed=1).share(Verdict.NOT_YET_DIFFUSIVE) == 1.0


def test_subdiffusion_is_not_called_diffusive() -> None:
    for tally in measure("subdiffusion", 60, sizes=(8, 30), seed=1):
        assert tally.share(Verdict.DIFFUSIVE) < SUBDIFFUSION_TAKEN_FOR_DIFFUSION


def test_ordinary_least_squares_fails() -> None:
    for tally in measure("random walk", 100, sizes=(8, 30), estimators=("ols",), seed=1):
        assert tally.coverage(0.95) < OLS_COVERAGE_95


@pytest.mark.slow
@pytest.mark.parametrize("name", MOVING)
def test_coverage_of_2000_ensembles(name: str) -> None:
    tallies = measure(name, 2000)
    assert [tally.n_replicas for tally in tallies] == list(SIZES)
    for tally in tallies:
        low, high = COVERAGE_68_RANGE
        assert low <= tally.coverage(0.68) <= high
        low, high = COVERAGE_95_RANGE
        assert low <= tally.coverage(0.95) <= high
        assert abs(tally.bias_standard_errors) < BIAS_STANDARD_ERRORS
        assert tally.share(Verdict.NOT_YET_DIFFUSIVE) <= 0.05


@pytest.mark.slow
def test_verdict_of_2000_caged_ensembles() -> None:
    for tally in measure("caged", 2000):
        assert tally.share(Verdict.NOT_YET_DIFFUSIVE) >= 0.99
