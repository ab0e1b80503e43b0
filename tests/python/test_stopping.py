"""What to do after a wave of replicas."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpsmd.analysis import (
    Action,
    Diffusion,
    DiffusionOptions,
    Remedy,
    StoppingRule,
    Verdict,
    decide,
    decision_to_dict,
    diffusion_coefficient,
)
from lpsmd.errors import LpsmdError
from support.coefficients import diffusion_of
from support.coverage import N_FRAMES
from support.ensembles import KINDS, msds_of
from support.stopping import needed_spread, run_study
from support.walks import line_msd

RULE = StoppingRule(target_relative_error=0.05, maximum_replicas=400)


def spread_out(n: int, spread: float) -> Diffusion:
    """A coefficient of n replicas with that very relative spread."""
    values = np.linspace(-1.0, 1.0, n)
    return diffusion_of(1.0 + spread * values / values.std(ddof=1))


def test_up_to_the_minimum() -> None:
    assert decide(None, RULE, n_complete=0).n_replicas == 16
    assert decide(spread_out(5, 0.001), RULE, n_complete=5).n_replicas == 16
    found = decide(spread_out(5, 0.001), RULE, n_complete=5, round_to=10)
    assert (found.action, found.n_replicas) == (Action.MORE_REPLICAS, 20)
    assert found.text == "5 of at least 16 replicas are complete: on to 20 replicas"


@pytest.mark.parametrize(
    ("n_needed", "following"), [(30, "predicted"), (37, "predicted"), (60, "half"), (100, "half"), (300, "capped")]
)
def test_few_waves(n_needed: int, following: str) -> None:
    found = decide(spread_out(16, needed_spread(n_needed, 0.05)), RULE, n_complete=16)
    predicted = found.predicted_replicas
    assert predicted is not None
    assert found.action is Action.MORE_REPLICAS
    # the price of looking, 2 / n of n
    assert predicted == pytest.approx(n_needed + 2, abs=1)
    assert found.predicted_low == max(16, math.floor((1 - math.sqrt(0.5)) * predicted))
    assert found.predicted_high == math.ceil((1 + math.sqrt(0.5)) * predicted)
    expected = {"predicted": predicted, "half": math.ceil(predicted / 2), "capped": 64}[following]
    assert found.n_replicas == expected


def test_target_reached() -> None:
    found = decide(spread_out(40, needed_spread(30, 0.05)), RULE, n_complete=40)
    assert (found.action, found.n_replicas, found.goes_on) == (Action.TARGET_REACHED, 40, False)
    assert found.relative_error is not None
    assert found.relative_error < 0.05
    assert found.predicted_replicas == 40
    half = spread_out(40, needed_spread(30, 0.05)).D_half_interval_cm2_per_s
    assert half is not None
    assert found.D_half_interval_cm2_per_s == pytest.approx(half * math.sqrt(1 + 2 / 40))
    assert json.loads(json.dumps(decision_to_dict(found), allow_nan=False))["action"] == "target reached"


def test_a_little_more_where_the_prediction_falls_short() -> None:
    # on target without the price of looking
    found = decide(spread_out(40, needed_spread(40, 0.05)), RULE, n_complete=40)
    assert (found.action, found.n_replicas) == (Action.MORE_REPLICAS, 42)
    gls = replace(spread_out(100, 0.1), D_half_interval_cm2_per_s=0.06)
    assert decide(gls, RULE, n_complete=100).n_replicas == 105


def test_maximum() -> None:
    rule = StoppingRule(target_relative_error=0.01, maximum_replicas=50)
    more = decide(spread_out(40, 0.3), rule, n_complete=40)
    assert (more.action, more.n_replicas) == (Action.MORE_REPLICAS, 50)
    assert "more than the maximum of 50: on to 50 replicas" in more.text
    found = decide(spread_out(50, 0.3), rule, n_complete=50)
    assert (found.action, found.n_replicas) == (Action.MAXIMUM_REACHED, 50)
    assert found.predicted_replicas is not None
    assert found.predicted_replicas > 3000
    assert found.text.endswith("with the maximum of 50 replicas: raise it, or run longer")
    hopeless = StoppingRule(target_relative_error=1e-9, maximum_replicas=50)
    assert decide(spread_out(16, 0.3), hopeless, n_complete=16).n_replicas == 50


def test_waves_fill_slots_and_structures() -> None:
    diffusion = spread_out(16, needed_spread(30, 0.05))
    assert decide(diffusion, RULE, n_complete=16, round_to=10).n_replicas == 40
    assert decide(diffusion, RULE, n_complete=16, n_structures=8).n_replicas == 32
    # one replica in each of 50 structures instead of 32 would cost more than it brings
    assert decide(diffusion, RULE, n_complete=16, n_structures=50).n_replicas == 32
    assert decide(None, RULE, n_complete=0, n_structures=5).n_replicas == 20


# ---- verdicts -----------------------------------------------------------------------------------------------


def test_caged_motion_asks_for_longer_runs() -> None:
    rng = np.random.default_rng(1)
    caged = diffusion_coefficient(msds_of(KINDS["caged"].make(rng, 16, N_FRAMES)))
    assert caged.remedy is Remedy.LONGER_RUNS
    found = decide(caged, RULE, n_complete=16)
    assert (found.action, found.n_replicas) == (Action.LONGER_RUNS, 16)
    assert found.production_ps is None
    assert "raise production_ps, how long cannot be told, no ion has left its cage" in found.text
    assert "the same folder continues" in found.text


def test_less_than_a_hop_asks_for_runs_of_a_hop() -> None:
    # 0.3 Angstrom^2/ps of 20 ps, fitted to 10 ps: 8.4 Angstrom^2 in 28 ps, twice that with the window
    msds = [line_msd(0.1 * factor * np.eye(3)) for factor in np.linspace(0.95, 1.05, 16)]
    found = decide(diffusion_coefficient(msds), RULE, n_complete=16)
    assert found.action is Action.LONGER_RUNS
    assert found.production_ps == pytest.approx(2 * 2.9**2 / 0.3)
    assert "about 56 ps instead of 20 ps at least" in found.text


def test_few_hops_below_a_hop_each_are_too_short() -> None:
    msds = [line_msd(0.003 * factor * np.eye(3)) for factor in np.linspace(0.9, 1.1, 16)]
    diffusion = diffusion_coefficient(msds)
    assert (diffusion.verdict, diffusion.remedy) == (Verdict.TOO_FEW_EVENTS, Remedy.LONGER_RUNS)
    few = diffusion_coefficient([line_msd(0.4 * f * np.eye(3), n_atoms=1) for f in (0.9, 1.0, 1.1)])
    assert (few.verdict, few.remedy) == (Verdict.TOO_FEW_EVENTS, Remedy.MORE_REPLICAS)


def test_remedies_of_intervals_are_replicas() -> None:
    wide = diffusion_coefficient([line_msd(4 * f * np.eye(3)) for f in (0.05, 1.0, 1.95)])
    assert (wide.verdict, wide.remedy) == (Verdict.TOO_SHORT, Remedy.MORE_REPLICAS)
    alone = diffusion_coefficient([line_msd(4 * np.eye(3))])
    assert (alone.verdict, alone.remedy) == (Verdict.TOO_SHORT, Remedy.MORE_REPLICAS)
    good = diffusion_coefficient([line_msd(4 * f * np.eye(3)) for f in (0.95, 1.0, 1.05)])
    assert (good.verdict, good.remedy) == (Verdict.DIFFUSIVE, Remedy.NOTHING)
    options = DiffusionOptions(exponent_uncertainty=1e-6)
    rng = np.random.default_rng(2)
    walks = msds_of(KINDS["random walk"].make(rng, 8, N_FRAMES))
    assert diffusion_coefficient(walks, options).remedy is Remedy.MORE_REPLICAS


def test_a_verdict_that_replicas_can_cure_goes_on_though_the_target_is_reached() -> None:
    unclear = replace(spread_out(40, 0.01), verdict=Verdict.TOO_SHORT, remedy=Remedy.MORE_REPLICAS, reason="unclear")
    found = decide(unclear, RULE, n_complete=40)
    assert (found.action, found.n_replicas) == (Action.MORE_REPLICAS, 60)
    assert "but too short to judge (unclear)" in found.text
    rule = StoppingRule(target_relative_error=0.05, maximum_replicas=40)
    assert decide(unclear, rule, n_complete=40).action is Action.MAXIMUM_REACHED


def test_broken_framework_ends_at_once() -> None:
    broken = replace(spread_out(5, 0.1), verdict=Verdict.FRAMEWORK_BROKEN, reason="P-S at 4 Angstrom")
    found = decide(broken, RULE, n_complete=5)
    assert (found.action, found.n_replicas) == (Action.FRAMEWORK_BROKEN, 5)
    assert found.text == "P-S at 4 Angstrom; more replicas do not mend it"


def test_no_coefficient_and_none_that_is_positive() -> None:
    assert decide(None, RULE, n_complete=16).action is Action.LONGER_RUNS
    negative = replace(spread_out(16, 0.1), D_cm2_per_s=-1e-7, verdict=Verdict.TOO_SHORT, remedy=Remedy.MORE_REPLICAS)
    found = decide(negative, RULE, n_complete=16)
    assert (found.action, found.n_replicas, found.relative_error) == (Action.MORE_REPLICAS, 24, None)
    rule = StoppingRule(target_relative_error=0.05, maximum_replicas=16)
    assert decide(negative, rule, n_complete=16).action is Action.MAXIMUM_REACHED


# ---- structures ---------------------------------------------------------------------------------------------


def in_structures(n: int, n_structures: int, *, between: float, within: float, seed: int = 1) -> Diffusion:
    rng = np.random.default_rng(seed)
    structures = [k % n_structures for k in range(n)]
    values = 1.0 + between * rng.normal(size=n_structures)[structures] + within * rng.normal(size=n)
    return diffusion_of(values, structures)


def test_unreachable_in_these_structures() -> None:
    found = decide(in_structures(32, 8, between=0.2, within=0.1), RULE, n_complete=32, n_structures=8)
    assert (found.action, found.n_replicas) == (Action.MORE_STRUCTURES, 32)
    assert found.n_structures is not None
    assert 20 < found.n_structures < 150
    assert "the spread between 8 structures alone leaves" in found.text
    assert f"about {found.n_structures} structures are needed" in found.text


def test_the_maximum_would_do_in_more_structures() -> None:
    rule = StoppingRule(target_relative_error=0.05, maximum_replicas=64)
    drawn = (in_structures(64, 4, between=0.0, within=0.15, seed=seed) for seed in range(20))
    diffusion = next(one for one in drawn if one.D_between_structures_cm2_per_s == 0.0)
    found = decide(diffusion, rule, n_complete=64, n_structures=4)
    assert found.action is Action.MORE_STRUCTURES
    assert found.n_structures is not None
    assert 4 < found.n_structures <= 64
    assert f"as many replicas in about {found.n_structures} structures instead of 4 would do" in found.text


def test_structures_that_differ_by_chance_do_not_end_a_study() -> None:
    drawn = [in_structures(16, 4, between=0.0, within=0.15, seed=seed) for seed in range(60)]
    seeming = [one for one in drawn if one.D_between_structures_cm2_per_s]
    assert len(seeming) > 10
    ended = [decide(one, RULE, n_complete=16, n_structures=4).action is Action.MORE_STRUCTURES for one in seeming]
    assert np.mean(ended) < 0.25
    unclear = decide(seeming[0], RULE, n_complete=16, n_structures=4)
    assert "not clear yet whether structures differ" in unclear.text
    assert unclear.n_replicas == 24


def test_reachable_in_structures() -> None:
    rng = np.random.default_rng(4)
    structure = 1.0 + 0.02 * rng.normal(size=16)
    replicas = 0.2 * rng.normal(size=400)

    def analyse(n: int) -> Diffusion:
        labels = [k % 16 for k in range(n)]
        return diffusion_of(structure[labels] + replicas[:n], labels)

    stopped = run_study(analyse, RULE, true_D_cm2_per_s=1.0, n_structures=16)
    assert stopped.decision.action is Action.TARGET_REACHED
    assert all(n % 16 == 0 for n, _ in stopped.looks)
    assert stopped.decision.relative_error is not None
    assert stopped.decision.relative_error <= 0.05


# ---- limits -------------------------------------------------------------------------------------------------


@given(
    n=st.integers(2, 300),
    spread=st.floats(1e-6, 5.0),
    target=st.floats(1e-6, 0.99),
    minimum=st.integers(16, 60),
    room=st.integers(0, 300),
    n_structures=st.integers(1, 40),
    nested=st.booleans(),
    round_to=st.integers(1, 64),
    D=st.sampled_from([1.0, 0.0, -1.0]),
    remedy=st.sampled_from(list(Remedy)),
    verdict=st.sampled_from(list(Verdict)),
)
def test_never_fewer_and_never_beyond_the_maximum(
    n: int,
    spread: float,
    target: float,
    minimum: int,
    room: int,
    n_structures: int,
    nested: bool,
    round_to: int,
    D: float,
    remedy: Remedy,
    verdict: Verdict,
) -> None:
    rule = StoppingRule(target_relative_error=target, minimum_replicas=minimum, maximum_replicas=minimum + room)
    values = D + spread * np.random.default_rng(n).normal(size=n)
    diffusion = replace(
        diffusion_of(values, [k % n_structures for k in range(n)] if nested else None), remedy=remedy, verdict=verdict
    )
    for given_one in (diffusion, None):
        found = decide(given_one, rule, n_complete=n, n_structures=n_structures, round_to=round_to)
        assert n <= found.n_replicas <= max(n, rule.maximum_replicas)
        assert found.goes_on == (found.n_replicas > n)
        assert found.text
        if found.predicted_replicas is not None:
            assert found.predicted_low is not None
            assert found.predicted_high is not None
            assert n <= found.predicted_low <= found.predicted_replicas <= found.predicted_high


def test_user_errors() -> None:
    with pytest.raises(LpsmdError, match="target_relative_error is 5, a part of D between 0 and 1 is needed"):
        StoppingRule(target_relative_error=5, maximum_replicas=50)
    with pytest.raises(LpsmdError, match="minimum_replicas is 8, at least 16 are needed"):
        StoppingRule(target_relative_error=0.05, minimum_replicas=8, maximum_replicas=50)
    with pytest.raises(LpsmdError, match="maximum_replicas is 10, at least minimum_replicas is needed, 16"):
        StoppingRule(target_relative_error=0.05, maximum_replicas=10)
    with pytest.raises(LpsmdError, match="a coefficient of 20 replicas and 24 complete ones"):
        decide(spread_out(20, 0.1), RULE, n_complete=24)
    ols = replace(spread_out(20, 0.1), options=DiffusionOptions(estimator="ols"))
    with pytest.raises(LpsmdError, match="estimator 'ols' has a wrong error"):
        decide(ols, RULE, n_complete=20)
    with pytest.raises(LpsmdError, match="round_to is 0, at least 1 is needed"):
        decide(None, RULE, n_complete=0, round_to=0)
