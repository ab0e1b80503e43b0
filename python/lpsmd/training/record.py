"""The training record that an export writes into a model's passport."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ase import Atoms

from lpsmd.training.data import Split, pick, training_set_sha256
from lpsmd.training.pretraining import TeacherFit
from lpsmd.training.trainers import SCHEDULES, STAGES

PURPOSE = "demonstration model, not for publication"
DFT = (
    "Quantum ESPRESSO 6.7, GTH-PBE pseudopotentials (Li q1, P q5, S q6, Cl q7), 40 Ry, Gamma point, 52-atom "
    "cells; energies and forces, no stress"
)
TEACHER = "CHGNet 0.3.0 (chgnet 0.4.2), its forces and energies multiplied by force_scale"


def describe(architecture: str, functional: str) -> str:
    """The passport's description of a demonstration model."""
    return (
        f"Demonstration model of Li6PS5Cl ({architecture}, {functional}), not for publication: pre-trained on "
        f"rescaled CHGNet labels, then trained on few DFT frames"
    )


def training_record(
    architecture: str,
    functional: str,
    *,
    pretraining: Sequence[Atoms],
    dft: Mapping[str, Sequence[Atoms]],
    split: Split,
    fit: TeacherFit,
    held_out: Mapping[str, Any],
    dtype: str,
    seed: int,
) -> dict[str, Any]:
    """Everything a reader needs to judge a model: data, stages, errors.

    Parameters
    ----------
    pretraining
        Training frames of the pre-training, as used.
    dft
        All DFT frames for each functional.
    held_out
        What `lpsmd.training.heldout` found.
    seed
        That every stage was started with.
    """
    stages = STAGES[: STAGES.index(functional) + 1]
    used = {stage: list(pretraining) if stage == "pretrain" else pick(dft[stage], split.train) for stage in stages}
    return {
        "purpose": PURPOSE,
        "labels": {"dft": DFT, "teacher": TEACHER},
        # Studies read these two: see lpsmd.study_models.
        "stress_labels": False,
        "seed": seed,
        "training_set_sha256": training_set_sha256(*used.values()),
        "stages": [
            {
                "stage": stage,
                "frames": len(used[stage]),
                **{key: value for key, value in vars(SCHEDULES[architecture][stage]).items() if value != 0},
            }
            for stage in stages
        ],
        "teacher_fit": dict(vars(fit)),
        "training_dtype": dtype,
        "selection": {
            "nequip": "moving average of the last weights",
            "mace": "moving average, the epoch with the lowest loss on the validation frames",
            "deepmd": "last weights",
        }[architecture],
        "validation_frames": list(split.validation),
        "held_out_frames": list(split.held_out),
        "held_out": dict(held_out),
        "command": f"lpsmd train {architecture} --functional {functional} -o {architecture}_{functional.lower()}.pt",
    }
