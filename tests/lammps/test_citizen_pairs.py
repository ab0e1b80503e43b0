"""Which pairs the model sees: NULL types, hybrid styles, exclusions, on one and two ranks, newton on and off.

Each scenario is what LAMMPS computes for a few commands, against the TorchScript program on a graph that lpsmd's own
builder made, and against sums over pairs in numpy where lj/cut takes part.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from lpsmd.models.evaluate import Evaluation, types_of
from lpsmd.models.lj import pair_sum
from support.models import lj_model
from support.scenarios import (
    DEEPMD,
    FRAME,
    MACE,
    NEQUIP,
    Numbers,
    added,
    expectation,
    measurement,
    read_numbers,
    run_here,
    run_on_ranks,
    setup,
    voigt,
    write_data,
)
from support.simulation import TYPE_NAMES, Simulation, simulation
from tolerances import (
    CITIZEN_ENERGY_EV,
    CITIZEN_FORCE_EV_PER_A,
    CITIZEN_VIRIAL_EV,
)

TYPES = types_of(FRAME, TYPE_NAMES)
EPSILON_EV, SIGMA_A = 0.004, 2.2
# Type by type, from 3.0 to 4.8 A.
PAIR_CUTOFF_A = 3.0 + 0.3 * np.add.outer(np.arange(4), np.arange(4))


@dataclass(frozen=True)
class Scenario:
    """Commands between read_data and `run 0`; PAIRS stands for a model file that a fixture writes."""

    commands: tuple[str, ...]
    expected: Callable[[], Evaluation]
    atoms: Atoms = field(default_factory=lambda: FRAME)


def use(model: Path, elements: str = "Li P S Cl") -> tuple[str, str]:
    return ("pair_style lpsmd device cpu", f"pair_coeff * * {model} {elements}")


def lj(cutoffs: dict[tuple[int, int], float]) -> Evaluation:
    """Plain sums over the pairs of LAMMPS types whose cutoffs are given."""
    cutoff = np.zeros((4, 4))
    for (i, j), value in cutoffs.items():
        cutoff[i - 1, j - 1] = cutoff[j - 1, i - 1] = value
    all_pairs = np.ones((4, 4))
    energies, forces, virial = pair_sum(
        FRAME, TYPES, epsilon_eV=EPSILON_EV * all_pairs, sigma_A=SIGMA_A * all_pairs, cutoff_A=cutoff
    )
    return Evaluation(
        energy_eV=float(energies.sum()), forces_eV_per_A=forces, virial_eV=virial, atom_energies_eV=energies
    )


def seen_part(model: Path, unseen: str) -> tuple[np.ndarray, Evaluation]:
    """The model on the structure from which the atoms of one element are deleted."""
    seen = np.flatnonzero(np.array(FRAME.get_chemical_symbols()) != unseen)
    return seen, expectation(model, FRAME[seen])


def everything(evaluation: Evaluation) -> tuple[np.ndarray, Evaluation]:
    return np.arange(len(FRAME)), evaluation


# Cl is left to lj/cut: with itself to 6 A, with the others to 4 A.
CL_LJ = {(1, 4): 4.0, (2, 4): 4.0, (3, 4): 4.0, (4, 4): 6.0}


def null_types(model: Path) -> Scenario:
    return Scenario(
        (
            "pair_style hybrid lpsmd device cpu lj/cut 4.0",
            f"pair_coeff * * lpsmd {model} Li P S NULL",
            f"pair_coeff *3 4 lj/cut {EPSILON_EV} {SIGMA_A}",
            f"pair_coeff 4 4 lj/cut {EPSILON_EV} {SIGMA_A} 6.0",
        ),
        lambda: added(FRAME, {"model": seen_part(model, "Cl"), "lj": everything(lj(CL_LJ))}),
    )


def overlay() -> Scenario:
    return Scenario(
        (
            "pair_style hybrid/overlay lpsmd device cpu lpsmd device cpu lj/cut 5.5",
            f"pair_coeff * * lpsmd 1 {NEQUIP} Li P S Cl",
            f"pair_coeff * * lpsmd 2 {DEEPMD} Li NULL S Cl",
            f"pair_coeff 1 3 lj/cut {EPSILON_EV} {SIGMA_A}",
        ),
        lambda: added(
            FRAME,
            {
                "nequip": everything(expectation(NEQUIP, FRAME)),
                "deepmd": seen_part(DEEPMD, "P"),
                "lj": everything(lj({(1, 3): 5.5})),
            },
        ),
    )


def two_halves() -> Scenario:
    """Two networks that do not see each other's atoms."""
    return Scenario(
        (
            "pair_style hybrid lpsmd device cpu lpsmd device cpu lj/cut 5.0",
            f"pair_coeff * * lpsmd 1 {MACE} Li P NULL NULL",
            f"pair_coeff * * lpsmd 2 {DEEPMD} NULL NULL S Cl",
            f"pair_coeff 1*2 3*4 lj/cut {EPSILON_EV} {SIGMA_A}",
        ),
        lambda: added(
            FRAME,
            {
                "mace": (np.flatnonzero(TYPES < 2), expectation(MACE, FRAME[np.flatnonzero(TYPES < 2)])),
                "deepmd": (np.flatnonzero(TYPES >= 2), expectation(DEEPMD, FRAME[np.flatnonzero(TYPES >= 2)])),
                "lj": everything(lj({(1, 3): 5.0, (1, 4): 5.0, (2, 3): 5.0, (2, 4): 5.0})),
            },
        ),
    )


def scaled() -> Scenario:
    def mixed() -> Evaluation:
        one, two = expectation(NEQUIP, FRAME), expectation(MACE, FRAME)
        return Evaluation(
            **{
                name: 0.25 * getattr(one, name) + 0.75 * getattr(two, name)
                for name in ("energy_eV", "forces_eV_per_A", "virial_eV", "atom_energies_eV")
            }
        )

    return Scenario(
        (
            "pair_style hybrid/scaled 0.25 lpsmd device cpu 0.75 lpsmd device cpu",
            f"pair_coeff * * lpsmd 1 {NEQUIP} Li P S Cl",
            f"pair_coeff * * lpsmd 2 {MACE} Li P S Cl",
        ),
        mixed,
    )


def exclude_type() -> Scenario:
    return Scenario(
        (*use(NEQUIP), "neigh_modify exclude type 1 3"),
        lambda: expectation(NEQUIP, FRAME, without=lambda i, j: pair_of(TYPES[i], TYPES[j], 0, 2)),
    )


def pair_cutoffs() -> Scenario:
    """Each pair of types has its own cutoff, all shorter than that of lj/cut, which makes the neighbour lists."""
    ours = {(i, j): PAIR_CUTOFF_A[i - 1, j - 1] for i in (1, 3, 4) for j in (1, 3, 4)}
    return Scenario(
        (
            "pair_style hybrid lpsmd device cpu lj/cut 6.0",
            "pair_coeff * * lpsmd PAIRS Li NULL S Cl",
            f"pair_coeff 2 2* lj/cut {EPSILON_EV} {SIGMA_A}",
            f"pair_coeff 1 2 lj/cut {EPSILON_EV} {SIGMA_A}",
        ),
        lambda: lj({**ours, **{(2, k): 6.0 for k in (1, 2, 3, 4)}}),
    )


def pair_of(a: np.ndarray, b: np.ndarray, first: int, second: int) -> np.ndarray:
    return ((a == first) & (b == second)) | ((a == second) & (b == first))


def exclude_group() -> Scenario:
    low = np.arange(len(FRAME)) < 26
    return Scenario(
        (*use(MACE), "group low id <= 26", "neigh_modify exclude group low low"),
        lambda: expectation(MACE, FRAME, without=lambda i, j: low[i] & low[j]),
    )


def nsq() -> Scenario:
    return Scenario((*use(MACE), "neighbor 0.7 nsq"), lambda: expectation(MACE, FRAME))


def tiled() -> Scenario:
    wide = FRAME.repeat((2, 2, 2))
    return Scenario(
        (
            "comm_style tiled",
            "neighbor 0.5 bin",
            *use(NEQUIP),
            "balance 1.0 rcb",
        ),
        lambda: expectation(NEQUIP, wide),
        wide,
    )


SCENARIOS = {
    "null_nequip": null_types(NEQUIP),
    "null_deepmd": null_types(DEEPMD),
    "overlay": overlay(),
    "two_halves": two_halves(),
    "scaled": scaled(),
    "exclude_type": exclude_type(),
    "exclude_group": exclude_group(),
    "pair_cutoffs": pair_cutoffs(),
    "nsq": nsq(),
    "tiled": tiled(),
}
NEWTON = {"on": "on", "off": "off", "off_on": "off on"}


QUICK = ("null_deepmd", "null_nequip", "pair_cutoffs", "exclude_group")
QUICK_ON_TWO_RANKS = {
    ("null_nequip", "on"),
    ("null_nequip", "off"),
    ("null_deepmd", "off"),
    ("pair_cutoffs", "off_on"),
    ("exclude_group", "on"),
}


def script(name: str, newton: str, folder: Path) -> list[str]:
    pairs = lj_model(folder / "pairs.pt", TYPE_NAMES, epsilon_eV=EPSILON_EV, sigma_A=SIGMA_A, cutoff_A=PAIR_CUTOFF_A)
    data = write_data(folder / f"{name}.data", SCENARIOS[name].atoms)
    commands = [command.replace("PAIRS", str(pairs)) for command in SCENARIOS[name].commands]
    return [*setup(str(data), newton=NEWTON[newton]), *commands, *measurement(str(folder / f"{name}-{newton}"))]


def cases(ranks: int) -> list[object]:
    """The rest is slow, and on two ranks the quick ones too, for all but the newton settings named here."""
    newtons = ("on", "off") if ranks == 1 else tuple(NEWTON)
    quick = {(name, newton) for name in QUICK for newton in ("on", "off")} if ranks == 1 else QUICK_ON_TWO_RANKS
    return [
        pytest.param(name, newton, marks=[] if (name, newton) in quick else pytest.mark.slow)
        for name in SCENARIOS
        for newton in newtons
    ]


@pytest.fixture(scope="module")
def expected() -> Callable[[str], Evaluation]:
    known: dict[str, Evaluation] = {}

    def look_up(name: str) -> Evaluation:
        if name not in known:
            known[name] = SCENARIOS[name].expected()
        return known[name]

    return look_up


def same(found: Numbers, expected: Evaluation) -> None:
    np.testing.assert_allclose(found.forces, expected.forces_eV_per_A, rtol=0, atol=CITIZEN_FORCE_EV_PER_A)
    np.testing.assert_allclose(found.energy, expected.energy_eV, rtol=0, atol=CITIZEN_ENERGY_EV)
    np.testing.assert_allclose(found.atom_energies, expected.atom_energies_eV, rtol=0, atol=CITIZEN_ENERGY_EV)
    np.testing.assert_allclose(found.sum_of_atom_energies, expected.energy_eV, rtol=0, atol=CITIZEN_ENERGY_EV)
    np.testing.assert_allclose(found.virial, voigt(expected.virial_eV), rtol=0, atol=CITIZEN_VIRIAL_EV)
    np.testing.assert_allclose(found.sum_of_atom_virials, voigt(expected.virial_eV), rtol=0, atol=CITIZEN_VIRIAL_EV)


@pytest.mark.parametrize(("name", "newton"), cases(ranks=1))
def test_one_rank(name: str, newton: str, expected: Callable[[str], Evaluation], tmp_path: Path) -> None:
    run_here(script(name, newton, tmp_path))
    same(read_numbers(tmp_path, f"{name}-{newton}"), expected(name))


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """All quick (or all slow) scenarios in one start of two ranks: `clear` between them is tested with them."""
    folders: dict[bool, Path] = {}

    def folder_of(name: str, newton: str) -> Path:
        quick = (name, newton) in QUICK_ON_TWO_RANKS
        if quick not in folders:
            folder = folders[quick] = tmp_path_factory.mktemp("two")
            chosen = [case for case in product(SCENARIOS, NEWTON) if (case in QUICK_ON_TWO_RANKS) == quick]
            run_on_ranks([line for case in chosen for line in script(*case, folder)], folder, ranks=2)
        return folders[quick]

    return folder_of


@pytest.mark.parametrize(("name", "newton"), cases(ranks=2))
def test_two_ranks(
    name: str, newton: str, expected: Callable[[str], Evaluation], two_ranks: Callable[[str, str], Path]
) -> None:
    same(read_numbers(two_ranks(name, newton), f"{name}-{newton}"), expected(name))


def test_the_scenarios_differ(expected: Callable[[str], Evaluation]) -> None:
    """Else a scenario whose command did nothing would pass."""
    for name, model in {"null_nequip": NEQUIP, "null_deepmd": DEEPMD, "exclude_group": MACE}.items():
        moved = np.abs(expected(name).forces_eV_per_A - expectation(model, FRAME).forces_eV_per_A).max()
        assert moved > 1e3 * CITIZEN_FORCE_EV_PER_A


# ----- what is refused --------------------------------------------------------------------------------------


def fails(run: Simulation, command: str) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (LAMMPS' module raises bare Exception)
        run.lmp.command(command)
    return re.sub(r"\s+", " ", str(caught.value))


def test_pairs_that_the_model_sees_are_not_given_away() -> None:
    """In pair hybrid the last pair_coeff wins: without a word, the model would lose the Li-Li edges."""
    with simulation(FRAME) as run:
        run.lmp.commands_list([*null_types(DEEPMD).commands, "pair_coeff 1 1 lj/cut 0.004 2.2"])
        text = fails(run, "run 0")
        assert "a later pair_coeff gave pairs of atom types 1 and 1 to another style" in text
        assert "name one of the types NULL, or use 'pair_style hybrid/overlay'" in text
        run.lmp.command("pair_coeff 1 1 none")
        assert "atom types 1 and 1" in fails(run, "run 0")
        run.lmp.commands_list([*null_types(DEEPMD).commands, "run 0"])
        assert run.lmp.get_thermo("pe") < 0.0


def test_a_failed_pair_coeff_under_hybrid_leaves_no_model() -> None:
    """LAMMPS does not ask a sub-style whether its coefficients are set."""
    with simulation(FRAME) as run:
        run.lmp.commands_list([*null_types(DEEPMD).commands, "run 0"])
        for elements, reason in {"Li P Xx NULL": "atom type 3 is 'Xx'", "Li Li S NULL": "are both 'Li'"}.items():
            assert reason in fails(run, f"pair_coeff * * lpsmd {DEEPMD} {elements}")
            assert reason in fails(run, "run 0")
        assert "names 2 elements" in fails(run, f"pair_coeff * * lpsmd {DEEPMD} Li P")
        assert "pair_style lpsmd has no model" in fails(run, "run 0")


def test_a_pair_without_any_style_is_asked_for() -> None:
    with simulation(FRAME) as run:
        run.lmp.commands_list(list(null_types(DEEPMD).commands[:2]))
        assert "All pair coeffs are not set" in fails(run, "run 0")


def test_null_alone_is_refused() -> None:
    with simulation(FRAME) as run:
        run.lmp.command("pair_style lpsmd device cpu")
        text = fails(run, f"pair_coeff * * {DEEPMD} Li P NULL Cl")
        assert "atom type 3 is NULL, so nothing acts on it" in text
        assert "leave it to another style with 'pair_style hybrid'" in text
