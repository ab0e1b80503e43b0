"""What each trainer is told: input file, command line, and where its checkpoint and its progress are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from lpsmd.training.data import ATOMIC_NUMBERS, TYPE_NAMES

INPUTS = Path(__file__).parent / "inputs"
STAGES = ("pretrain", "PBE", "HSE06")
ARCHITECTURES = ("nequip", "mace", "deepmd")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Length and learning rate of one stage; `epochs` for nequip and mace, `steps` for deepmd."""

    batch_size: int
    learning_rate: float
    final_learning_rate: float
    epochs: int = 0
    steps: int = 0


# What the shipped models were trained with.
SCHEDULES: Mapping[str, Mapping[str, Schedule]] = {
    "nequip": {
        "pretrain": Schedule(epochs=18, batch_size=4, learning_rate=0.01, final_learning_rate=1e-5),
        "PBE": Schedule(epochs=250, batch_size=2, learning_rate=0.004, final_learning_rate=4e-6),
        "HSE06": Schedule(epochs=200, batch_size=2, learning_rate=0.003, final_learning_rate=3e-6),
    },
    "mace": {
        "pretrain": Schedule(epochs=10, batch_size=4, learning_rate=0.01, final_learning_rate=5.6e-4),
        "PBE": Schedule(epochs=150, batch_size=2, learning_rate=0.004, final_learning_rate=5.65e-5),
        "HSE06": Schedule(epochs=55, batch_size=2, learning_rate=0.002, final_learning_rate=2.12e-4),
    },
    "deepmd": {
        "pretrain": Schedule(steps=15000, batch_size=2, learning_rate=2e-3, final_learning_rate=2e-5),
        "PBE": Schedule(steps=2500, batch_size=2, learning_rate=5e-4, final_learning_rate=5e-6),
        "HSE06": Schedule(steps=1875, batch_size=2, learning_rate=3e-4, final_learning_rate=5e-6),
    },
}


@dataclass(frozen=True, kw_only=True)
class StageInput:
    """All that a trainer needs to know of one stage.

    Attributes
    ----------
    folder
        Where the trainer runs and writes.
    train, validation
        extxyz files, or folders of DeePMD systems.
    n_train
        Number of training frames.
    average_neighbors
        Mean number of neighbours within the cutoff (nequip's normalization).
    shifts_eV
        Per-type energies.
    start_from
        Checkpoint of the stage before, None for the first.
    """

    stage: str
    schedule: Schedule
    folder: Path
    train: Path
    validation: Path
    n_train: int
    average_neighbors: float
    shifts_eV: Mapping[str, float]
    start_from: Path | None
    dtype: str
    seed: int


def write_input(architecture: str, stage: StageInput) -> tuple[Path, list[str]]:
    """Write the trainer's input file; return it and the command (program name first, run in the folder)."""
    stage.folder.mkdir(parents=True, exist_ok=True)
    return {"nequip": _nequip, "mace": _mace, "deepmd": _deepmd}[architecture](stage)


def checkpoint(architecture: str, folder: Path) -> Path:
    """Where the trainer leaves the weights of a finished stage."""
    return folder / {"nequip": "last.ckpt", "mace": "mace.model", "deepmd": "model.ckpt.pt"}[architecture]


def progress(architecture: str, stage: StageInput) -> float:
    """Fraction of the stage that is done, from the trainer's own files; 0 where they say nothing yet."""
    schedule = stage.schedule
    if architecture == "nequip":
        rows = _last_line(sorted(stage.folder.glob("log/version_*/metrics.csv")))
        field = rows.split(",")[0]
        done, total = (float(field) if field.isdigit() else 0.0), float(schedule.epochs)
    elif architecture == "mace":
        found = re.findall(r"Epoch (\d+):", _tail(stage.folder / "train.log"))
        done, total = float(found[-1] if found else 0), float(schedule.epochs)
    else:
        first = _last_line([stage.folder / "lcurve.out"]).split()
        done, total = (float(first[0]) if first and first[0].isdigit() else 0.0), float(schedule.steps)
    return min(1.0, done / total)


def _nequip(stage: StageInput) -> tuple[Path, list[str]]:
    name = "nequip_pretrain.yaml" if stage.start_from is None else "nequip_finetune.yaml"
    schedule = stage.schedule
    values = {
        **_common(stage),
        "epochs": schedule.epochs,
        "folder": stage.folder,
        "total_steps": schedule.epochs * math.ceil(stage.n_train / schedule.batch_size),
        "average_neighbors": f"{stage.average_neighbors:.2f}",
        "scales": 1.0,
        "shifts": json.dumps(dict(stage.shifts_eV)),
        "start_from": stage.start_from or "",
    }
    path = stage.folder / "input.yaml"
    path.write_text(Template((INPUTS / name).read_text()).substitute(values))
    run = f"hydra.run.dir={stage.folder / 'hydra'}"
    return path, ["nequip-train", "-cp", str(stage.folder), "-cn", path.name, run]


def _mace(stage: StageInput) -> tuple[Path, list[str]]:
    schedule = stage.schedule
    decay = (schedule.final_learning_rate / schedule.learning_rate) ** (1.0 / schedule.epochs)
    numbered = {n: stage.shifts_eV[name] for n, name in zip(ATOMIC_NUMBERS, TYPE_NAMES, strict=True)}
    values = {**_common(stage), "epochs": schedule.epochs, "decay": f"{decay:.5f}", "shifts": str(numbered)}
    text = Template((INPUTS / "mace.args").read_text()).substitute(values)
    if stage.start_from is not None:
        text += f"--foundation_model={stage.start_from}\n--multiheads_finetuning=False\n"
    path = stage.folder / "input.args"
    path.write_text(text)
    arguments = [line for line in text.splitlines() if line and not line.startswith("#")]
    if stage.start_from is None:
        return path, ["mace_run_train", *arguments]
    return path, ["python", "-m", "lpsmd.training.mace_finetune", *arguments]


def _deepmd(stage: StageInput) -> tuple[Path, list[str]]:
    schedule = stage.schedule
    values = {
        **_common(stage),
        "steps": schedule.steps,
        "final_learning_rate": schedule.final_learning_rate,
        "decay_steps": max(1, schedule.steps // 100),
        "train_systems": json.dumps([str(p) for p in sorted(stage.train.glob("system_*"))]),
        "validation_systems": json.dumps([str(p) for p in sorted(stage.validation.glob("system_*"))]),
    }
    path = stage.folder / "input.json"
    path.write_text(Template((INPUTS / "deepmd.json").read_text()).substitute(values))
    command = ["dp", "--pt", "train", path.name]
    # --finetune also refits the per-type energies to the new labels.
    return path, command if stage.start_from is None else [*command, "--finetune", str(stage.start_from)]


def _common(stage: StageInput) -> dict[str, object]:
    return {
        "seed": stage.seed,
        "train_file": stage.train,
        "validation_file": stage.validation,
        "batch_size": stage.schedule.batch_size,
        "learning_rate": stage.schedule.learning_rate,
        "dtype": stage.dtype,
    }


def _last_line(paths: list[Path]) -> str:
    lines = _tail(paths[-1]).splitlines() if paths else []
    return lines[-1] if lines else ""


def _tail(path: Path, *, size: int = 20000) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - size))
        return stream.read().decode(errors="replace")
