"""Accuracy against cost of networks: `python tests/benchmarks/measure_sizes.py FOLDER --data data/li6ps5cl_dft`.

Trains each size by `lpsmd train`'s own code and holds its errors on the validation frames (never the test frames: a
size is chosen here) against the processor time of energy and forces of one frame, of the model file, on one thread.
Run again, it goes on: finished stages are kept. Writes FOLDER/sizes.csv and FOLDER/sizes.png.
"""

from __future__ import annotations

import argparse
import csv
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

from lpsmd.models.contract import load_model
from lpsmd.models.evaluate import evaluate, reference_frame
from lpsmd.training.pipeline import train_model
from lpsmd.training.plan import TrainingPlan
from lpsmd.training.sizes import SIZES
from lpsmd.training.watching import watching

WARM_UP, EVALUATIONS = 4, 15
ALL = [f"{architecture}:{size}" for architecture, sizes in SIZES.items() for size in sizes]


def ms_per_evaluation(model: Path) -> tuple[float, int]:
    """Processor time of energy and forces of the model's own reference frame, and its number of atoms."""
    torch.set_num_threads(1)
    loaded = load_model(model)
    frame = reference_frame(loaded.passport)
    times = []
    for number in range(WARM_UP + EVALUATIONS):
        before = time.process_time()
        evaluate(loaded, frame)
        if number >= WARM_UP:
            times.append(time.process_time() - before)
    return 1e3 * float(np.median(times)), len(frame)


def row_of(plan: TrainingPlan, record: dict[str, Any]) -> dict[str, Any]:
    """A line of the table."""
    last = record["stages"][-1]
    cost_ms, atoms = ms_per_evaluation(plan.output)
    return {
        "architecture": plan.architecture,
        "size": plan.size_name,
        "functional": plan.functional,
        "seed": plan.seed,
        "training_frames": last["frames"],
        "validation_force_meV_per_A": round(1e3 * last["validation_force_rms_eV_per_A"], 2),
        "validation_energy_meV_per_atom": round(1e3 * last["validation_energy_rms_eV_per_atom"], 3),
        "ms_per_evaluation": round(cost_ms, 2),
        "atoms": atoms,
        "epochs_run": last["epochs_run"],
        "best_epoch": last["best_epoch"],
        "ended": last["ended"],
        "training_s": round(sum(stage["wall_s"] for stage in record["stages"])),
    }


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def plot(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Validation force error over cost, a line for each architecture, seeds side by side."""
    figure, axes = plt.subplots(figsize=(6.0, 4.0), layout="constrained")
    for architecture in SIZES:
        own = [row for row in rows if row["architecture"] == architecture]
        own.sort(key=lambda row: row["ms_per_evaluation"])
        if own:
            cost = [row["ms_per_evaluation"] for row in own]
            axes.plot(cost, [row["validation_force_meV_per_A"] for row in own], "o-", label=architecture)
        for row in own:
            place = (row["ms_per_evaluation"], row["validation_force_meV_per_A"])
            axes.annotate(row["size"], place, xytext=(4, 4), textcoords="offset points", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel(f"energy and forces of {rows[0]['atoms']} atoms, one thread (ms)")
    axes.set_ylabel("force rms error, validation (meV/Å)")
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="is made, and left there; stages are kept in its folder work")
    parser.add_argument("--data", type=Path, required=True, help="folder with pbe.extxyz and hse06.extxyz, split")
    parser.add_argument("--sizes", nargs="+", default=ALL, metavar="NAME:SIZE", help=f"default: {' '.join(ALL)}")
    parser.add_argument("--functional", default="PBE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--pretraining", default="none")
    parser.add_argument("--environments", type=Path, help="folder with the environments nequip, mace, deepmd, sevennet")
    parser.add_argument("--max-hours", type=float, help="of each training")
    parser.add_argument("--max-epochs", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    (given.folder / "models").mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for name in given.sizes:
        architecture, _, size = name.partition(":")
        for seed in given.seeds:
            plan = TrainingPlan(
                architecture=architecture,
                functional=given.functional,
                seed=seed,
                data=given.data,
                output=given.folder / "models" / f"{architecture}_{size}_{given.functional.lower()}_{seed}.pt",
                workdir=given.folder / "work",
                size=size,
                pretraining=given.pretraining,
                environment=given.environments and given.environments / architecture,
                teacher_environment=given.environments and given.environments / "sevennet",
                threads=given.threads,
                device=given.device,
                max_hours=given.max_hours,
                max_epochs=given.max_epochs,
            )
            with watching() as watcher:
                rows.append(row_of(plan, train_model(plan, watcher=watcher)))
            write_table(given.folder / "sizes.csv", rows)
            plot(given.folder / "sizes.png", rows)


if __name__ == "__main__":
    main()
