"""Student's, Fisher's and the chi-squared distribution.

By scipy's special functions, which scipy.stats computes the same by. Even these are imported only where they are used:
they take 0.13 s and 27 MB, and workers, of which there may be many on a node, need none.
"""

from __future__ import annotations

import math


def student_half_interval(confidence: float, dof: float) -> float:
    """Half the two-sided interval of Student's t over the standard error.

    Parameters
    ----------
    confidence
        Between 0 and 1, as 0.95.
    dof
        Degrees of freedom; infinite for the normal distribution.
    """
    from scipy import special

    p = 0.5 + confidence / 2.0
    return float(special.ndtri(p) if math.isinf(dof) else special.stdtrit(dof, p))


def fisher_quantile(confidence: float, dof: float, dof_below: float) -> float:
    """The F that is exceeded with the probability 1 - confidence; `dof_below` is that of the denominator."""
    from scipy import special

    return float(special.fdtri(dof, dof_below, confidence))


def fisher_tail(F: float, dof: float, dof_below: float) -> float:
    """Probability of a larger F; `dof_below` is that of the denominator."""
    from scipy import special

    return float(special.fdtrc(dof, dof_below, F))


def chi_squared_tail(chi_squared: float, dof: float) -> float:
    """Probability of a larger chi squared."""
    from scipy import special

    return float(special.chdtrc(dof, chi_squared))
