"""Labelled frames from any code into one set, each of them checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from lpsmd.dataset.checks import LabelledFrame, Tolerances, label_faults, other_zeros, unit_fault
from lpsmd.dataset.distances import is_same_geometry, nearest_frames, repeated_geometries, unturned
from lpsmd.dataset.errors import DatasetError
from lpsmd.dataset.extxyz import as_extxyz
from lpsmd.dataset.folder import alone_with, read_dataset
from lpsmd.dataset.keys import FRAME, TRAJECTORY
from lpsmd.dataset.reading import SAME_LABEL, Reading, Refused, read_labelled
from lpsmd.ensemble.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class Imported:
    """Counts of frames: written anew, left out, in the set before (`kept`), given again (`known`), with a stress.

    `refused` has every fault of those left out.
    """

    written: int
    left_out: int
    kept: int
    known: int
    with_stress: int
    refused: tuple[Refused, ...]


def import_dataset(
    files: Sequence[Path],
    output: Path,
    *,
    units: str | None = None,
    labels: str | None = None,
    level: str | None = None,
    recipe: str | None = None,
    mixed_recipes: bool = False,
    independent: bool = False,
    names_of: Path | None = None,
    append: bool = False,
    tolerances: Tolerances | None = None,
    skip_bad: bool = False,
) -> Imported:
    """Check labelled frames and write them as one extended XYZ file in eV and Angstrom.

    Parameters
    ----------
    files
        Anything that ASE reads with energies and forces; positions in Angstrom.
    output
        Extended XYZ to write, atomically; must not be there, except with `append`.
    units
        One of `reading.UNITS`, converted to eV and Angstrom. None stands for eV/Angstrom. Files whose forces look
        otherwise, once converted, are refused, except if "eV/Angstrom" is given.
    labels
        "calculator" (what ASE's reader takes for energy and forces) or a prefix (REF_); None: the one that is there.
    level, recipe
        Of frames that have no such key. More than one level in the set is refused.
    mixed_recipes
        Let more than one recipe pass, or frames without one beside others.
    independent
        Frames without `start`, `trajectory` and `kind` are of no dynamics; else those of one file stay together when
        the set is split.
    names_of
        Set whose geometries give these frames their names, which one geometry needs in the sets of two functionals. A
        frame without its like there is refused.
    append
        Keep the frames of `output` with all their keys, and add to them. What is there already, by name, geometry and
        labels, is passed over.
    tolerances
        What is let pass.
    skip_bad
        Leave bad frames out; else one bad frame means that nothing is written.

    Raises
    ------
    DatasetError
        Naming each bad frame, or that no frame is left; if another call writes in that folder.
    """
    allowed = tolerances or Tolerances()
    reading = Reading(units=units or "eV/Angstrom", source=labels, level=level, recipe=recipe, independent=independent)
    output.parent.mkdir(parents=True, exist_ok=True)
    with alone_with(output.parent):
        kept = _present(output, append=append)
        readable, refused = _read(files, reading, allowed, units=units)
        if names_of is not None:
            readable, nameless = _named_as_in(names_of, readable)
            refused += nameless
        new, known = _without_known(readable, kept)
        _refuse_mixtures([*kept, *new], level=level, recipe=recipe, mixed_recipes=mixed_recipes)
        good, bad = _judged(new, kept, allowed)
        refused = sorted([*refused, *bad], key=lambda entry: (entry.file, entry.number))
        if refused and not skip_bad:
            raise DatasetError("\n  ".join([_headline(refused), *map(str, refused)]))
        if not good and not known:
            raise DatasetError(
                "\n  ".join([f"found no good frame in {', '.join(map(str, files))}", *map(str, refused)])
            )
        if good:
            # What is there stays as it is, to the last digit.
            present = output.read_text(encoding="utf-8").rstrip("\n") + "\n" if kept else ""
            write_atomically(output, present + as_extxyz([_labelled(frame) for frame in good]))
    return Imported(
        written=len(good),
        left_out=_frames(refused),
        kept=len(kept),
        known=known,
        with_stress=sum(frame.had_stress for frame in good),
        refused=tuple(refused),
    )


def _present(output: Path, *, append: bool) -> list[LabelledFrame]:
    """Frames of the set that is there already."""
    if not output.exists():
        return []
    if not append:
        raise DatasetError(f"{output}: is there already; --append adds to it, or choose another --output")
    # What was let pass when it came in is not judged again.
    frames, refused = read_labelled(output, Reading(), closest=0.0)
    if refused:
        raise DatasetError(
            "\n  ".join([f"{output}: is no set to append to; choose another --output", *map(str, refused)])
        )
    return frames


def _read(
    files: Sequence[Path], reading: Reading, allowed: Tolerances, *, units: str | None
) -> tuple[list[LabelledFrame], list[Refused]]:
    """Frames of all files that are in the units in which they are said to be, and the others."""
    readable, refused = [], []
    for file in files:
        found, bad = read_labelled(file, reading, closest=allowed.closest)
        looks = None if units == "eV/Angstrom" else unit_fault(found, converted_from=units)
        refused += [*bad, *(_refuse(frame, looks) for frame in found if looks)]
        readable += [] if looks else found
    return readable, refused


def _named_as_in(path: Path, frames: Sequence[LabelledFrame]) -> tuple[list[LabelledFrame], list[Refused]]:
    """Frames with the names that their geometries have in another set, and those that are not there."""
    others = read_dataset(path).frames()
    names, geometries = list(others), list(others.values())
    earlier = repeated_geometries([*geometries, *(frame.atoms for frame in frames)])
    named, refused = [], []
    for index, frame in enumerate(frames, start=len(names)):
        same = earlier.get(index, index)
        if same < len(names):
            _rename(frame.atoms, names[same])
            named.append(frame)
        else:
            (nearest,) = nearest_frames([frame.atoms], geometries)
            closest = f"; the closest, {names[nearest[0]]}, is {nearest[1]:.2g} Angstrom rms away" if nearest else ""
            why = f"found no frame of its geometry in {path}, needed the same atoms in the same order{closest}"
            refused.append(_refuse(frame, f"{why}; import it without --names-of"))
    return named, refused


def _rename(atoms: Atoms, name: str) -> None:
    if atoms.info.get(TRAJECTORY) == atoms.info[FRAME]:  # it is of no dynamics
        atoms.info[TRAJECTORY] = name
    atoms.info[FRAME] = name


def _without_known(frames: Sequence[LabelledFrame], kept: Sequence[LabelledFrame]) -> tuple[list[LabelledFrame], int]:
    """Frames that are not yet in the set, and how many are."""
    by_name = {frame.name: frame for frame in kept}
    new = [frame for frame in frames if not (frame.name in by_name and _is_copy(frame, by_name[frame.name]))]
    return new, len(frames) - len(new)


def _is_copy(frame: LabelledFrame, other: LabelledFrame) -> bool:
    return is_same_geometry(frame.atoms, other.atoms) and _label_difference(frame, other) is None


def _label_difference(frame: LabelledFrame, other: LabelledFrame) -> str | None:
    """By how much the labels of one geometry differ, however it is turned; None if they are the same."""
    energy_eV = abs(frame.energy_eV - other.energy_eV)
    forces_eV_per_A = [unturned(one.atoms, one.forces_eV_per_A) for one in (frame, other)]
    largest_eV_per_A = float(np.abs(forces_eV_per_A[0] - forces_eV_per_A[1]).max())
    if energy_eV <= SAME_LABEL and largest_eV_per_A <= SAME_LABEL:
        return None
    return f"energies differ by {energy_eV:.3g} eV, forces by up to {largest_eV_per_A:.3g} eV/Angstrom"


def _refuse_mixtures(
    frames: Sequence[LabelledFrame], *, level: str | None, recipe: str | None, mixed_recipes: bool
) -> None:
    mixture = _mixture(frames, "level", level)
    if mixture:
        raise DatasetError(f"{mixture}; a set is of one functional: import them into one file each")
    mixture = None if mixed_recipes else _mixture(frames, "recipe", recipe)
    if mixture:
        raise DatasetError(f"{mixture}; --mixed-recipes takes them together if they are known to agree")


def _mixture(frames: Sequence[LabelledFrame], key: str, given: str | None) -> str | None:
    """What there is of a key if not one and the same for all."""
    members: dict[str | None, list[LabelledFrame]] = {}
    for frame in frames:
        value = frame.atoms.info.get(key)
        members.setdefault(None if value is None else str(value), []).append(frame)
    if len({*members, *([given] if given else [])}) <= 1:
        return None
    found = "; ".join(
        f"{'no ' + key if value is None else f'{key} {value}'} in {len(having)} frames, first {having[0].place}"
        for value, having in members.items()
    )
    asked = f", and --{key} {given} was given" if given else ""
    remedy = f"; --{key} NAME gives one to those of the files that have none" if None in members else ""
    return f"found {found}{asked}; needed one {key} for all{remedy}"


def _judged(
    new: Sequence[LabelledFrame], kept: Sequence[LabelledFrame], allowed: Tolerances
) -> tuple[list[LabelledFrame], list[Refused]]:
    """Good frames among the new ones, and every fault of the others.

    A frame repeats another only if that one is good: of a good and a bad copy the good one stays.
    """
    zeros = other_zeros([*kept, *new], allowed)
    good, refused = [], []
    for index, frame in enumerate(new, start=len(kept)):
        faults = [*label_faults(frame, allowed), *([zeros[index]] if index in zeros else [])]
        refused += [_refuse(frame, fault) for fault in faults]
        if not faults:
            good.append(frame)
    candidates = [*kept, *good]
    repeated = repeated_geometries([frame.atoms for frame in candidates])
    named: dict[str, LabelledFrame] = {}
    unique = []
    for index, frame in enumerate(candidates):
        if index in repeated:
            fault = _repeats(frame, candidates[repeated[index]])
        elif frame.name in named:
            fault = (
                f"has the name of {named[frame.name].place}, frame={frame.name}, but another geometry; give it a key "
                f"frame of its own, or its folder another name"
            )
        else:
            named[frame.name] = frame
            fault = ""
        if index >= len(kept) and fault:
            refused.append(_refuse(frame, fault))
        elif index >= len(kept):
            unique.append(frame)
    return unique, refused


def _repeats(frame: LabelledFrame, earlier: LabelledFrame) -> str:
    difference = _label_difference(frame, earlier)
    if difference is None:
        return f"repeats the geometry of {earlier.place}"
    return f"has the geometry of {earlier.place}, but other labels: {difference}; keep one of the two"


def _refuse(frame: LabelledFrame, why: str) -> Refused:
    return Refused(file=frame.file, number=frame.number, why=why)


def _frames(refused: Sequence[Refused]) -> int:
    return len({(entry.file, entry.number) for entry in refused})


def _headline(refused: Sequence[Refused]) -> str:
    frames = _frames(refused)
    return f"{frames} bad frame{'s' if frames > 1 else ''}; nothing was written (--skip-bad leaves them out)"


def _labelled(frame: LabelledFrame) -> Atoms:
    atoms: Atoms = frame.atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, energy=frame.energy_eV, forces=frame.forces_eV_per_A)
    return atoms
