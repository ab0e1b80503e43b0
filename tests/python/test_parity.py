"""Exported networks against what their own packages' calculators say in float64, without those packages.

tests/data/parity/make_references.py makes the files and the numbers; tests/lammps/test_parity.py runs the
same through the pair style.
"""

from __future__ import annotations

import numpy as np
import pytest

from lpsmd.models.evaluate import LpsmdCalculator, evaluate, self_test
from support.parity import ARCHITECTURES, PARITY, reference
from tolerances import PARITY_ENERGY_EV_PER_ATOM, PARITY_FORCE_EV_PER_A, PARITY_VIRIAL_EV_PER_ATOM

DTYPES = ("float64", "float32")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equals_the_package(architecture: str, dtype: str) -> None:
    atoms, expected = reference(architecture)
    found = evaluate(PARITY / f"{architecture}_{dtype}.pt", atoms)
    np.testing.assert_allclose(
        found.forces_eV_per_A, expected["forces_eV_per_A"], rtol=0, atol=PARITY_FORCE_EV_PER_A[dtype]
    )
    np.testing.assert_allclose(
        found.virial_eV, expected["virial_eV"], rtol=0, atol=PARITY_VIRIAL_EV_PER_ATOM[dtype] * len(atoms)
    )
    assert abs(found.energy_eV - expected["energy_eV"]) / len(atoms) < PARITY_ENERGY_EV_PER_ATOM[dtype]
    # One atom alone may err more than the mean of 52, not more than their root in a row.
    np.testing.assert_allclose(
        found.atom_energies_eV,
        expected["atom_energies_eV"],
        rtol=0,
        atol=PARITY_ENERGY_EV_PER_ATOM[dtype] * len(atoms) ** 0.5,
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_comparison_can_fail(architecture: str) -> None:
    # A displacement of 1e-5 A moves forces of some eV/A^2 stiffness far beyond the float64 tolerance.
    atoms, expected = reference(architecture)
    atoms.positions[0, 0] += 1e-5
    found = evaluate(PARITY / f"{architecture}_float64.pt", atoms)
    difference = np.abs(found.forces_eV_per_A - expected["forces_eV_per_A"]).max()
    assert difference > 100 * PARITY_FORCE_EV_PER_A["float64"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_cell_is_smaller_than_twice_the_cutoff(architecture: str) -> None:
    # What makes the frame worth comparing: an atom meets the same neighbour through several images.
    atoms, _ = reference(architecture)
    calculator = LpsmdCalculator(PARITY / f"{architecture}_float64.pt")
    heights = 1.0 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    assert (heights < 2.0 * calculator.model.passport.cutoff_A).any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_reproduces_its_own_passport(architecture: str, dtype: str) -> None:
    result = self_test(PARITY / f"{architecture}_{dtype}.pt")
    assert result.passed, result


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_ase_calculator_gives_the_stress_of_the_package(architecture: str) -> None:
    atoms, expected = reference(architecture)
    atoms.calc = LpsmdCalculator(PARITY / f"{architecture}_float64.pt")
    virial = atoms.get_stress(voigt=False) * atoms.get_volume()
    np.testing.assert_allclose(
        virial, expected["virial_eV"], rtol=0, atol=PARITY_VIRIAL_EV_PER_ATOM["float64"] * len(atoms)
    )
    assert atoms.get_potential_energies().sum() == pytest.approx(atoms.get_potential_energy(), rel=1e-13)
