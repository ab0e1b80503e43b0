"""dp --pt train: input, val_ema.log and lcurve.out, checkpoints with moving averages of the weights.

An epoch is as many steps as there are batches; dp draws its batches, so that a frame may be drawn twice in one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from ase import Atoms

from lpsmd.training.data import system_names, write_deepmd
from lpsmd.training.history import ENERGY_WEIGHT, Epoch, without_repeats
from lpsmd.training.sizes import Schedule
from lpsmd.training.trainers.stage import VALIDATION_BATCH, Command, Stage, fill, numbered

STOPS_ITSELF = False

_LIVE, _AVERAGED = "model.ckpt-", "model_ema.ckpt-"

# Weights of squared errors (eV/atom)^2 and (eV/Angstrom)^2 in dp's loss; they move with the learning rate, from forces
# towards energies.
_START_ENERGY_WEIGHT, _START_FORCE_WEIGHT, _LIMIT_FORCE_WEIGHT = 1.0, 100.0, 1.0


def input_of(stage: Stage) -> str:
    """The input of dp."""
    schedule, network = stage.schedule, stage.network
    values = {
        "seed": stage.seed,
        "dtype": stage.dtype,
        "type_names": json.dumps(stage.type_names),
        "cutoff": network["rcut"],
        "neighbor_limits": json.dumps(list(stage.neighbor_limits)),
        "neuron": json.dumps(network["neuron"]),
        "axis_neuron": network["axis_neuron"],
        "fitting_neuron": json.dumps(network["fitting_neuron"]),
        "learning_rate": schedule.learning_rate,
        "final_learning_rate": schedule.final_learning_rate,
        "steps": schedule.steps(len(stage.train)),
        "steps_per_epoch": stage.steps_per_epoch,
        "batch_size": schedule.batch_size,
        "validation_batch": VALIDATION_BATCH,
        "start_energy_weight": _START_ENERGY_WEIGHT,
        "limit_energy_weight": round(_limit_energy_weight(schedule), 6),
        "start_force_weight": _START_FORCE_WEIGHT,
        "limit_force_weight": _LIMIT_FORCE_WEIGHT,
        "train_systems": _systems(stage, "train", stage.train),
        "validation_systems": _systems(stage, "validation", stage.validation),
    }
    return fill("deepmd.json", values)


def begin(stage: Stage) -> Command:
    """Write systems and input; the command that trains from the start."""
    for part, frames in {"train": stage.train, "validation": stage.validation}.items():
        write_deepmd(stage.folder / part, frames, stage.type_names)
    _write_input(stage)
    # --finetune also moves the per-type energies to the new labels.
    return [*_COMMAND, *([] if stage.start_from is None else ["--finetune", str(stage.start_from)])]


def restart(stage: Stage) -> Command | None:
    """The command that goes on from the last epoch."""
    found = numbered(stage.folder, _LIVE)
    if not found:
        return None
    _write_input(stage)  # the folder may have moved
    return [*_COMMAND, "--restart", found[max(found)].name]


def epochs(stage: Stage) -> list[Epoch]:
    """The epochs in the validation log; lcurve.out has the errors of training and the learning rate."""
    curve = {int(row["step"]): row for row in _table(stage.folder / "lcurve.out")}
    found = []
    for row in _table(stage.folder / "val_ema.log"):
        step = int(row["step"])
        training = curve.get(step, {})
        number = -(-step // stage.steps_per_epoch) - 1
        found.append(
            Epoch(
                epoch=number,
                step=step,
                validation_force_meV_per_A=row["F_RMSE"],
                validation_energy_meV_per_atom=row["E_RMSE"],
                learning_rate=training.get("lr", stage.schedule.learning_rate_at(number)),
                train_force_meV_per_A=_milli(training.get("rmse_f_trn")),
                train_energy_meV_per_atom=_milli(training.get("rmse_e_trn")),
            )
        )
    return without_repeats(found)


def checkpoint(stage: Stage, epoch: Epoch) -> Path:
    """Every epoch has its checkpoint, until they are tidied up."""
    return stage.folder / f"{_AVERAGED}{epoch.step}.pt"


def tidy(stage: Stage, best: Epoch) -> None:
    """Keep the averages of the best epoch and of later ones, and the last two states to go on from."""
    for step, path in numbered(stage.folder, _AVERAGED).items():
        if step < best.step:
            path.unlink()
    for path in list(numbered(stage.folder, _LIVE).values())[:-2]:
        path.unlink()


def finish(stage: Stage, best: Epoch) -> Command | None:
    """Keep the best checkpoint under a name of its own; of the others what a restart would need."""
    shutil.copyfile(checkpoint(stage, best), weights(stage.folder))
    for step, path in numbered(stage.folder, _AVERAGED).items():
        if step != best.step:
            path.unlink()
    for path in list(numbered(stage.folder, _LIVE).values())[:-1]:
        path.unlink()
    return None


def weights(folder: Path) -> Path:
    """The weights of a finished stage."""
    return folder / "weights.pt"


_COMMAND = ("dp", "--pt", "train", "input.json")


def _limit_energy_weight(schedule: Schedule) -> float:
    """The weight of energies at a learning rate of 0 with which the loss ends at that of the score."""
    left = schedule.final_learning_rate / schedule.learning_rate
    forces = _LIMIT_FORCE_WEIGHT + (_START_FORCE_WEIGHT - _LIMIT_FORCE_WEIGHT) * left
    return (ENERGY_WEIGHT * forces - _START_ENERGY_WEIGHT * left) / (1.0 - left)


def _write_input(stage: Stage) -> None:
    (stage.folder / "input.json").write_text(input_of(stage))


def _systems(stage: Stage, part: str, frames: Sequence[Atoms]) -> str:
    return json.dumps([str(stage.folder / part / name) for name in system_names(frames, stage.type_names)])


def _milli(value: float | None) -> float | None:
    return None if value is None else 1e3 * value


def _table(path: Path) -> list[dict[str, float]]:
    """A table whose first line, behind a #, names the columns; units in brackets are left out."""
    lines = path.read_text().splitlines() if path.is_file() else []
    if not lines:
        return []
    names = [word.split("(")[0] for word in lines[0].lstrip("# ").split()]
    rows = [line.split() for line in lines if not line.lstrip().startswith("#")]
    return [dict(zip(names, map(float, row), strict=True)) for row in rows if len(row) == len(names)]
