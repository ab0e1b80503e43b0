"""What several ranks cost: time of a step of each architecture at 416 and 3,328 atoms on one rank and on two.

    make benchmark

Local models (DP) share their atoms; message-passing ones (NequIP, MACE) evaluate ghosts over all layers on each
rank, so that two ranks do more work than one. `work` is the ratio of edges that the style writes into its log. And
eight replicas of two models: as partitions of one LAMMPS beside as many runs as there are cores.
"""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import lpsmd
from lpsmd.inputs import find_lammps_input
from support.dft import first_frames
from support.mpirun import run_lmp_on
from support.partitions import finish, run_partitions, start_alone, write_input
from support.simulation import TYPE_NAMES, simulation

PACKAGE = Path(lpsmd.__file__).parent
MODELS = {name: PACKAGE / "demo" / "models" / f"{name}_pbe.pt" for name in ("nequip", "mace", "deepmd")}
REPEATS = {416: (2, 2, 2), 3328: (4, 4, 4)}
STEPS = {416: 20, 3328: 4}


@pytest.fixture(scope="module", params=REPEATS, ids="{} atoms".format)
def cell(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    atoms = first_frames()[0].repeat(REPEATS[request.param])
    data = tmp_path_factory.mktemp("cell") / f"{request.param}.data"
    with simulation(atoms) as run:
        run.lmp.command(f"write_data {data}")
    return request.param, data


def run_on(ranks: int, model: Path, data: Path, folder: Path, *, steps: int) -> tuple[float, float, float]:
    """Milliseconds of a step, work relative to one rank, and the last potential energy in eV."""
    commands = [
        "units metal",
        "atom_style atomic",
        f"read_data {data}",
        "pair_style lpsmd device cpu",
        f"pair_coeff * * {model} {' '.join(TYPE_NAMES)}",
        "velocity all create 600 1",
        "fix move all nve",
        "timestep 0.001",
        "thermo_style custom step pe",
        "thermo_modify format float %.10f",
        "run 3 post no",
        f"run {steps}",
    ]
    done = run_lmp_on(ranks, commands, folder)
    assert done.returncode == 0, done.stdout
    seconds = float(re.findall(r"Loop time of (\S+)", done.stdout)[-1])
    work = re.findall(r"(\S+) times the work", done.stdout)
    energy = re.findall(rf"^ +{steps + 3} +(\S+)$", done.stdout, flags=re.M)[-1]
    return 1e3 * seconds / steps, float(work[-1]) if work else 1.0, float(energy)


@pytest.mark.parametrize("architecture", MODELS)
def test_two_ranks_over_one(architecture: str, cell: tuple[int, Path], tmp_path: Path, benchmark: Any) -> None:
    count, data = cell
    one, _, energy = run_on(1, MODELS[architecture], data, tmp_path, steps=STEPS[count])
    two, work, energy_two = benchmark.pedantic(
        lambda: run_on(2, MODELS[architecture], data, tmp_path, steps=STEPS[count]), rounds=1
    )
    # The answer: the same dynamics (float32 models, some steps).
    assert abs(energy - energy_two) / count < 1e-5
    benchmark.extra_info.update(one_rank_ms=one, two_ranks_ms=two, speedup=one / two, work=work)
    print(f"\n{architecture} {count} atoms: one rank {one:.1f} ms, two {two:.1f} ms, {one / two:.2f} times faster "
          f"for {work:.2f} times the work")  # fmt: skip


@pytest.mark.parametrize("at_a_time", ["all", "one for each core"])
def test_partitions_over_serial_runs(at_a_time: str, tmp_path: Path, benchmark: Any) -> None:
    """Eight replicas with two models, on all cores: as partitions, and as runs of their own."""
    models = [MODELS["nequip"], MODELS["deepmd"]] * 4
    script = write_input(tmp_path, models, find_lammps_input("li6ps5cl.data"), steps=800)
    cores = len(os.sched_getaffinity(0))

    start = time.perf_counter()
    with ThreadPoolExecutor(8 if at_a_time == "all" else cores) as pool:  # the next one starts when any has ended
        list(pool.map(lambda number: finish(start_alone(script, number, models[number - 1])), range(1, 9)))
    serial = time.perf_counter() - start
    ends = [(tmp_path / f"end.{number}.dump").read_text() for number in range(1, 9)]

    start = time.perf_counter()
    benchmark.pedantic(lambda: run_partitions(script, 8), rounds=1)
    together = time.perf_counter() - start
    assert ends == [(tmp_path / f"end.{number}.dump").read_text() for number in range(1, 9)]
    benchmark.extra_info.update(serial_s=serial, together_s=together, ratio=together / serial)
    print(f"\n8 replicas on {cores} cores: serial, {at_a_time} at a time {serial:.1f} s, partitions {together:.1f} s, "
          f"ratio {together / serial:.3f}")  # fmt: skip
