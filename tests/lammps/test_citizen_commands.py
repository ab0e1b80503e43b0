"""LAMMPS' own commands around the style: after each, energy and forces are the model's for the atoms that are there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read

from lammps import lammps
from lpsmd.models.evaluate import neighbor_graph, types_of
from support.models import lj_model
from support.mpirun import run_lmp_on
from support.scenarios import (
    DEEPMD,
    FRAME,
    MACE,
    NEQUIP,
    expectation,
    program,
    run_here,
    run_on_ranks,
    setup,
    write_data,
)
from support.simulation import BAR_A3_PER_EV, TYPE_NAMES
from tolerances import (
    BOX_RELAX_PRESSURE_BAR,
    CITIZEN_ENERGY_EV,
    CITIZEN_FORCE_EV_PER_A,
    CITIZEN_POSITION_A,
    CITIZEN_VIRIAL_EV,
    CONTRACT_GRADIENT_EV_PER_A,
    DIFFERENCE_VIRIAL_EV,
    MINIMUM_FORCE_EV_PER_A,
    NPT_CONSERVED_EV_PER_ATOM,
)

NVE = ("velocity all create 600 7 loop geom", "fix move all nve", "timestep 0.001")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("start") / "start.data", FRAME)


@pytest.fixture(scope="module")
def soft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lj_model(tmp_path_factory.mktemp("models") / "soft.pt", TYPE_NAMES, epsilon_eV=0.004, sigma_A=2.2)


@contextmanager
def opened(*commands: str) -> Iterator[Any]:
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    try:
        lmp.commands_list(list(commands))
        yield lmp
    finally:
        lmp.close()


def use(model: Path, elements: str = "Li P S Cl") -> list[str]:
    return ["pair_style lpsmd device cpu", f"pair_coeff * * {model} {elements}"]


def fails(lmp: Any, command: str = "run 0 post no") -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (LAMMPS' module raises bare Exception)
        lmp.command(command)
    return re.sub(r"\s+", " ", str(caught.value))


def ordered(lmp: Any, *names: str) -> np.ndarray:
    """Per-atom arrays side by side, in the order of IDs."""
    n = lmp.get_natoms()
    order = np.argsort(lmp.numpy.extract_atom("id")[:n])
    return np.hstack([lmp.numpy.extract_atom(name)[:n].reshape(n, -1)[order] for name in names])


def current(lmp: Any) -> Atoms:
    """What LAMMPS holds now."""
    low, high, xy, yz, xz, periodicity, _ = lmp.extract_box()
    lengths = np.subtract(high, low)
    cell = np.array([[lengths[0], 0, 0], [xy, lengths[1], 0], [xz, yz, lengths[2]]])
    symbols = [TYPE_NAMES[kind - 1] for kind in ordered(lmp, "type").ravel().astype(int)]
    return Atoms(symbols, positions=ordered(lmp, "x") - low, cell=cell, pbc=[bool(p) for p in periodicity])


def agree(lmp: Any, model: Path, *, forces: bool = True) -> None:
    """The numbers of the last step are those of lpsmd.models.evaluate for the atoms and cell of the last step."""
    atoms = current(lmp)
    expected = expectation(model, atoms)
    assert lmp.get_thermo("pe") == pytest.approx(expected.energy_eV, abs=CITIZEN_ENERGY_EV)
    if forces:
        np.testing.assert_allclose(ordered(lmp, "f"), expected.forces_eV_per_A, rtol=0, atol=CITIZEN_FORCE_EV_PER_A)


# ----- commands between runs -------------------------------------------------------------------------------

BETWEEN = {
    "reset_timestep": ("run 2", "reset_timestep 1000000000000", "run 3"),
    "reset_timestep_back": ("run 3", "reset_timestep 0", "run 3"),
    "run_every": ("run 6 every 2 'velocity all scale 500'",),
    "run_pre_no": ("run 3", "run 3 pre no post no"),
    "delete_atoms": ("run 2", "group some id 3:50:7", "delete_atoms group some", "run 2"),
    "delete_atoms_gaps": ("run 2", "group some id 3:50:7", "delete_atoms group some compress no", "run 2"),
    "create_atoms": ("run 2", "create_atoms 1 single 4.9 4.9 4.9", "create_atoms 4 single 2.6 7.2 0.3", "run 0"),
    "displace_atoms": ("run 2", "displace_atoms all random 0.2 0.2 0.2 11", "run 2"),
    "set_type": ("run 2", "set atom 5 type 4", "set atom 30 type 1", "run 2"),
    "change_box": ("run 2", "change_box all x scale 1.04 xy final 1.5 remap", "run 2"),
    "change_box_set": ("run 2", "change_box all boundary p p f", "change_box all z delta 0 8", "run 2"),
    "replicate": ("run 2", "replicate 2 1 1", "run 2"),
    "sort": ("atom_modify sort 1 2.0", "neigh_modify every 1 delay 0 check no", "run 5"),
    "map": ("run 1", "reset_atoms id sort yes", "run 2"),
    "multi": ("neighbor 1.0 multi", "run 2"),
    "nsq": ("neighbor 0.1 nsq", "run 2"),
    "wide": ("comm_modify cutoff 17", "run 2"),
    "one_page": ("neigh_modify one 200 page 4000", "run 2"),
    "shift": ("pair_modify shift yes", "run 2"),
    "tail": ("pair_modify tail yes", "run 2"),
    "compute_no": ("pair_modify compute no", "run 2", "pair_modify compute yes", "run 2"),
    "respa": ("run_style respa 2 2 pair 2", "timestep 0.0005", "run 4"),
    "deform": ("fix shear all deform 1 xy erate 40 remap x", "neigh_modify every 1", "run 30", "unfix shear", "run 1"),
    "swap": ("unfix move", "fix mc all atom/swap 1 3 21 900 ke no types 1 4", "run 4"),
    "second_model": ("run 2", "pair_coeff * * OTHER Li P S Cl", "pair_coeff * * MODEL Li P S Cl", "run 2"),
    "lj_between": ("run 1", "pair_style lj/cut 6", "pair_coeff * * 0.004 2.2", "run 1", *("USE",), "run 2"),
    "clear": ("run 1", "clear", "SETUP", *("USE",), "run 0"),
}


def expand(commands: Sequence[str], model: Path, data: Path) -> list[str]:
    whole = {"USE": use(model), "SETUP": setup(str(data))}
    out = []
    for command in commands:
        plain = command.replace("MODEL", str(model)).replace("OTHER", str(DEEPMD))
        out += whole.get(command, [plain])
    return out


# The others are slow: variations of these.
QUICK_BETWEEN = (
    *("reset_timestep", "run_every", "run_pre_no", "delete_atoms_gaps", "create_atoms", "set_type", "change_box"),
    *("replicate", "sort", "multi", "wide", "respa", "deform", "swap", "lj_between", "clear"),
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK_BETWEEN else pytest.mark.slow) for name in BETWEEN]
)
def test_between_runs(name: str, data: Path) -> None:
    with opened(*setup(str(data)), *use(DEEPMD), *NVE, *expand(BETWEEN[name], DEEPMD, data)) as lmp:
        agree(lmp, DEEPMD)


@pytest.mark.slow
@pytest.mark.parametrize("model", [NEQUIP, MACE], ids=lambda path: path.stem)
@pytest.mark.parametrize("name", BETWEEN)
def test_between_runs_with_messages(name: str, model: Path, data: Path) -> None:
    with opened(*setup(str(data)), *use(model), *NVE, *expand(BETWEEN[name], model, data)) as lmp:
        agree(lmp, model)


# ----- minimisers, barostats, dumps ------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["cg", pytest.param("fire", marks=pytest.mark.slow)])
def test_minimize(style: str, data: Path) -> None:
    with opened(*setup(str(data)), *use(DEEPMD), "run 0", f"min_style {style}") as lmp:
        before = lmp.get_thermo("pe")
        lmp.command(f"minimize 0 {MINIMUM_FORCE_EV_PER_A} 2000 4000")
        assert lmp.get_thermo("pe") < before - 0.1
        assert np.abs(ordered(lmp, "f")).max() < MINIMUM_FORCE_EV_PER_A
        agree(lmp, DEEPMD)


def test_box_relax(data: Path) -> None:
    target = 5000.0
    with opened(*setup(str(data)), *use(DEEPMD), "run 0") as lmp:

        def enthalpy() -> float:
            return lmp.get_thermo("pe") + target * lmp.get_thermo("vol") / BAR_A3_PER_EV

        lmp.commands_list([f"minimize 0 {MINIMUM_FORCE_EV_PER_A} 2000 4000"])
        before, pressure_before = enthalpy(), lmp.get_thermo("press")
        # Each minimisation takes its own start as the reference of the strain.
        for _ in range(3):
            lmp.commands_list(
                [f"fix relax all box/relax tri {target} vmax 0.005", f"minimize 0 {MINIMUM_FORCE_EV_PER_A} 500 2000"]
            )
            lmp.command("unfix relax")
        lmp.command("run 0")
        assert enthalpy() < before
        assert abs(pressure_before - target) > 20 * BOX_RELAX_PRESSURE_BAR
        for name, wanted in {"pxx": target, "pyy": target, "pzz": target, "pxy": 0, "pxz": 0, "pyz": 0}.items():
            assert lmp.get_thermo(name) == pytest.approx(wanted, abs=BOX_RELAX_PRESSURE_BAR), name
        agree(lmp, DEEPMD)


# The chain of thermostats on an isotropic barostat drifts in LAMMPS itself: with lj/cut, and at any timestep.
@pytest.mark.parametrize("cell", ["iso 20000 20000 0.2 pchain 0", "aniso 20000 20000 0.2", "tri 20000 20000 0.2"])
def test_npt(cell: str, data: Path, tmp_path: Path) -> None:
    with opened(
        *setup(str(data)),
        *use(DEEPMD),
        "velocity all create 600 7 loop geom",
        "timestep 0.001",
        "neighbor 0.3 bin",
        f"fix move all npt temp 600 600 0.05 {cell}",
        f'fix out all print 5 "$(econserve:%.15g) $(vol:%.15g) $(xy:%.15g)" file {tmp_path}/out screen no',
        "run 200",
    ) as lmp:
        agree(lmp, DEEPMD)
    conserved, volume, tilt = np.loadtxt(tmp_path / "out").T
    assert np.ptp(conserved) / len(FRAME) < NPT_CONSERVED_EV_PER_ATOM
    assert np.ptp(volume) > 0.01 * volume[0]
    # Tilts go with an isotropic cell, and have a life of their own in a triclinic one.
    shape = tilt / np.cbrt(volume)
    if not cell.startswith("aniso"):
        assert (np.ptp(shape) > 0.1 * shape[0]) == cell.startswith("tri")


def test_rerun(data: Path, tmp_path: Path) -> None:
    """Energies of the atoms and forces of a run whose cell changes, from its dump."""

    def dump(name: str) -> list[str]:
        return [
            "compute e all pe/atom",
            f"dump d all custom 5 {tmp_path}/{name} id x y z fx fy fz c_e",
            'dump_modify d sort id format float "%.17g"',
        ]

    run = ["fix move all npt temp 600 600 0.05 tri 60000 60000 0.2", "timestep 0.001", "run 40"]
    with opened(*setup(str(data)), *use(NEQUIP), "velocity all create 900 7 loop geom", *dump("run"), *run):
        pass
    with opened(*setup(str(data)), *use(NEQUIP), *dump("again"), f"rerun {tmp_path}/run dump x y z"):
        pass
    tables = [
        np.array([line.split() for line in (tmp_path / name).read_text().splitlines() if line.count(" ") == 7], float)
        for name in ("run", "again")
    ]
    assert tables[0].shape == (9 * len(FRAME), 8)
    np.testing.assert_array_equal(tables[1][:, 0], tables[0][:, 0])
    np.testing.assert_allclose(tables[1][:, 4:7], tables[0][:, 4:7], rtol=0, atol=CITIZEN_FORCE_EV_PER_A)
    np.testing.assert_allclose(tables[1][:, 7], tables[0][:, 7], rtol=0, atol=CITIZEN_ENERGY_EV)
    steps = tables[0].reshape(9, len(FRAME), 8)
    assert np.abs(steps[-1, :, 4:7] - steps[0, :, 4:7]).max() > 0.1


# ----- runs cut in pieces ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_one_piece(data: Path) -> Atoms:
    with opened(*setup(str(data)), *use(DEEPMD), *NVE, "run 12") as lmp:
        return current(lmp)


@pytest.mark.parametrize(
    "pieces",
    [
        ("run 0", "run 12"),
        ("run 12 every 3 NULL",),
        ("run 4 post no", "run 12 upto pre no"),
        ("atom_modify sort 3 2.0", "run 12"),
        ("neighbor 0.2 bin", "neigh_modify every 1 delay 0 check yes", "run 12"),
    ],
    ids=" / ".join,
)
def test_the_same_path(pieces: tuple[str, ...], data: Path, in_one_piece: Atoms) -> None:
    with opened(*setup(str(data)), *use(DEEPMD), *NVE, *pieces) as lmp:
        vectors = current(lmp).positions - in_one_piece.positions
    fractions = in_one_piece.cell.scaled_positions(vectors)
    shifts = (fractions - np.round(fractions)) @ in_one_piece.cell.array
    np.testing.assert_allclose(shifts, 0, rtol=0, atol=CITIZEN_POSITION_A)


def test_set_force(data: Path) -> None:
    """Fixed atoms stay where they are; the model's force on the others is that of all atoms."""
    fixed = np.arange(len(FRAME)) < 10
    with opened(
        *setup(str(data)),
        *use(DEEPMD),
        "group fixed id <= 10",
        *NVE,
        "velocity fixed set 0 0 0",
        "fix hold fixed setforce 0 0 0",
        "run 0",
    ) as lmp:
        start = ordered(lmp, "x")
        total = [lmp.extract_fix("hold", 0, 1, k) for k in range(3)]
        expected = expectation(DEEPMD, current(lmp)).forces_eV_per_A
        np.testing.assert_allclose(total, expected[fixed].sum(axis=0), rtol=0, atol=10 * CITIZEN_FORCE_EV_PER_A)
        lmp.command("run 10")
        forces = ordered(lmp, "f")
        assert np.abs(forces[fixed]).max() == 0.0
        expected = expectation(DEEPMD, current(lmp)).forces_eV_per_A
        np.testing.assert_allclose(forces[~fixed], expected[~fixed], rtol=0, atol=CITIZEN_FORCE_EV_PER_A)
        # Wrapped at each neighbour list.
        assert np.abs((ordered(lmp, "x") - start)[fixed]).max() < CITIZEN_POSITION_A
        assert np.abs((ordered(lmp, "x") - start)[~fixed]).max() > 0.01


@pytest.mark.parametrize("model", [DEEPMD, pytest.param(NEQUIP, marks=pytest.mark.slow)], ids=lambda path: path.stem)
def test_lost_atoms(model: Path, tmp_path: Path) -> None:
    """Atoms that leave a box with fixed walls are gone, or stop the run, as thermo_modify says."""
    cluster = Atoms("Li3SCl", positions=[[3, 3, 3], [5, 4, 3], [4, 6, 5], [5, 5, 4], [8.5, 8, 8]], cell=[9.0] * 3)
    file = write_data(tmp_path / "cluster.data", cluster)
    begin = [*setup(str(file)), *use(model), "fix move all nve", "timestep 0.001", "velocity all set 0 0 0"]
    begin.insert(2, "boundary f f f")
    begin += ["group runaway id 5", "velocity runaway set 300 0 0", "neigh_modify every 1 delay 0 check no", "thermo 5"]
    with opened(*begin) as lmp:
        assert "Lost atoms: original 5 current 4" in fails(lmp, "run 10")
    with opened(*begin, "thermo_modify lost ignore", "run 10") as lmp:
        assert lmp.get_natoms() == 4
        agree(lmp, model)


# ----- several simulations in one process ------------------------------------------------------------------


def test_interleaved_instances(data: Path, soft: Path) -> None:
    """Three models run in turn; two instances close while the third runs on. Each goes the way it goes alone."""
    models = [NEQUIP, DEEPMD, soft]

    def started(model: Path) -> Any:
        lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
        lmp.commands_list([*setup(str(data)), *use(model), *NVE])
        return lmp

    alone = []
    for model in models:
        with opened(*setup(str(data)), *use(model), *NVE, "run 4", "run 4", "run 4") as lmp:
            alone.append(ordered(lmp, "x", "f"))
    together = [started(model) for model in models]
    for _ in range(2):
        for lmp in together:
            lmp.command("run 4")
    together.pop(1).close()
    together.pop(1).close()
    together.append(started(DEEPMD))
    for lmp in together:
        lmp.command("run 4")
    np.testing.assert_array_equal(ordered(together[0], "x", "f"), alone[0])
    for _ in range(2):
        together[1].command("run 4")
    np.testing.assert_array_equal(ordered(together[1], "x", "f"), alone[1])
    for lmp in together:
        lmp.close()


# ----- the same on ranks -------------------------------------------------------------------------------------

# Newton, model, copies of the frame, commands; what counts is the last step of the last run.
ON_RANKS = {
    "npt": ("on", NEQUIP, 1, ("velocity all create 600 7", "fix move all npt temp 600 600 0.05 tri 0 0 0.2", "run 20")),
    "delete": ("off", NEQUIP, 1, (*BETWEEN["delete_atoms_gaps"], *BETWEEN["create_atoms"])),
    "change_box": ("on", DEEPMD, 1, (*NVE, *BETWEEN["change_box"], *BETWEEN["replicate"])),
    "sort": ("off", DEEPMD, 1, (*NVE, *BETWEEN["sort"])),
    "swap": ("on", NEQUIP, 1, (*NVE, *BETWEEN["swap"])),
    "pre_no": ("off", NEQUIP, 1, (*NVE, *BETWEEN["run_pre_no"], *BETWEEN["reset_timestep_back"])),
    "minimize": ("on", DEEPMD, 1, ("minimize 0 1e-2 200 400",)),
    "processors": ("off", NEQUIP, 1, (*NVE, "run 3")),
    "tiled": (
        "off",
        DEEPMD,
        1,
        ("comm_style tiled", *NVE, "neigh_modify every 2 delay 0 check no", "fix b all balance 2 1.0 rcb", "run 10"),
    ),
    "tiled_messages": (
        "off",
        NEQUIP,
        2,
        ("comm_style tiled", "neighbor 0.5 bin", *NVE, "fix b all balance 2 1.0 rcb", "run 6"),
    ),
}
QUICK_ON_RANKS = ("npt", "delete", "swap", "tiled")


def rank_script(name: str, folder: Path) -> list[str]:
    newton, model, copies, commands = ON_RANKS[name]
    file = write_data(folder / f"{name}.data", FRAME.repeat(copies))
    start = setup(str(file), newton=newton)
    if name == "processors":
        start.insert(-1, "processors 1 1 *")
    end = [
        f'print "$(pe:%.17g)" file {folder}/{name}.energy screen no',
        f"write_dump all custom {folder}/{name}.dump id element x y z fx fy fz "
        "modify element Li P S Cl sort id format float %.17g",
    ]
    return [*start, *use(model), *commands, *end]


def agree_on_disk(folder: Path, name: str) -> None:
    atoms = read(folder / f"{name}.dump", format="lammps-dump-text", units="metal")
    expected = expectation(ON_RANKS[name][1], atoms)
    assert float((folder / f"{name}.energy").read_text()) == pytest.approx(expected.energy_eV, abs=CITIZEN_ENERGY_EV)
    np.testing.assert_allclose(atoms.get_forces(), expected.forces_eV_per_A, rtol=0, atol=CITIZEN_FORCE_EV_PER_A)


def test_two_ranks(tmp_path: Path) -> None:
    run_on_ranks([line for name in QUICK_ON_RANKS for line in rank_script(name, tmp_path)], tmp_path, ranks=2)
    for name in QUICK_ON_RANKS:
        agree_on_disk(tmp_path, name)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks(ranks: int, tmp_path: Path) -> None:
    run_on_ranks([line for name in ON_RANKS for line in rank_script(name, tmp_path)], tmp_path, ranks=ranks)
    for name in ON_RANKS:
        agree_on_disk(tmp_path, name)


# ----- LAMMPS' own derivatives -------------------------------------------------------------------------------


def test_forces_and_virial_are_the_derivatives_that_lammps_takes(data: Path) -> None:
    """Fix numdiff moves atoms and ghosts one by one and asks the style for the energy, without a new list."""
    begin = setup(str(data))
    begin.insert(4, "atom_modify map array")
    with opened(
        *begin,
        *use(DEEPMD),
        "compute v all pressure NULL virial",
        "fix forces all numdiff 1 0.0001",
        "fix virial all numdiff/virial 1 0.0001",
        "variable off atom fx-f_forces[1]",
        "compute off all reduce maxabs v_off",
        "thermo_style custom step pe c_off c_v[1]",
        "run 1",
    ) as lmp:
        assert lmp.get_thermo("c_off") < CONTRACT_GRADIENT_EV_PER_A
        found = np.array([lmp.extract_fix("virial", 0, 1, k) for k in range(6)])
        expected = np.array(lmp.numpy.extract_compute("v", 0, 1))[[0, 1, 2, 5, 4, 3]]
        to_virial = lmp.get_thermo("vol") / BAR_A3_PER_EV
        np.testing.assert_allclose(found * to_virial, expected * to_virial, rtol=0, atol=DIFFERENCE_VIRIAL_EV)
        assert np.abs(expected * to_virial).max() > 1.0


# ----- stresses and what LAMMPS refuses --------------------------------------------------------------------


def centroid_script(name: str, folder: Path, newton: str) -> list[str]:
    file = write_data(folder / f"{name}.data", FRAME)
    return [
        *setup(str(file), newton=newton),
        *use(DEEPMD),
        "compute c all centroid/stress/atom NULL pair",
        "compute total all reduce sum c_c[*]",
        "thermo_style custom step pe c_total[1]",
        "run 0",
        f"write_dump all custom {folder}/{name}.dump id c_c[*] modify sort id format float %.17g",
    ]


def test_centroid_stress_of_a_local_model(tmp_path: Path) -> None:
    """Atom by atom what the contract says: r (x) g of each edge, at its neighbour."""
    run_here(centroid_script("one", tmp_path, "on"))
    two = [line for newton in ("on", "off") for line in centroid_script(f"two_{newton}", tmp_path, newton)]
    run_on_ranks(two, tmp_path, ranks=2)
    model = program(DEEPMD)
    index, vectors = neighbor_graph(FRAME, cutoff_A=model.passport.cutoff_A)
    tensors = [torch.from_numpy(array) for array in (vectors, index, types_of(FRAME, model.passport.type_names))]
    _, gradients = model.program(*tensors, torch.ones(len(FRAME), dtype=torch.float64))
    expected = np.zeros((len(FRAME), 3, 3))
    np.add.at(expected, index[1], vectors[:, :, None] * gradients.numpy()[:, None, :])
    # xx, yy, zz, xy, xz, yz, yx, zx, zy
    expected = expected[:, [0, 1, 2, 0, 0, 1, 1, 2, 2], [0, 1, 2, 1, 2, 2, 0, 0, 1]]
    for name in ("one", "two_on", "two_off"):
        found = np.loadtxt(tmp_path / f"{name}.dump", skiprows=9)[:, 1:] / BAR_A3_PER_EV
        np.testing.assert_allclose(found, expected, rtol=0, atol=CITIZEN_VIRIAL_EV, err_msg=name)
    np.testing.assert_allclose(expected[:, 3:6].sum(axis=0), expected[:, 6:].sum(axis=0), atol=CITIZEN_VIRIAL_EV)


REFUSED = {
    "centroid": (
        ("compute c all centroid/stress/atom NULL pair", "compute t all reduce sum c_c[1]", "thermo_style custom c_t"),
        "Pair style does not support compute centroid/stress/atom",
    ),
    "group": (
        ("compute g all group/group all", "thermo_style custom step c_g"),
        "Pair style does not support compute group/group",
    ),
    "respa": (("run_style respa 2 2 inner 1 3 4 outer 2",), "Pair style does not support rRESPA inner/middle/outer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, data: Path) -> None:
    commands, message = REFUSED[name]
    model = NEQUIP if name == "centroid" else DEEPMD  # whose centroid virial there is
    with opened(*setup(str(data)), *use(model), "fix move all nve", *commands) as lmp:
        assert message in fails(lmp)


@pytest.mark.slow
def test_neighbour_styles_without_neighbours_of_ghosts_are_refused(tmp_path: Path) -> None:
    file = write_data(tmp_path / "start.data", FRAME)
    multi = ["neighbor 1.0 multi"]
    for commands, problem in [
        (multi, "need neighbours of ghosts, which 'neighbor multi' does not find: use 'neighbor 1 bin'"),
        ([*multi, "comm_modify mode multi"], "need one communication cutoff of 11 A for all types"),
    ]:
        done = run_lmp_on(2, [*setup(str(file)), *commands, *use(NEQUIP), "run 0"], tmp_path)
        assert done.returncode != 0
        assert problem in re.sub(r"\s+", " ", done.stdout)


def test_single_pairs_are_refused(data: Path, soft: Path) -> None:
    with opened(*setup(str(data)), *use(soft)) as lmp:
        assert "Pair style lpsmd does not support pair_write" in fails(lmp, "pair_write 1 1 10 r 1 4 none t")
        lmp.command("info all out log")
        lmp.command("run 0")
        agree(lmp, soft)
