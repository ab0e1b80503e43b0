"""The training record that an export writes into a model's passport."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ase import Atoms

from lpsmd.dataset.keys import PARTS
from lpsmd.training.data import Dataset, lineage
from lpsmd.training.history import ENERGY_WEIGHT
from lpsmd.training.plan import TrainingPlan
from lpsmd.training.pretraining import TeacherSet
from lpsmd.training.stages import Outcome
from lpsmd.training.trainers import Stage

_FOUNDATION = "as in the foundation file, with the elements of the frames"
SELECTION = (
    f"moving average of the weights, the epoch of the least F^2 + {ENERGY_WEIGHT:g} E^2 on the validation frames "
    f"(F: rms of force components in eV/Angstrom, E: of energies in eV/atom)"
)


def describe(plan: TrainingPlan, dataset: Dataset) -> str:
    """The passport's description of a model."""
    frames = len(dataset.part(plan.functional, "train"))
    return (
        f"{plan.architecture} {plan.size_name} of {' '.join(dataset.type_names)}, {plan.functional}, seed {plan.seed}, "
        f"from {frames} training frames"
    )


def training_record(
    plan: TrainingPlan,
    dataset: Dataset,
    *,
    stages: Sequence[tuple[Stage, Outcome]],
    teacher: TeacherSet | None,
    foundation_sha256: str | None,
    held_out: Mapping[str, Any],
    difference: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Everything a reader needs to judge a model: data, stages, errors; JSON-ready.

    Parameters
    ----------
    stages
        In the order in which they were run.
    held_out, difference
        On the test frames; the difference for a model that has a parent.
    """
    last = stages[-1][0]
    parents = lineage(plan.functional)[:-1]
    record: dict[str, Any] = {
        # Studies read these two: see lpsmd.study_models.
        "stress_labels": False,
        "seed": plan.seed,
        "size": plan.size_name,
        "network": _FOUNDATION if plan.foundation else {**last.network, **_only_of(plan.architecture, last)},
        "training_dtype": plan.dtype,
        "training_set_sha256": dataset.sha256(plan.functional),
        "data": {name: _frames_of(dataset, name) for name in lineage(plan.functional)},
        "parent": None,
        "pretraining": None,
        "foundation": None,
        "stages": [_stage(stage, outcome) for stage, outcome in stages],
        "selection": SELECTION,
        "held_out": {"part": "test", **held_out},
        "command": plan.command,
    }
    if parents:
        parent = next(outcome for _, outcome in stages if outcome.stage == parents[-1])
        record["parent"] = {
            "functional": parents[-1],
            "weights_sha256": parent.weights_sha256,
            "training_set_sha256": dataset.sha256(parents[-1]),
        }
    if teacher is not None:
        record["pretraining"] = {"labels": teacher.teacher, **asdict(teacher.fit)}
    if foundation_sha256 is not None and plan.foundation is not None:
        record["foundation"] = {"file": Path(plan.foundation).name, "sha256": foundation_sha256}
    if difference is not None:
        record["functional_difference"] = {"base": parents[-1], "other": plan.functional, "part": "test", **difference}
    return record


def _frames_of(dataset: Dataset, functional: str) -> dict[str, Any]:
    """How many frames of which labels, and the names of those that were not trained on."""
    frames = dataset.frames[functional]
    parts = {part: dataset.part(functional, part) for part in PARTS}
    return {
        "sha256": dataset.sha256(functional),
        **{part: len(members) for part, members in parts.items()},
        "recipes": sorted({str(atoms.info["recipe"]) for atoms in frames if "recipe" in atoms.info}),
        "validation_frames": _names(parts["validation"]),
        "test_frames": _names(parts["test"]),
    }


def _names(frames: Sequence[Atoms]) -> list[str]:
    return [str(atoms.info["frame"]) for atoms in frames]


def _only_of(architecture: str, stage: Stage) -> dict[str, Any]:
    """Numbers of a network that follow from the data."""
    if architecture == "nequip":
        return {"avg_num_neighbors": round(stage.average_neighbors, 2)}
    return {"sel": list(stage.neighbor_limits)} if architecture == "deepmd" else {}


def _stage(stage: Stage, outcome: Outcome) -> dict[str, Any]:
    best = outcome.best
    return {
        "stage": stage.name,
        "frames": len(stage.train),
        "validation_frames": len(stage.validation),
        **asdict(stage.schedule),
        "patience": stage.schedule.patience,
        "epochs_run": outcome.epochs_run,
        "best_epoch": best.epoch + 1,
        "ended": outcome.ended,
        "wall_s": outcome.wall_s,
        "validation_force_rms_eV_per_A": best.validation_force_meV_per_A / 1e3,
        "validation_energy_rms_eV_per_atom": best.validation_energy_meV_per_atom / 1e3,
        "weights_sha256": outcome.weights_sha256,
    }
