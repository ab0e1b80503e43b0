"""Exported networks inside LAMMPS against the numbers of each trainer's own calculator."""

from __future__ import annotations

import numpy as np
import pytest

from support.parity import ARCHITECTURES, assert_equal_to_package, in_lammps, reference
from tolerances import DIFFERENCE_FORCE_EV_PER_A, DIFFERENCE_VIRIAL_EV


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equals_the_package(architecture: str, dtype: str) -> None:
    atoms, expected = reference(architecture)
    found = in_lammps(architecture, dtype, atoms)
    assert_equal_to_package(found, expected, dtype)
    assert found.atom_energies.sum() == pytest.approx(found.energy, rel=1e-12)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_forces_are_minus_the_gradient(architecture: str) -> None:
    atoms, _ = reference(architecture)
    rng = np.random.default_rng(3)
    forces = in_lammps(architecture, "float64", atoms).forces
    step = 1e-3
    for atom, axis in zip(rng.choice(len(atoms), 4, replace=False), (0, 1, 2, 0), strict=True):
        energies = []
        for sign in (+1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(in_lammps(architecture, "float64", moved).energy)
        numerical = -(energies[0] - energies[1]) / (2 * step)
        assert forces[atom, axis] == pytest.approx(numerical, abs=DIFFERENCE_FORCE_EV_PER_A)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_virial_is_the_strain_derivative(architecture: str) -> None:
    atoms, _ = reference(architecture)
    virial = in_lammps(architecture, "float64", atoms).virial
    step = 1e-4
    for a, b in ((0, 0), (1, 2), (0, 1)):
        energies = []
        for sign in (+1, -1):
            strain = np.zeros((3, 3))
            strain[a, b] += 0.5 * sign * step
            strain[b, a] += 0.5 * sign * step
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            energies.append(in_lammps(architecture, "float64", strained).energy)
        numerical = (energies[0] - energies[1]) / (2 * step)
        assert virial[a, b] == pytest.approx(numerical, abs=DIFFERENCE_VIRIAL_EV)
