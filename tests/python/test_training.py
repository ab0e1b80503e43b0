"""Training: data, trainer inputs and logs, when a stage stops and what it keeps, the record. No trainer is run here."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.io import write
from click.testing import CliRunner

from lpsmd.cli.train import train
from lpsmd.dataset import DatasetError
from lpsmd.training import (
    data,
    environments,
    history,
    mace_finetune,
    pipeline,
    pretraining,
    record,
    stages,
    teacher,
    watching,
)
from lpsmd.training.data import TrainingError
from lpsmd.training.history import Course
from lpsmd.training.plan import TrainingPlan
from lpsmd.training.sizes import DEFAULT_SIZE, SCHEDULES, SIZES, Schedule, cutoff_A
from lpsmd.training.trainers import deepmd, mace, nequip, trainer_of
from support.processes import processes_in
from support.training import SCHEDULE, epoch, labelled_frames, stage_of, write_dataset
from tolerances import TRAINING_ENERGY_EV

LOGS = Path(__file__).parents[1] / "data" / "training"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def dataset(folder):
    return data.read_dataset(folder, "HSE06")


@pytest.fixture(scope="module")
def frames(dataset):
    return list(dataset.frames["PBE"])


def names(members):
    return [atoms.info["frame"] for atoms in members]


# ----- data ------------------------------------------------------------------------------------------------


def test_parts_are_those_of_the_frames(dataset):
    assert names(dataset.part("PBE", "validation")) == ["hop_112", "md900_chgnet_r2scan_010"]
    assert names(dataset.part("HSE06", "test")) == ["md900_chgnet_r2scan_017", "rattle_111"]
    assert sum(len(dataset.part("PBE", part)) for part in data.PARTS) == len(dataset.frames["PBE"])


def test_types_ascend_by_atomic_number(dataset):
    assert dataset.type_names == ("Li", "P", "S", "Cl")


def test_pbe_needs_no_hse06(tmp_path):
    write_dataset(tmp_path, pbe=labelled_frames("PBE"))
    assert list(data.read_dataset(tmp_path, "PBE").frames) == ["PBE"]
    with pytest.raises(DatasetError, match=r"hse06\.extxyz: no such file, needed frames labelled with HSE06"):
        data.read_dataset(tmp_path, "HSE06")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    write_dataset(tmp_path, pbe=labelled_frames("PBE"))
    path = tmp_path / "pbe.extxyz"
    path.write_text(path.read_text()[:-3000])
    with pytest.raises(DatasetError, match=r"pbe\.extxyz: cannot be read: "):
        data.read_dataset(tmp_path, "PBE")


def without(key):
    def change(frames):
        del frames[3].info[key]

    return change


def with_part(value):
    def change(frames):
        frames[3].info["part"] = value

    return change


def without_labels(frames):
    frames[3].calc = None


def all_in_training(frames):
    for atoms in frames:
        atoms.info["part"] = "train"


def of_hse06(frames):
    frames[3].info["level"] = "HSE06"


def with_no_number(frames):
    frames[3].calc.results["forces"][0, 0] = np.nan


def repeated(frames):
    frames.append(frames[0].copy())
    frames[-1].calc = frames[0].calc


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            without("part"),
            r"frame 3 \(md900_chgnet_pbe_010\): found part=None, needed one of train, .*dataset split`",
        ),
        (with_part("held out"), r"found part=held out, needed one of train, validation, test"),
        (without("frame"), r"frame 3: found no key frame, needed a name of its own; `lpsmd dataset import`"),
        (without_labels, r"frame 3 \(md900_chgnet_pbe_010\): found no energy and no forces, needed both; `lpsmd lab"),
        (
            all_in_training,
            r"found 9 train, 0 validation, 0 test frames, needed at least one of each; `lpsmd datas",
        ),
        (of_hse06, r"frame 3 \(md900_chgnet_pbe_010\): found labels of HSE06, needed those of PBE"),
        (with_no_number, r"frame 3 \(md900_chgnet_pbe_010\): found an energy or force that is no finite number"),
        (repeated, r"frame 9 \(early_0\): has the name of frame 0, needed a key frame of its own"),
    ],
)
def test_bad_frames_are_refused(tmp_path, change, message):
    members = labelled_frames("PBE")
    change(members)
    write_dataset(tmp_path, pbe=members)
    with pytest.raises(DatasetError, match=message):
        data.read_dataset(tmp_path, "PBE")


def test_a_test_frame_that_the_parent_has_seen_is_refused(tmp_path):
    members = labelled_frames("HSE06")
    members[0].info["part"] = "test"
    write_dataset(tmp_path, pbe=labelled_frames("PBE"), hse06=members)
    with pytest.raises(DatasetError, match="found frame early_0 in train of PBE and in test of HSE06, needed one"):
        data.read_dataset(tmp_path, "HSE06")


@pytest.mark.parametrize("key", ["start", "trajectory"])
def test_one_start_or_trajectory_in_two_parts_is_refused(tmp_path, key):
    members = labelled_frames("HSE06")
    for atoms in members:
        if atoms.info["frame"] in ("md900_chgnet_pbe_010", "md900_chgnet_r2scan_017"):
            atoms.info[key] = "of both"
    write_dataset(tmp_path, pbe=labelled_frames("PBE"), hse06=members)
    message = (
        "md900_chgnet_pbe_010 is in train and md900_chgnet_r2scan_017 in test, but both belong to of both; .*"
        "`lpsmd dataset split --redraw`"
    )
    with pytest.raises(DatasetError, match=message):
        data.read_dataset(tmp_path, "HSE06")


@pytest.mark.parametrize("axis", [None, "z"])
def test_labels_of_another_geometry_are_refused(tmp_path, axis):
    members = labelled_frames("HSE06")
    if axis is None:
        members[0].numbers = members[0].numbers[::-1]
    else:  # lpsmd dataset takes the same crystal in another orientation for the same; its forces have other components
        members[0].rotate(90, axis, rotate_cell=True)
    write_dataset(tmp_path, pbe=labelled_frames("PBE"), hse06=members)
    with pytest.raises(DatasetError, match="found two geometries of frame early_0 in PBE and HSE06, needed the same"):
        data.read_dataset(tmp_path, "HSE06")


def test_shifts_of_one_composition_are_the_mean_energy(frames):
    shifts = data.energy_shifts_eV(frames, ["Li", "P", "S", "Cl"])
    assert np.ptp(list(shifts.values())) < TRAINING_ENERGY_EV
    assert 52 * shifts["Li"] == pytest.approx(data.energies_eV(frames).mean(), abs=TRAINING_ENERGY_EV)


def test_shifts_of_several_compositions_are_found(frames):
    wanted = {"Li": -12.0, "P": -178.0, "S": -274.0, "Cl": -410.0}
    several = []
    for missing in (None, 0, 24, 28, 51):  # Li24 P4 S20 Cl4, and each with an atom less
        atoms = frames[0].copy()
        if missing is not None:
            del atoms[missing]
        atoms.info[data.ENERGY_KEY] = sum(wanted[symbol] for symbol in atoms.symbols)
        several.append(atoms)
    assert data.energy_shifts_eV(several, list(wanted)) == pytest.approx(wanted)


def test_moved_shifts_take_up_the_mean_difference(dataset):
    before, after = data.common_geometries(dataset.frames["PBE"], dataset.frames["HSE06"])
    shifts = {"Li": -12.0, "P": -178.0, "S": -274.0, "Cl": -410.0}
    moved = data.moved_shifts_eV(shifts, before, after)
    change = data.composition(after, list(shifts)) @ (np.array(list(moved.values())) - list(shifts.values()))
    assert change.mean() == pytest.approx((data.energies_eV(after) - data.energies_eV(before)).mean())


def test_neighbor_limits_are_measured_and_have_a_margin(frames):
    types = ["Li", "P", "S", "Cl"]
    most, limits = (count(frames[:2], types, 5.5) for count in (data.most_neighbors, data.neighbor_limits))
    distances = frames[0].get_all_distances(mic=True)[:, frames[0].numbers == 16]  # 5.5 is more than half a cell
    assert most[2] >= ((distances > 0) & (distances < 4.9)).sum(axis=1).max()
    assert all(1.25 * count < limit <= 1.25 * count + 4 for count, limit in zip(most, limits, strict=True))
    assert data.average_neighbors(frames[:2], types, 5.0) == pytest.approx(27, abs=2)


def test_trainers_see_names_and_labels_alone(frames, tmp_path):
    data.write_extxyz(tmp_path / "set.extxyz", frames[:1])
    header = (tmp_path / "set.extxyz").read_text().splitlines()[1]
    assert "REF_energy" in header
    assert "part" not in header
    assert "gap" not in header


def test_deepmd_sets_hold_the_same_numbers(frames, tmp_path):
    shuffled = [atoms[np.random.default_rng(3).permutation(len(atoms))] for atoms in frames[:3]]
    data.write_deepmd(tmp_path, shuffled, ["Li", "P", "S", "Cl"])
    system = tmp_path / "system_0"
    types = np.loadtxt(system / "type.raw", dtype=int)
    assert (np.diff(types) >= 0).all()
    forces = np.load(system / "set.000" / "force.npy").reshape(3, 52, 3)
    for found, atoms in zip(forces, frames[:3], strict=True):
        for kind, name in enumerate(["Li", "P", "S", "Cl"]):
            wanted = atoms.arrays[data.FORCES_KEY][np.array(atoms.get_chemical_symbols()) == name]
            np.testing.assert_allclose(np.sort(found[types == kind], axis=0), np.sort(wanted, axis=0))
    np.testing.assert_allclose(np.load(system / "set.000" / "energy.npy"), data.energies_eV(frames[:3]))


def test_hash_sees_every_number_and_part(frames):
    copies = [atoms.copy() for atoms in frames[:2]]
    before = data.frames_sha256(copies)
    copies[1].arrays[data.FORCES_KEY][5, 2] += 1e-9
    changed = data.frames_sha256(copies)
    copies[1].info["part"] = "nowhere"
    assert len({before, changed, data.frames_sha256(copies)}) == 3


# ----- teacher ---------------------------------------------------------------------------------------------


SHIFTS = {"Li": 1.0, "P": -2.0, "S": 3.0, "Cl": 5.0}


def scaled(frames, *, factor):
    fit = pretraining.TeacherFit(
        force_scale=factor, energy_shifts_eV=SHIFTS, force_rms_before_eV_per_A=0.0, force_rms_after_eV_per_A=0.0
    )
    return pretraining.rescale(frames, fit)


def test_teacher_fit_finds_a_known_scale_and_shifts_of_cells_of_any_size(frames):
    large, poorer = frames[0].repeat((2, 1, 1)), frames[1].copy()
    large.info[data.ENERGY_KEY] *= 2
    del poorer[-1]
    fit = pretraining.fit_teacher(scaled([large, poorer], factor=0.8), [large, poorer])
    assert fit.force_scale == pytest.approx(1.25)
    assert fit.force_rms_after_eV_per_A == pytest.approx(0.0, abs=TRAINING_ENERGY_EV)
    # frames[2] is half as large as any cell of its composition that was fitted to.
    for atoms in (large, poorer, frames[2]):
        found, wanted = (sum(by_type[symbol] for symbol in atoms.symbols) for by_type in (fit.energy_shifts_eV, SHIFTS))
        assert found == pytest.approx(-1.25 * wanted)


def test_teacher_frames_of_other_geometries_are_refused(frames):
    with pytest.raises(TrainingError, match=r"geometry of .* differs from the DFT's; delete the"):
        pretraining.fit_teacher(frames[1:3], frames[:2])
    with pytest.raises(TrainingError, match=r"labelled 1 DFT geometries, needed 2"):
        pretraining.fit_teacher(frames[:1], frames[:2])


@pytest.fixture
def two_teachers():
    """One that labels and another that moves, unlike enough to tell their forces apart."""
    labels, moves = (LennardJones(epsilon=epsilon, sigma=2.0) for epsilon in (0.01, 0.02))
    return teacher.Teacher(labels=labels, moves=moves, level="LennardJones")


# ASE would have the centre of mass held by a constraint; the frames of the models that ship were made without.
@pytest.mark.filterwarnings("ignore:The implementation of `fixcm=True`:FutureWarning")
@pytest.mark.parametrize(
    ("job", "count"),
    [
        ({"make": "md", "temperature_K": 300, "timestep_fs": 1.0, "skip": 1, "steps": 5, "every": 2}, 2),
        ({"make": "rattle", "count": 2}, 2),
        ({"make": "contact", "count": 2}, 2),
    ],
)
def test_the_teacher_labels_what_is_moved(two_teachers, job, count):
    made = teacher.labelled(
        {"name": "x", "seed": 1, "a_A": 10.0, "inversion": 0.5, **job}, two_teachers, max_force_eV_per_A=1e6
    )
    assert names(made) == [f"x_{n:03d}" for n in range(count)]
    for atoms in made:
        bare = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)
        bare.calc = two_teachers.labels
        np.testing.assert_allclose(atoms.arrays[data.FORCES_KEY], bare.get_forces(), rtol=0, atol=1e-12)
        assert atoms.info[data.ENERGY_KEY] == bare.get_potential_energy()
        assert atoms.info["level"] == "LennardJones"


def test_the_teacher_leaves_out_large_forces_but_of_geometries_that_are_given(two_teachers, frames, tmp_path):
    data.write_extxyz(tmp_path / "dft.extxyz", frames)
    rattles = {"name": "x", "make": "rattle", "seed": 1, "a_A": 10.0, "count": 2}
    given = {"name": "x", "make": "relabel", "file": str(tmp_path / "dft.extxyz")}
    assert teacher.labelled(rattles, two_teachers, max_force_eV_per_A=1e-6) == []
    again = teacher.labelled(given, two_teachers, max_force_eV_per_A=1e-6)
    assert len(again) == len(frames)
    assert pretraining.fit_teacher(again, frames).force_scale != pytest.approx(1.0)


def asked_of_the_teacher(folder, frames):
    nowhere = folder / "environment"
    return pretraining.teacher_set(folder / "teacher", frames, environment=nowhere, make=False, says=lambda text: None)


def test_a_teacher_that_has_labelled_is_not_needed_again_and_keeps_its_version(frames, tmp_path):
    made = pretraining.fingerprint()
    (tmp_path / "teacher").mkdir()
    labelled = scaled([atoms for _ in range(5) for atoms in frames], factor=0.8)
    for atoms in labelled:
        atoms.info["level"] = "SevenNet-l3i5 (sevenn 0.1)"
    write(tmp_path / "teacher" / f"frames-{made}.extxyz", labelled)
    with pytest.raises(TrainingError, match=r"environment: no bin/python there, .*--teacher-environment"):
        asked_of_the_teacher(tmp_path, frames)
    stem = f"dft-{data.frames_sha256(frames)[:8]}"
    geometries = f"{stem}-{made}.extxyz"
    write(tmp_path / "teacher" / geometries, labelled[: len(frames)])
    asked = [tmp_path / "teacher" / f"{stem}{ending}" for ending in (".extxyz", ".json")]
    for path in asked:
        path.unlink()
    found = asked_of_the_teacher(tmp_path, frames)
    assert not any(path.exists() for path in asked)
    assert found.teacher.startswith("SevenNet-l3i5 (sevenn 0.1), its forces")
    assert found.fit.force_scale == pytest.approx(1.25)
    labelled[0].info["level"] = "SevenNet-l3i5 (sevenn 0.2)"
    write(tmp_path / "teacher" / geometries, labelled[: len(frames)])
    with pytest.raises(
        TrainingError, match=r"found labels of .*sevenn 0\.1\) and .*sevenn 0\.2\), needed those of one"
    ):
        asked_of_the_teacher(tmp_path, frames)


def test_pretraining_split_is_fixed(frames):
    many = [atoms for _ in range(5) for atoms in frames]
    train_part, validation = pretraining.split_pretraining(many)
    assert len(validation) == pretraining.VALIDATION_FRAMES
    assert len(train_part) + len(validation) == len(many)
    assert names(pretraining.split_pretraining(many)[1]) == names(validation)


# ----- inputs ----------------------------------------------------------------------------------------------


@pytest.fixture
def begun(dataset, tmp_path):
    """Begin a stage, give its command and folder."""

    def begin(architecture, **changes):
        stage_folder = tmp_path / architecture
        stage_folder.mkdir(exist_ok=True)
        stage = stage_of(
            architecture, stage_folder, dataset.part("PBE", "train"), dataset.part("PBE", "validation"), **changes
        )
        return trainer_of(architecture).begin(stage), stage

    return begin


def values_of(stage, key):
    """The values of a key in nequip's input, JSON each, in order."""
    text = (stage.folder / "input.yaml").read_text()
    return [json.loads(value) for value in re.findall(rf"\b{key}: (\{{.*\}}|\[.*\]|[-0-9.e]+)[,}}]*$", text, re.M)]


def test_nequip_input_takes_seed_size_and_patience(begun):
    command, stage = begun("nequip", seed=7)
    model = values_of(stage, "model")[0]
    assert (model["seed"], model["num_features"], values_of(stage, "seed")) == (7, [32, 16], [7])
    assert model["type_names"] == ["Li", "P", "S", "Cl"] == values_of(stage, "model_type_names")[0]
    assert values_of(stage, "patience") == [stage.schedule.patience]
    assert command[0] == "nequip-train"


def test_the_learning_rate_ends_at_the_final_one(begun):
    _, stage = begun("nequip")
    gamma = values_of(stage, "gamma")[0]
    last = stage.schedule.learning_rate * gamma**stage.schedule.epochs
    assert last == pytest.approx(stage.schedule.final_learning_rate, rel=1e-4)


def test_mace_arguments_take_seed_size_and_elements(begun):
    command, _ = begun("mace", seed=7)
    options = dict(word.split("=", 1) for word in command if "=" in word)
    assert (options["--seed"], options["--hidden_irreps"]) == ("7", "16x0e+16x1o")
    assert options["--E0s"] == "{3: -1.5, 15: -1.5, 16: -1.5, 17: -1.5}"


def test_deepmd_input_takes_seed_size_and_neighbors(begun):
    _, stage = begun("deepmd", seed=7)
    config = json.loads((stage.folder / "input.json").read_text())
    descriptor = config["model"]["descriptor"]
    assert (config["training"]["seed"], descriptor["seed"], config["model"]["fitting_net"]["seed"]) == (7, 7, 7)
    assert (descriptor["sel"], descriptor["neuron"]) == ([32, 10, 28, 10], [12, 24, 48])
    assert config["training"]["training_data"]["systems"] == [str(stage.folder / "train" / "system_0")]
    assert config["training"]["numb_steps"] == 3 * stage.schedule.epochs  # 5 frames in batches of 2


@pytest.mark.parametrize("schedule", SCHEDULES["deepmd"])
def test_deepmd_ends_with_the_weight_of_energies_that_it_is_judged_by(begun, schedule):
    _, stage = begun("deepmd", schedule=SCHEDULES["deepmd"][schedule])
    config = json.loads((stage.folder / "input.json").read_text())
    loss, rate = config["loss"], config["learning_rate"]
    left = rate["stop_lr"] / rate["start_lr"]
    energy, force = (loss[f"limit_pref_{x}"] * (1 - left) + loss[f"start_pref_{x}"] * left for x in "ef")
    assert loss["intensive_ener_virial"]  # else the weight would be that times the number of atoms
    assert energy / force == pytest.approx(history.ENERGY_WEIGHT, rel=1e-4)


def test_deepmd_is_told_of_all_systems(frames, tmp_path):
    fewer = frames[1][:-1]
    fewer.info, fewer.arrays[data.FORCES_KEY] = frames[1].info, frames[1].arrays[data.FORCES_KEY][:-1]
    several = [frames[0], fewer, frames[2]]
    data.write_deepmd(tmp_path, several, ["Li", "P", "S", "Cl"])
    assert data.system_names(several, ["Li", "P", "S", "Cl"]) == sorted(path.name for path in tmp_path.iterdir())


def put_checkpoint(path, text="weights"):
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights", text)


@pytest.mark.parametrize(
    ("architecture", "checkpoint", "file"),
    [
        ("nequip", "last.ckpt", "input.yaml"),
        ("mace", "checkpoints/mace_run-1_epoch-3.pt", "input.args"),
        ("deepmd", "model.ckpt-3.pt", "input.json"),
    ],
)
def test_a_stage_that_has_moved_goes_on_where_it_is(begun, tmp_path, architecture, checkpoint, file):
    _, stage = begun(architecture)
    put_checkpoint(stage.folder / checkpoint)
    moved = replace(stage, folder=stage.folder.rename(tmp_path / "moved"))
    command = trainer_of(architecture).restart(moved)
    words = " ".join(map(str, command)) + (moved.folder / file).read_text()
    assert str(moved.folder) in words
    assert str(stage.folder) not in words


def test_nequip_keeps_the_epoch_that_its_checkpoint_names(tmp_path):
    stage = short("nequip", tmp_path)
    for number in (0, 2):
        put_checkpoint(nequip.checkpoint(stage, epoch(number, force=1.0)), f"of epoch {number}")
    nequip.tidy(stage, epoch(2, force=1.0))
    assert [path.name for path in tmp_path.iterdir()] == ["best-2.ckpt"]
    nequip.finish(stage, epoch(2, force=1.0))
    assert zipfile.ZipFile(nequip.weights(tmp_path)).read("weights") == b"of epoch 2"


def test_later_stages_start_from_weights(begun, tmp_path):
    start = tmp_path / "before"
    _, stage = begun("nequip", start_from=start)
    model = values_of(stage, "model")[0]
    assert model["model"]["checkpoint_path"] == "../before"
    assert model["modifiers"][0]["shifts"]["P"] == -1.5
    command, _ = begun("mace", start_from=start)
    assert command[:3] == ["python", "-m", "lpsmd.training.mace_finetune"]
    assert f"--foundation_model={start}" in command
    command, _ = begun("deepmd", start_from=start)
    assert command[-2:] == ["--finetune", str(start)]


def test_every_architecture_has_the_same_sizes_and_schedules():
    assert {tuple(sizes) for sizes in SIZES.values()} == {("small", "medium", "large")}
    assert {tuple(schedules) for schedules in SCHEDULES.values()} == {("teacher", "random", "pretrained", "functional")}
    assert cutoff_A(SIZES["deepmd"]["small"]) == 5.5


# ----- logs of the trainers: excerpts of real trainings ------------------------------------------------------


def short(architecture, folder):
    """The stage whose training the excerpts are of: 14 frames in batches of 2, 3 epochs."""
    schedule = replace(SCHEDULE, epochs=3)
    return stage_of(architecture, folder, [None] * 14, [None] * 3, schedule=schedule)


def put(log, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((LOGS / log).read_bytes())


def test_nequip_epochs_are_read(tmp_path):
    assert nequip.epochs(short("nequip", tmp_path)) == []
    put("nequip_metrics.csv", tmp_path / "log" / "version_0" / "metrics.csv")
    found = nequip.epochs(short("nequip", tmp_path))
    assert [entry.epoch for entry in found] == [0, 1, 2]
    assert found[2].step == 21
    assert found[2].validation_force_meV_per_A == pytest.approx(1e3 * 0.7295827385**0.5)
    assert found[2].validation_energy_meV_per_atom == pytest.approx(1e3 * 0.0062112851**0.5)
    assert found[0].train_force_meV_per_A == pytest.approx(1e3 * 1.2034914975**0.5)


def test_after_a_restart_the_later_log_counts(tmp_path):
    put("nequip_metrics.csv", tmp_path / "log" / "version_0" / "metrics.csv")
    (tmp_path / "log" / "version_1").mkdir()
    (tmp_path / "log" / "version_1" / "metrics.csv").write_text(
        "epoch,step,val0_epoch/energy_mse,val0_epoch/forces_mse\n2,20,0.0,0.25\n3,27,0.0,0.16\n"
    )
    found = nequip.epochs(short("nequip", tmp_path))
    assert [round(entry.validation_force_meV_per_A) for entry in found] == [864, 857, 500, 400]


def test_mace_epochs_are_read(tmp_path):
    assert mace.epochs(short("mace", tmp_path)) == []
    put("mace_train.txt", tmp_path / "results" / "mace_run-1_train.txt")
    found = mace.epochs(short("mace", tmp_path))
    assert [entry.epoch for entry in found] == [0, 1, 2]
    last = json.loads((LOGS / "mace_train.txt").read_text().splitlines()[-1])
    assert found[2].validation_force_meV_per_A == pytest.approx(1e3 * last["rmse_f"])
    assert found[2].validation_energy_meV_per_atom == pytest.approx(1e3 * last["rmse_e_per_atom"])


def mace_checkpoints(stage):
    """What is in the checkpoints, by their number."""
    paths = (stage.folder / "checkpoints").glob("mace_run-1_epoch-*.pt")
    return {int(path.stem.split("-")[-1]): zipfile.ZipFile(path).read("weights").decode() for path in paths}


def put_mace_checkpoint(stage, number, text):
    put_checkpoint(mace.checkpoint(stage, epoch(number, force=1.0)), text)


def test_mace_goes_on_after_its_best_epoch_and_leaves_it(begun):
    _, stage = begun("mace")
    put_mace_checkpoint(stage, 4, "four")
    mace.checkpoint(stage, epoch(6, force=1.0)).write_text("PK half")
    for _ in range(2):  # killed before the next epoch has ended: that one again
        assert mace.restart(stage)[-1] == "--restart_latest"
        assert mace_checkpoints(stage) == {4: "four", 5: "four"}
    put_mace_checkpoint(stage, 5, "five")
    mace.restart(stage)
    assert mace_checkpoints(stage) == {4: "four", 5: "five", 6: "five"}
    mace.checkpoint(stage, epoch(7, force=1.0)).write_text("PK half")
    assert mace.finish(stage, epoch(4, force=1.0))[-1] == "--max_num_epochs=0"
    assert mace_checkpoints(stage) == {4: "four"}


def test_deepmd_epochs_are_read(tmp_path):
    assert deepmd.epochs(short("deepmd", tmp_path)) == []
    put("deepmd_val_ema.log", tmp_path / "val_ema.log")
    put("deepmd_lcurve.out", tmp_path / "lcurve.out")
    found = deepmd.epochs(short("deepmd", tmp_path))
    assert [(entry.epoch, entry.step) for entry in found] == [(0, 7), (1, 14), (2, 21)]
    last = found[2]
    assert (last.validation_force_meV_per_A, last.validation_energy_meV_per_atom) == (896.23, 322.05)
    assert (last.train_force_meV_per_A, last.train_energy_meV_per_atom) == pytest.approx((956, 67.4))
    assert last.learning_rate == 2e-5


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    put("deepmd_val_ema.log", tmp_path / "val_ema.log")
    with (tmp_path / "val_ema.log").open("a") as stream:
        stream.write("   28       302.1")
    assert len(deepmd.epochs(short("deepmd", tmp_path))) == 3


# ----- early stopping --------------------------------------------------------------------------------------


def course(*forces):
    return [epoch(number, force=force) for number, force in enumerate(forces)]


@pytest.mark.parametrize(
    ("forces", "patience", "stop"),
    [
        ([9, 8, 7, 6, 5], 2, None),
        ([9, 8, 8, 8, 1], 2, 3),  # as good as the best is no better
        ([9, 10, 8, 9, 10], 2, 4),
        ([9, 10, 8, 9], 2, None),
        ([float("nan"), float("nan"), 3], 2, 1),
    ],
)
def test_a_stage_ends_after_epochs_without_improvement(forces, patience, stop):
    assert history.stop_index(course(*forces), patience=patience) == stop


def test_what_comes_after_the_stop_does_not_count():
    counted = history.until_stop(course(9, 8, 8, 8, 1), patience=2)
    assert history.best_of(counted).epoch == 1


def test_the_score_weighs_energies():
    better_forces, better_energy = epoch(0, force=60.0, energy=10.0), epoch(1, force=65.0, energy=2.0)
    assert history.best_of([better_forces, better_energy]) is better_energy
    assert better_forces.score_meV_per_A == pytest.approx((60.0**2 + 50.0 * 10.0**2) ** 0.5)


def test_times_are_those_at_which_epochs_were_first_seen():
    before = [epoch(0, force=9.0, wall_s=3.0)]
    timed = history.with_times(course(9, 8), before, wall_s=7.04)
    assert [entry.wall_s for entry in timed] == [3.0, 7.0]


def test_the_csv_holds_all_stages_and_is_read_again(tmp_path):
    known = [epoch(0, force=60.5, energy=3.25, train_force_meV_per_A=40.0, wall_s=12.5), epoch(1, force=59.0)]
    history.write_csv(tmp_path / "one.csv", [Course(stage="PBE", epochs=tuple(known))])
    assert history.read_csv(tmp_path / "one.csv") == known
    both = [Course(stage=name, epochs=tuple(known)) for name in ("PBE", "HSE06")]
    history.write_csv(tmp_path / "both.csv", both)
    lines = (tmp_path / "both.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines] == [
        ["stage", "epoch"], ["PBE", "1"], ["PBE", "2"], ["HSE06", "1"], ["HSE06", "2"],
    ]  # fmt: skip


# ----- the driver of a stage ---------------------------------------------------------------------------------


class Watching:
    """Keeps what it is told."""

    def __init__(self):
        self.said, self.courses = [], []

    def says(self, text):
        self.said.append(text)

    def course(self, course):
        self.courses.append(course)

    def epoch(self, stage, latest, best):
        pass

    def ended(self, stage, outcome):
        pass


# A program named like deepmd's, that writes its files: validation errors come from the file errors.txt. It sleeps where
# dp would train, so that the driver can be seen to stop, to go on and to keep.
DP = """\
import sys, time, zipfile
from pathlib import Path
errors = [float(word) for word in Path("../errors.txt").read_text().split()]
first = int(sys.argv[-1].split("-")[1].split(".")[0]) if "--restart" in sys.argv else 0
with Path("../starts.txt").open("a") as log:
    log.write(f"{first}\\n")
with Path("val_ema.log").open("a" if first else "w") as log:
    if not first:
        log.write("# step E_RMSE(meV/atom) F_RMSE(meV/A)\\n")
    for step, error in list(enumerate(errors, 1))[first:]:
        if error < 0:
            time.sleep(60)
        log.write(f"{step} 0.0 {error}\\n")
        log.flush()
        time.sleep(0.5 * (error % 1 == 0.25))
        for name in ("model.ckpt", "model_ema.ckpt"):
            with zipfile.ZipFile(f"{name}-{step}.pt", "w") as archive:
                archive.writestr("weights", f"{name} of step {step}")
"""


@pytest.fixture
def driven(tmp_path, monkeypatch, dataset):
    """Run a stage of one step an epoch with the validation errors given."""
    monkeypatch.setattr(environments, "POLL_SECONDS", 0.02)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "dp").write_text(f"#!{sys.executable}\n{DP}")
    (programs / "dp").chmod(0o755)
    tools = stages.Tools(programs=programs, versions={}, module_folder=tmp_path, threads=1, device="cpu")
    schedule = Schedule(epochs=25, batch_size=5, learning_rate=1e-3, final_learning_rate=1e-5)
    train_part, validation = dataset.part("PBE", "train"), dataset.part("PBE", "validation")

    def run(*errors, watcher=None, budget_s=None, **changes):
        (tmp_path / "errors.txt").write_text(" ".join(map(str, errors)))
        stage = stage_of("deepmd", tmp_path / "stage", train_part, validation, schedule=schedule, **changes)
        return stages.run_stage("deepmd", stage, tools=tools, watcher=watcher or Watching(), budget_s=budget_s)

    run.folder = tmp_path
    return run


def kept(outcome):
    return zipfile.ZipFile(outcome.weights).read("weights").decode()


def test_the_best_epoch_is_kept(driven):
    outcome = driven(9, 7, 8, 8.5)
    assert (outcome.ended, outcome.epochs_run, outcome.best.epoch) == ("by the trainer", 4, 1)
    assert kept(outcome) == "model_ema.ckpt of step 2"


def test_the_full_length_is_told_from_an_early_end(driven):
    assert driven(*range(50, 25, -1)).ended == "full length"


def test_early_stopping_ends_the_trainer(driven):
    outcome = driven(9, 7, 8, 8, 8, 8, 8, -1, 1)
    assert (outcome.ended, outcome.epochs_run, kept(outcome)) == ("no improvement", 7, "model_ema.ckpt of step 2")


def test_time_ends_the_trainer_with_what_it_has(driven):
    outcome = driven(9, 7, -1, 1, budget_s=0.5)
    assert (outcome.ended, outcome.epochs_run, kept(outcome)) == ("out of time", 2, "model_ema.ckpt of step 2")


def test_time_ends_no_trainer_before_its_first_checkpoint(driven):
    # Half a second for the first: its line is in the log, its checkpoint is not there yet.
    outcome = driven(9.25, -1, 1, budget_s=0.1)
    assert (outcome.ended, outcome.epochs_run, kept(outcome)) == ("out of time", 1, "model_ema.ckpt of step 1")


def test_needless_checkpoints_are_deleted(driven):
    driven(9, 8, 7, 6, 5, 5.5)
    left = sorted(path.name for path in (driven.folder / "stage").glob("model*"))
    assert left == ["model.ckpt-6.pt", "model_ema.ckpt-5.pt"]


def test_a_finished_stage_is_kept(driven):
    first = driven(9, 7)
    watcher = Watching()
    assert driven(9, 7, watcher=watcher) == first
    assert (driven.folder / "starts.txt").read_text().split() == ["0"]
    assert [entry.epochs for entry in watcher.courses] == [first.course.epochs]


def test_a_killed_training_goes_on(driven):
    code = (
        f"import sys; sys.path[:0] = {[*sys.path]!r}\n"
        "from pathlib import Path\nimport time\n"
        "from lpsmd.training.environments import locked, run_logged\n"
        f"folder = Path({str(driven.folder)!r})\n"
        "with locked(folder / 'stage.lock', 'stage') as lock:\n"
        "    run_logged([folder / 'bin' / 'dp'], log_file=folder / 'dp.log', folder=folder / 'stage', threads=1,\n"
        "               variables=lock.environment)\n"
    )
    (driven.folder / "errors.txt").write_text("9 7 -1")
    driver = subprocess.Popen([sys.executable, "-c", code])
    log = driven.folder / "stage" / "val_ema.log"
    deadline = time.monotonic() + 30
    while not (log.is_file() and len(log.read_text().splitlines()) == 3):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(TrainingError, match=rf"found process {driver.pid} on .* at work there; wait until"):
        driven(9, 7, 6)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    outcome = driven(9, 7, 6)
    assert (driven.folder / "starts.txt").read_text().split() == ["0", "2"]
    assert (outcome.epochs_run, kept(outcome)) == (3, "model_ema.ckpt of step 3")


def test_what_trainings_share_is_made_by_one_after_the_other(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(environments, "POLL_SECONDS", 0.01)
    caplog.set_level("INFO")
    order = []

    def second():
        with environments.in_turn(tmp_path / "x.lock", "x"):
            order.append("second")

    other = threading.Thread(target=second)
    with environments.in_turn(tmp_path / "x.lock", "x"):
        other.start()
        deadline = time.monotonic() + 30
        while "waits for it" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_a_killed_maker_of_what_trainings_share_leaves_no_program_behind(tmp_path):
    code = (
        f"import sys; sys.path[:0] = {[*sys.path]!r}\n"
        "from pathlib import Path\n"
        "from lpsmd.training.environments import in_turn, run_logged\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "with in_turn(folder / 'x.lock', 'x') as lock:\n"
        "    run_logged(['sleep', '600'], log_file=folder / 'x.log', folder=folder, threads=1,\n"
        "               variables=lock.environment)\n"
    )
    maker = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 30
    while not processes_in(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    maker.kill()
    maker.wait()
    assert processes_in(tmp_path)  # the program outlives its maker
    with environments.in_turn(tmp_path / "x.lock", "x"):
        assert not processes_in(tmp_path)


def test_what_another_has_installed_meanwhile_is_not_installed_again(tmp_path, monkeypatch):
    def by_another(name, environment, lock):
        raise AssertionError

    @contextmanager
    def waited(path, what):
        """Until the other is done."""
        (tmp_path / "nequip").mkdir()
        (tmp_path / "nequip" / "lpsmd-ready.txt").write_text("")
        yield

    monkeypatch.setattr(environments, "_install", by_another)
    monkeypatch.setattr(environments, "in_turn", waited)
    with pytest.raises(TrainingError, match="no bin/python there"):  # installed, it is told, and so looked into
        environments.prepare("nequip", tmp_path / "nequip", make=True)


def test_a_stage_killed_behind_its_last_epoch_runs_no_other(driven):
    first = driven(9, 7, 8, 8, 8, 8, 8)
    (driven.folder / "stage" / "finished.json").unlink()
    again = driven(9, 7, 8, 8, 8, 8, 8, 1)
    assert (driven.folder / "starts.txt").read_text().split() == ["0"]
    assert (again.ended, again.best, kept(again)) == (first.ended, first.best, kept(first))


def test_half_a_checkpoint_is_none(driven):
    stage_folder = driven.folder / "stage"
    stage_folder.mkdir()
    (stage_folder / "model.ckpt-3.pt").write_text("PK half")
    driven(9, 7)
    assert (driven.folder / "starts.txt").read_text().split() == ["0"]


@pytest.mark.parametrize("errors", [(), (float("nan"), float("nan"))])
def test_a_training_without_a_usable_epoch_is_an_error(driven, errors):
    with pytest.raises(TrainingError, match=rf"found {len(errors)} epochs, none with finite errors and .*train\.log"):
        driven(*errors)


def test_a_failed_program_shows_the_end_of_its_log(tmp_path):
    code = "import sys; print('the last words'); sys.exit(3)"
    with pytest.raises(TrainingError, match=r"(?s)exit status 3, needed 0; .*the last words"):
        environments.run_logged([sys.executable, "-c", code], log_file=tmp_path / "x.log", folder=tmp_path, threads=1)


def test_the_key_of_a_stage_sees_seed_size_and_labels(dataset, tmp_path):
    stage = stage_of("mace", tmp_path, dataset.part("PBE", "train"), dataset.part("PBE", "validation"))
    others = [
        stage,
        replace(stage, seed=2),
        replace(stage, network=SIZES["mace"]["large"]),
        replace(stage, train=dataset.part("HSE06", "train")),
    ]
    keys = {stages.stage_key("mace", other, versions={"mace-torch": "0.3.16"}) for other in others}
    assert len(keys) == len(others)
    elsewhere = replace(stage, folder=tmp_path / "x", device="cuda")
    assert stages.stage_key("mace", elsewhere, versions={"mace-torch": "0.3.16"}) in keys
    assert stages.stage_key("mace", stage, versions={"mace-torch": "0.3.17"}) not in keys


@pytest.mark.parametrize(
    ("architecture", "module", "name", "value"),
    [
        ("nequip", nequip, "_TEACHER_LOSSES", ("L1Loss", "L1Loss")),
        ("nequip", nequip, "ENERGY_WEIGHT", 1.0),
        ("mace", mace, "_FORCES_WEIGHT", 10.0),
        ("deepmd", deepmd, "_START_FORCE_WEIGHT", 1000.0),
        ("deepmd", deepmd, "VALIDATION_BATCH", 1),
    ],
)
def test_the_key_of_a_stage_sees_constants(dataset, tmp_path, monkeypatch, architecture, module, name, value):
    stage = stage_of(architecture, tmp_path, dataset.part("PBE", "train"), [], name="teacher")
    before = stages.stage_key(architecture, stage, versions={})
    monkeypatch.setattr(module, name, value)
    assert stages.stage_key(architecture, stage, versions={}) != before


def test_the_key_of_a_stage_sees_weights_and_not_where_they_are(dataset, tmp_path):
    keys = []
    for number, content in enumerate((b"one", b"one", b"other")):
        start = tmp_path / f"{number}.model"
        start.write_bytes(content)
        stage = stage_of("mace", tmp_path, dataset.part("PBE", "train"), [], start_from=start)
        keys.append(stages.stage_key("mace", stage, versions={}))
    assert keys[0] == keys[1] != keys[2]


# ----- plan, record, command ---------------------------------------------------------------------------------


def plan_of(**changes):
    values = {
        "architecture": "nequip", "functional": "HSE06", "seed": 3,
        "data": Path("data"), "output": Path("m.pt"), "workdir": Path("work"),
    }  # fmt: skip
    return TrainingPlan(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "gap"}, "architecture: found 'gap', needed one of nequip, mace, deepmd"),
        ({"functional": "LDA"}, "functional: found 'LDA', needed one of PBE, HSE06"),
        ({"size": "huge"}, "size: found 'huge', needed one of small, medium, large"),
        ({"pretraining": "mace"}, "pretraining: found 'mace', needed one of none, sevennet"),
        ({"max_hours": 0.0}, "max_hours: found 0.0, needed more than 0"),
        ({"foundation": Path("x.model")}, "foundation: found one for nequip, needed mace: a nequip package"),
        (
            {"architecture": "mace", "foundation": Path("x.model")},
            r"x\.model: no such file, needed a MACE",
        ),
    ],
)
def test_bad_plans_are_refused(changes, message):
    with pytest.raises(TrainingError, match=message):
        plan_of(**changes)


def test_a_foundation_model_brings_its_network(tmp_path):
    model = tmp_path / "foundation.model"
    model.write_bytes(b"")
    assert plan_of(architecture="mace", foundation=model).size_name == "foundation"
    with pytest.raises(TrainingError, match="size: found large with a foundation model"):
        plan_of(architecture="mace", foundation=model, size="large")
    with pytest.raises(TrainingError, match="pretraining: found sevennet with a foundation model"):
        plan_of(architecture="mace", foundation=model, pretraining="sevennet")


@pytest.mark.parametrize("whole", [True, False])
def test_a_foundation_file_that_is_no_model_of_mace_is_named(tmp_path, whole):
    import torch

    path = tmp_path / "checkpoint.model"
    torch.save({"model": {}}, path)
    path.write_bytes(path.read_bytes()[: None if whole else 300])
    with pytest.raises(TrainingError, match=r"checkpoint\.model: no model of MACE can be read there: .*; take its"):
        mace_finetune.read_network(path)


def test_stages_are_those_of_the_functional():
    assert plan_of().stages == ("PBE", "HSE06")
    assert plan_of(functional="PBE", pretraining="sevennet").stages == ("teacher", "PBE")


@pytest.mark.parametrize(
    ("name", "before", "foundation", "kind"),
    [
        ("teacher", None, None, "teacher"),
        ("PBE", None, None, "random"),
        ("PBE", "teacher", None, "pretrained"),
        ("PBE", None, Path("x.model"), "pretrained"),
        ("HSE06", "PBE", None, "functional"),
    ],
)
def test_a_stage_has_the_schedule_of_what_it_starts_from(dataset, tmp_path, name, before, foundation, kind):
    earlier = [stage_of("mace", tmp_path, dataset.part("PBE", "train"), [], name=before)] if before else []
    done = [(stage, outcome_of(stage, tmp_path)) for stage in earlier]
    if foundation is not None:
        foundation = tmp_path / foundation
        foundation.write_bytes(b"")
    plan = plan_of(architecture="mace", foundation=foundation)
    assert pipeline._schedule(plan, name, done) == SCHEDULES["mace"][kind]


def outcome_of(stage, folder):
    found = (epoch(0, force=60.0, energy=3.0),)
    return stages.Outcome(
        stage=stage.name, weights=folder / "weights.ckpt", weights_sha256=f"of {stage.name}", ended="no improvement",
        epochs_run=1, best=found[0], wall_s=12.0, course=Course(stage=stage.name, epochs=found),
    )  # fmt: skip


def test_the_record_names_data_parent_and_stages(dataset, tmp_path):
    done = [
        (stage, outcome_of(stage, tmp_path))
        for name in ("PBE", "HSE06")
        for stage in [
            stage_of("nequip", tmp_path, dataset.part(name, "train"), dataset.part(name, "validation"), name=name)
        ]
    ]
    found = record.training_record(
        plan_of(size="small"), dataset, stages=done, teacher=None, foundation_sha256=None,
        held_out={"frames": 2}, difference={"frames": 2, "r2": 0.1},
    )  # fmt: skip
    assert json.loads(json.dumps(found)) == found
    assert (found["seed"], found["size"], found["stress_labels"]) == (3, "small", False)
    assert found["parent"] == {
        "functional": "PBE", "weights_sha256": "of PBE", "training_set_sha256": dataset.sha256("PBE"),
    }  # fmt: skip
    assert [(entry["stage"], entry["frames"], entry["best_epoch"]) for entry in found["stages"]] == [
        ("PBE", 5, 1), ("HSE06", 5, 1),
    ]  # fmt: skip
    assert found["data"]["HSE06"]["test_frames"] == ["md900_chgnet_r2scan_017", "rattle_111"]
    assert found["functional_difference"]["base"] == "PBE"
    assert found["command"].startswith("lpsmd train nequip --functional HSE06 --seed 3 --data data --size small")


def test_the_record_says_whose_network_a_foundation_model_has(dataset, tmp_path):
    model = tmp_path / "foundation.model"
    model.write_bytes(b"")
    stage = stage_of("mace", tmp_path, dataset.part("PBE", "train"), dataset.part("PBE", "validation"), network={})
    found = record.training_record(
        plan_of(architecture="mace", functional="PBE", foundation=model), dataset,
        stages=[(stage, outcome_of(stage, tmp_path))], teacher=None, foundation_sha256="of the file",
        held_out={}, difference=None,
    )  # fmt: skip
    assert found["network"] == "as in the foundation file, with the elements of the frames"
    assert found["foundation"] == {"file": "foundation.model", "sha256": "of the file"}


def test_the_reference_is_a_frame_of_dynamics(dataset):
    validation = dataset.part("PBE", "validation")
    assert pipeline._reference(validation).info["frame"] == "md900_chgnet_r2scan_010"
    assert pipeline._reference(validation[:1]).info["frame"] == "hop_112"


def test_other_elements_need_no_teacher(tmp_path):
    members = labelled_frames("PBE")
    for atoms in members:
        atoms.symbols[atoms.symbols == "Cl"] = "Br"
    write_dataset(tmp_path, pbe=members)
    plan = plan_of(functional="PBE", data=tmp_path, workdir=tmp_path / "work", pretraining="sevennet")
    with pytest.raises(TrainingError, match=r"found frames of Li, P, S, Br, needed Li, P, S, Cl, .*--pretraining none"):
        pipeline.train_model(plan, watcher=Watching())


@pytest.mark.parametrize("name", ["workdir", "output"])
def test_a_folder_that_cannot_be_written_is_named_first(tmp_path, folder, name):
    (tmp_path / "file").write_text("")
    paths = {"workdir": tmp_path / "work", "output": tmp_path / "m.pt", name: tmp_path / "file" / "new" / "m.pt"}
    with pytest.raises(TrainingError, match=r"file/new.*: cannot be written: Not a directory; take another --workdir"):
        pipeline.train_model(plan_of(functional="PBE", data=folder, **paths), watcher=Watching())


def test_a_folder_that_is_no_environment_is_named(tmp_path, folder):
    answer = CliRunner().invoke(
        train,
        [
            "nequip", "--functional", "PBE", "--seed", "1", "--data", str(folder), "-o", str(tmp_path / "m.pt"),
            "--workdir", str(tmp_path / "work"), "--environment", str(tmp_path),
        ],
    )  # fmt: skip
    assert isinstance(answer.exception, TrainingError)
    assert "no bin/python there, needed a virtual environment" in str(answer.exception)


def test_an_environment_without_the_trainer_is_named():
    with pytest.raises(TrainingError, match=r"found no package nequip in .*needed the environment of"):
        environments.prepare("nequip", Path(sys.prefix), make=False)


def test_the_trainer_gets_this_lpsmd_and_no_other(tmp_path):
    import lpsmd

    (tmp_path / "module").mkdir()
    (tmp_path / "module" / "lpsmd").symlink_to(tmp_path)
    link = environments.module_folder(tmp_path) / "lpsmd"
    assert link.resolve() == Path(lpsmd.__file__).parent.resolve()


def test_requirements_pin_the_same_torch():
    for path in sorted(environments.REQUIREMENTS.glob("*.txt")):
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        assert lines[0] == "torch==2.13.0", path.name
        assert all("==" in line for line in lines), path.name


def test_an_epoch_is_told_in_one_line(dataset, tmp_path):
    stage = stage_of("nequip", tmp_path, dataset.part("PBE", "train"), dataset.part("PBE", "validation"))
    latest, best = epoch(9, force=61.24, energy=3.217, wall_s=420.0), epoch(7, force=60.0, energy=3.0)
    assert watching.epoch_line(stage, latest, best) == (
        "PBE: epoch 10 of at most 300, validation 61.2 meV/Å, 3.22 meV/atom; best 60.0 meV/Å, 3.00 meV/atom in epoch 8"
        "; at most 3.4 h left"
    )
    last = epoch(299, force=61.24, energy=3.217, wall_s=420.0)
    assert watching.epoch_line(stage, last, best).endswith("in epoch 8")


def test_help_names_the_default_size():
    assert f"[default: {DEFAULT_SIZE}]" in " ".join(CliRunner().invoke(train, ["--help"]).output.split())
