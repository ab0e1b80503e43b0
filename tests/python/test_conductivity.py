"""Collective diffusion, Haven ratio and conductivity, on ions whose correlations are known."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lpsmd.analysis import Msd, Verdict, diffusion_coefficient
from lpsmd.analysis.conductivity import (
    collective_diffusion,
    collective_to_dict,
    conductivity,
    conductivity_per_D,
    conductivity_to_dict,
    ratio_of_means,
)
from lpsmd.errors import LpsmdError
from support.walks import line_msd, walk_msd, walks
from tolerances import BY_HAND_RELATIVE, COVERAGE_95, LINE_RELATIVE

ISOTROPIC = np.eye(3)


def lines(haven_ratio: float = 0.4) -> list[Msd]:
    return [line_msd(2 * factor * ISOTROPIC, haven_ratio=haven_ratio) for factor in (0.8, 1.0, 1.1, 1.3)]


def test_lines_give_the_ratio_that_made_them() -> None:
    msds = lines()
    found = collective_diffusion(msds, diffusion_coefficient(msds))
    assert found.D_cm2_per_s == pytest.approx(1e-4 * 1.05 / 0.4, rel=LINE_RELATIVE)
    assert found.D_stderr_cm2_per_s == pytest.approx(1e-4 / 0.4 * stats.sem([0.8, 1.0, 1.1, 1.3]))
    # tracer and collective D of a replica are proportional: the ratio has no error at all
    assert found.haven_ratio == pytest.approx(0.4, rel=LINE_RELATIVE)
    assert found.haven_ratio_stderr == pytest.approx(0.0, abs=1e-12)
    assert found.haven_ratio_interval == pytest.approx((0.4, 0.4))
    assert found.motion.exponent == pytest.approx(1.0)


def test_haven_ratio_of_correlated_ions_is_covered() -> None:
    """200 ensembles of 30 replicas of 8 ions that share 1/7 of their steps' variance: H_R = 1 / (1 + 7/7) = 1/2."""
    rng = np.random.default_rng(11)
    n_ensembles = 200
    ratio, tracer, charge, values = 0, 0, 0, []
    for _ in range(n_ensembles):
        msds = [walk_msd(walks(rng, ISOTROPIC, n_atoms=8, common=1 / 7, n_frames=41)) for _ in range(30)]
        diffusion = diffusion_coefficient(msds)
        found = collective_diffusion(msds, diffusion)
        assert found.haven_ratio_interval is not None
        assert found.D_half_interval_cm2_per_s is not None
        assert diffusion.D_half_interval_cm2_per_s is not None
        low, high = found.haven_ratio_interval
        ratio += low < 0.5 < high
        tracer += abs(diffusion.D_cm2_per_s - 1e-4) < diffusion.D_half_interval_cm2_per_s
        charge += abs(found.D_cm2_per_s - 2e-4) < found.D_half_interval_cm2_per_s
        values.append(found.haven_ratio)
    assert tracer / n_ensembles == pytest.approx(0.95, abs=COVERAGE_95 * math.sqrt(3))
    # one collective walker per replica: skewed values, so a percent or two less than Student's promise
    assert charge / n_ensembles == pytest.approx(0.94, abs=COVERAGE_95 * math.sqrt(3))
    assert ratio / n_ensembles == pytest.approx(0.94, abs=COVERAGE_95 * math.sqrt(3))
    assert abs(np.mean(values) - 0.5) < 4 * stats.sem(values)


def test_fieller_interval_holds_the_ratios_that_a_t_test_does_not_refuse() -> None:
    rng = np.random.default_rng(2)
    below = 2.0 + 0.5 * rng.normal(size=12)
    above = 0.6 * below + 0.1 * rng.normal(size=12)
    _, stderr, interval = ratio_of_means(above, below, 0.9)
    assert interval is not None
    assert stderr is not None
    for limit in interval:
        assert stats.ttest_1samp(above - limit * below, 0.0).pvalue == pytest.approx(0.1)
    # first order: s of x - R y over the mean of y
    ratio = above.mean() / below.mean()
    assert stderr == pytest.approx(stats.sem(above - ratio * below) / below.mean(), rel=0.1)


def test_ratio_over_a_mean_that_may_be_zero_has_no_interval() -> None:
    above, below = np.array([1.0, 1.1, 0.9]), np.array([5.0, -3.0, 1.0])
    assert ratio_of_means(above, below, 0.95)[2] is None
    msds = [
        replace(msd, collective_A2=msd.msd_A2 * factor) for msd, factor in zip(lines(), (4, 1, 0.1, 9), strict=True)
    ]
    found = collective_diffusion(msds, diffusion_coefficient(msds))
    assert found.haven_ratio_interval is None
    assert found.haven_text == "cannot be told: the collective D is zero within its error (95 %)"
    assert found.verdict is Verdict.TOO_SHORT
    assert found.reason == "the interval of the collective D includes zero, run longer or more replicas"


def test_nernst_einstein_by_hand() -> None:
    # 24 ions of charge e and D = 1e-6 cm^2/s in (10 Angstrom)^3 at 300 K: n = 2.4e28 / m^3,
    # n e^2 D / kT = 2.4e28 * (1.602176634e-19)^2 * 1e-10 / (1.380649e-23 * 300) = 14.87399 S/m = 0.1487399 S/cm
    factor = conductivity_per_D(n_ions=24, volume_A3=1000.0, temperature_K=300.0)
    assert 1e-6 * factor == pytest.approx(0.1487399, rel=BY_HAND_RELATIVE)
    assert conductivity_per_D(n_ions=24, volume_A3=1000.0, temperature_K=300.0, charge_e=2) == pytest.approx(4 * factor)


def test_conductivities_and_their_errors() -> None:
    msds = lines()
    diffusion = diffusion_coefficient(msds)
    collective = collective_diffusion(msds, diffusion)
    found = conductivity(msds, diffusion, temperature_K=500.0, collective=collective)
    factor = 0.1487399e6 * 300 / 500
    assert found.nernst_einstein_S_per_cm == pytest.approx(factor * diffusion.D_cm2_per_s, rel=BY_HAND_RELATIVE)
    assert found.collective_S_per_cm == pytest.approx(found.nernst_einstein_S_per_cm / 0.4)
    assert found.collective_half_interval_S_per_cm is not None
    assert collective.D_half_interval_cm2_per_s is not None
    relative = found.collective_half_interval_S_per_cm / (found.collective_S_per_cm or 0)
    assert relative == pytest.approx(collective.D_half_interval_cm2_per_s / collective.D_cm2_per_s)
    assert found.nernst_einstein_verdict is diffusion.verdict
    assert str(found).count(str(diffusion.verdict)) == 2
    alone = conductivity(msds, diffusion, temperature_K=500.0)
    assert alone.collective_S_per_cm is None
    assert alone.collective_text == "none"


def test_collective_verdict_is_its_own_where_the_ions_diffuse() -> None:
    msds = [line_msd(4 * factor * ISOTROPIC, n_atoms=100) for factor in (0.98, 1.0, 1.02, 1.01)]
    diffusion = diffusion_coefficient(msds)
    assert diffusion.verdict is Verdict.DIFFUSIVE
    assert collective_diffusion(msds, diffusion).verdict is Verdict.DIFFUSIVE
    caged = [replace(msd, collective_A2=10 * (1 + 0.01 * i) + 0.01 * msd.msd_A2) for i, msd in enumerate(msds)]
    found = collective_diffusion(caged, diffusion)
    assert found.verdict is Verdict.NOT_YET_DIFFUSIVE
    assert found.reason.startswith("collective motion caged, local exponent 0.0")
    bent = [replace(msd, collective_A2=msd.msd_A2**2 * (1 + 0.01 * i)) for i, msd in enumerate(msds)]
    found = collective_diffusion(bent, diffusion)
    assert found.verdict is Verdict.NOT_YET_DIFFUSIVE
    assert found.reason.startswith("the collective MSD is not straight, exponent with a free offset")
    assert "verdict" in collective_to_dict(found)


def test_one_trajectory_has_no_interval() -> None:
    msds = lines()[:1]
    diffusion = diffusion_coefficient(msds)
    found = collective_diffusion(msds, diffusion)
    assert found.haven_text == "0.40 (no interval)"
    assert found.value_text.endswith("cm^2/s (no interval)")
    assert found.verdict is diffusion.verdict


def test_as_json() -> None:
    msds = lines()
    diffusion = diffusion_coefficient(msds)
    collective = collective_diffusion(msds, diffusion)
    values = json.loads(json.dumps(collective_to_dict(collective), allow_nan=False))
    assert values["verdict"] == str(diffusion.verdict)
    assert values["text"] == str(collective)
    sigma = conductivity(msds, diffusion, temperature_K=500.0, collective=collective)
    values = json.loads(json.dumps(conductivity_to_dict(sigma), allow_nan=False))
    assert values["nernst_einstein_verdict"] == str(diffusion.verdict)
    assert values["temperature_K"] == 500.0


def test_user_errors() -> None:
    msds = lines()
    diffusion = diffusion_coefficient(msds)
    with pytest.raises(LpsmdError, match="found MSDs without collective_A2, needed for a collective coefficient"):
        collective_diffusion([replace(msd, collective_A2=None) for msd in msds], diffusion)
    with pytest.raises(LpsmdError, match=r"temperature_K is -1\.0, a positive number of kelvin is needed"):
        conductivity(msds, diffusion, temperature_K=-1.0)
    with pytest.raises(LpsmdError, match="charge_e is 0, elementary charges other than 0 are needed"):
        conductivity(msds, diffusion, temperature_K=500.0, charge_e=0)
    with pytest.raises(LpsmdError, match=r"the volume is nan Angstrom\^3, a positive one is needed"):
        conductivity([replace(msd, volume_A3=math.nan) for msd in msds], diffusion, temperature_K=500.0)
