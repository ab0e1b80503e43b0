"""Frames that differ: farthest points in the space of a standard descriptor."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from lpsmd.selection.sampling import SelectionError

# First neighbours and the next shell of Li; a finer basis moves no distance by more than some percent.
_CUTOFF_A = 5.0
_RADIAL, _ANGULAR = 6, 4
# Frames nearer than this are one frame: the digits of a file move it by 1e-6 at most, vibration of 0.001 Angstrom by
# 1e-4, and 40 frames that were picked lay 0.04 or more apart.
_LEAST_DISTANCE = 1e-4


def mean_soap(frames: Sequence[Atoms], elements: Sequence[str]) -> NDArray[np.float64]:
    """SOAP power spectra averaged over the atoms of each element, [frames, elements * features].

    By DScribe (doi:10.1016/j.cpc.2019.106949), 5 Angstrom, 6 radial and 4 angular functions. The mean of each element
    has length one, so that all elements count alike; that of an element that is not there is zero.

    Parameters
    ----------
    frames
        Periodic structures.
    elements
        All that occur.

    Raises
    ------
    SelectionError
        If DScribe is not installed.
    """
    try:
        from dscribe.descriptors import SOAP
    except ImportError as error:
        raise SelectionError(
            f"diversity needs DScribe, which cannot be imported ({error}); install it: pip install 'lpsmd[select]'"
        ) from error
    soap = SOAP(species=list(elements), r_cut=_CUTOFF_A, n_max=_RADIAL, l_max=_ANGULAR, periodic=True)
    features = soap.get_number_of_features()
    described = np.zeros((len(frames), len(elements) * features))
    for row, atoms in zip(described, frames, strict=True):
        of_atoms = soap.create(atoms)
        for mean, element in zip(row.reshape(-1, features), elements, strict=True):
            chosen = atoms.symbols == element
            if chosen.any():
                mean[:] = of_atoms[chosen].mean(axis=0)
                mean /= np.linalg.norm(mean)
    return described


def farthest_points(
    candidates: NDArray[np.float64], known: NDArray[np.float64], groups: Sequence[Sequence[int]], *, n: int, first: int
) -> list[tuple[int, float]]:
    """Take from each group in turn the candidate farthest from all that are known or taken.

    Parameters
    ----------
    candidates
        [C, features].
    known
        [K, features]; K may be 0.
    groups
        Indices of candidates; without groups, farthest points are mostly the outliers of the hottest cell.
    n
        How many to take; fewer if there are no more that differ, by 1e-4: a known frame that was read from a file is
        not exactly itself.
    first
        Index of the one to start with where nothing is known.

    Returns
    -------
    list of (index, distance)
        In the order in which they are taken; the distance is that to the nearest one before, infinite for `first`.
    """
    nearest = cdist(candidates, known).min(axis=1) if len(known) else np.full(len(candidates), np.inf)
    taken: list[tuple[int, float]] = []
    turns = itertools.cycle([[first], *groups] if not len(known) else groups)
    while len(taken) < n and (nearest > _LEAST_DISTANCE).any():
        group = np.asarray(next(turns))
        index = int(group[np.argmax(nearest[group])])
        if nearest[index] > _LEAST_DISTANCE:
            taken.append((index, float(nearest[index])))
            nearest = np.minimum(nearest, cdist(candidates[index][None], candidates)[0])
    return taken
