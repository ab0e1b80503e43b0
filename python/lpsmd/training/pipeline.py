"""`lpsmd train`: the stages of a training, errors on the test frames, export; each resumable."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ase import Atoms

from lpsmd.models.accuracy import EnergiesAndForces, difference_of_functionals, errors_of
from lpsmd.study import file_sha256
from lpsmd.training.data import (
    PARENTS,
    Dataset,
    TrainingError,
    average_neighbors,
    common_geometries,
    energy_shifts_eV,
    labels_of,
    most_neighbors,
    moved_shifts_eV,
    neighbor_limits,
    read_dataset,
    write_extxyz,
)
from lpsmd.training.environments import has_cuda, module_folder, prepare, run_logged, trainer_versions
from lpsmd.training.history import Course, write_csv
from lpsmd.training.plan import TrainingPlan
from lpsmd.training.predict import read_predictions
from lpsmd.training.pretraining import TEACHER_ELEMENTS, TeacherSet, teacher_set
from lpsmd.training.record import describe, training_record
from lpsmd.training.sizes import SCHEDULES, Schedule, cutoff_A, network_of
from lpsmd.training.stages import Outcome, Tools, Watcher, run_stage, stage_key
from lpsmd.training.trainers import Stage


def train_model(plan: TrainingPlan, *, watcher: Watcher) -> dict[str, Any]:
    """Train a model, judge it on the test frames, and write its model file.

    Returns
    -------
    dict
        The training record, as it stands in the passport.

    Raises
    ------
    DatasetError
        Data that cannot be trained on.
    TrainingError
        A plan that does not fit them, or a step that failed (with the end of its log).
    """
    workdir = plan.workdir.resolve()
    dataset = read_dataset(plan.data, plan.functional)
    _check_pretraining(plan, dataset)
    for folder in (workdir, plan.output.resolve().parent):
        _require_writable(folder)
    tools = _tools(plan, workdir)
    teacher = _teacher(plan, dataset, workdir, watcher)
    # Of the stages alone: another training's making of what both need does not count.
    deadline = None if plan.max_hours is None else time.monotonic() + 3600.0 * plan.max_hours
    log = _TrainingLog(plan.output.with_suffix(".training.csv"), watcher)
    stages: list[tuple[Stage, Outcome]] = []
    for number, name in enumerate(plan.stages):
        stage = _stage(plan, name, dataset, teacher=teacher, before=stages, workdir=workdir, tools=tools)
        left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        budget_s = None if left_s is None else left_s / (len(plan.stages) - number)
        stages.append((stage, run_stage(plan.architecture, stage, tools=tools, watcher=log, budget_s=budget_s)))
    held_out, difference = _judge(plan, dataset, [outcome for _, outcome in stages], tools=tools)
    record = training_record(
        plan,
        dataset,
        stages=stages,
        teacher=teacher,
        foundation_sha256=None if plan.foundation is None else file_sha256(plan.foundation),
        held_out=held_out,
        difference=difference,
    )
    _export(plan, dataset, stages[-1][1], record, tools=tools)
    return record


class _TrainingLog:
    """Passes on what a watcher is told, and writes the epochs of all stages beside the model."""

    def __init__(self, path: Path, watcher: Watcher) -> None:
        self._path, self._watcher = path, watcher
        self._courses: dict[str, Course] = {}
        self.says, self.epoch, self.ended = watcher.says, watcher.epoch, watcher.ended

    def course(self, course: Course) -> None:
        """Write it beside those of the stages before."""
        self._courses[course.stage] = course
        write_csv(self._path, list(self._courses.values()))
        self._watcher.course(course)


def _require_writable(folder: Path) -> None:
    """Before hours of training, and not after them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise TrainingError(
            f"{folder}: cannot be written: {error.strerror}; take another --workdir or --output"
        ) from error


def _check_pretraining(plan: TrainingPlan, dataset: Dataset) -> None:
    if plan.pretraining != "none" and set(dataset.type_names) != set(TEACHER_ELEMENTS):
        raise TrainingError(
            f"pretraining: found frames of {', '.join(dataset.type_names)}, needed {', '.join(TEACHER_ELEMENTS)}, of "
            f"which the teacher's frames are; take --pretraining none"
        )


def _tools(plan: TrainingPlan, workdir: Path) -> Tools:
    environment = plan.environment or workdir / "environments" / plan.architecture
    python = prepare(plan.architecture, environment.resolve(), make=plan.environment is None)
    device = plan.device if plan.device == "cpu" else ("cuda" if has_cuda(python) else "cpu")
    if plan.device == "cuda" and device == "cpu":
        raise TrainingError(
            f"device: found no GPU that torch of {environment} sees, needed one for cuda; take --device cpu, or an "
            f"environment whose torch has CUDA"
        )
    return Tools(
        programs=python.parent,
        versions=trainer_versions(plan.architecture, environment.resolve()),
        module_folder=module_folder(workdir),
        threads=plan.threads,
        device=device,
    )


def _teacher(plan: TrainingPlan, dataset: Dataset, workdir: Path, watcher: Watcher) -> TeacherSet | None:
    if plan.pretraining == "none":
        return None
    environment = plan.teacher_environment or workdir / "environments" / "sevennet"
    return teacher_set(
        workdir / "teacher",
        dataset.part(plan.stages[1], "train"),
        environment=environment.resolve(),
        make=plan.teacher_environment is None,
        says=watcher.says,
    )


def _stage(
    plan: TrainingPlan,
    name: str,
    dataset: Dataset,
    *,
    teacher: TeacherSet | None,
    before: Sequence[tuple[Stage, Outcome]],
    workdir: Path,
    tools: Tools,
) -> Stage:
    """A stage in the folder that belongs to its input and no other."""
    train, validation = _sets(name, dataset, teacher)
    first = dataset.part(plan.stages[0] if teacher is None else plan.stages[1], "train")
    network = {} if plan.foundation else network_of(plan.architecture, plan.size_name)
    neighbors, limits = _neighbors(plan, network, dataset, teacher, [*train, *validation])
    start = before[-1][1].weights if before else plan.foundation
    stage = Stage(
        name=name,
        folder=workdir,
        train=train,
        validation=validation,
        network=network,
        schedule=_schedule(plan, name, before),
        shifts_eV=_shifts_eV(name, dataset, first, before),
        average_neighbors=neighbors,
        neighbor_limits=limits,
        start_from=None if start is None else start.resolve(),
        dtype=plan.dtype,
        seed=plan.seed,
        device=tools.device,
    )
    key = stage_key(plan.architecture, stage, versions=tools.versions)
    folder = workdir / plan.architecture / plan.size_name / f"seed-{plan.seed}" / f"{name}-{key[:8]}"
    return replace(stage, folder=folder)


def _sets(name: str, dataset: Dataset, teacher: TeacherSet | None) -> tuple[Sequence[Atoms], Sequence[Atoms]]:
    if name == "teacher":
        assert teacher is not None
        return teacher.train, teacher.validation
    return dataset.part(name, "train"), dataset.part(name, "validation")


def _schedule(plan: TrainingPlan, name: str, before: Sequence[tuple[Stage, Outcome]]) -> Schedule:
    if name == "teacher":
        kind = "teacher"
    elif before:
        kind = "functional" if before[-1][0].name == PARENTS.get(name) else "pretrained"
    else:
        kind = "random" if plan.foundation is None else "pretrained"
    schedule = SCHEDULES[plan.architecture][kind]
    return schedule if plan.max_epochs is None else replace(schedule, epochs=min(plan.max_epochs, schedule.epochs))


def _shifts_eV(
    name: str, dataset: Dataset, first: Sequence[Atoms], before: Sequence[tuple[Stage, Outcome]]
) -> Mapping[str, float]:
    """Of the first functional by least squares; of the next ones moved by the difference on the same geometries."""
    if not before:
        return energy_shifts_eV(first, dataset.type_names)
    parent = PARENTS.get(name)
    shifts = before[-1][0].shifts_eV
    if parent is None:  # the teacher's energies were brought to the zero of the labels
        return shifts
    pairs = common_geometries(dataset.part(parent, "train"), dataset.part(name, "train"))
    return moved_shifts_eV(shifts, *pairs) if pairs[0] else energy_shifts_eV(dataset.part(name, "train"), [*shifts])


def _neighbors(
    plan: TrainingPlan,
    network: Mapping[str, Any],
    dataset: Dataset,
    teacher: TeacherSet | None,
    frames: Sequence[Atoms],
) -> tuple[float, Sequence[int]]:
    """The mean and the most neighbours, from the frames of the first functional: the same for all stages."""
    if plan.architecture == "mace":  # has its own
        return 0.0, ()
    first = next(iter(dataset.frames))
    names, cutoff = dataset.type_names, cutoff_A(network)
    average = average_neighbors(dataset.part(first, "train"), names, cutoff)
    if plan.architecture == "nequip":
        return average, ()
    others = [] if teacher is None else [*teacher.train, *teacher.validation]
    known = [*dataset.part(first, "train"), *dataset.part(first, "validation"), *others]
    limits = neighbor_limits(known, names, cutoff)
    most = most_neighbors(frames, names, cutoff)
    if any(found > limit for found, limit in zip(most, limits, strict=True)):
        raise TrainingError(
            f"found up to {most} neighbours of {', '.join(names)} within {cutoff:g} Angstrom, needed at most {limits}, "
            f"which follow from the {first} frames: these do not go with {dataset.folder}'s {first} labels"
        )
    return average, limits


def _judge(
    plan: TrainingPlan, dataset: Dataset, outcomes: Sequence[Outcome], *, tools: Tools
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Errors on the test frames, and what is resolved of the difference from the parent's functional."""
    last = outcomes[-1]
    test = dataset.part(plan.functional, "test")
    found = _predict(plan, last, test, tools=tools)
    held_out = errors_of(test, found, labels_of(test))
    parent = PARENTS[plan.functional]
    pairs = ([], []) if parent is None else common_geometries(dataset.part(parent, "test"), test)
    if parent is None or not pairs[0]:
        return held_out, None
    base, other = pairs
    both = {atoms.info["frame"] for atoms in other}
    training = common_geometries(dataset.part(parent, "train"), dataset.part(plan.functional, "train"))
    weights = next(outcome for outcome in outcomes if outcome.stage == parent)
    difference = difference_of_functionals(
        other,
        predicted=(
            _predict(plan, weights, base, tools=tools),
            found.of([number for number, atoms in enumerate(test) if atoms.info["frame"] in both]),
        ),
        labelled=(labels_of(base), labels_of(other)),
        training=(labels_of(training[0]), labels_of(training[1])) if training[0] else None,
    )
    return held_out, difference


def _predict(plan: TrainingPlan, outcome: Outcome, frames: Sequence[Atoms], *, tools: Tools) -> EnergiesAndForces:
    """Predictions of a finished stage, by the trainer package's own calculator."""
    folder = outcome.weights.parent
    # A folder of its own: the trainings of two functionals may judge one stage at the same time.
    with tempfile.TemporaryDirectory(dir=folder, prefix="judged-") as own:
        geometries, predictions = Path(own) / "test.extxyz", Path(own) / "test.npz"
        write_extxyz(geometries, frames)
        _in_environment(
            ["-m", "lpsmd.training.predict", plan.architecture, outcome.weights, geometries, "-o", predictions],
            log_file=folder / "predict.log",
            tools=tools,
        )
        return read_predictions(predictions, frames)


def _export(plan: TrainingPlan, dataset: Dataset, outcome: Outcome, record: Mapping[str, Any], *, tools: Tools) -> None:
    folder, output = outcome.weights.parent, plan.output.resolve()
    (folder / "record.json").write_text(json.dumps(record, indent=2) + "\n")
    write_extxyz(folder / "reference.extxyz", [_reference(dataset.part(plan.functional, "validation"))])
    _in_environment(
        [
            "-m", "lpsmd", "export", plan.architecture, outcome.weights, "-o", output,
            "--functional", plan.functional, "--reference", folder / "reference.extxyz", "--dtype", plan.dtype,
            "--training-record", folder / "record.json", "--description", describe(plan, dataset),
        ],
        log_file=folder / "export.log",
        tools=tools,
    )  # fmt: skip


def _in_environment(words: Sequence[str | Path], *, log_file: Path, tools: Tools) -> None:
    """Run lpsmd with the trainer's interpreter, on the CPU."""
    run_logged(
        [tools.programs / "python", *words],
        log_file=log_file,
        folder=log_file.parent,
        threads=1,
        variables={**tools.variables, "CUDA_VISIBLE_DEVICES": ""},
    )


def _reference(validation: Sequence[Atoms]) -> Atoms:
    """The frame of the model file's self-test: the first from dynamics, where forces are largest."""
    return next((atoms for atoms in validation if atoms.info.get("kind") == "md"), validation[0])
