"""What a target error needs."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lpsmd.analysis import Diffusion, Verdict, diffusion_coefficient
from lpsmd.analysis.planning import plan, plan_to_dict
from lpsmd.errors import LpsmdError
from support.walks import line_msd


def coefficient(spread: float = 0.2, n: int = 24, verdict: Verdict = Verdict.DIFFUSIVE) -> Diffusion:
    """D whose replicas have a relative standard deviation `spread`."""
    factors = stats.norm.ppf((np.arange(n) + 0.5) / n)
    factors = 1.0 + spread * factors / factors.std(ddof=1)
    found = diffusion_coefficient([line_msd(4 * factor * np.eye(3)) for factor in factors])
    return replace(found, verdict=verdict)


def half(spread: float, n: int) -> float:
    return float(stats.t.ppf(0.975, n - 1)) * spread / math.sqrt(n)


@pytest.mark.parametrize(("spread", "target"), [(0.2, 0.01), (0.2, 0.05), (0.02, 0.03), (0.4, 0.15)])
def test_the_smallest_number_that_will_do(spread: float, target: float) -> None:
    found = plan(coefficient(spread), target_relative_error=target)
    n = found.replicas_needed
    assert half(spread, n) <= target
    assert n == 2 or half(spread, n - 1) > target


def test_longer_replicas() -> None:
    found = plan(coefficient(0.2), target_relative_error=0.01)
    assert found.relative_error_now == pytest.approx(half(0.2, 24))
    assert found.duration_needed_ps == pytest.approx(20.0 * (half(0.2, 24) / 0.01) ** 2)


def test_as_text() -> None:
    # t_1539 0.2 / 1540^(1/2) = 0.009997; (t_23 0.2 / 24^(1/2) / 0.01)^2 20 ps = 1427 ps
    found = plan(coefficient(0.2), target_relative_error=0.01)
    assert str(found) == "for 1 % (95 %): 1540 replicas of 20 ps (now 24), or 24 of 1426 ps"
    assert plan_to_dict(found)["text"] == str(found)
    json.dumps(plan_to_dict(found), allow_nan=False)
    reached = plan(coefficient(0.01), target_relative_error=0.01)
    assert str(reached) == "for 1 % (95 %): reached, 24 replicas of 20 ps give 0.422 %"
    caged = plan(coefficient(0.2, verdict=Verdict.NOT_YET_DIFFUSIVE), target_relative_error=0.01)
    assert str(caged).endswith("or 24 of 1426 ps, if the motion were diffusive (not yet diffusive)")


def test_user_errors() -> None:
    good = coefficient()
    with pytest.raises(LpsmdError, match=r"the target error is -0\.1, a part of D is needed, as 0\.05"):
        plan(good, target_relative_error=-0.1)
    with pytest.raises(LpsmdError, match="one replica gives no error to plan from"):
        plan(replace(good, D_stderr_cm2_per_s=None), target_relative_error=0.1)
    with pytest.raises(LpsmdError, match=r"D is -1e-07 cm\^2/s, a positive one is needed"):
        plan(replace(good, D_cm2_per_s=-1e-7), target_relative_error=0.1)
    with pytest.raises(LpsmdError, match="needs more than 100000000 replicas: ask for less"):
        plan(good, target_relative_error=1e-9)
