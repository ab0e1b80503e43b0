"""Training: split, sets, trainer inputs, and the errors a user can meet. No trainer is run here."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lpsmd.cli.train import train
from lpsmd.training import data, environments, pipeline, pretraining, trainers
from lpsmd.training.record import training_record
from tolerances import TRAINING_ENERGY_EV


@pytest.fixture(scope="module")
def dft():
    return {name: data.read_dft(name) for name in data.FUNCTIONALS}


@pytest.fixture(scope="module")
def split(dft):
    return data.split_geometries(dft["PBE"], dft["HSE06"])


def names(frames):
    return [atoms.info["frame"] for atoms in frames]


# ----- frames and split ------------------------------------------------------------------------------------


def test_shipped_frames_are_complete(dft):
    assert (len(dft["PBE"]), len(dft["HSE06"])) == (61, 55)
    for frames in dft.values():
        assert {atoms.info["group"] for atoms in frames} == {
            "hop", "md_chgnet_pbe", "md_chgnet_r2scan", "rattle", "strain",
        }  # fmt: skip
        for atoms in frames:
            assert atoms.get_chemical_formula("hill") == "Cl4Li24P4S20"
            assert atoms.arrays[data.FORCES_KEY].shape == (52, 3)


def test_both_functionals_label_the_same_geometries(dft):
    pbe = {atoms.info["frame"]: atoms for atoms in dft["PBE"]}
    for atoms in dft["HSE06"]:
        np.testing.assert_array_equal(atoms.positions, pbe[atoms.info["frame"]].positions)


def test_split_is_disjoint_complete_and_common(dft, split):
    parts = [set(split.train), set(split.validation), set(split.held_out)]
    assert set.union(*parts) == set(names(dft["PBE"]))
    assert sum(map(len, parts)) == len(dft["PBE"])
    assert set(split.held_out) <= set(names(dft["HSE06"]))
    assert len(split.held_out) >= data.HELD_OUT_FRACTION * len(dft["HSE06"])


def test_held_out_dynamics_is_the_tail_of_each_trajectory(dft, split):
    for group in ("md_chgnet_pbe", "md_chgnet_r2scan"):
        times = [n for n in names(dft["PBE"]) if data.frame_kind(n) == group]
        held = [n for n in times if n in split.held_out]
        assert held == times[-len(held) :]


def test_split_does_not_depend_on_the_order_of_frames(dft, split):
    assert data.split_geometries(dft["PBE"][::-1], dft["HSE06"][::-1]).held_out == split.held_out


def test_energy_shifts_reproduce_the_mean_energy(dft):
    shifts = np.array([data.energy_shifts_eV(dft["PBE"])[name] for name in data.TYPE_NAMES])
    residual = data.energies_eV(dft["PBE"]) - data.composition(dft["PBE"]) @ shifts
    assert abs(residual.mean()) < TRAINING_ENERGY_EV


def test_deepmd_sets_hold_the_same_numbers(dft, tmp_path):
    frames = dft["PBE"][:3]
    shuffled = [atoms[np.random.default_rng(3).permutation(len(atoms))] for atoms in frames]
    data.write_deepmd(tmp_path, shuffled)
    system = tmp_path / "system_0"
    types = np.loadtxt(system / "type.raw", dtype=int)
    assert (np.diff(types) >= 0).all()
    forces = np.load(system / "set.000" / "force.npy").reshape(3, 52, 3)
    for found, atoms in zip(forces, frames, strict=True):
        for kind, name in enumerate(data.TYPE_NAMES):
            chosen = np.array(atoms.get_chemical_symbols()) == name
            wanted = atoms.arrays[data.FORCES_KEY][chosen]
            np.testing.assert_allclose(np.sort(found[types == kind], axis=0), np.sort(wanted, axis=0))
    np.testing.assert_allclose(np.load(system / "set.000" / "energy.npy"), data.energies_eV(frames))


def test_set_hash_sees_every_number(dft):
    frames = [atoms.copy() for atoms in dft["PBE"][:2]]
    before = data.training_set_sha256(frames)
    frames[1].arrays[data.FORCES_KEY][5, 2] += 1e-9
    assert data.training_set_sha256(frames) != before


def test_unknown_functional_is_named():
    with pytest.raises(data.TrainingError, match=r"'SCAN' has no DFT frames here; choose one of PBE, HSE06"):
        data.read_dft("SCAN")


def test_missing_frames_are_named(tmp_path):
    with pytest.raises(data.TrainingError, match=r"pbe\.extxyz does not exist; it should hold the PBE frames"):
        data.read_dft("PBE", folder=tmp_path)


def test_frame_without_name_is_refused(tmp_path):
    (tmp_path / "pbe.extxyz").write_text('1\nLattice="9 0 0 0 9 0 0 0 9" pbc="T T T"\nLi 0 0 0\n')
    with pytest.raises(data.TrainingError, match="frame 0 lacks the key 'frame', an energy or forces"):
        data.read_dft("PBE", folder=tmp_path)


# ----- teacher ---------------------------------------------------------------------------------------------


def scaled(frames, *, factor, shift):
    return pretraining.rescale(
        frames,
        pretraining.TeacherFit(
            force_scale=factor,
            energy_shift_eV=shift,
            force_rms_before_eV_per_A=0.0,
            force_rms_after_eV_per_A=0.0,
        ),
    )


def test_teacher_fit_finds_a_known_scale_and_shift(dft):
    frames = dft["PBE"][:6]
    fit = pretraining.fit_teacher(scaled(frames, factor=0.8, shift=5.0), frames)
    assert fit.force_scale == pytest.approx(1.25)
    assert fit.energy_shift_eV == pytest.approx(-6.25)
    assert fit.force_rms_after_eV_per_A == pytest.approx(0.0, abs=TRAINING_ENERGY_EV)


def test_teacher_frames_of_other_geometries_are_refused(dft):
    with pytest.raises(data.TrainingError, match=r"geometry of .* differs from the DFT's; delete the"):
        pretraining.fit_teacher(dft["PBE"][1:3], dft["PBE"][:2])
    with pytest.raises(data.TrainingError, match=r"labelled 1 DFT geometries, needed 2"):
        pretraining.fit_teacher(dft["PBE"][:1], dft["PBE"][:2])


def test_pretraining_split_is_fixed(dft):
    frames = dft["PBE"]
    train_part, validation = pretraining.split_pretraining(frames)
    assert len(validation) == pretraining.VALIDATION_FRAMES
    assert sorted(names(train_part) + names(validation)) == names(frames)
    assert names(pretraining.split_pretraining(frames)[1]) == names(validation)


# ----- trainer inputs --------------------------------------------------------------------------------------


def stage_input(folder: Path, architecture: str, **changes) -> trainers.StageInput:
    plan = trainers.StageInput(
        stage="PBE",
        schedule=trainers.SCHEDULES[architecture]["PBE"],
        folder=folder,
        train=folder / "train",
        validation=folder / "validation",
        n_train=48,
        average_neighbors=27.0,
        shifts_eV=dict.fromkeys(data.TYPE_NAMES, -1.5),
        start_from=None,
        dtype="float32",
        seed=1,
    )
    return replace(plan, **changes)


def test_nequip_input_counts_the_steps_of_its_schedule(tmp_path):
    path, command = trainers.write_input("nequip", stage_input(tmp_path, "nequip"))
    assert "total_steps: 6000" in path.read_text()  # 250 epochs of 48 frames in batches of 2
    assert command[:3] == ["nequip-train", "-cp", str(tmp_path)]


def test_fine_tuning_starts_from_the_stage_before(tmp_path):
    start = tmp_path / "before"
    for architecture, expected in (
        ("nequip", f"checkpoint_path: {start}"),
        ("mace", f"--foundation_model={start}"),
        ("deepmd", None),
    ):
        path, command = trainers.write_input(
            architecture, stage_input(tmp_path / architecture, architecture, start_from=start)
        )
        if expected is None:
            assert command[-2:] == ["--finetune", str(start)]
        else:
            assert expected in path.read_text()


def test_mace_decay_ends_at_the_final_rate(tmp_path):
    _, command = trainers.write_input("mace", stage_input(tmp_path, "mace"))
    options = dict(word.split("=", 1) for word in command if "=" in word)
    schedule = trainers.SCHEDULES["mace"]["PBE"]
    last = schedule.learning_rate * float(options["--lr_scheduler_gamma"]) ** schedule.epochs
    assert last == pytest.approx(schedule.final_learning_rate, rel=1e-2)


def test_deepmd_input_is_json_with_the_systems(tmp_path, dft):
    data.write_deepmd(tmp_path / "train", dft["PBE"][:2])
    path, _ = trainers.write_input("deepmd", stage_input(tmp_path, "deepmd"))
    config = json.loads(path.read_text())
    assert config["training"]["training_data"]["systems"] == [str(tmp_path / "train" / "system_0")]
    assert config["model"]["type_map"] == list(data.TYPE_NAMES)


def test_progress_is_read_from_the_trainers_files(tmp_path):
    plan = stage_input(tmp_path, "deepmd")
    assert trainers.progress("deepmd", plan) == 0.0
    (tmp_path / "lcurve.out").write_text("# step\n  1250 1.0 2.0\n")
    assert trainers.progress("deepmd", plan) == pytest.approx(0.5)
    mace = stage_input(tmp_path, "mace")
    (tmp_path / "train.log").write_text("INFO: Epoch 75: loss=1\n")
    assert trainers.progress("mace", mace) == pytest.approx(0.5)
    nequip = stage_input(tmp_path, "nequip")
    metrics = tmp_path / "log" / "version_0" / "metrics.csv"
    metrics.parent.mkdir(parents=True)
    metrics.write_text("")
    assert trainers.progress("nequip", nequip) == 0.0
    metrics.write_text("epoch,step,loss\n125,3000,0.1\n")
    assert trainers.progress("nequip", nequip) == pytest.approx(0.5)


# ----- running -----------------------------------------------------------------------------------------------


def test_a_failed_program_shows_the_end_of_its_log(tmp_path):
    code = "import sys; print('the last words'); sys.exit(3)"
    with pytest.raises(data.TrainingError, match=r"(?s)exit status 3, needed 0; .*the last words"):
        environments.run_logged([sys.executable, "-c", code], log_file=tmp_path / "x.log", folder=tmp_path, threads=1)


def a_trainer(folder: Path, body: str) -> Path:
    """A program named like deepmd's, to see what the driver does with one that runs."""
    folder.mkdir()
    program = folder / "dp"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return folder


def test_a_finished_stage_is_not_run_again_and_a_changed_one_is(tmp_path, dft):
    data.write_deepmd(tmp_path / "train", dft["PBE"][:2])
    bin_folder = a_trainer(tmp_path / "bin", "echo run >> ../runs; echo weights > model.ckpt.pt")
    plan = stage_input(tmp_path / "stage", "deepmd", train=tmp_path / "train")

    def run(stage):
        return pipeline.run_stage("deepmd", stage, bin_folder=bin_folder, threads=1, report=lambda name, done: None)

    assert run(plan).read_text() == "weights\n"
    run(plan)
    assert (tmp_path / "runs").read_text().split() == ["run"]
    run(replace(plan, seed=2))
    assert (tmp_path / "runs").read_text().split() == ["run", "run"]


def test_a_trainer_that_writes_no_weights_is_an_error(tmp_path):
    bin_folder = a_trainer(tmp_path / "bin", "true")
    with pytest.raises(data.TrainingError, match=r"ended without writing .*model\.ckpt\.pt; see its log"):
        pipeline.run_stage(
            "deepmd",
            stage_input(tmp_path / "stage", "deepmd"),
            bin_folder=bin_folder,
            threads=1,
            report=lambda name, done: None,
        )


def test_a_folder_that_is_no_environment_is_named(tmp_path):
    answer = CliRunner().invoke(
        train,
        ["nequip", "--functional", "PBE", "-o", str(tmp_path / "m.pt"), "--environment", str(tmp_path)],
    )
    assert isinstance(answer.exception, data.TrainingError)
    assert "no bin/python there, needed a virtual environment" in str(answer.exception)


def test_an_environment_without_the_trainer_is_named():
    with pytest.raises(data.TrainingError, match=r"found no package nequip in .*needed the environment of"):
        environments.prepare("nequip", Path(sys.prefix), make=False)


@pytest.mark.parametrize(
    ("architecture", "functional", "text"),
    [("gap", "PBE", "'gap' cannot be trained"), ("mace", "LDA", "'LDA' has no DFT frames")],
)
def test_unknown_words_are_named(tmp_path, architecture, functional, text):
    with pytest.raises(data.TrainingError, match=text):
        pipeline.train_model(architecture, functional=functional, output=tmp_path / "m.pt", workdir=tmp_path)


# ----- record -----------------------------------------------------------------------------------


def test_record_names_its_data_and_is_json(dft, split):
    fit = pretraining.fit_teacher(dft["PBE"][:2], dft["PBE"][:2])
    record = training_record(
        "mace",
        "HSE06",
        pretraining=dft["PBE"][:4],
        dft=dft,
        split=split,
        fit=fit,
        held_out={"frames": 10},
        dtype="float32",
        seed=7,
    )
    assert (record["seed"], record["stress_labels"]) == (7, False)
    assert json.loads(json.dumps(record)) == record
    assert [stage["frames"] for stage in record["stages"]] == [4, 48, 42]
    assert record["held_out_frames"] == list(split.held_out)
    assert len(record["training_set_sha256"]) == 64


def test_requirements_pin_the_same_torch():
    for path in sorted(environments.REQUIREMENTS.glob("*.txt")):
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        assert lines[0] == "torch==2.13.0", path.name
        assert all("==" in line for line in lines), path.name
