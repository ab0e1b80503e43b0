"""An exported Lennard-Jones model against LAMMPS' own pair_style lj/cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from support.models import lj_model
from support.simulation import Computed, Simulation, simulation
from tolerances import LJ_ENERGY_RELATIVE, LJ_FORCE_EV_PER_A, LJ_POSITION_A

TYPES = ("Li", "S")
EPSILON = np.array([[0.02, 0.015], [0.015, 0.03]])
SIGMA = np.array([[2.2, 2.6], [2.6, 3.1]])
CUTOFF = np.array([[5.0, 5.5], [5.5, 6.0]])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lj") / "lj.pt"
    return lj_model(path, TYPES, epsilon_eV=EPSILON, sigma_A=SIGMA, cutoff_A=CUTOFF)


def rattled(repeat: tuple[int, int, int], *, shear: bool = False, periodic: bool = True) -> Atoms:
    """Rock salt of Li and S, 8 atoms times `repeat`, displaced by 0.15 Angstrom."""
    a = 5.4
    corners = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    fractional = np.concatenate([corners, corners + np.array([0.5, 0.0, 0.0])])
    atoms = Atoms("Li4S4", scaled_positions=fractional, cell=[a] * 3, pbc=True).repeat(repeat)
    if shear:
        strain = np.array([[1.02, 0.0, 0.0], [0.21, 0.97, 0.0], [-0.17, 0.28, 1.01]])
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    atoms.positions += np.random.default_rng(7).normal(0.0, 0.15, atoms.positions.shape)
    if not periodic:
        atoms.pbc = False
        atoms.center(vacuum=4.0)
    return atoms


STRUCTURES = {
    "cubic": rattled((3, 3, 3)),
    "triclinic": rattled((3, 3, 3), shear=True),
    "smaller than twice the cutoff": rattled((1, 1, 2)),
    "triclinic and small": rattled((1, 2, 1), shear=True),
    "non-periodic": rattled((2, 2, 2), periodic=False),
}


def use_lj_cut(run: Simulation) -> None:
    run.lmp.command("pair_style lj/cut 6.0")
    for i, j in ((0, 0), (0, 1), (1, 1)):
        run.lmp.command(f"pair_coeff {i + 1} {j + 1} {EPSILON[i, j]} {SIGMA[i, j]} {CUTOFF[i, j]}")


def lj_cut(atoms: Atoms) -> Computed:
    with simulation(atoms, TYPES) as run:
        use_lj_cut(run)
        return run.compute()


@pytest.mark.parametrize("name", STRUCTURES)
def test_equals_lj_cut(name: str, model: Path) -> None:
    atoms = STRUCTURES[name]
    expected = lj_cut(atoms)
    with simulation(atoms, TYPES) as run:
        run.use_model(model)
        found = run.compute()
    scale = np.abs(expected.atom_energies).sum()
    assert found.energy == pytest.approx(expected.energy, abs=LJ_ENERGY_RELATIVE * scale)
    np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=LJ_FORCE_EV_PER_A)
    np.testing.assert_allclose(found.virial, expected.virial, rtol=0, atol=LJ_ENERGY_RELATIVE * scale)
    np.testing.assert_allclose(found.atom_energies, expected.atom_energies, rtol=0, atol=LJ_ENERGY_RELATIVE * scale)


def test_moves_as_lj_cut_does(model: Path) -> None:
    """Two hundred steps with reneighbouring: the graph follows atoms across the boundary."""
    atoms = STRUCTURES["smaller than twice the cutoff"]
    positions = []
    for style in ("lpsmd", "lj/cut"):
        with simulation(atoms, TYPES) as run:
            run.use_model(model) if style == "lpsmd" else use_lj_cut(run)
            run.lmp.commands_list(
                ["neighbor 0.3 bin", "velocity all create 900 5", "fix move all nve", "timestep 0.002", "run 200"]
            )
            order = np.argsort(run.lmp.numpy.extract_atom("id")[: len(atoms)])
            positions.append(np.array(run.lmp.numpy.extract_atom("x")[: len(atoms)][order]))
    np.testing.assert_allclose(positions[0], positions[1], rtol=0, atol=LJ_POSITION_A)


def test_atom_virial_sums_to_the_virial(model: Path) -> None:
    atoms = STRUCTURES["triclinic"]
    with simulation(atoms, TYPES) as run:
        run.use_model(model)
        run.lmp.commands_list(["compute w all stress/atom NULL virial", "compute total all reduce sum c_w[*]"])
        run.lmp.commands_list(["compute p all pressure NULL virial", "thermo_style custom step pe c_total[1] c_p[1]"])
        run.lmp.command("run 0")
        total = np.array(run.lmp.numpy.extract_compute("total", 0, 1))
        pressure = np.array(run.lmp.numpy.extract_compute("p", 0, 1))
        volume = run.lmp.get_thermo("vol")
    # LAMMPS' stress/atom is minus the pressure times volume, in bar Angstrom^3.
    np.testing.assert_allclose(-total / volume, pressure, rtol=1e-9, atol=1e-6)
