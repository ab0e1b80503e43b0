"""The MSDs of an ensemble: what must be alike to average them, and their mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lpsmd.analysis.msd import Msd
from lpsmd.analysis.text import short
from lpsmd.errors import LpsmdError


def same_lags(msds: Sequence[Msd]) -> None:
    """Refuse replicas that cannot be averaged.

    Raises
    ------
    LpsmdError
        Naming the replica that differs from the first.
    """
    if not msds:
        raise LpsmdError("found no replica, at least one MSD is needed")
    first = msds[0]
    for index, msd in enumerate(msds):
        if msd.species != first.species or msd.drift != first.drift:
            raise LpsmdError(
                f"replica {index} is of {msd.species} with drift '{msd.drift}', replica 0 of {first.species} "
                f"with '{first.drift}'; one kind is needed"
            )
        if msd.n_frames != first.n_frames or not np.array_equal(msd.time_ps, first.time_ps):
            raise LpsmdError(
                f"replica {index} is {short(msd.duration_ps)} ps long with {msd.n_frames} frames, replica 0 "
                f"{short(first.duration_ps)} ps with {first.n_frames}; equal ones are needed: finish "
                "the short replicas, dropping them would bias D"
            )


def mean_over_replicas(msds: Sequence[Msd]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Mean MSD [L] over replicas and its standard error [L], None for a single replica.

    Raises
    ------
    LpsmdError
        If the replicas differ in lags.
    """
    same_lags(msds)
    values = np.array([msd.msd_A2 for msd in msds])
    if len(values) < 2:
        return values[0], None
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
