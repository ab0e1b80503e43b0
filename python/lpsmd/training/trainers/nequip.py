"""nequip-train: input, metrics.csv of Lightning's CSVLogger, checkpoints with moving averages of the weights."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

from lpsmd.training.data import write_extxyz
from lpsmd.training.history import ENERGY_WEIGHT, Epoch, without_repeats
from lpsmd.training.trainers.stage import VALIDATION_BATCH, Command, Stage, fill, is_whole, numbered

STOPS_ITSELF = True

_BEST = "best-"
_SQUARES = "{_target_: nequip.train.MeanSquaredError}"
# The teacher's frames have some with very large forces.
_TEACHER_LOSSES = ("{_target_: nequip.train.HuberLoss, delta: 0.3}", "{_target_: nequip.train.HuberLoss, delta: 0.1}")


def input_of(stage: Stage) -> str:
    """The input of nequip-train."""
    forces_loss, energy_loss = _TEACHER_LOSSES if stage.name == "teacher" else (_SQUARES, _SQUARES)
    schedule = stage.schedule
    values = {
        "seed": stage.seed,
        "train_file": json.dumps(str(stage.folder / "train.extxyz")),
        "validation_file": json.dumps(str(stage.folder / "validation.extxyz")),
        "folder": json.dumps(str(stage.folder)),
        "type_names": json.dumps(stage.type_names),
        "cutoff": stage.network["r_max"],
        "batch_size": schedule.batch_size,
        "validation_batch": VALIDATION_BATCH,
        "accelerator": "gpu" if stage.device == "cuda" else "cpu",
        "epochs": schedule.epochs,
        "patience": schedule.patience,
        "learning_rate": schedule.learning_rate,
        "decay": f"{schedule.learning_rate_at(1) / schedule.learning_rate:.8f}",
        "forces_loss": forces_loss,
        "energy_loss": energy_loss,
        "energy_weight": ENERGY_WEIGHT,
        "model": json.dumps(_model(stage)),
    }
    return fill("nequip.yaml", values)


def begin(stage: Stage) -> Command:
    """Write sets and input; the command that trains from the start."""
    for part, frames in {"train": stage.train, "validation": stage.validation}.items():
        write_extxyz(stage.folder / f"{part}.extxyz", frames)
    return _command(stage)


def restart(stage: Stage) -> Command | None:
    """The command that goes on from the last epoch."""
    last = stage.folder / "last.ckpt"
    return [*_command(stage), f"++ckpt_path='{last}'"] if is_whole(last) else None


def epochs(stage: Stage) -> list[Epoch]:
    """The epochs in the logs of all starts."""
    logs = sorted(stage.folder.glob("log/version_*/metrics.csv"), key=lambda path: int(path.parent.name.split("_")[1]))
    return without_repeats(epoch for path in logs for epoch in _epochs(path, stage))


def checkpoint(stage: Stage, epoch: Epoch) -> Path:
    """Lightning keeps the best epoch alone, and names it."""
    return stage.folder / f"{_BEST}{epoch.epoch}.ckpt"


def tidy(stage: Stage, best: Epoch) -> None:
    """Lightning tidies itself, but for checkpoints in a folder that has moved: of those it knows nothing."""
    for number, path in numbered(stage.folder, _BEST, ".ckpt").items():
        if number < best.epoch:
            path.unlink()


def finish(stage: Stage, best: Epoch) -> Command | None:
    """Keep the best checkpoint under a name of its own."""
    shutil.copyfile(checkpoint(stage, best), weights(stage.folder))
    return None


def weights(folder: Path) -> Path:
    """The weights of a finished stage."""
    return folder / "weights.ckpt"


def _command(stage: Stage) -> list[str]:
    """Write the input, anew where the folder may have moved; the command with it."""
    (stage.folder / "input.yaml").write_text(input_of(stage))
    return [
        "nequip-train", "-cp", str(stage.folder), "-cn", "input.yaml", f"hydra.run.dir='{stage.folder / 'hydra'}'",
    ]  # fmt: skip


def _model(stage: Stage) -> dict[str, Any]:
    """A network with random weights, or that of a checkpoint with other per-type energies."""
    if stage.start_from is not None:
        # Checkpoints of this stage keep the path, and look there again: all stages may move together.
        start = os.path.relpath(stage.start_from, stage.folder)
        return {
            "_target_": "nequip.model.modify",
            "modifiers": [{"modifier": "modify_PerTypeScaleShift", "shifts": dict(stage.shifts_eV)}],
            "model": {"_target_": "nequip.model.ModelFromCheckpoint", "checkpoint_path": start},
        }
    return {
        "_target_": "nequip.model.NequIPGNNModel",
        "seed": stage.seed,
        "model_dtype": stage.dtype,
        "type_names": stage.type_names,
        "num_bessels": 8,
        "polynomial_cutoff_p": 6,
        "parity": False,
        "avg_num_neighbors": round(stage.average_neighbors, 2),
        "per_type_energy_scales": 1.0,
        "per_type_energy_shifts": dict(stage.shifts_eV),
        **stage.network,
    }


def _epochs(path: Path, stage: Stage) -> list[Epoch]:
    """The epochs of one log. Lightning writes training and validation of an epoch on lines of their own."""
    rows: dict[int, dict[str, str]] = {}
    with path.open(newline="") as stream:
        for line in csv.DictReader(stream):
            if (line.get("epoch") or "").isdigit():
                found = {name: value for name, value in line.items() if value}
                rows.setdefault(int(line["epoch"]), {}).update(found)
    return [
        Epoch(
            epoch=number,
            step=(number + 1) * stage.steps_per_epoch,
            validation_force_meV_per_A=_milli(row, "val0_epoch/forces_mse"),
            validation_energy_meV_per_atom=_milli(row, "val0_epoch/energy_mse"),
            learning_rate=stage.schedule.learning_rate_at(number),
            train_force_meV_per_A=_milli_or_none(row, "train_loss_epoch/forces", stage),
            train_energy_meV_per_atom=_milli_or_none(row, "train_loss_epoch/energy", stage),
        )
        for number, row in sorted(rows.items())
        if "val0_epoch/forces_mse" in row
    ]


def _milli(row: dict[str, str], name: str) -> float:
    return 1e3 * math.sqrt(float(row[name]))


def _milli_or_none(row: dict[str, str], name: str, stage: Stage) -> float | None:
    return _milli(row, name) if name in row and stage.name != "teacher" else None
