"""Frames into training, validation and test, by trajectory: neighbours in time are nearly one frame."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ase import Atoms

from lpsmd.errors import LpsmdError

#: The key of `Atoms.info` that names the trajectory; a frame that is not from dynamics has its own name there.
TRAJECTORY_KEY = "trajectory"


class SplitError(LpsmdError):
    """Frames cannot be split as asked."""


@dataclass(frozen=True, kw_only=True)
class TrajectorySplit:
    """Indices of the frames of each part, ascending; no trajectory is in two of them."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def split_by_trajectory(
    frames: Sequence[Atoms], *, validation: float = 0.1, test: float = 0.1, seed: int = 1
) -> TrajectorySplit:
    """Put whole trajectories into training, validation and test.

    Where a trajectory goes follows from its name and the seed alone: neither the order of the frames nor what else is
    in the set moves it, so that no frame of a test is trained on after the set has grown. The parts of few
    trajectories are therefore only about as large as asked.

    Parameters
    ----------
    frames
        With `info['trajectory']`.
    validation, test
        Fractions of the trajectories, 0 to 1; training has the rest.
    seed
        For another split.

    Raises
    ------
    SplitError
        If a frame names no trajectory, the fractions are none, or a part that was asked for is empty.
    """
    if validation < 0.0 or test < 0.0 or validation + test >= 1.0:
        raise SplitError(
            f"validation, test: found {validation:g} and {test:g}, needed fractions from 0 up with a sum below 1"
        )
    parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for index, atoms in enumerate(frames):
        draw = _draw(_trajectory(atoms, index), seed)
        part = "test" if draw < test else "validation" if draw < test + validation else "train"
        parts[part].append(index)
    asked = {"train": True, "validation": validation > 0.0, "test": test > 0.0}
    empty = [part for part, indices in parts.items() if asked[part] and not indices]
    if empty:
        trajectories = Counter(_trajectory(atoms, index) for index, atoms in enumerate(frames))
        raise SplitError(
            f"found no trajectory for {', '.join(empty)} among {len(trajectories)}; take another seed, larger "
            f"fractions, or more trajectories"
        )
    return TrajectorySplit(**{part: tuple(indices) for part, indices in parts.items()})


def _trajectory(atoms: Atoms, index: int) -> str:
    name = atoms.info.get(TRAJECTORY_KEY)
    if name is None:
        raise SplitError(
            f"frame {index}: found no key {TRAJECTORY_KEY}, needed one for every frame; its keys are "
            f"{', '.join(atoms.info) or 'none'}; for a frame of its own write its name there"
        )
    return str(name)


def _draw(trajectory: str, seed: int) -> float:
    """A number in [0, 1) that belongs to a trajectory."""
    digest = hashlib.sha256(f"{seed}/{trajectory}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64
