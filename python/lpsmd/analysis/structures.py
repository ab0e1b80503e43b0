"""Replicas nested in structures: disorder is quenched, and a replica tells of its own structure only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpsmd.errors import LpsmdError


@dataclass(frozen=True, kw_only=True)
class VarianceComponents:
    """Standard deviations of one-way random effects, in the unit of the values.

    Attributes
    ----------
    within
        Of replicas of one structure.
    between
        Of the true values of structures; 0 where replicas alone explain how the means of structures differ.
    """

    within: float
    between: float


def nested_labels(structures: Sequence[int] | None, n_replicas: int) -> NDArray[np.int64] | None:
    """[n] the structure of each replica as 0 ... S - 1; None where replicas are not nested.

    That is where no structures are told, where each replica has its own, and where all share one: then nothing
    can be said of others.

    Raises
    ------
    LpsmdError
        If there is not one label for each replica.
    """
    if structures is None:
        return None
    if len(structures) != n_replicas:
        raise LpsmdError(f"found {len(structures)} structure labels for {n_replicas} replicas, one for each is needed")
    found, labels = np.unique(np.asarray(structures), return_inverse=True)
    return labels.astype(np.int64) if 1 < len(found) < n_replicas else None


def structure_means(values: NDArray[np.float64], labels: NDArray[np.int64] | None) -> NDArray[np.float64]:
    r"""[S, ...] the mean over the replicas of each structure of values [n, ...]; the values themselves without labels.

    The means are the independent values that a nested ensemble has. Each structure counts the same: with
    :math:`\sigma_b` between structures and :math:`\sigma_w` within, structure s has
    :math:`v_s = \sigma_b^2 + \sigma_w^2 / n_s`, the mean of the S means has :math:`\sum v_s / S^2`, and their
    :math:`s^2 / S` is an unbiased estimate of it whatever the :math:`n_s`. Student's interval with S - 1 degrees of
    freedom is exact for normal values and equal counts. For unequal ones it holds the truth at least as often as it
    says (Benjamini 1983, J. Am. Stat. Assoc. 78, 645), and the mean has a larger variance than the best
    weights would give, by at most the ratio of the arithmetic to the harmonic mean of the :math:`n_s`: 1/8 for counts
    of 1 and 2, 1/24 for 2 and 3. Weights from estimated components would save that, and lose the unbiased error.
    """
    if labels is None:
        return values
    sums = np.zeros((int(labels.max()) + 1, *values.shape[1:]))
    np.add.at(sums, labels, values)
    counts = np.bincount(labels)
    means: NDArray[np.float64] = sums / counts.reshape(-1, *[1] * (values.ndim - 1))
    return means


def variance_components(values: NDArray[np.float64], labels: NDArray[np.int64]) -> VarianceComponents:
    r"""The analysis of variance of values [n] in structures (Searle, Casella and McCulloch 1992, Variance Components).

    .. math:: \sigma_w^2 = \mathrm{MS}_w, \qquad \sigma_b^2 = \max(0, (\mathrm{MS}_b - \mathrm{MS}_w) / n_0),
        \qquad n_0 = \frac{n - \sum n_s^2 / n}{S - 1}

    Unbiased but for the zero, for equal and unequal counts.
    """
    counts = np.bincount(labels)
    n, n_structures = len(values), len(counts)
    means = structure_means(values, labels)
    within = float(((values - means[labels]) ** 2).sum()) / (n - n_structures)
    between = float(counts @ (means - values.mean()) ** 2) / (n_structures - 1)
    n_0 = (n - float(counts @ counts) / n) / (n_structures - 1)
    return VarianceComponents(within=math.sqrt(within), between=math.sqrt(max(0.0, (between - within) / n_0)))
