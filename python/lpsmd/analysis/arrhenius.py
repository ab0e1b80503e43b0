"""Activation energies: ln D against 1/T with the errors of D."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpsmd.analysis.constants import BOLTZMANN_EV_PER_K
from lpsmd.analysis.diffusion import Diffusion
from lpsmd.analysis.distributions import chi_squared_tail, fisher_tail, student_half_interval
from lpsmd.analysis.verdict import Verdict
from lpsmd.errors import LpsmdError

#: A straight line this improbable is not believed.
_IMPROBABLE = 0.01
#: The logarithm of a coefficient less certain than this has neither the error nor the bias assumed.
_MOST_RELATIVE_ERROR = 0.5


@dataclass(frozen=True, kw_only=True)
class ArrheniusPoint:
    """D at a temperature.

    Attributes
    ----------
    label
        What messages call it.
    species
        Chemical symbol.
    temperature_K
        Of the runs.
    D_cm2_per_s, D_stderr_cm2_per_s
        Coefficient and standard error, None where there is none.
    dof
        Degrees of freedom behind the standard error; infinite for an exact one.
    verdict
        Of the coefficient.
    """

    label: str
    species: str
    temperature_K: float
    D_cm2_per_s: float
    D_stderr_cm2_per_s: float | None
    dof: float
    verdict: Verdict

    @property
    def ln_D(self) -> float:
        r""":math:`\ln D + s^2 / (2 D^2)`: the logarithm of an estimate with variance s^2 is biased by minus that."""
        return math.log(self.D_cm2_per_s) + 0.5 * self.ln_D_stderr**2

    @property
    def ln_D_stderr(self) -> float:
        """Standard error of ln D, to first order that of D over D."""
        assert self.D_stderr_cm2_per_s is not None
        return self.D_stderr_cm2_per_s / self.D_cm2_per_s


@dataclass(frozen=True, kw_only=True)
class ArrheniusPrediction:
    """D that a fit gives for a temperature, with its two-sided interval, which is not symmetric."""

    temperature_K: float
    D_cm2_per_s: float
    low_cm2_per_s: float
    high_cm2_per_s: float
    confidence: float
    is_extrapolated: bool
    is_straight: bool
    all_diffusive: bool

    def __str__(self) -> str:
        """``D(300 K) = 1.2e-8 cm^2/s (95 %: 0.8e-8 to 1.9e-8), extrapolated``."""
        text = (
            f"D({self.temperature_K:g} K) = {self.D_cm2_per_s:.2e} cm^2/s ({100 * self.confidence:g} %: "
            f"{self.low_cm2_per_s:.1e} to {self.high_cm2_per_s:.1e})"
        )
        text += ", extrapolated" if self.is_extrapolated else ", interpolated"
        if not self.is_straight:
            text += ", of points that are not on one straight line"
        return text if self.all_diffusive else f"{text}, not all points diffusive"


@dataclass(frozen=True, eq=False, kw_only=True)
class ArrheniusFit:
    """A straight line through ln D over 1/T.

    Attributes
    ----------
    points, left_out
        What was fitted and what was not, by ascending temperature.
    ln_D0
        Logarithm of the prefactor in cm^2/s.
    activation_energy_eV
        Ea.
    covariance
        [2, 2] joint covariance of (ln D0, Ea), in 1, eV and eV^2.
    chi_squared, residual_dof
        Squared residuals over variances, and the number of points beyond two.
    probability
        Of residuals as large as these if ln D is straight; NaN for two points.
    confidence
        Of every interval.
    """

    points: tuple[ArrheniusPoint, ...]
    left_out: tuple[ArrheniusPoint, ...]
    ln_D0: float
    activation_energy_eV: float
    covariance: NDArray[np.float64]
    chi_squared: float
    residual_dof: int
    probability: float
    confidence: float

    @property
    def activation_energy_stderr_eV(self) -> float:
        """Standard error of Ea."""
        return math.sqrt(float(self.covariance[1, 1]))

    @property
    def activation_energy_half_interval_eV(self) -> float:
        """Half the two-sided interval of Ea."""
        return self._half_interval(np.array([0.0, 1.0]))

    @property
    def ln_D0_stderr(self) -> float:
        """Standard error of ln D0."""
        return math.sqrt(float(self.covariance[0, 0]))

    @property
    def ln_D0_half_interval(self) -> float:
        """Half the two-sided interval of ln D0."""
        return self._half_interval(np.array([1.0, 0.0]))

    @property
    def prefactor_cm2_per_s(self) -> float:
        """D0."""
        return math.exp(self.ln_D0)

    @property
    def is_straight(self) -> bool:
        """False where the residuals are too large for one activation energy."""
        return not self.probability < _IMPROBABLE

    @property
    def all_diffusive(self) -> bool:
        """Whether every point fitted has a good verdict."""
        return all(point.verdict is Verdict.DIFFUSIVE for point in self.points)

    def extrapolate(self, temperature_K: float) -> ArrheniusPrediction:
        r"""D at a temperature, with the error band of the joint covariance.

        .. math:: \mathrm{var}(\ln D) = x^T C x, \quad x = (1, -1 / k_B T)

        Raises
        ------
        LpsmdError
            If the temperature is not positive.
        """
        if not 0.0 < temperature_K < math.inf:
            raise LpsmdError(f"the temperature is {temperature_K}, a positive number of kelvin is needed")
        row = _row(temperature_K)
        ln_D = float(row @ [self.ln_D0, self.activation_energy_eV])
        half = self._half_interval(row)
        temperatures = [point.temperature_K for point in self.points]
        return ArrheniusPrediction(
            temperature_K=temperature_K,
            D_cm2_per_s=math.exp(ln_D),
            low_cm2_per_s=math.exp(ln_D - half),
            high_cm2_per_s=math.exp(ln_D + half),
            confidence=self.confidence,
            is_extrapolated=not min(temperatures) <= temperature_K <= max(temperatures),
            is_straight=self.is_straight,
            all_diffusive=self.all_diffusive,
        )

    def __str__(self) -> str:
        """``Ea = 0.250 +- 0.020 eV, ln(D0 / (cm^2/s)) = -7.1 +- 0.4 (95 %, 4 temperatures), ...``."""
        text = (
            f"Ea = {self.activation_energy_eV:.3f} +- {self.activation_energy_half_interval_eV:.3f} eV, "
            f"ln(D0 / (cm^2/s)) = {self.ln_D0:.2f} +- {self.ln_D0_half_interval:.2f} "
            f"({100 * self.confidence:g} %, {len(self.points)} temperatures)"
        )
        if self.residual_dof:
            text += f", chi^2 = {self.chi_squared:.2g} for {self.residual_dof} (p = {self.probability:.2g})"
        if not self.is_straight:
            text += ": not one straight line"
        if not self.all_diffusive:
            text += ": not all points diffusive"
        return text

    def _half_interval(self, row: NDArray[np.float64]) -> float:
        """Half the interval of a linear combination of (ln D0, Ea), Student's t with its own degrees of freedom."""
        stderr = math.sqrt(float(row @ self.covariance @ row))
        parts = (row @ _solution(self.points)) ** 2 * np.array([point.ln_D_stderr**2 for point in self.points])
        dofs = np.array([point.dof for point in self.points])
        # Welch and Satterthwaite
        scatter = float((parts**2 / dofs).sum())
        dof = float(parts.sum()) ** 2 / scatter if scatter > 0.0 else math.inf
        return student_half_interval(self.confidence, dof) * stderr


def arrhenius_point(diffusion: Diffusion, *, temperature_K: float, label: str | None = None) -> ArrheniusPoint:
    """The point of a coefficient at the temperature of its runs.

    Raises
    ------
    LpsmdError
        If the coefficient has the error of ordinary least squares.
    """
    if diffusion.is_comparison:
        raise LpsmdError(f"{label or temperature_K}: estimator 'ols' has a wrong error; one of the others is needed")
    return ArrheniusPoint(
        label=label or f"{temperature_K:g} K",
        species=diffusion.species,
        temperature_K=temperature_K,
        D_cm2_per_s=diffusion.D_cm2_per_s,
        D_stderr_cm2_per_s=diffusion.D_stderr_cm2_per_s,
        dof=diffusion.dof,
        verdict=diffusion.verdict,
    )


def read_arrhenius_point(path: str | os.PathLike[str]) -> ArrheniusPoint:
    """The point in a JSON file that ``lpsmd diffusion --temperature-K T --out FILE.json`` wrote.

    Raises
    ------
    LpsmdError
        If it is no such file, or was written without a temperature.
    """
    try:
        values: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        temperature_K, found = values["temperature_K"], values["diffusion"]
        if temperature_K is None:
            raise LpsmdError(f"{path}: found no temperature; write it with `lpsmd diffusion ... --temperature-K 500`")
        if found["options"]["estimator"] == "ols":
            raise LpsmdError(f"{path}: is of estimator 'ols', whose error is wrong; one of the others is needed")
        return ArrheniusPoint(
            label=str(path),
            species=str(found["species"]),
            temperature_K=float(temperature_K),
            D_cm2_per_s=float(found["D_cm2_per_s"]),
            D_stderr_cm2_per_s=None if found["D_stderr_cm2_per_s"] is None else float(found["D_stderr_cm2_per_s"]),
            dof=math.inf if found["dof"] is None else float(found["dof"]),
            verdict=Verdict(found["verdict"]),
        )
    except OSError as error:
        raise LpsmdError(f"{path}: cannot be read: {error.strerror or error}") from error
    except LpsmdError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise LpsmdError(
            f"{path}: not a result of `lpsmd diffusion --temperature-K T --out FILE.json`, which is needed ({error!r})"
        ) from error


def arrhenius_fit(
    points: Sequence[ArrheniusPoint], *, include_all: bool = False, confidence: float = 0.95
) -> ArrheniusFit:
    r"""Activation energy and prefactor by weighted least squares, with their joint covariance.

    .. math::

        \ln D = \ln D_0 - E_a / k_B T, \qquad
        \mathrm{var}(\ln D) \approx s^2 / D^2, \quad
        \langle \ln \hat D \rangle - \ln D \approx - s^2 / (2 D^2)

    The bias is taken off; the weights are the inverse variances, and the solution
    :math:`(X^T W X)^{-1} X^T W y` is closed. Slopes of MSDs are sums of squares: s grows with D, and a weight
    :math:`D^2 / s^2` does not favour what came out high (for D of a spread that does not grow, it would). The
    covariance :math:`\Phi = (X^T W X)^{-1}` takes the variances as known; as they come from few replicas it is
    enlarged by

    .. math:: \Phi \Big[ \sum_i \frac{4}{\nu_i} w_i (1 - h_i) x_i x_i^T \Big] \Phi

    with :math:`\nu_i` the degrees of freedom of a variance and :math:`h_i` the leverage of its point (Kenward and
    Roger 1997, doi:10.2307/2533558; for a weighted mean, Meier 1953). Intervals are Student's with the degrees of
    freedom of Welch and Satterthwaite, for each combination of the two parameters its own. The probability of
    chi-squared is that of an F distribution after Johansen 1980 (doi:10.1093/biomet/67.1.85), chi-squared's
    own where the variances are exact. A 95 % interval then covers 95 % for 30 replicas at each of four
    temperatures, 94 % for 8 and 92 to 93 % for 4 (``tests/python/test_arrhenius.py``).

    Points whose verdict is not ``diffusive`` are left out, and named in the result.

    Parameters
    ----------
    points
        One for each temperature; more than one is allowed.
    include_all
        Fit points whatever their verdict.
    confidence
        Of every interval.

    Raises
    ------
    LpsmdError
        If fewer than two temperatures are left, the points are of different species, or one to be fitted has no
        error or no positive D.
    """
    if not 0.0 < confidence < 1.0:
        raise LpsmdError(f"confidence is {confidence}, a number between 0 and 1 is needed, as 0.95")
    ordered = sorted(points, key=lambda point: point.temperature_K)
    species = list(dict.fromkeys(point.species for point in ordered))
    if len(species) > 1:
        raise LpsmdError(f"found coefficients of {' and '.join(species)}, one species is needed for a fit")
    used = tuple(point for point in ordered if include_all or point.verdict is Verdict.DIFFUSIVE)
    left_out = tuple(point for point in ordered if point not in used)
    _require_temperatures(used, left_out)
    for point in used:
        _require_logarithm(point)
    y = np.array([point.ln_D for point in used])
    rows, weights = _design(used), _weights(used)
    solution = _solution(used)
    beta = solution @ y
    phi = np.linalg.inv(rows.T @ (weights[:, None] * rows))
    leverage = weights * np.einsum("ia,ab,ib->i", rows, phi, rows)
    dofs = np.array([point.dof for point in used])
    uncertain = 4.0 / dofs * weights * (1.0 - leverage)
    covariance = phi + phi @ (rows.T @ (uncertain[:, None] * rows)) @ phi
    chi_squared = float((weights * (y - rows @ beta) ** 2).sum())
    residual_dof = len(used) - 2
    return ArrheniusFit(
        points=used,
        left_out=left_out,
        ln_D0=float(beta[0]),
        activation_energy_eV=float(beta[1]),
        covariance=covariance,
        chi_squared=chi_squared,
        residual_dof=residual_dof,
        probability=_probability(chi_squared, residual_dof, float(((1.0 - leverage) ** 2 / dofs).sum())),
        confidence=confidence,
    )


def arrhenius_to_dict(fit: ArrheniusFit) -> dict[str, Any]:
    """The fit as JSON-ready values, units in the keys, every point with its verdict."""
    return {
        "species": fit.points[0].species,
        "activation_energy_eV": fit.activation_energy_eV,
        "activation_energy_stderr_eV": fit.activation_energy_stderr_eV,
        "activation_energy_half_interval_eV": fit.activation_energy_half_interval_eV,
        "ln_D0_cm2_per_s": fit.ln_D0,
        "ln_D0_stderr": fit.ln_D0_stderr,
        "ln_D0_half_interval": fit.ln_D0_half_interval,
        "covariance_ln_D0_Ea_eV": fit.covariance.tolist(),
        "chi_squared": fit.chi_squared,
        "residual_dof": fit.residual_dof,
        "probability": fit.probability if fit.residual_dof else None,
        "confidence": fit.confidence,
        "all_diffusive": fit.all_diffusive,
        "points": [_point_dict(point, fitted=True) for point in fit.points]
        + [_point_dict(point, fitted=False) for point in fit.left_out],
        "text": str(fit),
    }


def _point_dict(point: ArrheniusPoint, *, fitted: bool) -> dict[str, Any]:
    return {
        "label": point.label,
        "temperature_K": point.temperature_K,
        "D_cm2_per_s": point.D_cm2_per_s,
        "D_stderr_cm2_per_s": point.D_stderr_cm2_per_s,
        "verdict": str(point.verdict),
        "fitted": fitted,
    }


def _require_temperatures(used: Sequence[ArrheniusPoint], left_out: Sequence[ArrheniusPoint]) -> None:
    different = {point.temperature_K for point in used}
    if len(different) >= 2:
        return
    text = f"found {len(different)} temperature{'' if len(different) == 1 else 's'} to fit, at least 2 are needed"
    if left_out:
        named = "; ".join(f"{point.label}: {point.verdict}" for point in left_out)
        text += f"; left out: {named} (include_all, on the command line --include-all, takes them in)"
    raise LpsmdError(text)


def _require_logarithm(point: ArrheniusPoint) -> None:
    if not 0.0 < point.temperature_K < math.inf:
        raise LpsmdError(f"{point.label}: the temperature is {point.temperature_K} K, a positive one is needed")
    if not point.D_cm2_per_s > 0.0:
        raise LpsmdError(f"{point.label}: D is {point.D_cm2_per_s:.2g} cm^2/s, a positive one is needed: leave it out")
    if point.D_stderr_cm2_per_s is None or not point.D_stderr_cm2_per_s > 0.0:
        raise LpsmdError(f"{point.label}: D has no error, one is needed for its weight: run at least 2 replicas")
    if point.ln_D_stderr > _MOST_RELATIVE_ERROR:
        raise LpsmdError(
            f"{point.label}: the standard error is {point.ln_D_stderr:.2g} of D, at most {_MOST_RELATIVE_ERROR} is "
            "needed for a logarithm: leave it out, or run longer"
        )


def _row(temperature_K: float) -> NDArray[np.float64]:
    return np.array([1.0, -1.0 / (BOLTZMANN_EV_PER_K * temperature_K)])


def _design(points: Sequence[ArrheniusPoint]) -> NDArray[np.float64]:
    return np.stack([_row(point.temperature_K) for point in points])


def _weights(points: Sequence[ArrheniusPoint]) -> NDArray[np.float64]:
    return np.array([1.0 / point.ln_D_stderr**2 for point in points], dtype=np.float64)


def _solution(points: Sequence[ArrheniusPoint]) -> NDArray[np.float64]:
    """[2, k] what gives (ln D0, Ea) from ln D [k]."""
    rows, weights = _design(points), _weights(points)
    return np.asarray(np.linalg.solve(rows.T @ (weights[:, None] * rows), rows.T * weights), dtype=np.float64)


def _probability(chi_squared: float, q: int, a: float) -> float:
    """Of a weighted sum of q squared residuals this large; a is the sum of (1 - h)^2 / nu."""
    if q < 1:
        return math.nan
    if a <= 0.0:
        return chi_squared_tail(chi_squared, q)
    scale = q + 2.0 * a - 6.0 * a / (q + 2)
    return fisher_tail(chi_squared / scale, q, q * (q + 2) / (3.0 * a))
