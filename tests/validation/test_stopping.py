"""A study that stops at its target error foresees when, and its interval at the stop holds the true D."""

from __future__ import annotations

import pytest

from lpsmd.analysis import StoppingRule
from support.stopping import Shares, Stopped, drawn_studies, motion_study
from tolerances import STOP_COVERAGE_95_RANGE, STOP_FORESEEN

#: Motion, target, and about how many replicas it needs; the last two are content with the minimum.
CELLS = [
    ("random walk", 0.033, 30),
    ("hops between cages", 0.03, 70),
    ("random walk", 0.0125, 190),
    ("hops between cages", 0.017, 210),
    ("random walk", 0.06, 16),
    ("hops between cages", 0.08, 16),
]


def motion_studies(n_studies: int, kind: str, target: float, *, seed: int = 1) -> list[Stopped]:
    rule = StoppingRule(target_relative_error=target, maximum_replicas=2000)
    return [motion_study(kind, [seed, index], rule) for index in range(n_studies)]


def check(shares: Shares) -> None:
    print(shares)
    low, high = STOP_COVERAGE_95_RANGE
    assert low <= shares.covered <= high
    assert shares.foreseen >= STOP_FORESEEN
    assert shares.reached == 1.0


def test_200_studies_of_synthetic_ions() -> None:
    """Half of them random walks, half hops between cages, whose targets need some 30 and 70 replicas."""
    check(Shares.of([study for kind, target, _ in CELLS[:2] for study in motion_studies(100, kind, target)]))


@pytest.mark.parametrize("n_needed", [10, 16, 30, 50, 100, 300])
def test_5000_studies_of_drawn_numbers(n_needed: int) -> None:
    """No noise of 200 studies: the interval with the price of looking, and that of the coefficient without it."""
    shares = Shares.of(drawn_studies(5000, n_needed))
    check(shares)
    low, high = STOP_COVERAGE_95_RANGE
    assert low <= shares.covered_as_it_is <= high
    assert shares.mean_looks < 6.0


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "target", "n_needed"), CELLS)
def test_1000_studies_of_synthetic_ions(kind: str, target: float, n_needed: int) -> None:
    shares = Shares.of(motion_studies(1000, kind, target))
    check(shares)
    assert shares.mean_replicas == pytest.approx(n_needed, rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("n_needed", [16, 20, 30, 50, 100, 300])
@pytest.mark.parametrize("skewed", [False, True])
def test_20000_studies_of_drawn_numbers(n_needed: int, skewed: bool) -> None:
    """Normal and skewed (gamma) replicas, and a target as coarse as 10 %."""
    check(Shares.of(drawn_studies(20_000, n_needed, target=0.1, skewed=skewed)))
