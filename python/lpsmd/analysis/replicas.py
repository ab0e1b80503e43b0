"""Replicas of an ensemble: worked on side by side, and averaged where they are alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lpsmd.analysis.msd import Msd
from lpsmd.analysis.structures import nested_labels, structure_means
from lpsmd.errors import LpsmdError
from lpsmd.text import short

Entry = TypeVar("Entry")
Found = TypeVar("Found")


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


def mean_over_replicas(
    msds: Sequence[Msd], curve: str = "msd_A2", *, structures: Sequence[int] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Mean over replicas of the MSD, or of another field [L], and its standard error, None for a single replica.

    Replicas nested in structures count as the means of these, see `lpsmd.analysis.structures.structure_means`.

    Raises
    ------
    LpsmdError
        If the replicas differ in lags, or there is not one label for each.
    """
    same_lags(msds)
    labels = nested_labels(structures, len(msds))
    values = structure_means(np.array([getattr(msd, curve) for msd in msds]), labels)
    if len(values) < 2:
        return values[0], None
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


def map_replicas(
    work: Callable[[Entry, int], Found],
    replicas: Sequence[Entry],
    *,
    processes: int | None = None,
    on_replica: Callable[[int], None] | None = None,
) -> list[Found]:
    """Do some work on each replica, several at a time: reading and MSDs leave Python's lock to others.

    Parameters
    ----------
    work
        Called with a replica and the number of threads that it may use.
    replicas
        In the order of the results.
    processes
        Replicas in memory at a time; one for each core if None.
    on_replica
        Called with the number of replicas done, as each is.
    """
    cores = len(os.sched_getaffinity(0))
    workers = min(processes or cores, max(1, len(replicas)))
    threads = max(1, cores // workers)
    found: list[Found] = []
    with ThreadPoolExecutor(max_workers=workers) as pool:
        futures = [pool.submit(work, replica, threads) for replica in replicas]
        try:
            for future in futures:
                found.append(future.result())
                if on_replica is not None:
                    on_replica(len(found))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found
