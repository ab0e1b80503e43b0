"""Keys of `Atoms.info` that labelled frames have in every set, and what belongs together by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lpsmd.dataset.errors import DatasetError

#: Unique name of a geometry, the same in every set in which it is.
FRAME = "frame"
#: md, rattle, hop, strain ...
KIND = "kind"
#: Hash of the structure that its dynamics started from.
START = "start"
#: Name of the trajectory that it is from.
TRAJECTORY = "trajectory"
#: One of `PARTS`.
PART = "part"
PARTS = ("train", "validation", "test")


def is_plain(value: Any) -> bool:
    """Whether extended XYZ keeps a value: a number or a line of words. After nothing ASE loses the key behind it."""
    if isinstance(value, str):
        return bool(value.strip()) and len(value.splitlines()) == 1
    return isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating))


def is_dynamics(info: Mapping[str, Any]) -> bool:
    """Whether it is a frame of dynamics, which has neighbours in time.

    So it is for any kind with "md" in it, and without a kind, unless its trajectory has its own name.
    """
    if KIND in info:
        return "md" in str(info[KIND]).lower()
    return str(info.get(TRAJECTORY, "")) != str(info.get(FRAME))


def groups_of(frames: Sequence[Atoms]) -> list[str]:
    """For each frame the name of what it belongs to: all that is linked by start, trajectory or name.

    The name is that of the start where there is one, else of the trajectory, else of the frame; of several the first by
    alphabet, with its key before it where another group has that name. Replicas of several models from one start are
    one group, and so are two labels of one frame.

    Parameters
    ----------
    frames
        With `info['frame']`.

    Raises
    ------
    DatasetError
        If a frame has none of these keys.
    """
    keys: dict[tuple[str, str], int] = {}
    rows, columns = [], []
    for row, atoms in enumerate(frames):
        if not atoms.info.keys() & {START, TRAJECTORY, FRAME}:
            raise DatasetError(
                f"frame {row}: found the keys {', '.join(atoms.info) or 'none'}, needed {START}, {TRAJECTORY} or "
                f"{FRAME}; give each frame a name under {FRAME}"
            )
        for key in (START, TRAJECTORY, FRAME):
            if key in atoms.info:
                rows.append(row)
                columns.append(len(frames) + keys.setdefault((key, str(atoms.info[key])), len(keys)))
    size = len(frames) + len(keys)
    _, component = connected_components(coo_array((np.ones(len(rows)), (rows, columns)), shape=(size, size)))
    names: dict[int, str] = {}
    taken: set[str] = set()
    for key in (START, TRAJECTORY, FRAME):
        for name in sorted(value for kind, value in keys if kind == key):
            number = int(component[len(frames) + keys[key, name]])
            if number not in names:
                while name in taken:  # a frame may have the name of a trajectory elsewhere
                    name = f"{key} {name}"
                names[number] = name
                taken.add(name)
    return [names[int(number)] for number in component[: len(frames)]]
