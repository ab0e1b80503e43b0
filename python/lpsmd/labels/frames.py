"""Frames that want labels: what is read, what is refused, and what a frame is called."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms

from lpsmd.dataset.checks import geometry_fault
from lpsmd.dataset.keys import is_plain
from lpsmd.labels.errors import LabelError
from lpsmd.labels.pw import geometry_cards
from lpsmd.labels.recipe import Recipe

_log = logging.getLogger(__name__)

#: Names of what belongs to labels; those of an earlier label must not pass for new ones.
_OF_LABELS = re.compile(r"energy|energies|force|stress|virial|gap|dipole|magmom|^(level|recipe|label)$")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A frame that wants labels.

    `id` is the SHA-256 (16 digits) of its geometry and of the recipe, `name` its key `frame`, else the id; `geometry`
    what pw.x will read; `atoms` are without labels, their `info` has the keys of its origin and the name.
    """

    id: str
    name: str
    geometry: str
    atoms: Atoms


def read_frames(file: Path, recipe: Recipe, *, recipe_sha256: str) -> list[Frame]:
    """Read and check frames; one geometry that is there twice comes once.

    Parameters
    ----------
    file
        Extended XYZ, or anything that ASE reads.
    recipe, recipe_sha256
        What is asked for, and its hash with that of the pseudopotentials.

    Raises
    ------
    LabelError
        Naming every frame that cannot be labelled, and why.
    """
    try:
        found = ase.io.read(file, ":")
    except Exception as error:  # ASE's readers raise anything
        raise LabelError(f"{file}: cannot be read: {error}") from error
    if not found:
        raise LabelError(f"{file}: found no frames")
    faults = [f"frame {n}: {fault}" for n, atoms in enumerate(found) if (fault := _fault(atoms, recipe))]
    if faults:
        raise LabelError("\n  ".join([f"{file}: {len(faults)} of {len(found)} frames cannot be labelled", *faults]))
    frames: dict[str, Frame] = {}
    for atoms in found:
        frame = _frame(atoms, recipe_sha256=recipe_sha256)
        first = frames.setdefault(frame.id, frame)
        if first.name != frame.name:
            _log.warning(
                "warning: %s: frame=%s has the geometry of frame=%s and gets no label of its own",
                file, frame.name, first.name,
            )  # fmt: skip
    _refuse_equal_names(file, list(frames.values()))
    return list(frames.values())


def _fault(atoms: Atoms, recipe: Recipe) -> str | None:
    unknown = sorted(set(atoms.get_chemical_symbols()) - set(recipe.pseudopotentials))
    if unknown:
        return f"found {', '.join(unknown)}, the recipe's [pseudopotentials] has {', '.join(recipe.pseudopotentials)}"
    if not atoms.pbc.all():
        return 'found no three periodic directions, which plane waves have; write pbc="T T T" and a cell'
    fault = geometry_fault(atoms)
    if fault:
        return fault
    electrons = sum(recipe.valence(symbol) for symbol in atoms.get_chemical_symbols())
    if electrons % 2:
        return f"found {electrons} electrons, needed an even number: only closed shells are computed"
    return None


def _frame(atoms: Atoms, *, recipe_sha256: str) -> Frame:
    bare = Atoms(atoms.get_chemical_symbols(), positions=atoms.positions, cell=atoms.cell, pbc=True)
    geometry = geometry_cards(bare.get_chemical_symbols(), bare.positions, bare.cell.array)
    identity = hashlib.sha256(f"{recipe_sha256}\n{geometry}".encode()).hexdigest()[:16]
    origin = _origin(atoms.info)
    name = str(origin.get("frame", identity))
    bare.info = {**origin, "frame": name}
    return Frame(id=identity, name=name, geometry=geometry, atoms=bare)


def _origin(info: dict[str, Any]) -> dict[str, Any]:
    """The keys that say where a frame comes from: plain values that are not labels."""
    return {key: value for key, value in info.items() if is_plain(value) and not _OF_LABELS.search(key)}


def _refuse_equal_names(file: Path, frames: Sequence[Frame]) -> None:
    names = [frame.name for frame in frames]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise LabelError(
            f"{file}: found different geometries with one name: frame={', '.join(twice)}; give each a name of its own, "
            f"or leave the key out"
        )
