"""Training, validation and test by trajectory."""

from __future__ import annotations

import random

import pytest
from ase import Atoms

from lpsmd.dataset.splitting import SplitError, TrajectorySplit, split_by_trajectory

TRAJECTORIES, FRAMES = 60, 4


def frames(trajectories: int = TRAJECTORIES) -> list[Atoms]:
    return [Atoms("Li", info={"trajectory": f"t{t}"}) for _ in range(FRAMES) for t in range(trajectories)]


def names(found: list[Atoms], split: TrajectorySplit) -> list[set[str]]:
    """Trajectories in training, validation and test."""
    return [{found[i].info["trajectory"] for i in part} for part in (split.train, split.validation, split.test)]


def test_every_frame_is_in_one_part_with_its_whole_trajectory() -> None:
    found = frames()
    split = split_by_trajectory(found, validation=0.2, test=0.2)
    assert sorted(split.train + split.validation + split.test) == list(range(len(found)))
    train, validation, test = names(found, split)
    assert not train & validation
    assert not (train | validation) & test
    # 12 of 60 each; the binomial spread is 3.1
    assert len(validation) == pytest.approx(0.2 * TRAJECTORIES, abs=10)
    assert len(test) == pytest.approx(0.2 * TRAJECTORIES, abs=10)


def test_a_trajectory_stays_where_it_is_when_the_set_grows_or_is_shuffled() -> None:
    found, more = frames(), frames(2 * TRAJECTORIES)
    random.Random(1).shuffle(more)
    before, after = names(found, split_by_trajectory(found)), names(more, split_by_trajectory(more))
    for small, large in zip(before, after, strict=True):
        assert small <= large


def test_a_seed_is_a_split() -> None:
    found = frames()
    assert split_by_trajectory(found, seed=2) == split_by_trajectory(found, seed=2)
    assert split_by_trajectory(found, seed=2) != split_by_trajectory(found, seed=3)


def test_parts_that_are_not_asked_for_are_empty() -> None:
    split = split_by_trajectory(frames(3), validation=0.0, test=0.0)
    assert (len(split.train), split.validation, split.test) == (3 * FRAMES, (), ())


def test_a_frame_without_trajectory_is_refused() -> None:
    with pytest.raises(SplitError, match=r"frame 1: found no key trajectory.* its keys are frame"):
        split_by_trajectory([*frames(1)[:1], Atoms("Li", info={"frame": "rattle_1"})])


def test_fractions_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(SplitError, match=r"found 0\.5 and 0\.5"):
        split_by_trajectory(frames(), validation=0.5, test=0.5)


def test_a_part_without_a_trajectory_is_refused() -> None:
    with pytest.raises(SplitError, match=r"found no trajectory for .* among 1"):
        split_by_trajectory(frames(1))
