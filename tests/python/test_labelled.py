"""Model files against labelled frames: Lennard-Jones models, whose forces are linear in epsilon."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from click.testing import CliRunner

from lpsmd.cli import main
from lpsmd.dataset import DatasetError
from lpsmd.models.accuracy import AccuracyError
from lpsmd.models.contract import ModelFileError
from lpsmd.models.evaluate import evaluate
from lpsmd.models.labelled import difference_of_models, errors_of_model
from support.studies import soft_model

#: Parts of the frames; two of the test are of one trajectory.
PARTS = ("train", "train", "test", "test", "test")


def labelled(atoms: Atoms, energy_eV: float, forces: np.ndarray, **info: object) -> Atoms:
    frame = atoms.copy()
    frame.info = info
    frame.calc = SinglePointCalculator(frame, energy=energy_eV, forces=forces)
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels pbe.extxyz by the model pbe.pt, labels hse06.extxyz 1.5 times as strong, and models that are right."""
    folder = tmp_path_factory.mktemp("labelled")
    soft_model(folder / "pbe.pt")
    soft_model(folder / "hse06.pt", functional="HSE06", epsilon_eV=0.015)
    soft_model(folder / "same.pt", functional="HSE06")
    pbe, hse06 = [], []
    for number, part in enumerate(PARTS):
        atoms = bulk("LiCl", "rocksalt", a=4.4, cubic=True)
        atoms.rattle(0.1, seed=number)
        found = evaluate(folder / "pbe.pt", atoms)
        info = {"frame": f"f{number}", "part": part, "temperature_K": 300.0 * (1 + number % 2), "start": number // 3}
        for frames, level, scale in ((pbe, "PBE", 1.0), (hse06, "HSE06", 1.5)):
            frames.append(labelled(atoms, scale * found.energy_eV, scale * found.forces_eV_per_A, **info, level=level))
    # One that HSE06 has no label of yet, as in a set that is being labelled.
    pbe.append(labelled(atoms, 0.0, np.zeros((8, 3)), frame="later", level="PBE", part="train"))
    ase.io.write(folder / "pbe.extxyz", pbe)
    ase.io.write(folder / "hse06.extxyz", hse06)
    return folder


def changed(folder: Path, tmp_path: Path, name: str, change: Callable[[list[Atoms]], object]) -> Path:
    """A copy of the labels in which one file is changed."""
    for file in folder.glob("*.extxyz"):
        frames = ase.io.read(file, ":")
        if file.name == name:
            change(frames)
        ase.io.write(tmp_path / file.name, frames)
    return tmp_path


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(map(str, arguments)))
    return result.exit_code, result.output


def test_a_model_has_no_error_on_its_own_labels(folder: Path) -> None:
    found = errors_of_model(folder / "pbe.pt", folder / "pbe.extxyz", part="test")
    assert (found["part"], found["frames"]) == ("test", 3)
    # Files of extended XYZ have eight decimals.
    assert found["force_rms_eV_per_A"] < 1e-7
    assert found["zero_force_rms_eV_per_A"] > 1e-2
    assert found["energy_rms_eV_per_atom"] < 1e-8
    assert list(found["by_region"]["temperature_K"]) == ["300", "600"]


def test_an_error_is_what_the_model_lacks(folder: Path) -> None:
    found = errors_of_model(folder / "same.pt", folder / "hse06.extxyz")
    assert found["frames"] == 5
    assert found["force_rms_eV_per_A"] == pytest.approx(found["zero_force_rms_eV_per_A"] / 3.0)
    assert found["by_element"]["Li"]["force_rms_eV_per_A"] == pytest.approx(
        found["by_element"]["Li"]["zero_force_rms_eV_per_A"] / 3.0
    )


def test_right_models_resolve_and_equal_ones_do_not(folder: Path) -> None:
    right = difference_of_models(folder / "pbe.pt", folder / "hse06.pt", folder, part="test")
    assert (right["base"], right["other"], right["frames"], right["groups"]) == ("PBE", "HSE06", 3, 2)
    assert right["r2"] == pytest.approx(1.0)
    assert right["scale"] == pytest.approx(1.5)
    assert right["scaled_error_rms_eV_per_A"] < 1e-7
    equal = difference_of_models(folder / "pbe.pt", folder / "same.pt", folder)
    assert (equal["frames"], equal["groups"], equal["scale"]) == (5, 2, None)
    for found in (equal, *equal["by_element"].values()):
        assert found["r2"] == pytest.approx(0.0, abs=1e-6)
        assert found["error_rms_eV_per_A"] == pytest.approx(found["difference_rms_eV_per_A"])
    # The other way round it is the same difference.
    turned = difference_of_models(folder / "hse06.pt", folder / "pbe.pt", folder, part="test")
    assert (turned["base"], turned["r2"]) == ("HSE06", pytest.approx(1.0))


def test_progress_counts_every_evaluation(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    difference_of_models(folder / "pbe.pt", folder / "same.pt", folder, on_frame=lambda *done: seen.append(done))
    assert seen == [(done, 10) for done in range(1, 11)]


def test_the_commands_print_and_write(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "errors.csv"
    code, text = run("model", "errors", folder / "same.pt", folder / "hse06.extxyz", "--part", "test", "--out", out)
    assert code == 0, text
    assert "3 frames of the part test" in text
    rows = {row["of"]: row for row in csv.DictReader(out.read_text().splitlines())}
    assert list(rows) == ["all", "Cl", "Li", "temperature_K 300", "temperature_K 600"]
    assert f"{1e3 * float(rows['all']['force_rms_eV_per_A']):.1f}" in text
    out = tmp_path / "difference.json"
    models = (folder / "pbe.pt", folder / "same.pt")
    code, text = run("model", "difference", *models, folder, "--out", out)
    assert code == 0, text
    assert [line.split()[-1] for line in text.splitlines() if line.split()[0] in ("all", "Li", "Cl")] == ["no"] * 3
    code, text = run("model", "difference", *models, folder, "--json")
    assert code == 0, text
    assert json.loads(text) == json.loads(out.read_text())


def drop(key: str) -> Callable[[list[Atoms]], object]:
    return lambda frames: frames[1].info.pop(key)


def without_labels(frames: list[Atoms]) -> None:
    frames[1].calc = None


def without_forces(frames: list[Atoms]) -> None:
    del frames[1].calc.results["forces"]


def moved(frames: list[Atoms]) -> None:
    """The label stays, the geometry is another."""
    results = frames[1].calc.results
    frames[1].positions[0, 0] += 0.01
    frames[1].calc = SinglePointCalculator(frames[1], **results)


def renamed(name: str) -> Callable[[Sequence[Atoms]], object]:
    return lambda frames: [atoms.info.update(frame=name.format(number)) for number, atoms in enumerate(frames)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_labels, r"hse06.extxyz frame 1 \(f1\): found no energy and no forces, needed both"),
        (without_forces, r"hse06.extxyz frame 1 \(f1\): found no forces, needed both"),
        (lambda frames: frames[1].info.update(level="PBE"), r"\(f1\): found labels of PBE, needed those of HSE06"),
        (drop("frame"), r"hse06.extxyz frame 1: found no key frame, needed a name of its own"),
        (renamed("twice"), r"hse06.extxyz frame 1 \(twice\): has the name of frame 0, needed a key frame of its own"),
        (renamed("other{}"), r"found no frame that both have, among 6 and 5"),
        (moved, r"frame f1 has two geometries, needed one"),
    ],
)
def test_labels_that_make_no_difference_are_refused(
    folder: Path, tmp_path: Path, change: Callable[[list[Atoms]], object], message: str
) -> None:
    changed(folder, tmp_path, "hse06.extxyz", change)
    with pytest.raises((AccuracyError, DatasetError), match=message):
        difference_of_models(folder / "pbe.pt", folder / "hse06.pt", tmp_path)


def test_a_label_that_is_no_number_is_refused(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "pbe.extxyz"
    for energy, found in (("abc", "type <U3"), ('"1 2"', r"type int64 and shape \[2\]")):
        file.write_text(re.sub(r" energy=\S+", f" energy={energy}", (folder / "pbe.extxyz").read_text(), count=1))
        with pytest.raises(DatasetError, match=rf"frame 0 .*found energy of {found}.*needed numbers of shape"):
            errors_of_model(folder / "pbe.pt", file)


def test_what_is_not_there_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AccuracyError, match=r"found PBE twice, needed models of two functionals"):
        difference_of_models(folder / "pbe.pt", folder / "pbe.pt", folder)
    with pytest.raises(DatasetError, match=r"pbe.extxyz: no such file, needed frames labelled with PBE"):
        difference_of_models(folder / "pbe.pt", folder / "hse06.pt", tmp_path)
    with pytest.raises(
        AccuracyError, match=r"no frame of the part validation among 6 \(3 of test, 3 of train\); ask for another"
    ):
        errors_of_model(folder / "pbe.pt", folder / "pbe.extxyz", part="validation")
    (tmp_path / "empty.extxyz").write_text("no frames\n")
    with pytest.raises(DatasetError, match=r"empty.extxyz: cannot be read"):
        errors_of_model(folder / "pbe.pt", tmp_path / "empty.extxyz")
    (tmp_path / "empty.extxyz").write_text("")
    with pytest.raises(DatasetError, match=r"empty.extxyz: found no frame, needed frames labelled with PBE"):
        errors_of_model(folder / "pbe.pt", tmp_path / "empty.extxyz")


def test_an_element_that_the_model_lacks_is_named(folder: Path, tmp_path: Path) -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    ase.io.write(tmp_path / "salt.extxyz", labelled(atoms, 0.0, np.zeros((8, 3)), frame="salt"))
    with pytest.raises(ModelFileError, match=r"pbe.pt, frame salt: the frame has Na, the model has types for Li, P"):
        errors_of_model(folder / "pbe.pt", tmp_path / "salt.extxyz")


def test_the_command_refuses_before_it_evaluates(folder: Path, tmp_path: Path) -> None:
    code, text = run("model", "errors", folder / "pbe.pt", folder / "hse06.extxyz", "--out", tmp_path / "errors.txt")
    assert code == 2
    assert "the name must end in .csv or .json" in text
    code, text = run("model", "errors", folder / "pbe.pt", folder / "hse06.extxyz")
    assert code == 2
    assert "found labels of HSE06, needed those of PBE" in text


def test_the_errors_that_passports_tell_stand_side_by_side(folder: Path, tmp_path: Path) -> None:
    told = errors_of_model(folder / "same.pt", folder / "hse06.extxyz", part="test")
    difference = difference_of_models(folder / "pbe.pt", folder / "same.pt", folder, part="test")
    training = {"seed": 7, "size": "small", "held_out": told, "functional_difference": difference}
    soft_model(tmp_path / "told.pt", functional="HSE06", training=training)
    silent = {"held_out": {"force_rms_eV_per_A": "58 meV", "by_element": "not measured"}}
    soft_model(tmp_path / "silent.pt", training=silent)
    models = [tmp_path / "told.pt", tmp_path / "silent.pt"]
    code, text = run("model", "table", *models, "--region", "temperature_K=300.0", "--out", tmp_path / "errors.csv")
    assert code == 0, text
    assert re.search(rf"^told +{1e3 * told['force_rms_eV_per_A']:.1f} ", text, re.MULTILINE)
    assert re.search(r"^silent( +-)+ *$", text, re.MULTILINE)
    with (tmp_path / "errors.csv").open(newline="") as stream:
        first, second = csv.DictReader(stream)
    assert float(first["Li_force_rms_eV_per_A"]) == told["by_element"]["Li"]["force_rms_eV_per_A"]
    at_300 = told["by_region"]["temperature_K"]["300"]
    assert float(first["region_force_rms_eV_per_A"]) == at_300["force_rms_eV_per_A"] > 0.0
    assert float(first["region_frames"]) == at_300["frames"] < told["frames"]
    assert (float(first["r2"]), first["seed"], first["size"]) == (difference["r2"], "7", "small")
    assert float(first["least_r2"]) == min(of["r2"] for of in difference["by_element"].values())
    assert (second["of"], second["seed"], second["force_rms_eV_per_A"]) == ("silent", "", "")
    code, text = run("model", "table", *models, "--region", "temperature_K=301")
    assert code == 2
    assert "region: found temperature_K=301, the passports have temperature_K=300, 600; take one of them" in text


@pytest.mark.parametrize("region", ["temperature=300", "temperature_K", "temperature_K="])
def test_a_region_that_is_none_is_refused(folder: Path, region: str) -> None:
    code, text = run("model", "table", folder / "pbe.pt", "--region", region)
    assert code == 2
    assert f"region: found '{region}', needed KEY=VALUE with one of the keys kind, temperature_K" in text
