"""Model files: the passport, its errors, and what every program of the contract must keep."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from click.testing import CliRunner

from lpsmd.cli import main
from lpsmd.models import deepmd, mace
from lpsmd.models.contract import (
    ModelFile,
    ModelFileError,
    Passport,
    load_model,
    quiet_torchscript,
    read_passport,
)
from lpsmd.models.evaluate import (
    LpsmdCalculator,
    evaluate,
    neighbor_graph,
    reference_frame,
    self_test,
    types_of,
)
from lpsmd.models.export import export_model, read_training_record
from lpsmd.models.lj import pair_sum, write_lj_model
from tolerances import (
    CONTRACT_GRADIENT_EV_PER_A,
    CONTRACT_SYMMETRY_EV,
    LJ_FORCE_EV_PER_A,
    LJ_SINGLE_PRECISION_EV_PER_A,
    LJ_VIRIAL_EV,
)

PARITY = Path(__file__).parent.parent / "data" / "parity"
NETWORKS = ("nequip", "mace", "deepmd")


def rocksalt(*, a: float = 5.6, repeat: int = 1, seed: int = 4) -> Atoms:
    atoms = bulk("NaCl", "rocksalt", a=a, cubic=True).repeat(repeat)
    atoms.rattle(0.15, seed=seed)
    return atoms


def sheared() -> Atoms:
    atoms = rocksalt()
    atoms.set_cell(atoms.cell.array @ [[1.0, 0.2, 0.1], [0.0, 1.05, -0.25], [0.05, 0.0, 0.95]], scale_atoms=True)
    return atoms


def slab() -> Atoms:
    atoms = rocksalt(repeat=2)
    atoms.pbc = (True, True, False)
    return atoms


def cluster() -> Atoms:
    atoms = rocksalt(repeat=2)
    atoms.pbc = False
    return atoms


FRAMES: dict[str, Callable[[], Atoms]] = {
    "cubic": lambda: rocksalt(repeat=2),
    "triclinic": sheared,
    "smaller than the cutoff": lambda: bulk("NaCl", "rocksalt", a=5.6),
    "slab": slab,
    "cluster": cluster,
}
# The pair cutoffs differ, so that a program which used one for all would be found out.
EPSILON_EV = np.array([[0.010, 0.014], [0.014, 0.020]])
SIGMA_A = np.array([[2.3, 2.5], [2.5, 2.8]])
CUTOFF_A = np.array([[4.0, 5.5], [5.5, 6.0]])


def mixture(path: Path, *, dtype: str = "float64", reference: Atoms | None = None) -> Path:
    write_lj_model(
        path,
        type_names=["Na", "Cl"],
        epsilon_eV=EPSILON_EV,
        sigma_A=SIGMA_A,
        cutoff_A=CUTOFF_A,
        reference=rocksalt() if reference is None else reference,
        dtype=dtype,
    )
    return path


@pytest.fixture
def lj(tmp_path: Path) -> Path:
    return mixture(tmp_path / "lj.pt")


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of a model file with another passport."""
    copy = path.with_name("changed.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("lpsmd.json"):
                passport = json.loads(content)
                change(passport)
                content = json.dumps(passport).encode()
            new.writestr(name, content)
    return copy


@pytest.fixture(scope="module", params=[*NETWORKS, "lj"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    # Shared, since a TorchScript program spends its first calls on specialising itself.
    if request.param == "lj":
        return load_model(mixture(tmp_path_factory.mktemp("lj") / "contract.pt"))
    return load_model(PARITY / f"{request.param}_float64.pt")


def graph_of(model: ModelFile) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    frame = reference_frame(model.passport)
    index, vectors = neighbor_graph(frame, cutoff_A=model.passport.cutoff_A)
    return (
        torch.from_numpy(vectors),
        torch.from_numpy(index),
        torch.from_numpy(model.passport.reference.types),
    )


# ----- the passport ----------------------------------------------------------------------------------------


def test_passport_survives_the_file(lj: Path) -> None:
    written = read_passport(lj)
    assert written.architecture == "lj"
    assert written.type_names == ("Na", "Cl")
    assert written.cutoff_A == 6.0
    assert written.local
    np.testing.assert_array_equal(written.pair_cutoff_A, CUTOFF_A)
    again = Passport.from_dict(json.loads(json.dumps(written.to_dict())))
    assert again.to_dict() == written.to_dict()


@pytest.mark.parametrize("name", NETWORKS)
def test_network_passports_name_their_source(name: str) -> None:
    passport = read_passport(PARITY / f"{name}_float32.pt")
    assert passport.architecture == name
    assert passport.type_names == ("Li", "P", "S", "Cl")
    assert passport.dtype == "float32"
    assert "calculator, float64" in passport.reference.source.replace("Calculator", " calculator")
    assert (passport.max_neighbors is not None) == (name == "deepmd")
    assert passport.local == (name == "deepmd")
    assert "torch" in passport.training["packages"]


def test_reading_a_passport_does_not_run_the_program(lj: Path) -> None:
    # Without its code the archive still has a passport, and no program.
    bare = lj.with_name("bare.pt")
    with zipfile.ZipFile(lj) as old, zipfile.ZipFile(bare, "w") as new:
        for name in old.namelist():
            if "/code/" not in name:
                new.writestr(name, old.read(name))
    assert read_passport(bare).architecture == "lj"
    with pytest.raises(ModelFileError, match=r"bare\.pt: the passport is whole but torch .* cannot load the program"):
        load_model(bare)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda p: p.update(schema=2), r"found passport schema 2, needed 1; export the model again"),
        (lambda p: p.pop("schema"), r"found passport schema None, needed 1"),
        (
            lambda p: p.pop("cutoff_A"),
            r"the passport lacks field cutoff_A; schema 1 needs exactly its own fields",
        ),
        (lambda p: p.update(colour="red"), r"the passport has the unknown field colour"),
        (lambda p: p["reference"].pop("virial_eV"), r"the passport lacks field reference\.virial_eV"),
        (
            lambda p: p.update(architecture="schnet"),
            r"architecture: found 'schnet', needed one of nequip, mace, deepmd, lj",
        ),
        (lambda p: p.update(dtype="float16"), r"dtype: found 'float16', needed one of float32, float64"),
        (lambda p: p.update(cutoff_A=-1.0), r"cutoff_A: found -1\.0, needed a positive length"),
        (lambda p: p.update(cutoff_A="5"), r"cutoff_A: found '5', needed a finite number"),
        (lambda p: p.update(layers=0), r"layers: found 0, needed a whole number, at least 1"),
        (lambda p: p.update(layers=2), r"layers: found 2, needed 1 for a local model"),
        (lambda p: p.update(local="yes"), r"local: found 'yes', needed true or false"),
        (
            lambda p: p.update(type_names=["Na", "Na"]),
            r"type_names: found \['Na', 'Na'\], needed a list of distinct",
        ),
        (
            lambda p: p.update(units={"energy": "Hartree", "length": "Bohr"}),
            r"units: found .*Hartree.*, needed .*eV",
        ),
        (lambda p: p.update(functional=""), r"functional: found '', needed a text"),
        (lambda p: p.update(training=3), r"training: found 3, needed a JSON object"),
        (
            lambda p: p.update(max_neighbors=[4]),
            r"max_neighbors: found \[4\], needed 2 whole numbers, each at least 0",
        ),
        (
            lambda p: p.update(pair_cutoff_A=[[1.0, 2.0], [3.0, 1.0]]),
            r"pair_cutoff_A: found .*, needed null or a symmetric matrix .*, none above cutoff_A 6\.0",
        ),
        (lambda p: p["reference"].update(positions_A=[[0, 0]]), r"reference\.positions_A: .* shape \[N, 3\]"),
        (
            lambda p: p["reference"]["types"].__setitem__(0, 9),
            r"reference\.types: .* 8 whole numbers.* and below 2",
        ),
        (
            lambda p: p["reference"].update(energy_eV=float("nan")),
            r"reference\.energy_eV: found nan, needed a finite",
        ),
        (
            lambda p: p["reference"].update(cell_A=[1, 2, 3]),
            r"reference\.cell_A: .* finite numbers of shape \[3, 3\]",
        ),
    ],
)
def test_bad_passports(lj: Path, change: Callable[[dict[str, Any]], object], text: str) -> None:
    with pytest.raises(ModelFileError, match=text) as caught:
        read_passport(rewritten(lj, change))
    assert "export the model again" in str(caught.value)


def test_a_passport_made_in_python_is_checked_too(lj: Path) -> None:
    values = read_passport(lj).to_dict()
    values["dtype"] = "float8"
    with pytest.raises(ModelFileError, match="dtype: found 'float8', needed one of float32, float64"):
        Passport.from_dict(values)


# ----- the file --------------------------------------------------------------------------------------------


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"nowhere\.pt: no such model file"):
        read_passport(tmp_path / "nowhere.pt")


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read: Is a directory"):
        read_passport(tmp_path)


@pytest.mark.parametrize("kept", [0.3, 0.95])
def test_truncated_file(lj: Path, kept: float) -> None:
    content = lj.read_bytes()
    lj.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ModelFileError, match=r"lj\.pt: truncated or damaged model file \(\d+ bytes, .*\); copy or"):
        load_model(lj)


def test_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a model")
    with pytest.raises(ModelFileError, match=r"not a model file of lpsmd .* needed a TorchScript archive"):
        read_passport(path)


def test_torchscript_without_a_passport(tmp_path: Path) -> None:
    path = tmp_path / "foreign.pt"
    with quiet_torchscript():
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(path))
    with pytest.raises(ModelFileError, match=r"a torch archive without an lpsmd passport .* with `lpsmd export`"):
        read_passport(path)


def test_passport_that_is_no_json(lj: Path) -> None:
    broken = lj.with_name("broken.pt")
    with zipfile.ZipFile(lj) as old, zipfile.ZipFile(broken, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"{" if name.endswith("lpsmd.json") else old.read(name))
    with pytest.raises(ModelFileError, match=r"the passport lpsmd\.json is no JSON .*; export the model again"):
        read_passport(broken)


def test_unwritable_path(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be written: No such file or directory"):
        mixture(tmp_path / "no" / "such" / "folder.pt")


@pytest.mark.parametrize("name", [f"{name}_{dtype}" for name in NETWORKS for dtype in ("float32", "float64")])
def test_loading_needs_torch_alone(name: str) -> None:
    code = f"""
import sys, torch
program = torch.jit.load({str(PARITY / (name + ".pt"))!r})
vectors = torch.tensor([[2.4, 0.1, 0.0], [-2.4, -0.1, 0.0]], dtype=torch.float64)
energies, gradients = program(vectors, torch.tensor([[0, 1], [1, 0]]), torch.tensor([0, 2]),
                              torch.ones(2, dtype=torch.float64))
assert energies.dtype == gradients.dtype == torch.float64 and gradients.isfinite().all()
found = {{"nequip", "mace", "deepmd", "e3nn", "lpsmd"}} & set(sys.modules)
assert not found, found
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
    with zipfile.ZipFile(PARITY / f"{name}.pt") as archive:
        assert not any(b"ops.deepmd" in archive.read(entry) for entry in archive.namelist())
        assert not any(entry.endswith(".debug_pkl") for entry in archive.namelist())


def test_same_program_same_bytes(lj: Path, tmp_path: Path) -> None:
    assert mixture(tmp_path / "again.pt").read_bytes() == lj.read_bytes()


# ----- what every program keeps ----------------------------------------------------------------------------


def test_gradient_is_that_of_the_weighted_energies(model: ModelFile) -> None:
    vectors, index, types = graph_of(model)
    rng = np.random.default_rng(0)
    weights = torch.from_numpy((rng.random(len(types)) < 0.5).astype(np.float64))
    energies, gradients = model.program(vectors, index, types, weights)
    ones, zeros = torch.ones_like(weights), torch.zeros_like(weights)
    assert torch.equal(energies, model.program(vectors, index, types, ones)[0])
    assert not model.program(vectors, index, types, zeros)[1].any()
    step = 1e-4
    for edge in rng.choice(len(vectors), 4, replace=False):
        for axis in range(3):
            sums = []
            for sign in (+1.0, -1.0):
                moved = vectors.clone()
                moved[edge, axis] += sign * step
                sums.append(float((model.program(moved, index, types, ones)[0] - energies) @ weights))
            slope = (sums[0] - sums[1]) / (2.0 * step)
            assert float(gradients[edge, axis]) == pytest.approx(slope, abs=CONTRACT_GRADIENT_EV_PER_A)


def test_owned_and_ghost_gradients_add_up(model: ModelFile) -> None:
    vectors, index, types = graph_of(model)
    owned = (torch.arange(len(types)) % 3 == 0).to(torch.float64)
    parts = sum(model.program(vectors, index, types, w)[1] for w in (owned, 1.0 - owned))
    whole = model.program(vectors, index, types, torch.ones_like(owned))[1]
    np.testing.assert_allclose(parts, whole, rtol=0, atol=CONTRACT_SYMMETRY_EV)


def test_forces_sum_to_zero_and_virial_is_symmetric(model: ModelFile) -> None:
    found = evaluate(model, reference_frame(model.passport))
    np.testing.assert_allclose(found.forces_eV_per_A.sum(axis=0), 0.0, atol=CONTRACT_SYMMETRY_EV)
    np.testing.assert_allclose(found.virial_eV, found.virial_eV.T, rtol=0, atol=CONTRACT_SYMMETRY_EV)


def test_order_of_atoms_and_of_neighbors_does_not_matter(model: ModelFile) -> None:
    frame = reference_frame(model.passport)
    plain = evaluate(model, frame)
    order = np.random.default_rng(1).permutation(len(frame))
    shuffled = evaluate(model, frame[order])
    np.testing.assert_allclose(
        shuffled.atom_energies_eV, plain.atom_energies_eV[order], rtol=0, atol=CONTRACT_SYMMETRY_EV
    )
    np.testing.assert_allclose(
        shuffled.forces_eV_per_A, plain.forces_eV_per_A[order], rtol=0, atol=CONTRACT_SYMMETRY_EV
    )
    # Centres stay ascending, as the contract guarantees; their neighbours come in any order.
    vectors, index, types = graph_of(model)
    mixed = torch.from_numpy(np.lexsort((np.random.default_rng(2).random(len(vectors)), index[0].numpy())))
    weights = torch.ones(len(types), dtype=torch.float64)
    gradients = model.program(vectors, index, types, weights)[1]
    again = model.program(vectors[mixed], index[:, mixed], types, weights)[1]
    np.testing.assert_allclose(again, gradients[mixed], rtol=0, atol=CONTRACT_SYMMETRY_EV)


def test_rotation_turns_the_forces(model: ModelFile) -> None:
    frame = reference_frame(model.passport)
    turned = frame.copy()
    turned.rotate(37.0, (1.0, 2.0, 0.5), rotate_cell=True)
    rotation = np.linalg.solve(frame.cell.array, turned.cell.array)
    plain, found = evaluate(model, frame), evaluate(model, turned)
    np.testing.assert_allclose(
        found.forces_eV_per_A, plain.forces_eV_per_A @ rotation, rtol=0, atol=CONTRACT_GRADIENT_EV_PER_A
    )


def test_atoms_without_neighbors(model: ModelFile) -> None:
    n_types = len(model.passport.type_names)
    empty = torch.zeros((0, 3), dtype=torch.float64), torch.zeros((2, 0), dtype=torch.long)
    types = torch.arange(n_types)
    energies, gradients = model.program(*empty, types, torch.ones(n_types, dtype=torch.float64))
    assert energies.shape == (n_types,)
    assert gradients.shape == (0, 3)
    assert energies.isfinite().all()


# ----- Lennard-Jones against formulas ----------------------------------------------------------------------


@pytest.mark.parametrize("frame", FRAMES)
def test_lj_equals_the_pair_sum(lj: Path, frame: str) -> None:
    atoms = FRAMES[frame]()
    found = evaluate(lj, atoms)
    energies, forces, virial = pair_sum(
        atoms, types_of(atoms, ["Na", "Cl"]), epsilon_eV=EPSILON_EV, sigma_A=SIGMA_A, cutoff_A=CUTOFF_A
    )
    np.testing.assert_allclose(found.atom_energies_eV, energies, rtol=0, atol=LJ_FORCE_EV_PER_A)
    np.testing.assert_allclose(found.forces_eV_per_A, forces, rtol=0, atol=LJ_FORCE_EV_PER_A)
    np.testing.assert_allclose(found.virial_eV, virial, rtol=0, atol=LJ_VIRIAL_EV)


@pytest.mark.parametrize("frame", FRAMES)
def test_lj_equals_ase(tmp_path: Path, frame: str) -> None:
    # ASE's calculator knows one kind of pair and shifts its energy, so forces and stress are compared.
    atoms = FRAMES[frame]()
    write_lj_model(
        tmp_path / "one.pt",
        type_names=["Na", "Cl"],
        epsilon_eV=0.01,
        sigma_A=2.5,
        cutoff_A=5.0,
        reference=rocksalt(),
    )
    found = evaluate(tmp_path / "one.pt", atoms)
    atoms.calc = LennardJones(epsilon=0.01, sigma=2.5, rc=5.0)
    np.testing.assert_allclose(found.forces_eV_per_A, atoms.get_forces(), rtol=0, atol=LJ_FORCE_EV_PER_A)
    if all(atoms.pbc):
        virial = atoms.get_stress(voigt=False) * atoms.get_volume()
        np.testing.assert_allclose(found.virial_eV, virial, rtol=0, atol=LJ_VIRIAL_EV)


def test_two_lj_atoms_by_hand(tmp_path: Path) -> None:
    # At r = 2^(1/6) sigma the pair sits in its minimum: energy -epsilon, no force.
    pair = Atoms("Ar2", positions=[[0, 0, 0], [2 ** (1 / 6) * 3.4, 0, 0]])
    write_lj_model(tmp_path / "ar.pt", type_names=["Ar"], epsilon_eV=0.01, sigma_A=3.4, cutoff_A=8.0, reference=argon())
    found = evaluate(tmp_path / "ar.pt", pair)
    np.testing.assert_allclose(found.atom_energies_eV, [-0.005, -0.005], rtol=0, atol=LJ_FORCE_EV_PER_A)
    np.testing.assert_allclose(found.forces_eV_per_A, 0.0, atol=LJ_FORCE_EV_PER_A)


def argon() -> Atoms:
    return bulk("Ar", a=5.3, cubic=True)


def test_lj_in_single_precision(tmp_path: Path, lj: Path) -> None:
    single = mixture(tmp_path / "single.pt", dtype="float32")
    atoms = sheared()
    difference = evaluate(single, atoms).forces_eV_per_A - evaluate(lj, atoms).forces_eV_per_A
    assert 0.0 < np.abs(difference).max() < LJ_SINGLE_PRECISION_EV_PER_A
    assert self_test(single).passed


@pytest.mark.parametrize("bad", [[[1.0, 2.0], [3.0, 1.0]], [1.0, 2.0], 0.0, -1.0])
def test_lj_matrices_are_checked(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(ModelFileError, match=r"sigma_A: found .*, needed one positive number or a symmetric 2 x 2"):
        write_lj_model(
            tmp_path / "bad.pt",
            type_names=["Na", "Cl"],
            epsilon_eV=0.01,
            sigma_A=bad,
            cutoff_A=5.0,
            reference=rocksalt(),
        )


def test_unknown_dtype(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="dtype: found 'float16', needed one of float32, float64"):
        mixture(tmp_path / "half.pt", dtype="float16")


# ----- evaluation ------------------------------------------------------------------------------------------


def test_element_without_a_type(lj: Path) -> None:
    with pytest.raises(ModelFileError, match="the frame has Ar, the model has types for Na, Cl only; use"):
        evaluate(lj, argon())


def test_more_neighbors_than_the_network_was_built_for() -> None:
    model = load_model(PARITY / "deepmd_float64.pt")
    dense = reference_frame(model.passport)
    dense.set_cell(dense.cell.array * 0.65, scale_atoms=True)
    text = (
        r"atom \d+ \(counted from 0, \w+\) has \d+ \w+ neighbours within 5\.0 Angstrom, the model allows at "
        r"most "
        r"\d+ \(sel\); check the density of the cell, or train with a larger sel"
    )
    with pytest.raises(ModelFileError, match=text):
        evaluate(model, dense)


def test_calculator_forces_are_minus_the_gradient(lj: Path) -> None:
    atoms = rocksalt()
    atoms.calc = LpsmdCalculator(lj)
    forces, step = atoms.get_forces(), 1e-4
    energies = []
    for sign in (+1.0, -1.0):
        moved = atoms.copy()
        moved.positions[3, 1] += sign * step
        energies.append(evaluate(lj, moved).energy_eV)
    slope = -(energies[0] - energies[1]) / (2.0 * step)
    assert forces[3, 1] == pytest.approx(slope, abs=CONTRACT_GRADIENT_EV_PER_A)


# ----- commands --------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.output


def test_show_prints_the_passport() -> None:
    code, output = run("model", "show", str(PARITY / "deepmd_float32.pt"))
    assert code == 0
    for text in (
        "deepmd",
        "Li P S Cl",
        "PBE",
        "5 Angstrom",
        "its own neighbours only",
        "Li 36 P 10 S 36 Cl 12",
    ):
        assert text in output
    code, output = run("model", "show", "--json", str(PARITY / "nequip_float64.pt"))
    assert code == 0
    assert json.loads(output) == read_passport(PARITY / "nequip_float64.pt").to_dict()


def test_show_sets_the_stages_of_a_training_side_by_side(lj: Path) -> None:
    stages = [
        {"stage": "PBE", "best_epoch": 12, "weights_sha256": 64 * "a"},
        {"stage": "HSE06", "learning_rate": 0.004},
    ]
    code, output = run("model", "show", str(rewritten(lj, lambda p: p["training"].update(stages=stages))))
    assert code == 0
    table = [line.split() for line in output.splitlines() if line.startswith("training.stages")]
    assert table == [
        ["training.stages.stage", "PBE", "HSE06"],
        ["training.stages.best_epoch", "12", "-"],
        ["training.stages.weights_sha256", 16 * "a", "-"],
        ["training.stages.learning_rate", "-", "0.004"],
    ]


def test_check_passes_and_fails(lj: Path) -> None:
    code, output = run("model", "check", str(lj))
    assert code == 0
    assert "forces  largest difference" in output
    assert "allowed 1e-07 eV/Angstrom" in output
    assert output.rstrip().endswith("pass")
    wrong = rewritten(lj, lambda p: p["reference"].update(energy_eV=p["reference"]["energy_eV"] + 1e-3))
    code, output = run("model", "check", str(wrong))
    assert code == 1
    assert output.rstrip().endswith("FAIL")
    code, output = run("model", "check", "--json", str(wrong))
    assert code == 1
    assert json.loads(output)["passed"] is False
    assert json.loads(output)["differences"]["energy"]["largest"] == pytest.approx(1e-3 / 8, rel=1e-6)


def test_commands_name_the_bad_file(tmp_path: Path) -> None:
    code, output = run("model", "show", str(tmp_path / "none.pt"))
    assert code == 2
    assert "error: " in output
    assert "none.pt: no such model file" in output


# ----- export, as far as it goes without a trainer ---------------------------------------------------------


def test_export_needs_the_trainer(tmp_path: Path) -> None:
    packages = {"nequip": "nequip", "mace": "mace-torch", "deepmd": "deepmd-kit"}
    installed = {found.metadata["Name"] for found in distributions()}
    missing = [name for name, package in packages.items() if package not in installed]
    if not missing:
        pytest.skip("every trainer is installed here")
    checkpoint = tmp_path / "best.ckpt"
    checkpoint.touch()
    text = (
        f"exporting a {missing[0]} checkpoint needs the package {packages[missing[0]]}, which this Python does not have"
    )
    with pytest.raises(ModelFileError, match=text):
        export_model(missing[0], checkpoint, tmp_path / "m.pt", functional="PBE", reference=rocksalt())


def test_export_arguments_are_checked(tmp_path: Path) -> None:
    def attempt(architecture: str, *, dtype: str = "float32") -> None:
        export_model(
            architecture,
            tmp_path / "none.ckpt",
            tmp_path / "m.pt",
            functional="PBE",
            reference=rocksalt(),
            dtype=dtype,
        )

    with pytest.raises(ModelFileError, match="architecture: found 'allegro', needed one of nequip, mace, deepmd"):
        attempt("allegro")
    with pytest.raises(ModelFileError, match="dtype: found 'float16', needed one of float32, float64"):
        attempt("nequip", dtype="float16")
    with pytest.raises(ModelFileError, match=r"none\.ckpt: no such checkpoint"):
        attempt("nequip")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], {"seed": 3, "note": "x"}),
        (["--training-seed", "5", "--stress-labels"], {"seed": 5, "note": "x", "stress_labels": True}),
        (["--training-seed", "0", "--no-stress-labels"], {"seed": 0, "note": "x", "stress_labels": False}),
    ],
)
def test_options_of_export_add_to_the_training_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], told: dict[str, Any]
) -> None:
    found: dict[str, Any] = {}

    def stop(*arguments: object, training: dict[str, Any], **others: object) -> None:
        found.update(training)
        raise ModelFileError("far enough")

    monkeypatch.setattr("lpsmd.models.export.export_model", stop)
    (tmp_path / "record.json").write_text('{"seed": 3, "note": "x"}')
    rocksalt().write(tmp_path / "frame.extxyz")
    arguments = ["export", "nequip", "a.ckpt", "-o", "m.pt", "--functional", "PBE"]
    arguments += ["--reference", str(tmp_path / "frame.extxyz"), "--training-record", str(tmp_path / "record.json")]
    code, output = run(*arguments, *options)
    assert (code, "far enough" in output) == (2, True)
    assert found == told


def test_only_se_e2_a_is_exported(tmp_path: Path) -> None:
    checkpoint = tmp_path / "model.pt"

    def save(params: dict[str, Any]) -> None:
        torch.save({"model": {"_extra_state": {"model_params": params}}}, checkpoint)

    save({"descriptor": {"type": "dpa2"}})
    with pytest.raises(ModelFileError, match="found the model standard with descriptor dpa2, needed a standard energy"):
        deepmd._float64_state(checkpoint)
    save({"model_dict": {"water": {}, "salt": {}}})
    with pytest.raises(ModelFileError, match=r"found a multi-task model \(water, salt\), needed one task"):
        deepmd._float64_state(checkpoint)
    checkpoint.write_bytes(b"frozen")
    with pytest.raises(ModelFileError, match=r"no checkpoint of `dp --pt train` .*; give the \.pt file"):
        deepmd._float64_state(checkpoint)


def test_only_mace_energy_models_are_exported(tmp_path: Path) -> None:
    checkpoint = tmp_path / "foreign.model"
    torch.save(torch.nn.Linear(1, 1), checkpoint)
    with pytest.raises(ModelFileError, match="found a Linear, needed one of MACE, ScaleShiftMACE"):
        mace._model(checkpoint)
    checkpoint.write_bytes(b"nothing")
    with pytest.raises(ModelFileError, match=r"no model of mace_run_train .*; give the \.model file"):
        mace._model(checkpoint)


def test_training_record(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    with pytest.raises(ModelFileError, match=r"record\.json: the training record cannot be read: .*No such file"):
        read_training_record(path)
    path.write_text("[1]")
    with pytest.raises(ModelFileError, match=r"the training record is a list, needed a JSON object"):
        read_training_record(path)
    path.write_text('{"held_out": {"force_rms_meV_per_A": 90.0}}')
    assert read_training_record(path)["held_out"]["force_rms_meV_per_A"] == 90.0


def test_reference_frame_that_cannot_be_read(tmp_path: Path) -> None:
    code, output = run(
        "export",
        "nequip",
        "best.ckpt",
        "-o",
        str(tmp_path / "m.pt"),
        "--functional",
        "PBE",
        "--reference",
        "no.xyz",
    )
    assert code == 2
    assert "no.xyz: the reference frame cannot be read" in output
