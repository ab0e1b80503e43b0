"""Frames into training, validation and test, by what they started from: neighbours in time are nearly one frame."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from lpsmd.dataset.distances import nearest_frames, repeated_geometries
from lpsmd.dataset.errors import SplitError
from lpsmd.dataset.folder import Dataset, alone_with, read_dataset, write_parts
from lpsmd.dataset.keys import FRAME, KIND, PART, PARTS, START, TRAJECTORY, groups_of, is_dynamics

#: Least rms displacement (Angstrom) of a frame of dynamics from one of dynamics in another part. Measured on 52
#: atoms: two models from one start and seed at 900 K, the first five frames 0.13, 0.21, 0.27, 0.35 and 0.49; frames of
#: one trajectory, 140 fs apart, 0.47 and more; different starts 1.1 and more (600 to 1200 K).
CLOSEST_RMS_A = 0.4
# Each part, and those that were learned from, or chosen by, before it is asked.
_APART = (("test", "train"), ("test", "validation"), ("validation", "train"))


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """A frame of `part` and the frame of `other_part` that is the closest to it: rms displacement in Angstrom.

    `kind` is that of the first; `of_dynamics` says that both are frames of dynamics.
    """

    frame: str
    part: str
    other: str
    other_part: str
    rms_A: float
    kind: str
    of_dynamics: bool


@dataclass(frozen=True, kw_only=True)
class Split:
    """Parts of the frames by name, how many groups were drawn and how many frames had a part before.

    `nearest` is that of `nearest_between_parts`.
    """

    dataset: Dataset
    parts: Mapping[str, str]
    groups: int
    had_part: int
    nearest: tuple[Nearest, ...]


def split_frames(
    frames: Sequence[Atoms],
    *,
    validation: float = 0.1,
    test: float = 0.15,
    seed: int = 1,
    redraw: bool = False,
) -> tuple[str, ...]:
    """The part of each frame: "train", "validation" or "test".

    What is linked by `start`, `trajectory` or `frame` stays together (`keys.groups_of`). Where a group goes follows
    from its name and the seed alone: neither the order of the frames nor what else is in the set moves it. A group of
    which a frame has a `part` goes there, so that no frame of a test is trained on after the set has grown. The parts
    of few groups are therefore only about as large as asked.

    Parameters
    ----------
    frames
        With `info['frame']`, and `start` or `trajectory`; without these the frame is its own group, which its `kind`
        must allow.
    validation, test
        Fractions of the groups, 0 to 1; training has the rest.
    seed
        For another split.
    redraw
        Forget the parts that frames have.

    Raises
    ------
    SplitError
        If a frame of dynamics names neither start nor trajectory, a group has two parts, the fractions are none, or a
        part that was asked for is empty.
    """
    if validation < 0.0 or test < 0.0 or validation + test >= 1.0:
        raise SplitError(
            f"validation, test: found {validation:g} and {test:g}, needed fractions from 0 up with a sum below 1"
        )
    for index, atoms in enumerate(frames):
        _refuse_unknown_origin(atoms, index)
    groups = groups_of(frames)
    pinned = {} if redraw else parts_of_groups(frames, groups)
    drawn = {group: pinned.get(group) or _draw(group, seed, validation=validation, test=test) for group in groups}
    asked = {"train": True, "validation": validation > 0.0, "test": test > 0.0}
    empty = [part for part in PARTS if asked[part] and part not in drawn.values()]
    if empty:
        raise SplitError(
            f"found no group for {', '.join(empty)} among {len(drawn)}; take another seed, larger fractions, or more "
            f"trajectories. Frames with a common {START} or {TRAJECTORY} are one group; where that is only the name of "
            f"the file that they came in, import anew: a file for each trajectory, or `lpsmd dataset import "
            f"--independent` for frames of no dynamics"
        )
    return tuple(drawn[group] for group in groups)


def split_dataset(
    path: Path,
    *,
    validation: float = 0.1,
    test: float = 0.15,
    seed: int = 1,
    redraw: bool = False,
    closest_rms_A: float = CLOSEST_RMS_A,
) -> Split:
    """Write `part` into all sets of a folder, the same for one geometry in each of them.

    Parameters
    ----------
    path
        Folder with pbe.extxyz, hse06.extxyz ..., or one such file.
    validation, test, seed, redraw
        See `split_frames`.
    closest_rms_A
        Least rms displacement between frames of dynamics in two parts; 0 lets everything pass.

    Raises
    ------
    DatasetError
        If the sets are not fit, the split is refused, one geometry has two names, a frame of dynamics is nearly
        one of another part, or another call writes there. Nothing is written then.
    """
    with alone_with(path if path.is_dir() else path.parent):
        dataset = read_dataset(path)
        everything = [atoms for frames in dataset.sets.values() for atoms in frames]
        parts = split_frames(everything, validation=validation, test=test, seed=seed, redraw=redraw)
        by_name = {str(atoms.info[FRAME]): part for atoms, part in zip(everything, parts, strict=True)}
        frames = dataset.frames()
        _refuse_two_names(frames)
        distances = _distances(frames, by_name)
        _refuse_leaks(distances, closest_rms_A)
        write_parts(dataset, by_name)
    return Split(
        dataset=read_dataset(path),
        parts=by_name,
        groups=len(set(groups_of(everything))),
        had_part=0 if redraw else len({str(a.info[FRAME]) for a in everything if PART in a.info}),
        nearest=_least(distances),
    )


def nearest_between_parts(frames: Mapping[str, Atoms], parts: Mapping[str, str]) -> tuple[Nearest, ...]:
    """For each two parts and each kind of frame, the one that is the closest to the other part.

    Kinds that cannot be compared lack.

    Parameters
    ----------
    frames, parts
        By name.
    """
    return _least(_distances(frames, parts))


def _least(distances: Sequence[Nearest]) -> tuple[Nearest, ...]:
    closest: dict[tuple[str, str, str], Nearest] = {}
    for entry in sorted(distances, key=lambda entry: entry.rms_A):
        closest.setdefault((entry.part, entry.other_part, entry.kind), entry)
    return tuple(closest[key] for key in sorted(closest, key=lambda key: (_APART.index(key[:2]), key[2])))


def parts_of_groups(frames: Sequence[Atoms], groups: Sequence[str]) -> dict[str, str]:
    """Parts that groups have already, by the names of `keys.groups_of`.

    Raises
    ------
    SplitError
        If a frame has a part of another name, or a group has two.
    """
    first: dict[str, tuple[str, str]] = {}
    for atoms, group in zip(frames, groups, strict=True):
        part, name = atoms.info.get(PART), str(atoms.info[FRAME])
        if part is None:
            continue
        if part not in PARTS:
            raise SplitError(f"{name}: found {PART}={part}, needed one of {', '.join(PARTS)}")
        earlier, earlier_name = first.setdefault(group, (str(part), name))
        if earlier != part:
            raise SplitError(
                f"{earlier_name} is in {earlier} and {name} in {part}, but both belong to {group}; needed one part for "
                f"all that shares a start or trajectory: `lpsmd dataset split --redraw` draws all of them anew, "
                f"`lpsmd dataset split` those from which you remove the key {PART}"
            )
    return {group: part for group, (part, _) in first.items()}


def _refuse_two_names(frames: Mapping[str, Atoms]) -> None:
    """By their names the labels of two functionals go to one part: else one is tested on what the other has learned."""
    names = list(frames)
    for index, earlier in repeated_geometries(list(frames.values())).items():
        raise SplitError(
            f"{names[earlier]} and {names[index]} are one geometry; needed one name for it in all sets: write the same "
            f"key {FRAME} into both; nothing was written"
        )


def _refuse_leaks(distances: Sequence[Nearest], closest_rms_A: float) -> None:
    # Displacements drawn around one arrangement of sites are near one another by construction, and no less independent.
    leaks = [entry for entry in distances if entry.of_dynamics and entry.rms_A < closest_rms_A]
    if leaks:
        raise SplitError(
            "\n  ".join(
                [
                    f"{len(leaks)} frames are nearly frames of another part, needed {closest_rms_A:g} Angstrom rms; "
                    f"what shares its start needs one key {START} (--closest-rms 0 lets it pass); nothing was written",
                    *(
                        f"{entry.frame} ({entry.part}) is {entry.rms_A:.2f} Angstrom from {entry.other} "
                        f"({entry.other_part})"
                        for entry in leaks
                    ),
                ]
            )
        )


def _distances(frames: Mapping[str, Atoms], parts: Mapping[str, str]) -> list[Nearest]:
    """Each frame with its closest of every other part, of dynamics and not, where there is one to compare with."""
    members: dict[tuple[str, bool], list[str]] = {}
    for name, atoms in frames.items():
        members.setdefault((parts[name], is_dynamics(atoms.info)), []).append(name)
    entries = []
    for (part, other_part), own, of_other in itertools.product(_APART, (True, False), (True, False)):
        names, others = members.get((part, own), []), members.get((other_part, of_other), [])
        found = nearest_frames([frames[name] for name in names], [frames[name] for name in others])
        entries += [
            Nearest(
                frame=name,
                part=part,
                other=others[closest[0]],
                other_part=other_part,
                rms_A=closest[1],
                kind=str(frames[name].info.get(KIND, "-")),
                of_dynamics=own and of_other,
            )
            for name, closest in zip(names, found, strict=True)
            if closest is not None
        ]
    return entries


def _refuse_unknown_origin(atoms: Atoms, index: int) -> None:
    info = atoms.info
    if FRAME not in info:
        raise SplitError(f"frame {index}: found no key {FRAME}, needed a name of its own for every frame")
    if START in info or TRAJECTORY in info or not is_dynamics(info):
        return
    of = "is of dynamics" if KIND in info else f"has no key {KIND}"
    raise SplitError(
        f"{info[FRAME]}: {of} and names neither {START} nor {TRAJECTORY}; needed one of them, for it has neighbours "
        f"in time: write it into the frame, or bring its file in with `lpsmd dataset import`, which keeps it together"
    )


def _draw(group: str, seed: int, *, validation: float, test: float) -> str:
    """The part of a group: a number in [0, 1) that belongs to its name and the seed decides."""
    digest = hashlib.sha256(f"{seed}/{group}".encode()).digest()
    number = int.from_bytes(digest[:8], "big") / 2.0**64
    return "test" if number < test else "validation" if number < test + validation else "train"
