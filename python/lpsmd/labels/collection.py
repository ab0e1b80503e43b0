"""The folder of a labelling: what it is for, its frames, and the sets that come out of their records."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from lpsmd import __version__
from lpsmd.dataset.extxyz import as_extxyz
from lpsmd.ensemble.claim import differences
from lpsmd.ensemble.files import read_json, write_atomically, write_json
from lpsmd.ensemble.locks import Held, hold
from lpsmd.labels.errors import LabelError
from lpsmd.labels.frames import Frame
from lpsmd.labels.pseudopotentials import pseudopotential_files
from lpsmd.labels.recipe import FUNCTIONALS, NO_HSE_STRESS, Recipe
from lpsmd.labels.records import Label, LabelFailure, read_failure, read_label

RECORD = "labels.json"
_LOCK = "labels.lock"
_FRAME = "frame.extxyz"
_PW = "pw.x"
_NOTES = {
    "units": "energy and gap eV (total energy, with the zero of this code and its pseudopotentials), forces "
    "eV/Angstrom, stress eV/Angstrom^3 (ASE's sign)",
    "stress PBE": "not corrected for its Pulay offset (about 1.4 GPa at 40 Ry): do not train on it",
    "stress HSE06": NO_HSE_STRESS,
}


@dataclass(frozen=True, kw_only=True)
class FrameState:
    """A frame of the folder with its labels by functional, and why it has no more of them."""

    id: str
    name: str
    labels: dict[str, Label]
    failure: LabelFailure | None


class LabelFolder:
    """A folder that is for one recipe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pseudopotentials = path / "pseudo"

    def of(self, frame_id: str) -> Path:
        """Folder of a frame."""
        return self.path / "frames" / frame_id

    def claim(self, recipe: Recipe, *, data_file: Path) -> None:
        """Make the folder one for a recipe, with its pseudopotentials.

        Raises
        ------
        LabelError
            If it holds labels of another recipe, or a pseudopotential cannot be made.
        """
        self.pseudopotentials.mkdir(parents=True, exist_ok=True)
        with self._locked():
            earlier = self._record()
            files = pseudopotential_files(recipe.pseudopotentials, data_file=data_file)
            identity = _identity(recipe, files)
            changed = differences(earlier["identity"], identity) if earlier else []
            if changed:
                raise LabelError(
                    f"{self.path}: holds labels of another recipe ({'; '.join(changed)}); choose another --output"
                )
            for name, text in files.items():
                write_atomically(self.pseudopotentials / name, text)
            sha256 = _sha256(identity)
            versions = {**earlier.get("versions", {}), "lpsmd": __version__, "ase": metadata.version("ase")}
            known = earlier.get("frames", [])
            self._write({"identity": identity, "recipe_sha256": sha256, "versions": versions, "frames": known})

    def accept_version(self, version: str) -> None:
        """Make the folder one for a version of pw.x, which its first label decides.

        Versions differ in constants and functionals, so their energies differ too (7e-5 eV a frame was measured),
        which a model would take for physics.

        Raises
        ------
        LabelError
            If it has labels of another one.
        """
        with self._locked():
            record = self._record()
            pinned = record["versions"].get(_PW)
            known = {pinned} if pinned else {label["pw_version"] for label in _labels_in(record)}
            if known and version not in known:
                raise LabelError(
                    f"{self.path}: found pw.x {version}, its labels are of pw.x {', '.join(sorted(known))}; give that "
                    f"one with --pw, or choose another --output"
                )
            if not pinned:
                self._write({**record, "versions": {**record["versions"], _PW: version}})

    def add(self, frames: Sequence[Frame]) -> None:
        """Take frames in, behind those that are there.

        Raises
        ------
        LabelError
            If a name stands for another geometry already.
        """
        with self._locked():
            record = self._record()
            known = {entry["id"]: entry["frame"] for entry in record["frames"]}
            taken = {name: id_ for id_, name in known.items()}
            for frame in frames:
                if taken.get(frame.name, frame.id) != frame.id:
                    raise LabelError(
                        f"{self.path}: frame={frame.name} stands for another geometry already; give the new one a name "
                        f"of its own, or choose another --output"
                    )
                folder = self.of(frame.id)
                folder.mkdir(parents=True, exist_ok=True)
                write_atomically(folder / _FRAME, as_extxyz([frame.atoms]))
                known[frame.id] = frame.name
            self._write({**record, "frames": [{"id": id_, "frame": name} for id_, name in known.items()]})

    def states(self) -> list[FrameState]:
        """All frames in the order in which they came."""
        return [
            FrameState(
                id=entry["id"],
                name=entry["frame"],
                labels={
                    functional: label
                    for functional in FUNCTIONALS
                    if (label := read_label(self.of(entry["id"]), functional))
                },
                failure=read_failure(self.of(entry["id"])),
            )
            for entry in self._record()["frames"]
        ]

    def collect(self) -> None:
        """Write the labelled sets, and what there is in the record, from the folders of the frames."""
        with self._locked():
            record, states = self._record(), self.states()
            for functional in FUNCTIONALS:
                found = [(state, state.labels[functional]) for state in states if functional in state.labels]
                sets = [self._labelled(state, label, record["recipe_sha256"]) for state, label in found]
                if sets:
                    write_atomically(self.path / f"{functional.lower()}.extxyz", as_extxyz(sets))
            self._write({**record, "frames": [_entry(state) for state in states], "notes": _NOTES})

    def _labelled(self, state: FrameState, label: Label, recipe_sha256: str) -> Atoms:
        atoms = ase.io.read(self.of(state.id) / _FRAME)
        assert isinstance(atoms, Atoms)
        atoms.calc = None
        results: dict[str, Any] = {"energy": label.energy_eV, "forces": np.array(label.forces_eV_per_A)}
        if label.stress_eV_per_A3 is not None:
            stress = np.array(label.stress_eV_per_A3)
            results["stress"] = stress.flat[[0, 4, 8, 5, 2, 1]]
            atoms.info["stress_pulay"] = "uncorrected"
        atoms.info.update(level=label.functional, gap_eV=round(label.gap_eV, 4), recipe=recipe_sha256[:16])
        atoms.calc = SinglePointCalculator(atoms, **results)
        return atoms

    def _record(self) -> dict[str, Any]:
        path = self.path / RECORD
        return read_json(path) if path.exists() else {}

    def _write(self, record: dict[str, Any]) -> None:
        write_json(self.path / RECORD, record)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone with the files of the whole folder; they are written within a second, so it is waited for."""
        with ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(hold(self.path / _LOCK))
                    break
                except Held:
                    time.sleep(0.05)
            yield


def recipe_sha256(recipe: Recipe, *, data_file: Path) -> str:
    """The hash of a recipe and of its pseudopotentials."""
    return _sha256(_identity(recipe, pseudopotential_files(recipe.pseudopotentials, data_file=data_file)))


def _identity(recipe: Recipe, pseudopotentials: Mapping[str, str]) -> dict[str, Any]:
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in pseudopotentials.items()}
    return {"recipe": recipe.model_dump(), "pseudopotentials": hashes}


def _sha256(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _labels_in(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [label for entry in record["frames"] for label in entry.get("labels", {}).values()]


def _entry(state: FrameState) -> dict[str, Any]:
    labels = {
        name: {key: getattr(label, key) for key in ("gap_eV", "pw_version", "cpu_s", "wall_s", "host", "ended")}
        for name, label in state.labels.items()
    }
    failed = {} if state.failure is None else {"failed": f"{state.failure.functional}: {state.failure.reason}"}
    return {"id": state.id, "frame": state.name, "labels": labels, **failed}
