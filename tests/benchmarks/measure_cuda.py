"""The pair style on a GPU beside a CPU core: `python tests/benchmarks/measure_cuda.py FOLDER`.

For each model and number of atoms: time of the pair style in a step (LAMMPS' own timer), of the bare program on the
same graph, and the nanoseconds a day of the whole step. Then the same cell in several replicas that share the GPU.
Writes FOLDER/cuda.csv and FOLDER/shared.csv.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from test_bench_pair_style import MODELS, bare_call_seconds, seconds_per_step

from support.dft import first_frames
from support.simulation import simulation

TIMESTEP_FS = 2.0
WARM_UP_STEPS = 20
MODULE = Path(__file__).resolve()


def ns_per_day(seconds_per_step: float) -> float:
    return 86400.0 / seconds_per_step * TIMESTEP_FS * 1e-6


def dynamics(model: Path, repeats: int, *, device: str, steps: int, log: Path) -> tuple[int, float, float]:
    """Atoms, seconds of the pair style and seconds of everything, per step."""
    atoms = first_frames()[0].repeat(repeats)
    with simulation(atoms, log=log) as run:
        run.use_model(model, device=device)
        run.lmp.commands_list(
            [
                "velocity all create 900 5", "fix move all nve", f"timestep {1e-3 * TIMESTEP_FS}",
                f"run {WARM_UP_STEPS}",
            ]
        )  # fmt: skip
        start_energy = run.lmp.get_thermo("etotal")
        before = time.perf_counter()
        run.lmp.command(f"run {steps}")
        elapsed = time.perf_counter() - before
        drift = abs(run.lmp.get_thermo("etotal") - start_energy) / len(atoms)
    assert drift < 5e-3, f"energy drifts by {drift} eV/atom"
    return len(atoms), seconds_per_step(log, steps), elapsed / steps


def compare(folder: Path, repeats: Sequence[int], *, largest_on_cpu: int) -> None:
    """A row for each model, number of atoms and device."""
    rows: list[dict[str, Any]] = []
    for name, model in MODELS.items():
        for n in repeats:
            for device in ("cpu", "cuda"):
                if device == "cpu" and n > largest_on_cpu:
                    continue
                steps = (200 if n < 4 else 40) if device == "cuda" else 20
                log = folder / f"{name}-{n}-{device}.log"
                atoms, pair, whole = dynamics(model, n, device=device, steps=steps, log=log)
                bare = bare_call_seconds(
                    model, first_frames()[0].repeat(n), 20 if device == "cpu" else 100, device=device
                )
                rows.append(
                    {
                        "model": name, "atoms": atoms, "device": device, "pair_ms": round(1e3 * pair, 3),
                        "bare_ms": round(1e3 * bare, 3), "pair_over_bare": round(pair / bare, 3),
                        "step_ms": round(1e3 * whole, 3), "ns_per_day": round(ns_per_day(whole), 3),
                    }
                )  # fmt: skip
                show(folder / "cuda.csv", rows)


def share(folder: Path, replicas: Sequence[int], *, steps: int) -> None:
    """Replicas of the 52-atom cell on one GPU, each in a process of its own, all started together."""
    rows: list[dict[str, Any]] = []
    for name in MODELS:
        for count in replicas:
            command = [sys.executable, str(MODULE), str(folder), "--one", name, "--steps", str(steps)]
            processes = [
                subprocess.Popen([*command, "--number", str(k)], stdout=subprocess.PIPE, text=True)
                for k in range(count)
            ]
            printed = [process.communicate()[0] for process in processes]
            if any(process.returncode for process in processes):
                sys.exit(f"measure_cuda.py: of {count} replicas of {name} some failed; see above and {folder}")
            seconds = [float(text) for text in printed]
            rows.append(
                {
                    "model": name, "replicas": count, "step_ms": round(1e3 * sum(seconds) / count, 3),
                    "ns_per_day_of_all": round(sum(ns_per_day(value) for value in seconds), 3),
                }
            )  # fmt: skip
            show(folder / "shared.csv", rows)


def show(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Print the last row, and write all: a run that is cut short leaves what it has measured."""
    print(*rows[-1].values(), sep="\t", flush=True)
    with path.open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="is made, and left there")
    parser.add_argument("--repeats", nargs="+", type=int, default=[1, 2, 4, 6], help="of the 52-atom cell, each way")
    parser.add_argument("--largest-on-cpu", type=int, default=2, help="repeats")
    parser.add_argument("--replicas", nargs="+", type=int, default=[1, 2, 4, 8], help="that share the GPU")
    parser.add_argument("--steps", type=int, default=500, help="of a replica that shares")
    parser.add_argument("--one", metavar="MODEL", help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.one:
        log = given.folder / f"{given.one}-shared-{given.number}.log"
        print(dynamics(MODELS[given.one], 1, device="cuda", steps=given.steps, log=log)[2])
        return
    if not torch.cuda.is_available():
        sys.exit("measure_cuda.py: torch sees no CUDA device, needed one")
    compare(given.folder, given.repeats, largest_on_cpu=given.largest_on_cpu)
    share(given.folder, given.replicas, steps=given.steps)


if __name__ == "__main__":
    main()
