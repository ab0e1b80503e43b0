"""The style as a citizen of LAMMPS: repeated commands, several instances, changing types, nothing at all, NaN."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from support.models import lj_model
from support.mpirun import run_lmp_on
from support.parity import ARCHITECTURES, PARITY
from support.simulation import TYPE_NAMES, Simulation, simulation

PROGRAMS = [PARITY / f"{name}_float64.pt" for name in ARCHITECTURES]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    epsilon = 0.01 * (1.0 + np.add.outer(np.arange(4), np.arange(4)))
    return lj_model(tmp_path_factory.mktemp("models") / "lj.pt", TYPE_NAMES, epsilon_eV=epsilon)


def cell() -> Atoms:
    positions = 3.0 * np.argwhere(np.ones((3, 3, 3))) + np.random.default_rng(2).normal(0.0, 0.1, (27, 3))
    symbols = [TYPE_NAMES[n % 4] for n in range(27)]
    return Atoms(symbols, positions=positions, cell=[9.0] * 3, pbc=True)


def energy(run: Simulation) -> float:
    run.lmp.command("run 0")
    return float(run.lmp.get_thermo("pe"))


def fails(run: Simulation, command: str) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (LAMMPS' module raises bare Exception)
        run.lmp.command(command)
    return re.sub(r"\s+", " ", str(caught.value))


def test_types_may_change_between_neighbour_lists(model: Path) -> None:
    """As fix sgcmc does: types change, the list stays."""
    changed = cell()
    changed.symbols[0] = "Cl"
    with simulation(changed) as run:
        run.use_model(model)
        expected = energy(run)
    with simulation(cell()) as run:
        run.use_model(model)
        before = energy(run)
        everything = run.lmp.extract_setting("nall")
        ids = np.ctypeslib.as_array(run.lmp.extract_atom("id"), shape=(everything,))
        kinds = np.ctypeslib.as_array(run.lmp.extract_atom("type"), shape=(everything,))
        kinds[ids == 1] = 4
        run.lmp.command("run 1 pre no post no")
        assert before != pytest.approx(expected, rel=1e-6)
        assert run.lmp.get_thermo("pe") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_no_atoms_and_no_neighbours(program: Path) -> None:
    lonely = Atoms("LiS", positions=[[1, 1, 1], [15, 15, 15]], cell=[30] * 3, pbc=True)
    with simulation(lonely) as run:
        run.use_model(program)
        alone = run.compute()
        assert np.abs(alone.forces).max() == 0.0
        assert np.isfinite(alone.energy)
        run.lmp.command("delete_atoms group all")
        assert energy(run) == 0.0


def test_a_failed_pair_coeff_leaves_no_old_model(model: Path) -> None:
    with simulation(cell()) as run:
        run.use_model(model)
        first = energy(run)
        assert "does not exist" in fails(run, "pair_coeff * * typo.pt Li P S Cl")
        assert "coeffs are not set" in fails(run, "run 0")
        run.lmp.command(f"pair_coeff * * {model} Li P S Cl")
        assert "which model" in fails(run, f"pair_coeff * * {model} Li P S Xx")
        assert "coeffs are not set" in fails(run, "run 0")
        run.use_model(model)
        assert energy(run) == first


def test_repeating_the_style_asks_for_the_model_again(model: Path) -> None:
    with simulation(cell()) as run:
        run.use_model(model)
        energy(run)
        run.lmp.command("pair_style lpsmd device auto")
        assert "coeffs are not set" in fails(run, "run 0")


def test_nan_position_stops_the_run(model: Path) -> None:
    with simulation(cell()) as run:
        run.use_model(model)
        energy(run)
        run.lmp.numpy.extract_atom("x")[3, 0] = np.nan
        text = fails(run, "run 1 pre no")
        assert "the position of atom" in text
        assert "is not a finite number" in text


def test_two_instances_and_clear(model: Path) -> None:
    with simulation(cell()) as first:
        first.use_model(model)
        expected = energy(first)
        with simulation(cell()) as second:
            second.use_model(model)
            assert energy(second) == expected
            second.lmp.command("clear")
        assert energy(first) == expected


@pytest.mark.parametrize("style", ["brick", "tiled"])
def test_a_rank_without_atoms_and_ghosts(style: str, model: Path, tmp_path: Path) -> None:
    """Without newton it must take part in the communication all the same."""
    commands = ["units metal", "newton off", "atom_style atomic", "boundary f f f", f"comm_style {style}"]
    commands += ["region box block 0 200 0 30 0 30", "processors 2 1 1", "create_box 4 box"]
    commands += [f"create_atoms {n + 1} single {3 + 3 * n} 5 5" for n in range(4)]
    commands += [f"mass {n + 1} {mass}" for n, mass in enumerate((6.94, 30.974, 32.06, 35.45))]
    done = run_lmp_on(2, [*commands, "pair_style lpsmd", f"pair_coeff * * {model} Li P S Cl", "run 1"], tmp_path)
    assert done.returncode == 0, done.stdout


def test_neighbours_of_a_group_only_are_refused(model: Path) -> None:
    with simulation(cell()) as run:
        run.use_model(model)
        run.lmp.commands_list(["group some type 1", "atom_modify first some", "neigh_modify include some"])
        assert "'neigh_modify include' leaves the neighbours of all other atoms out" in fails(run, "run 0")
