"""How frames are picked: by what the models do not know, to train on, or evenly, for a test."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from lpsmd.progress import duration
from lpsmd.selection.committee import Bounds, Committee, Trust
from lpsmd.selection.diversity import farthest_points, mean_soap
from lpsmd.selection.drawing import even_draw
from lpsmd.selection.judging import Deviations, SeenFrame, contact_limits_A, judge, refusal_of
from lpsmd.selection.outcome import Picked
from lpsmd.selection.sampling import Cell, SampledFrame, SelectionError
from lpsmd.study import ModelSpec

_log = logging.getLogger(__name__)

#: What the committee said, beside the dynamics of a cell.
DEVIATIONS = "deviations.json"
#: A line about the frames that were judged this often.
_LINE_S = 30.0


class Method(ABC):
    """How frames of the dynamics are judged, and some of them picked."""

    #: Labels of the models that are asked, by functional.
    committee: dict[str, list[str]]

    @property
    @abstractmethod
    def summary(self) -> str:
        """What is done with the frames: "judged by one, two (PBE), 61 known"."""

    @abstractmethod
    def judged(self, frames: Sequence[SampledFrame], folder: Path) -> list[SeenFrame]:
        """What is found of the frames of the study in `folder`."""

    @abstractmethod
    def picked(self, seen: Sequence[SeenFrame], n: int) -> list[Picked]:
        """Up to `n` frames, in their order.

        Raises
        ------
        SelectionError
            If there is none to pick, with what was seen.
        """


class ByCommittee(Method):
    """Frames between the bounds of the committee deviation that differ, in turn of each cell and temperature.

    Parameters
    ----------
    models
        Those that vote.
    bounds
        Of the committee deviation.
    known
        Frames to keep away from; atoms come no closer than in them, see `contact_limits_A`.
    elements
        All that occur.

    Raises
    ------
    SelectionError
        If the models make no committee, or DScribe is not installed.
    """

    def __init__(
        self, models: Sequence[ModelSpec], bounds: Bounds, known: Sequence[Atoms], elements: Sequence[str]
    ) -> None:
        self._committee = Committee(models)
        self._bounds = bounds
        mean_soap([], elements)  # without DScribe it ends here, not after the dynamics
        self._known = known
        self._limits_A = contact_limits_A(known)
        self._elements = elements
        self.committee = self._committee.labels

    @property
    def summary(self) -> str:
        """See `Method`."""
        voters = " and ".join(f"{', '.join(labels)} ({functional})" for functional, labels in self.committee.items())
        return f"judged by {voters}, {len(self._known)} known"

    def judged(self, frames: Sequence[SampledFrame], folder: Path) -> list[SeenFrame]:
        """See `Method`; what the committee says is kept in `folder`."""
        return list(self._judged(frames, Deviations(self._committee, folder / DEVIATIONS)))

    def _judged(self, frames: Sequence[SampledFrame], deviations: Deviations) -> Iterator[SeenFrame]:
        started = said = time.monotonic()
        for number, frame in enumerate(frames, 1):
            yield judge(frame, deviations, self._bounds, self._limits_A)
            now = time.monotonic()
            if now - said > _LINE_S or number == len(frames):
                deviations.keep()
                left = (now - started) / number * (len(frames) - number)
                _log.info("%d of %d frames judged%s", number, len(frames), f"; {duration(left)} left" if left else "")
                said = now

    def picked(self, seen: Sequence[SeenFrame], n: int) -> list[Picked]:
        """See `Method`."""
        candidates = [entry for entry in seen if entry.trust is Trust.WITHIN]
        if not candidates:
            raise SelectionError(
                f"found no frame between the bounds: {_counts(seen)}; set --lower and --upper by the deviations, "
                f"{_range(seen)}, or sample more"
            )
        deviations = np.array([entry.deviation_eV_per_A for entry in candidates], dtype=float)
        described = mean_soap([entry.frame.atoms for entry in candidates], self._elements)
        known = mean_soap(self._known, self._elements)
        taken = farthest_points(
            described, known, _groups(candidates, deviations), n=n, first=int(np.argmax(deviations))
        )
        if len(taken) < n:
            _log.warning("warning: %d frames wanted, %d that differ are between the bounds", n, len(taken))
        return [
            Picked(seen=candidates[index], distance=distance if np.isfinite(distance) else None)
            for index, distance in taken
        ]


class Evenly(Method):
    """Whole frames by `even_draw`; no model is asked, so that a test holds what is easy as well.

    Parameters
    ----------
    seed
        Of the draw.
    known
        Frames that have labels; atoms come no closer than in them, see `contact_limits_A`.
    """

    def __init__(self, seed: int, known: Sequence[Atoms]) -> None:
        self._seed = seed
        self._limits_A = contact_limits_A(known)
        self.committee = {}

    @property
    def summary(self) -> str:
        """See `Method`."""
        return "drawn evenly"

    def judged(self, frames: Sequence[SampledFrame], folder: Path) -> list[SeenFrame]:
        """See `Method`."""
        return [SeenFrame(frame=frame, refusal=refusal_of(frame.atoms, self._limits_A)) for frame in frames]

    def picked(self, seen: Sequence[SeenFrame], n: int) -> list[Picked]:
        """See `Method`."""
        whole = [entry for entry in seen if entry.refusal is None]
        if not whole:
            raise SelectionError(
                f"found no whole frame: {_counts(seen)}; sample colder, or with better models (--drive)"
            )
        if len(whole) < n:
            _log.warning("warning: %d frames wanted, %d are whole", n, len(whole))
        return [Picked(seen=whole[index]) for index in even_draw([w.frame for w in whole], n=n, seed=self._seed)]


def _groups(candidates: Sequence[SeenFrame], deviations: NDArray[np.float64]) -> list[list[int]]:
    """Candidates by cell and temperature; that of the largest median deviation first."""
    groups: dict[tuple[Cell, float], list[int]] = {}
    for index, entry in enumerate(candidates):
        groups.setdefault((entry.frame.cell, entry.frame.temperature_K), []).append(index)
    return sorted(groups.values(), key=lambda group: -float(np.median(deviations[group])))


def _counts(seen: Sequence[SeenFrame]) -> str:
    found = Counter(entry.verdict for entry in seen)
    return ", ".join([f"{len(seen)} frames", *(f"{count} {what}" for what, count in sorted(found.items()))])


def _range(seen: Sequence[SeenFrame]) -> str:
    found = [entry.deviation_eV_per_A for entry in seen if entry.deviation_eV_per_A is not None]
    return f"{min(found):.3g} to {max(found):.3g} eV/Angstrom" if found else "of which there are none"
