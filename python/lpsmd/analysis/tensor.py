"""The diffusion tensor of an ensemble, its anisotropy, and whether that is more than noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpsmd.analysis.diffusion import CM2_PER_S_IN_A2_PER_PS, Diffusion
from lpsmd.analysis.distributions import fisher_quantile, fisher_tail, student_half_interval
from lpsmd.analysis.estimators import jackknife
from lpsmd.analysis.msd import Msd
from lpsmd.analysis.slopes import independent_slopes
from lpsmd.analysis.verdict import Verdict
from lpsmd.errors import LpsmdError

#: Hotelling's test estimates 15 covariances; with fewer replicas than this it sees nothing.
_MIN_REPLICAS_FOR_HOTELLING = 12
#: Degrees of freedom of a deviator, a symmetric tensor without its trace.
_DEVIATOR = 5

_PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True, eq=False, kw_only=True)
class DiffusionTensor:
    """A diffusion tensor with its errors. Errors are None for a single trajectory.

    Attributes
    ----------
    species
        Chemical symbol.
    D_cm2_per_s
        [3, 3] symmetric; a third of its trace is the D of the coefficient.
    D_stderr_cm2_per_s, D_half_interval_cm2_per_s
        [3, 3] standard errors, and half the two-sided Student intervals.
    eigenvalues_cm2_per_s
        [3] descending. Noise alone makes them differ: the largest is biased upwards, the smallest downwards.
    eigenvalues_half_interval_cm2_per_s
        [3] of D along the axes found, the axes taken as known.
    axes
        [3, 3] rows are the unit vectors of the eigenvalues.
    anisotropy
        Fractional anisotropy, 0 isotropic to 1 along a line, corrected for noise; see `diffusion_tensor`.
    anisotropy_interval
        Two-sided.
    isotropy_probability
        Probability of a tensor this far from isotropic if the motion is isotropic.
    isotropy_test
        ``Hotelling`` or ``F``; empty where there is none.
    confidence
        Of the intervals.
    n_replicas
        Number of replicas.
    verdict
        That of the coefficient.
    """

    species: str
    D_cm2_per_s: NDArray[np.float64]
    D_stderr_cm2_per_s: NDArray[np.float64] | None
    D_half_interval_cm2_per_s: NDArray[np.float64] | None
    eigenvalues_cm2_per_s: NDArray[np.float64]
    eigenvalues_half_interval_cm2_per_s: NDArray[np.float64] | None
    axes: NDArray[np.float64]
    anisotropy: float
    anisotropy_interval: tuple[float, float] | None
    isotropy_probability: float | None
    isotropy_test: str
    confidence: float
    n_replicas: int
    verdict: Verdict

    @property
    def is_anisotropic(self) -> bool:
        """Whether isotropic motion is ruled out at the confidence of the intervals."""
        return self.isotropy_probability is not None and self.isotropy_probability < 1.0 - self.confidence

    def __str__(self) -> str:
        """``anisotropy 0.12 (95 %: 0 to 0.2), isotropic: p = 0.31 (F): diffusive``."""
        text = f"anisotropy {self.anisotropy:.2f}"
        if self.anisotropy_interval is not None and self.isotropy_probability is not None:
            low, high = self.anisotropy_interval
            text += f" ({100 * self.confidence:g} %: {low:.2f} to {high:.2f}), "
            text += "not isotropic" if self.is_anisotropic else "isotropic within its error"
            text += f" (p = {self.isotropy_probability:.2g}, {self.isotropy_test})"
        else:
            text += " (no interval)"
        return f"{text}: {self.verdict}"


def diffusion_tensor(msds: Sequence[Msd], diffusion: Diffusion) -> DiffusionTensor:
    r"""The diffusion tensor from the slopes of the MSD tensor, in the window of a coefficient and with its weights.

    .. math::

        \langle \Delta r_a \Delta r_b \rangle = 2 D_{ab} t, \qquad
        \mathrm{FA}^2 = \frac{3}{2} \frac{|D - \frac13 \mathrm{tr}(D) \, 1|^2}{|D|^2}

    FA is the fractional anisotropy of Basser and Pierpaoli 1996 (doi:10.1006/jmrb.1996.0086). Noise alone makes
    the eigenvalues of an isotropic tensor differ, so FA of a mean over n replicas is above zero by some
    :math:`1/\sqrt n`, whatever the motion. What is returned is therefore the root of the jackknifed
    :math:`\mathrm{FA}^2`, whose bias is :math:`1/n^2` (zero where that is negative), with the limits of its
    interval alike where the motion is anisotropic by the test below. Where it is not, the first-order error of
    :math:`\mathrm{FA}^2` vanishes and the jackknife says nothing; the interval is then that of Scheffe, from 0 to
    the norm of the deviator found plus the radius of the noise, :math:`(5 F_{5, 5(n-1)} s^2 / n)^{1/2}` with s^2 the
    mean variance of its five parts.

    The test of isotropy looks at the five independent parts of the deviator in each replica, whose mean is zero
    for isotropic motion: Hotelling's T-squared, :math:`(n - 5) T^2 / (5 (n - 1)) \sim F_{5, n-5}`, from 12
    replicas on. Fewer pool the five variances, :math:`F_{5, 5 (n-1)}`, which takes them as equal: so they are for
    isotropic motion.

    Where replicas are nested in structures, the means of structures take the place of replicas in all of this.

    Parameters
    ----------
    msds
        One for each replica, with `tensor_A2`.
    diffusion
        The coefficient from these.

    Raises
    ------
    LpsmdError
        If the MSDs carry no tensor, or are not those of the coefficient.
    """
    if any(len(msd.tensor_A2) == 0 for msd in msds):
        raise LpsmdError(
            "found MSDs without tensor_A2, needed for a diffusion tensor: compute them anew from the dumps"
        )
    curves = np.array([msd.tensor_A2 for msd in msds])
    to_D = 0.5 * CM2_PER_S_IN_A2_PER_PS
    parts = to_D * np.stack([independent_slopes(msds, diffusion, curves[:, :, a, b]) for a, b in _PAIRS], axis=1)
    replicas = _symmetric(parts)
    mean = replicas.mean(axis=0)
    values, vectors = np.linalg.eigh(mean)
    axes = vectors.T[::-1]
    along = np.einsum("ka,nab,kb->nk", axes, replicas, axes)
    squared, half = jackknife(parts, _squared_anisotropy, diffusion.confidence)
    probability, test = isotropy_test(replicas)
    ruled_out = probability is not None and probability < 1.0 - diffusion.confidence
    stderr = _standard_error(replicas)
    student = student_half_interval(diffusion.confidence, max(1, len(parts) - 1))
    along_stderr = _standard_error(along)
    return DiffusionTensor(
        species=diffusion.species,
        D_cm2_per_s=mean,
        D_stderr_cm2_per_s=stderr,
        D_half_interval_cm2_per_s=None if stderr is None else student * stderr,
        eigenvalues_cm2_per_s=values[::-1],
        eigenvalues_half_interval_cm2_per_s=None if along_stderr is None else student * along_stderr,
        axes=axes,
        anisotropy=_root(squared),
        anisotropy_interval=_anisotropy_interval(replicas, squared, half, ruled_out, diffusion.confidence),
        isotropy_probability=probability,
        isotropy_test=test,
        confidence=diffusion.confidence,
        n_replicas=len(msds),
        verdict=diffusion.verdict,
    )


def isotropy_test(replicas: NDArray[np.float64]) -> tuple[float | None, str]:
    """Probability of replica tensors [n, 3, 3] whose mean is this far from isotropic, and the test's name.

    See `diffusion_tensor`; None for n = 1 and where the replicas do not differ.
    """
    n = len(replicas)
    if n < 2:
        return None, ""
    rows = _deviators(replicas)
    mean = rows.mean(axis=0)
    if n < _MIN_REPLICAS_FOR_HOTELLING:
        spread = float(((rows - mean) ** 2).sum()) / (n - 1)
        if spread <= 0.0:
            return None, ""
        return fisher_tail(n * float(mean @ mean) / spread, _DEVIATOR, _DEVIATOR * (n - 1)), "F"
    covariance = np.cov(rows, rowvar=False)
    if np.linalg.matrix_rank(covariance) < _DEVIATOR:
        return None, ""
    t_squared = n * float(mean @ np.linalg.solve(covariance, mean))
    return fisher_tail((n - _DEVIATOR) / (_DEVIATOR * (n - 1)) * t_squared, _DEVIATOR, n - _DEVIATOR), "Hotelling"


def tensor_to_dict(tensor: DiffusionTensor) -> dict[str, Any]:
    """Every field as JSON-ready values, units in the keys, the verdict among them."""

    def plain(values: NDArray[np.float64] | None) -> Any:
        return None if values is None else values.tolist()

    return {
        "D_cm2_per_s": plain(tensor.D_cm2_per_s),
        "D_stderr_cm2_per_s": plain(tensor.D_stderr_cm2_per_s),
        "D_half_interval_cm2_per_s": plain(tensor.D_half_interval_cm2_per_s),
        "eigenvalues_cm2_per_s": plain(tensor.eigenvalues_cm2_per_s),
        "eigenvalues_half_interval_cm2_per_s": plain(tensor.eigenvalues_half_interval_cm2_per_s),
        "axes": plain(tensor.axes),
        "anisotropy": tensor.anisotropy,
        "anisotropy_interval": None if tensor.anisotropy_interval is None else list(tensor.anisotropy_interval),
        "isotropy_probability": tensor.isotropy_probability,
        "isotropy_test": tensor.isotropy_test or None,
        "confidence": tensor.confidence,
        "verdict": str(tensor.verdict),
        "text": str(tensor),
    }


def _symmetric(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, 3, 3] from the six parts [n, 6] in the order of `_PAIRS`."""
    tensors = np.empty((len(parts), 3, 3))
    for column, (a, b) in enumerate(_PAIRS):
        tensors[:, a, b] = tensors[:, b, a] = parts[:, column]
    return tensors


def _deviators(tensors: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, 5] orthonormal coordinates of the deviators: their squares add up to the squared Frobenius norm."""
    xx, yy, zz = tensors[:, 0, 0], tensors[:, 1, 1], tensors[:, 2, 2]
    off = math.sqrt(2.0) * np.stack([tensors[:, 1, 2], tensors[:, 0, 2], tensors[:, 0, 1]])
    return np.stack([(xx - yy) / math.sqrt(2.0), (xx + yy - 2.0 * zz) / math.sqrt(6.0), *off], axis=1)


def _squared_anisotropy(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """[k] squared fractional anisotropy of means [k, 6]."""
    tensors = _symmetric(means)
    norm = (tensors**2).sum(axis=(1, 2))
    found: NDArray[np.float64] = 1.5 * (_deviators(tensors) ** 2).sum(axis=1) / np.where(norm > 0.0, norm, 1.0)
    return found


def _anisotropy_interval(
    replicas: NDArray[np.float64], squared: float, half: float | None, ruled_out: bool, confidence: float
) -> tuple[float, float] | None:
    """Limits of the fractional anisotropy: the jackknife's where isotropy is ruled out, else Scheffe's."""
    if half is None:
        return None
    if ruled_out:
        return _root(squared - half), _root(squared + half)
    n = len(replicas)
    rows = _deviators(replicas)
    mean = rows.mean(axis=0)
    quantile = fisher_quantile(confidence, _DEVIATOR, _DEVIATOR * (n - 1))
    radius = math.sqrt(quantile * float(rows.var(axis=0, ddof=1).sum()) / n)
    norm = float(np.linalg.norm(replicas.mean(axis=0)))
    farthest = float(np.linalg.norm(mean)) + radius
    return 0.0, _root(1.5 * (farthest / norm) ** 2) if norm > 0.0 else 1.0


def _root(squared: float) -> float:
    """Of an estimate of a square between 0 and 1 that noise may take beyond either."""
    return math.sqrt(min(1.0, max(0.0, squared)))


def _standard_error(rows: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Of the mean over the first axis; None for a single row."""
    if len(rows) < 2:
        return None
    found: NDArray[np.float64] = rows.std(axis=0, ddof=1) / math.sqrt(len(rows))
    return found
