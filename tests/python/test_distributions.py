"""Quantiles and tail probabilities against scipy.stats, which the package itself does not import."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import constants, stats

from lpsmd.analysis.constants import BOLTZMANN_J_PER_K, ELEMENTARY_CHARGE_C
from lpsmd.analysis.distributions import (
    chi_squared_tail,
    fisher_quantile,
    fisher_tail,
    student_half_interval,
)
from tolerances import ALGEBRA_RELATIVE

DOFS = [0.7, 1, 2, 3.3, 15, 299, 1e5]
CONFIDENCES = [0.5, 0.68, 0.95, 0.99]
VALUES = [0.0, 0.01, 0.4, 1.0, 3.0, 50.0]


@pytest.mark.parametrize("dof", [*DOFS, math.inf])
def test_student(dof: float) -> None:
    found = [student_half_interval(confidence, dof) for confidence in CONFIDENCES]
    np.testing.assert_allclose(found, stats.t.interval(CONFIDENCES, dof)[1], rtol=ALGEBRA_RELATIVE)


@pytest.mark.parametrize("above", DOFS)
@pytest.mark.parametrize("below", DOFS)
def test_fisher(above: float, below: float) -> None:
    found = [fisher_quantile(confidence, above, below) for confidence in CONFIDENCES]
    np.testing.assert_allclose(found, stats.f.ppf(CONFIDENCES, above, below), rtol=ALGEBRA_RELATIVE)
    tails = [fisher_tail(value, above, below) for value in VALUES]
    np.testing.assert_allclose(tails, stats.f.sf(VALUES, above, below), rtol=ALGEBRA_RELATIVE)


@pytest.mark.parametrize("dof", DOFS)
def test_chi_squared(dof: float) -> None:
    tails = [chi_squared_tail(value, dof) for value in VALUES]
    np.testing.assert_allclose(tails, stats.chi2.sf(VALUES, dof), rtol=ALGEBRA_RELATIVE)


def test_constants() -> None:
    assert constants.Boltzmann == BOLTZMANN_J_PER_K
    assert constants.elementary_charge == ELEMENTARY_CHARGE_C


def test_a_worker_imports_nothing_that_is_slow() -> None:
    """Every worker pays for what a replica needs: neither torch, nor matplotlib, nor scipy."""
    code = (
        "import sys; import lpsmd.ensemble.worker, lpsmd.analysis.trajectory, lpsmd.analysis.framework; "
        "print(*{'torch', 'matplotlib', 'scipy', 'MDAnalysis', 'pydantic', 'parsl'}.intersection(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_plots_are_there_when_they_are_asked_for() -> None:
    from lpsmd import analysis
    from lpsmd.analysis import plots

    assert analysis.plot_msd is plots.plot_msd
    assert all(hasattr(analysis, name) for name in analysis.__all__)
    with pytest.raises(AttributeError, match=r"module 'lpsmd\.analysis' has no attribute 'plot_nothing'"):
        _ = analysis.plot_nothing
