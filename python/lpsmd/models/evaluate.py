"""Evaluate a model file on an ASE frame: energy, forces, virial, and the self-test."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from lpsmd.models.contract import (
    SELF_TEST,
    FloatArray,
    IntArray,
    ModelFile,
    ModelFileError,
    Passport,
    SelfTestTolerance,
    load_model,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    #: edge_vectors, edge_index, atom_types, weights -> atom_energies, edge_gradients
    Program = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What a model says about a frame of N atoms.

    Attributes
    ----------
    energy_eV
        Sum of the atom energies.
    forces_eV_per_A
        [N, 3].
    virial_eV
        [3, 3], dE/d(strain) = sum_e r_e (x) g_e = ASE stress times volume. LAMMPS' virial is its negative.
    atom_energies_eV
        [N].
    """

    energy_eV: float
    forces_eV_per_A: FloatArray
    virial_eV: FloatArray
    atom_energies_eV: FloatArray


@dataclass(frozen=True, kw_only=True)
class SelfTest:
    """A model's own reference frame, evaluated: largest differences, and what is allowed."""

    energy_eV_per_atom: float
    force_eV_per_A: float
    virial_eV_per_atom: float
    tolerance: SelfTestTolerance

    @property
    def passed(self) -> bool:
        """True where every difference is finite and within its tolerance."""
        limit = self.tolerance
        return bool(
            self.energy_eV_per_atom <= limit.energy_eV_per_atom
            and self.virial_eV_per_atom <= limit.energy_eV_per_atom
            and self.force_eV_per_A <= limit.force_eV_per_A
        )


def evaluate(model: ModelFile | str | Path, atoms: Atoms, *, device: str | torch.device = "cpu") -> Evaluation:
    """Evaluate a model on a frame.

    Parameters
    ----------
    model
        A loaded model (then it must lie on `device`), or the path of a model file.
    atoms
        The frame; its elements are matched by name against the model's types.

    Raises
    ------
    ModelFileError
        If the file is no good, an element has no type, or an atom has more neighbours than the
        model allows for.
    """
    loaded = model if isinstance(model, ModelFile) else load_model(model, device=device)
    types = types_of(atoms, loaded.passport.type_names)
    edge_index, edge_vectors = neighbor_graph(atoms, cutoff_A=loaded.passport.cutoff_A)
    check_neighbor_counts(loaded.passport, edge_index, types)
    return evaluate_graph(
        loaded.program, edge_index=edge_index, edge_vectors_A=edge_vectors, types=types, device=device
    )


def evaluate_graph(
    program: Program,
    *,
    edge_index: IntArray,
    edge_vectors_A: FloatArray,
    types: IntArray,
    device: str | torch.device = "cpu",
) -> Evaluation:
    """Run a program of the contract on a graph, and fold its edge gradients into forces and virial."""
    index = torch.from_numpy(edge_index).to(device)
    vectors = torch.from_numpy(edge_vectors_A).to(device)
    weights = torch.ones(len(types), dtype=torch.float64, device=device)
    energies, gradients = program(vectors, index, torch.from_numpy(types).to(device), weights)
    forces = torch.zeros((len(types), 3), dtype=torch.float64, device=device)
    forces.index_add_(0, index[0], gradients).index_add_(0, index[1], -gradients)
    return Evaluation(
        energy_eV=float(energies.sum()),
        forces_eV_per_A=forces.cpu().numpy(),
        virial_eV=(vectors.T @ gradients).cpu().numpy(),
        atom_energies_eV=energies.detach().cpu().numpy(),
    )


def neighbor_graph(atoms: Atoms, *, cutoff_A: float) -> tuple[IntArray, FloatArray]:
    """All directed edges within the cutoff, centres ascending: ([2, E] indices, [E, 3] vectors)."""
    from lpsmd import _core

    edge_index, edge_vectors = _core.neighbor_graph(
        np.ascontiguousarray(atoms.positions, dtype=np.float64),
        np.ascontiguousarray(atoms.cell.array, dtype=np.float64),
        [bool(periodic) for periodic in atoms.pbc],
        cutoff_A,
    )
    return edge_index, edge_vectors


def types_of(atoms: Atoms, type_names: Sequence[str]) -> IntArray:
    """The type index of each atom, [N].

    Raises
    ------
    ModelFileError
        If the model has no type for an element of the frame.
    """
    index = {name: number for number, name in enumerate(type_names)}
    missing = sorted(set(atoms.symbols) - set(index))
    if missing:
        raise ModelFileError(
            f"the frame has {', '.join(missing)}, the model has types for {', '.join(type_names)} only; "
            f"use a model trained on these elements"
        )
    return np.array([index[symbol] for symbol in atoms.symbols], dtype=np.int64)


def check_neighbor_counts(passport: Passport, edge_index: IntArray, types: IntArray) -> None:
    """Refuse a graph in which an atom has more neighbours of a type than the model allows for.

    Raises
    ------
    ModelFileError
        Naming the atom, the type, the count and the limit.
    """
    if passport.max_neighbors is None:
        return
    n_types = len(passport.type_names)
    counts = np.bincount(edge_index[0] * n_types + types[edge_index[1]], minlength=len(types) * n_types)
    table = counts.reshape(len(types), n_types)
    over = table - np.asarray(passport.max_neighbors)
    atom, kind = np.unravel_index(int(over.argmax()), over.shape)
    if over[atom, kind] > 0:
        raise ModelFileError(
            f"atom {atom} (counted from 0, {passport.type_names[types[atom]]}) has {table[atom, kind]} "
            f"{passport.type_names[kind]} neighbours within {passport.cutoff_A} Angstrom, the model allows "
            f"at most {passport.max_neighbors[kind]} (sel); check the density of the cell, or train with a "
            f"larger sel"
        )


def reference_frame(passport: Passport) -> Atoms:
    """The passport's reference frame as an ASE object, without its numbers."""
    frame = passport.reference
    return Atoms(
        symbols=[passport.type_names[kind] for kind in frame.types],
        positions=frame.positions_A,
        cell=frame.cell_A,
        pbc=frame.pbc,
    )


def self_test(model: ModelFile | str | Path, *, device: str | torch.device = "cpu") -> SelfTest:
    """Evaluate the passport's reference frame and compare with the trainer's own float64 numbers."""
    loaded = model if isinstance(model, ModelFile) else load_model(model, device=device)
    found = evaluate(loaded, reference_frame(loaded.passport), device=device)
    return compare_with_reference(found, loaded.passport)


def compare_with_reference(found: Evaluation, passport: Passport) -> SelfTest:
    """The differences between an evaluation of the reference frame and the passport's numbers."""
    needed = passport.reference
    n_atoms = len(needed.types)
    return SelfTest(
        energy_eV_per_atom=abs(found.energy_eV - needed.energy_eV) / n_atoms,
        force_eV_per_A=float(np.abs(found.forces_eV_per_A - needed.forces_eV_per_A).max()),
        virial_eV_per_atom=float(np.abs(found.virial_eV - needed.virial_eV).max()) / n_atoms,
        tolerance=SELF_TEST[passport.dtype],
    )


class LpsmdCalculator(Calculator):  # type: ignore[misc,unused-ignore]
    """An ASE calculator around a model file: energy, energies, forces and stress.

    Parameters
    ----------
    model
        A model file, loaded or by its path.
    device
        Where to evaluate it.
    """

    implemented_properties: ClassVar[list[str]] = [  # type: ignore[misc]
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]

    def __init__(self, model: ModelFile | str | Path, *, device: str | torch.device = "cpu", **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._device = device
        self.model = model if isinstance(model, ModelFile) else load_model(model, device=device)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Evaluate the model; stress is given where the cell has a volume."""
        super().calculate(  # type: ignore[no-untyped-call]
            atoms, list(properties), list(system_changes)
        )
        frame: Atoms = self.atoms  # type: ignore[assignment]
        found = evaluate(self.model, frame, device=self._device)
        self.results = {
            "energy": found.energy_eV,
            "free_energy": found.energy_eV,
            "energies": found.atom_energies_eV,
            "forces": found.forces_eV_per_A,
        }
        if all(frame.pbc):
            stress = found.virial_eV / frame.cell.volume
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)
