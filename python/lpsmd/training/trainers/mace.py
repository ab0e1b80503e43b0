"""mace_run_train: arguments, results/*_train.txt, checkpoints with moving averages of the weights.

Its own --patience only writes a line into the log unless it runs distributed (0.3.16), so that the driver stops it; the
model file is then made by starting it once more, with nothing left to train.
"""

from __future__ import annotations

import filecmp
import json
import shutil
from collections.abc import Collection
from pathlib import Path

from ase.data import atomic_numbers

from lpsmd.training.data import write_extxyz
from lpsmd.training.history import ENERGY_WEIGHT, Epoch, without_repeats
from lpsmd.training.trainers.stage import Command, Stage, fill, numbered

STOPS_ITSELF = False
TEMPLATE = "mace.args"

_FORCES_WEIGHT = 100.0


def begin(stage: Stage) -> Command:
    """Write sets and arguments; the command that trains from the start."""
    for part, frames in {"train": stage.train, "validation": stage.validation}.items():
        write_extxyz(stage.folder / f"{part}.extxyz", frames)
    schedule = stage.schedule
    values = {
        "seed": stage.seed,
        "train_file": stage.folder / "train.extxyz",
        "validation_file": stage.folder / "validation.extxyz",
        "shifts": {atomic_numbers[name]: value for name, value in stage.shifts_eV.items()},
        "batch_size": schedule.batch_size,
        "epochs": schedule.epochs,
        "learning_rate": schedule.learning_rate,
        "decay": f"{schedule.learning_rate_at(1) / schedule.learning_rate:.8f}",
        "forces_weight": _FORCES_WEIGHT,
        "energy_weight": ENERGY_WEIGHT * _FORCES_WEIGHT,
        "dtype": stage.dtype,
        "device": stage.device,
    }
    lines = [*fill(TEMPLATE, values).splitlines(), *(f"--{name}={value}" for name, value in stage.network.items())]
    if stage.start_from is not None:
        lines += [f"--foundation_model={stage.start_from}", "--multiheads_finetuning=False"]
    (stage.folder / "input.args").write_text("\n".join(lines) + "\n")
    return _command(stage)


def restart(stage: Stage) -> Command | None:
    """The command that goes on from the last epoch that was better than all before."""
    found = _checkpoints(stage)
    if not found:
        return None
    _delete_but(stage, found.values())  # MACE would fail at half a checkpoint, and silently begin anew
    # MACE runs the epoch of its latest checkpoint once more and writes over it: that is a copy, the best epoch stays.
    *before, last = found
    if not before or not filecmp.cmp(found[before[-1]], found[last], shallow=False):
        shutil.copyfile(found[last], _path(stage, last + 1))
    return [*_command(stage), "--restart_latest"]


def epochs(stage: Stage) -> list[Epoch]:
    """The epochs in its results; they are appended to at a restart."""
    path = stage.folder / "results" / f"mace_run-{stage.seed}_train.txt"
    lines = path.read_text().splitlines() if path.is_file() else []
    rows = [json.loads(line) for line in lines if line.endswith("}")]
    return without_repeats(
        Epoch(
            epoch=row["epoch"],
            step=(row["epoch"] + 1) * stage.steps_per_epoch,
            validation_force_meV_per_A=1e3 * row["rmse_f"],
            validation_energy_meV_per_atom=1e3 * row["rmse_e_per_atom"],
            learning_rate=stage.schedule.learning_rate_at(row["epoch"]),
        )
        for row in rows
        if row["mode"] == "eval" and row["epoch"] is not None
    )


def checkpoint(stage: Stage, epoch: Epoch) -> Path:
    """Checkpoints are kept of each epoch that was better than all before."""
    return _path(stage, epoch.epoch)


def tidy(stage: Stage, best: Epoch) -> None:
    """Keep the best checkpoint, and later ones of which it is not known yet whether they are better."""
    for number, path in _checkpoints(stage).items():
        if number < best.epoch:
            path.unlink()


def finish(stage: Stage, best: Epoch) -> Command | None:
    """Leave the best checkpoint alone there, and have MACE write it as a model."""
    _delete_but(stage, [checkpoint(stage, best)])
    return [*_command(stage), "--restart_latest", "--max_num_epochs=0"]


def weights(folder: Path) -> Path:
    """The weights of a finished stage."""
    return folder / "mace.model"


def _command(stage: Stage) -> list[str]:
    lines = (stage.folder / "input.args").read_text().splitlines()
    arguments = [line for line in lines if line and not line.startswith("#")]
    if stage.start_from is None:
        return ["mace_run_train", *arguments]
    return ["python", "-m", "lpsmd.training.mace_finetune", *arguments]


def _checkpoints(stage: Stage) -> dict[int, Path]:
    return numbered(stage.folder / "checkpoints", _prefix(stage))


def _delete_but(stage: Stage, kept: Collection[Path]) -> None:
    """Delete checkpoints, half-written ones as well."""
    for path in (stage.folder / "checkpoints").glob(f"{_prefix(stage)}*.pt"):
        if path not in kept:
            path.unlink()


def _path(stage: Stage, number: int) -> Path:
    return stage.folder / "checkpoints" / f"{_prefix(stage)}{number}.pt"


def _prefix(stage: Stage) -> str:
    return f"mace_run-{stage.seed}_epoch-"
