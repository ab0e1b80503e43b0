"""An even draw: frames as they come, not those that are hard, for a test that says how good a model is on average."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from lpsmd.selection.sampling import SampledFrame


def even_draw(frames: Sequence[SampledFrame], *, n: int, seed: int) -> list[int]:
    """Draw frames evenly over cells, temperatures, models and trajectories, at random times.

    Each frame comes from what has had the fewest turns: first of cell and temperature together, then of each of them,
    of model within these, of model, of trajectory; what is left to choose is chosen by chance. So any number of frames
    is as even as it can be.

    Parameters
    ----------
    frames
        Those that may be drawn.
    n
        How many to draw; fewer if there are no more.
    seed
        For other trajectories and times.

    Returns
    -------
    list of int
        Indices of frames, in the order in which they are drawn.
    """
    left: dict[str, list[int]] = {}
    for index in np.random.default_rng(seed).permutation(len(frames)):
        left.setdefault(frames[index].trajectory, []).append(int(index))
    turns: Counter[Hashable] = Counter()
    drawn: list[int] = []
    while left and len(drawn) < n:
        # Ties go to the first in `left`, which is in random order.
        name = min(left, key=lambda name: [turns[stratum] for stratum in _strata(frames[left[name][-1]])])
        index = left[name].pop()
        if not left[name]:
            del left[name]
        turns.update(_strata(frames[index]))
        drawn.append(index)
    return drawn


def _strata(frame: SampledFrame) -> list[Hashable]:
    """What takes turns, the most important first."""
    cell, temperature_K, model = frame.cell, frame.temperature_K, frame.model
    return [(cell, temperature_K), cell, temperature_K, (cell, temperature_K, model), model, frame.trajectory]
