"""`lpsmd train`: teacher frames, the stages of a training, held-out errors, export; each resumable."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read
from ase.neighborlist import neighbor_list

from lpsmd.training.data import (
    FUNCTIONALS,
    Split,
    TrainingError,
    energies_eV,
    energy_shifts_eV,
    pick,
    read_dft,
    split_geometries,
    write_deepmd,
    write_extxyz,
)
from lpsmd.training.environments import prepare, run_logged
from lpsmd.training.pretraining import TeacherFit, fit_teacher, rescale, split_pretraining
from lpsmd.training.record import describe, training_record
from lpsmd.training.trainers import (
    ARCHITECTURES,
    INPUTS,
    SCHEDULES,
    STAGES,
    StageInput,
    checkpoint,
    progress,
    write_input,
)

log = logging.getLogger(__name__)

SEED = 1
CUTOFF_A = 5.0
TEACHER_PARTS = 2
REFERENCE_FRAME = "md900_chgnet_pbe_006"  # a validation frame at 900 K, for the self-test of the model file
Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class Sets:
    """Training and validation frames of every stage."""

    train: dict[str, list[Atoms]]
    validation: dict[str, list[Atoms]]
    dft: dict[str, list[Atoms]]
    split: Split
    fit: TeacherFit
    shifts_eV: dict[str, dict[str, float]]


def train_model(
    architecture: str,
    *,
    functional: str,
    output: Path,
    workdir: Path,
    environment: Path | None = None,
    teacher_environment: Path | None = None,
    threads: int = 1,
    dtype: str = "float32",
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Train one demonstration model and write its model file.

    Parameters
    ----------
    architecture : {"nequip", "mace", "deepmd"}
    functional : {"PBE", "HSE06"}
        HSE06 starts from the weights of the PBE stage, which is run first where it is not there yet.
    output
        Model file to write.
    workdir
        Keeps environments, teacher frames, sets and stages; a finished stage is not run again.
    environment, teacher_environment
        Existing virtual environments of the trainer and of chgnet; made in `workdir` if None.
    threads
        Threads of the trainer.
    dtype : {"float32", "float64"}
        Precision of training and of the program in the model file.
    on_progress
        Called with the name of the stage and the fraction done.

    Returns
    -------
    dict
        The held-out errors, as they stand in the passport.

    Raises
    ------
    TrainingError
        Unknown architecture or functional, or a step that failed (with the end of its log).
    """
    if architecture not in ARCHITECTURES:
        raise TrainingError(f"architecture {architecture!r} cannot be trained; choose {', '.join(ARCHITECTURES)}")
    if functional not in FUNCTIONALS:
        raise TrainingError(f"functional {functional!r} has no DFT frames here; choose one of {', '.join(FUNCTIONALS)}")
    workdir, report = workdir.resolve(), on_progress or (lambda stage, fraction: None)
    python = prepare(
        architecture,
        (environment or workdir / "environments" / architecture).resolve(),
        make=environment is None,
    )
    sets = make_sets(workdir, teacher_environment=teacher_environment, threads=threads, report=report)
    weights: Path | None = None
    for stage in STAGES[: STAGES.index(functional) + 1]:
        plan = _plan(architecture, stage, sets, workdir=workdir, start_from=weights, dtype=dtype)
        weights = run_stage(architecture, plan, bin_folder=python.parent, threads=threads, report=report)
    assert weights is not None
    return _export(architecture, functional, weights, output.resolve(), sets, workdir, python, dtype)


def make_sets(workdir: Path, *, teacher_environment: Path | None, threads: int, report: Progress) -> Sets:
    """The frames of all stages; the teacher's are labelled once and kept in the work directory."""
    dft = {name: read_dft(name) for name in FUNCTIONALS}
    split = split_geometries(dft["PBE"], dft["HSE06"])
    frames, relabelled = teacher_frames(
        workdir / "teacher",
        pick(dft["PBE"], split.train),
        environment=teacher_environment or workdir / "environments" / "chgnet",
        make=teacher_environment is None,
        threads=threads,
        report=report,
    )
    fit = fit_teacher(relabelled, pick(dft["PBE"], split.train))
    pre_train, pre_validation = split_pretraining(rescale(frames, fit))
    shifts = energy_shifts_eV(pick(dft["PBE"], split.train))
    common = pick(dft["HSE06"], split.train)
    pbe_of_common = pick(dft["PBE"], [str(atoms.info["frame"]) for atoms in common])
    per_atom = float(np.mean(energies_eV(common) - energies_eV(pbe_of_common))) / len(common[0])
    return Sets(
        train={"pretrain": pre_train, **{name: pick(dft[name], split.train) for name in FUNCTIONALS}},
        validation={
            "pretrain": pre_validation,
            **{name: pick(dft[name], split.validation) for name in FUNCTIONALS},
        },
        dft=dft,
        split=split,
        fit=fit,
        shifts_eV={
            "pretrain": shifts,
            "PBE": shifts,
            "HSE06": {name: value + per_atom for name, value in shifts.items()},
        },
    )


def teacher_frames(
    folder: Path,
    dft_train: Sequence[Atoms],
    *,
    environment: Path,
    make: bool,
    threads: int,
    report: Progress,
) -> tuple[list[Atoms], list[Atoms]]:
    """Frames that CHGNet made and labelled, and its labels of the DFT's training geometries."""
    parts = [folder / f"frames_{part}.extxyz" for part in range(TEACHER_PARTS)]
    relabelled = folder / "dft_geometries.extxyz"
    if not all(path.is_file() for path in [*parts, relabelled]):
        python = prepare("chgnet", environment.resolve(), make=make)
        folder.mkdir(parents=True, exist_ok=True)
        write_extxyz(folder / "dft_train.extxyz", dft_train)
        jobs = folder / "relabel.json"
        jobs.write_text(json.dumps([{"name": "dft", "make": "relabel", "file": str(folder / "dft_train.extxyz")}]))
        runs = [(INPUTS / "teacher_jobs.json", n, TEACHER_PARTS, path) for n, path in enumerate(parts)]
        for n, (job_file, part, of, path) in enumerate([*runs, (jobs, 0, 1, relabelled)]):
            report("teacher", n / (len(runs) + 1))
            if path.is_file():
                continue
            script = Path(__file__).parent / "teacher.py"
            # -P: a program by its path, with nothing of this folder on its module path.
            command: list[str | Path] = [python, "-P", script, "--jobs", job_file, "--part", str(part)]
            run_logged(
                [*command, "--parts", str(of), "-o", path],
                log_file=path.with_suffix(".log"),
                folder=folder,
                threads=threads,
            )
    frames = [atoms for path in parts for atoms in read(path, ":")]
    return frames, list(read(relabelled, ":"))


def run_stage(architecture: str, stage: StageInput, *, bin_folder: Path, threads: int, report: Progress) -> Path:
    """Run one stage unless it is finished with the very same input; return its checkpoint."""
    weights, marker = checkpoint(architecture, stage.folder), stage.folder / "finished.json"
    before = _marker_of(marker)
    if before is not None and weights.is_file():
        path, _ = write_input(architecture, stage)
        if before == _stage_key(path, stage):
            log.info("%s %s: finished before, kept", architecture, stage.stage)
            return weights
    if stage.folder.exists():  # half a stage, or one of another input: its files would mislead the trainer
        shutil.rmtree(stage.folder)
    path, command = write_input(architecture, stage)
    run_logged(
        [bin_folder / command[0], *command[1:]],
        log_file=stage.folder / "train.log",
        folder=stage.folder,
        threads=threads,
        while_waiting=lambda: report(stage.stage, progress(architecture, stage)),
    )
    if not weights.is_file():
        raise TrainingError(f"{architecture} ended without writing {weights}; see its log {stage.folder / 'train.log'}")
    report(stage.stage, 1.0)
    marker.write_text(json.dumps({"key": _stage_key(path, stage)}))
    return weights


def _marker_of(marker: Path) -> str | None:
    return str(json.loads(marker.read_text())["key"]) if marker.is_file() else None


def _stage_key(input_file: Path, stage: StageInput) -> str:
    """Hash of the input and of the weights the stage starts from."""
    digest = hashlib.sha256(input_file.read_bytes())
    if stage.start_from is not None:
        digest.update(stage.start_from.read_bytes())
    return digest.hexdigest()


def _plan(
    architecture: str, name: str, sets: Sets, *, workdir: Path, start_from: Path | None, dtype: str
) -> StageInput:
    paths = {}
    for part, frames in (("train", sets.train[name]), ("validation", sets.validation[name])):
        if architecture == "deepmd":
            paths[part] = workdir / "sets" / f"{name}_{part}"
            shutil.rmtree(paths[part], ignore_errors=True)
            write_deepmd(paths[part], frames)
        else:
            paths[part] = workdir / "sets" / f"{name}_{part}.extxyz"
            write_extxyz(paths[part], frames)
    return StageInput(
        stage=name,
        schedule=SCHEDULES[architecture][name],
        folder=workdir / architecture / name,
        train=paths["train"],
        validation=paths["validation"],
        n_train=len(sets.train[name]),
        average_neighbors=average_neighbors(sets.train["PBE"]),
        shifts_eV=sets.shifts_eV[name],
        start_from=start_from,
        dtype=dtype,
        seed=SEED,
    )


def average_neighbors(frames: Sequence[Atoms]) -> float:
    """Mean number of neighbours within CUTOFF_A."""
    counts = [len(neighbor_list("i", atoms, CUTOFF_A)) / len(atoms) for atoms in frames]
    return float(np.mean(counts))


def _export(
    architecture: str,
    functional: str,
    weights: Path,
    output: Path,
    sets: Sets,
    workdir: Path,
    python: Path,
    dtype: str,
) -> dict[str, Any]:
    folder = workdir / architecture / f"export_{functional}"
    folder.mkdir(parents=True, exist_ok=True)
    errors = folder / "held_out.json"
    run_logged(
        [python, "-m", "lpsmd.training.heldout", architecture, weights, "--functional", functional, "-o", errors],
        log_file=folder / "held_out.log",
        folder=folder,
        threads=1,
    )
    held_out: dict[str, Any] = json.loads(errors.read_text())
    record = training_record(
        architecture,
        functional,
        pretraining=sets.train["pretrain"],
        dft=sets.dft,
        split=sets.split,
        fit=sets.fit,
        held_out=held_out,
        dtype=dtype,
        seed=SEED,
    )
    (folder / "record.json").write_text(json.dumps(record, indent=2) + "\n")
    write_extxyz(folder / "reference.extxyz", pick(sets.dft[functional], [REFERENCE_FRAME]))
    output.parent.mkdir(parents=True, exist_ok=True)
    run_logged(
        [
            python, "-m", "lpsmd", "export", architecture, weights, "-o", output,
            "--functional", functional, "--reference", folder / "reference.extxyz", "--dtype", dtype,
            "--training-record", folder / "record.json",
            "--description", describe(architecture, functional),
        ],
        log_file=folder / "export.log",
        folder=folder,
        threads=1,
    )  # fmt: skip
    return held_out
