"""Collective diffusion, the Haven ratio, and ionic conductivities with their errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpsmd.analysis.constants import BOLTZMANN_J_PER_K, ELEMENTARY_CHARGE_C
from lpsmd.analysis.diffusion import D_CM2_PER_S_OF_SLOPE, Diffusion
from lpsmd.analysis.distributions import student_half_interval
from lpsmd.analysis.estimators import jackknife
from lpsmd.analysis.motion import Motion, describe_motion
from lpsmd.analysis.msd import Msd
from lpsmd.analysis.slopes import curve_slope, independent_slopes, window_data
from lpsmd.analysis.verdict import Verdict
from lpsmd.errors import LpsmdError
from lpsmd.text import format_with_error

_CM3_PER_A3 = 1e-24


@dataclass(frozen=True, kw_only=True)
class CollectiveDiffusion:
    """The diffusion coefficient of the charge, and the Haven ratio. Errors are None for a single trajectory.

    Attributes
    ----------
    species
        Chemical symbol.
    D_cm2_per_s, D_stderr_cm2_per_s, D_half_interval_cm2_per_s
        Of the sum of all ions, for each ion; Student's interval.
    D_replicas_cm2_per_s
        [n] each replica's.
    haven_ratio, haven_ratio_stderr
        Tracer over collective coefficient, by the jackknife.
    haven_ratio_interval
        Fieller's; None where it is unbounded, that is where the collective D cannot be told from zero.
    confidence
        Of the intervals.
    motion
        Exponents of the collective MSD in the window.
    verdict, reason
        Of the collective motion: never better than that of the tracers.
    """

    species: str
    D_cm2_per_s: float
    D_stderr_cm2_per_s: float | None
    D_half_interval_cm2_per_s: float | None
    D_replicas_cm2_per_s: tuple[float, ...]
    haven_ratio: float
    haven_ratio_stderr: float | None
    haven_ratio_interval: tuple[float, float] | None
    confidence: float
    motion: Motion
    verdict: Verdict
    reason: str

    @property
    def haven_text(self) -> str:
        """``0.51 (95 %: 0.42 to 0.66)``; for tables that show the verdict beside it."""
        level = f"{100 * self.confidence:g} %"
        if self.haven_ratio_stderr is None:
            return f"{self.haven_ratio:.2f} (no interval)"
        if self.haven_ratio_interval is None:
            return f"cannot be told: the collective D is zero within its error ({level})"
        low, high = self.haven_ratio_interval
        return f"{self.haven_ratio:.2f} ({level}: {low:.2f} to {high:.2f})"

    def __str__(self) -> str:
        """``D_sigma = (...) cm^2/s (95 %), Haven ratio ...: verdict: reason``."""
        return f"D_sigma = {self.value_text}, Haven ratio {self.haven_text}: {self.verdict}: {self.reason}"

    @property
    def value_text(self) -> str:
        """``(1.2 +- 0.5)e-5 cm^2/s (95 %)``; for tables that show the verdict beside it."""
        return _with_interval(self.D_cm2_per_s, self.D_half_interval_cm2_per_s, "cm^2/s", self.confidence)


@dataclass(frozen=True, kw_only=True)
class Conductivity:
    """Ionic conductivities at a temperature. Errors are None where the coefficient has none.

    Attributes
    ----------
    species
        Chemical symbol.
    temperature_K, volume_A3, n_ions, charge_e
        What they were computed for.
    nernst_einstein_S_per_cm, nernst_einstein_stderr_S_per_cm, nernst_einstein_half_interval_S_per_cm
        As if ions moved independently.
    collective_S_per_cm, collective_stderr_S_per_cm, collective_half_interval_S_per_cm
        From the motion of the charge, correlations included; None where there is no collective coefficient.
    confidence
        Of the intervals.
    nernst_einstein_verdict, collective_verdict
        Of the coefficients behind them.
    """

    species: str
    temperature_K: float
    volume_A3: float
    n_ions: int
    charge_e: float
    nernst_einstein_S_per_cm: float
    nernst_einstein_stderr_S_per_cm: float | None
    nernst_einstein_half_interval_S_per_cm: float | None
    collective_S_per_cm: float | None
    collective_stderr_S_per_cm: float | None
    collective_half_interval_S_per_cm: float | None
    confidence: float
    nernst_einstein_verdict: Verdict
    collective_verdict: Verdict | None

    @property
    def nernst_einstein_text(self) -> str:
        """``(1.2 +- 0.5)e-2 S/cm (95 %)``; for tables that show the verdict beside it."""
        return _with_interval(
            self.nernst_einstein_S_per_cm, self.nernst_einstein_half_interval_S_per_cm, "S/cm", self.confidence
        )

    @property
    def collective_text(self) -> str:
        """The same for the collective conductivity; ``none`` where there is none."""
        if self.collective_S_per_cm is None:
            return "none"
        return _with_interval(self.collective_S_per_cm, self.collective_half_interval_S_per_cm, "S/cm", self.confidence)

    def __str__(self) -> str:
        """Both with their verdicts."""
        text = f"sigma_NE = {self.nernst_einstein_text}: {self.nernst_einstein_verdict}"
        if self.collective_S_per_cm is None:
            return text
        return f"{text}; sigma = {self.collective_text}: {self.collective_verdict}"


def collective_diffusion(msds: Sequence[Msd], diffusion: Diffusion) -> CollectiveDiffusion:
    r"""The diffusion coefficient of the charge and the Haven ratio, in the window of a coefficient.

    .. math::

        D_\sigma = \lim_{t \to \infty} \frac{1}{6 N t}
            \Big\langle \Big| \sum_i \Delta \mathbf{r}_i(t) \Big|^2 \Big\rangle ,
        \qquad H_R = \frac{D_\mathrm{tracer}}{D_\sigma}

    (Murch 1982, doi:10.1016/0167-2738(82)90050-9; Marcolongo and Marzari 2017,
    doi:10.1103/PhysRevMaterials.1.025402). All ions of a replica give one collective walker, so that its
    error is about :math:`\sqrt N` times that of the tracers; each replica gives one :math:`D_\sigma`, by the
    weights of D, and the error comes from their spread.

    The ratio is that of the two means over the same replicas, which are correlated. Its value is jackknifed, the
    bias of order 1/n from the noise of the denominator removed. Its interval is Fieller's (1954,
    doi:10.1111/j.2517-6161.1954.tb00159.x): all ratios H for which the mean of :math:`D_r - H D_{\sigma,r}` is zero
    within Student's interval. Where replicas are nested in structures, the means of structures take their place.

    The displacements are relative to what the drift of the MSD takes as at rest. That should be the framework: the
    centre of mass of all atoms moves against the ions, and makes the collective coefficient smaller by the squared
    mass fraction of the rest.

    The verdict is that of the tracers where that is bad; ``not yet diffusive`` where the collective MSD is caged or
    bent; ``too short to judge`` where there is no interval or it includes zero.

    Parameters
    ----------
    msds
        One for each replica, with `collective_A2`.
    diffusion
        The tracers' coefficient from these.

    Raises
    ------
    LpsmdError
        If the MSDs carry no collective part, or are not those of the coefficient.
    """
    if any(msd.collective_A2 is None for msd in msds):
        raise LpsmdError(
            "found MSDs without collective_A2, needed for a collective coefficient: compute them anew from the dumps"
        )
    curves = np.array([msd.collective_A2 for msd in msds])
    fit = curve_slope(msds, diffusion, curves)
    half = fit.half_interval(diffusion.confidence)
    tracer = D_CM2_PER_S_OF_SLOPE * independent_slopes(msds, diffusion, np.array([msd.msd_A2 for msd in msds]))
    collective = D_CM2_PER_S_OF_SLOPE * independent_slopes(msds, diffusion, curves)
    ratio, ratio_stderr, interval = ratio_of_means(tracer, collective, diffusion.confidence)
    motion = describe_motion(window_data(msds, diffusion, curves))
    verdict, reason = _judge(diffusion, motion, fit.slope, half)
    return CollectiveDiffusion(
        species=diffusion.species,
        D_cm2_per_s=D_CM2_PER_S_OF_SLOPE * fit.slope,
        D_stderr_cm2_per_s=None if fit.stderr is None else D_CM2_PER_S_OF_SLOPE * fit.stderr,
        D_half_interval_cm2_per_s=None if half is None else D_CM2_PER_S_OF_SLOPE * half,
        D_replicas_cm2_per_s=tuple(float(value) for value in D_CM2_PER_S_OF_SLOPE * fit.replicas),
        haven_ratio=ratio,
        haven_ratio_stderr=ratio_stderr,
        haven_ratio_interval=interval,
        confidence=diffusion.confidence,
        motion=motion,
        verdict=verdict,
        reason=reason,
    )


def conductivity(
    msds: Sequence[Msd],
    diffusion: Diffusion,
    *,
    temperature_K: float,
    charge_e: float = 1.0,
    collective: CollectiveDiffusion | None = None,
) -> Conductivity:
    r"""Nernst-Einstein and collective conductivity, in S/cm.

    .. math::

        \sigma_\mathrm{NE} = \frac{N z^2 e^2 D}{V k_B T}, \qquad
        \sigma = \frac{N z^2 e^2 D_\sigma}{V k_B T} = \frac{\sigma_\mathrm{NE}}{H_R}

    with the constants of CODATA and the mean volume of the runs (Marcolongo and Marzari 2017,
    doi:10.1103/PhysRevMaterials.1.025402). The errors are those of the coefficients; temperature and volume are
    taken as exact.

    Parameters
    ----------
    msds
        One for each replica, with `volume_A3`.
    diffusion
        The tracers' coefficient from these.
    temperature_K
        Of the runs.
    charge_e
        Charge z of an ion, in elementary charges.
    collective
        From `collective_diffusion`; without it there is no collective conductivity.

    Raises
    ------
    LpsmdError
        If the temperature is not positive, the charge is zero, or the volume is not known.
    """
    volume_A3 = float(np.mean([msd.volume_A3 for msd in msds]))
    factor = conductivity_per_D(
        n_ions=diffusion.n_atoms, volume_A3=volume_A3, temperature_K=temperature_K, charge_e=charge_e
    )

    def scaled(value: float | None) -> float | None:
        return None if value is None else factor * value

    return Conductivity(
        species=diffusion.species,
        temperature_K=temperature_K,
        volume_A3=volume_A3,
        n_ions=diffusion.n_atoms,
        charge_e=charge_e,
        nernst_einstein_S_per_cm=factor * diffusion.D_cm2_per_s,
        nernst_einstein_stderr_S_per_cm=scaled(diffusion.D_stderr_cm2_per_s),
        nernst_einstein_half_interval_S_per_cm=scaled(diffusion.D_half_interval_cm2_per_s),
        collective_S_per_cm=None if collective is None else factor * collective.D_cm2_per_s,
        collective_stderr_S_per_cm=None if collective is None else scaled(collective.D_stderr_cm2_per_s),
        collective_half_interval_S_per_cm=None if collective is None else scaled(collective.D_half_interval_cm2_per_s),
        confidence=diffusion.confidence,
        nernst_einstein_verdict=diffusion.verdict,
        collective_verdict=None if collective is None else collective.verdict,
    )


def conductivity_per_D(*, n_ions: int, volume_A3: float, temperature_K: float, charge_e: float = 1.0) -> float:
    r""":math:`N z^2 e^2 / (V k_B T)` in S/cm for each cm^2/s, the Nernst-Einstein relation.

    Raises
    ------
    LpsmdError
        If the temperature or the volume is not positive, or the charge is zero.
    """
    if not 0.0 < temperature_K < math.inf:
        raise LpsmdError(f"temperature_K is {temperature_K}, a positive number of kelvin is needed for a conductivity")
    if not 0.0 < volume_A3 < math.inf:
        raise LpsmdError(
            f"the volume is {volume_A3} Angstrom^3, a positive one is needed for a conductivity: "
            "is the cell periodic and in the dump?"
        )
    if not (math.isfinite(charge_e) and charge_e != 0.0):
        raise LpsmdError(f"charge_e is {charge_e}, elementary charges other than 0 are needed, as 1 for Li+")
    # C^2/J = S s, so with D in cm^2/s and V in cm^3 this is S/cm
    charge_C = charge_e * ELEMENTARY_CHARGE_C
    return float(n_ions * charge_C**2 / (volume_A3 * _CM3_PER_A3 * BOLTZMANN_J_PER_K * temperature_K))


def check_conditions(*, temperature_K: float | None, charge_e: float) -> None:
    """Say before long work that a conductivity could not be had after it.

    Raises
    ------
    LpsmdError
        If the temperature is given and not positive, or the charge is zero.
    """
    given_K = 300.0 if temperature_K is None else temperature_K
    conductivity_per_D(n_ions=1, volume_A3=1.0, temperature_K=given_K, charge_e=charge_e)


def ratio_of_means(
    above: NDArray[np.float64], below: NDArray[np.float64], confidence: float
) -> tuple[float, float | None, tuple[float, float] | None]:
    r"""The ratio of the means of paired values [n], jackknifed, its standard error, and Fieller's interval.

    With :math:`\bar x, \bar y` the means and s the covariances of the means, Fieller's limits are the roots H of

    .. math:: (\bar x - H \bar y)^2 = t_{n-1}^2 (s_{xx} - 2 H s_{xy} + H^2 s_{yy})

    and enclose a bounded interval only where :math:`\bar y` differs from zero at the confidence asked for.
    """
    n = len(above)
    x, y = float(above.mean()), float(below.mean())
    if n < 2:
        return (x / y if y else math.nan), None, None
    t = student_half_interval(confidence, n - 1)
    rows = np.stack([above, below], axis=1)

    def ratio(means: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = means[:, 0] / means[:, 1]
        return found

    value, half = jackknife(rows, ratio, confidence)
    assert half is not None
    (sxx, sxy), (_, syy) = np.cov(rows, rowvar=False) / n
    a, b, c = y**2 - t**2 * syy, x * y - t**2 * sxy, x**2 - t**2 * sxx
    if a <= 0.0:
        return value, half / t, None
    root = math.sqrt(max(0.0, b**2 - a * c))
    return value, half / t, ((b - root) / a, (b + root) / a)


def collective_to_dict(found: CollectiveDiffusion) -> dict[str, Any]:
    """Every field as JSON-ready values, units in the keys, with the sentence that `str` gives."""
    return {**asdict(found), "verdict": str(found.verdict), "text": str(found)}


def conductivity_to_dict(found: Conductivity) -> dict[str, Any]:
    """Every field as JSON-ready values, units in the keys, with the sentence that `str` gives."""
    verdict = found.collective_verdict
    return {
        **asdict(found),
        "nernst_einstein_verdict": str(found.nernst_einstein_verdict),
        "collective_verdict": None if verdict is None else str(verdict),
        "text": str(found),
    }


def _judge(diffusion: Diffusion, motion: Motion, slope: float, half: float | None) -> tuple[Verdict, str]:
    if diffusion.verdict is not Verdict.DIFFUSIVE:
        return diffusion.verdict, "as the single ions"
    if motion.is_caged():
        return Verdict.NOT_YET_DIFFUSIVE, f"collective motion caged, {motion.exponent_text}, 1 is needed"
    if motion.is_bent(diffusion.options.exponent_margin):
        return Verdict.NOT_YET_DIFFUSIVE, f"the collective MSD is not straight, {motion.straightness_text}"
    if half is None:
        return Verdict.TOO_SHORT, "one trajectory gives no interval of the collective D, run replicas"
    if slope - half <= 0.0:
        return Verdict.TOO_SHORT, "the interval of the collective D includes zero, run longer or more replicas"
    return Verdict.DIFFUSIVE, f"collective motion, {motion.exponent_text}"


def _with_interval(value: float, half: float | None, unit: str, confidence: float) -> str:
    text = f"{format_with_error(value, half)} {unit}"
    return f"{text} (no interval)" if half is None else f"{text} ({100 * confidence:g} %)"
