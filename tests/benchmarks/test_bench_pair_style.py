"""Time of the pair style over running dynamics beside the bare model call, for each architecture.

    make benchmark

Both sides run in one process on one thread: `pair` is LAMMPS' own timer of the pair style (graph, model,
forces) per step of NVE dynamics, `bare` the TorchScript program alone on the graph of the last step. The ratio
of each pair of rows is printed in `extra_info`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from lpsmd.models.contract import load_model
from lpsmd.models.evaluate import neighbor_graph, types_of
from support.dft import first_frames
from support.simulation import TYPE_NAMES, simulation

PACKAGE = Path(__import__("lpsmd").__file__).parent
MODELS = {name: PACKAGE / "demo" / "models" / f"{name}_pbe.pt" for name in ("nequip", "mace", "deepmd")}
STEPS = 40
WARM_UP_STEPS = 10


def cell(atoms_wanted: int) -> Atoms:
    frame = first_frames()[0]
    return frame if atoms_wanted == len(frame) else frame.repeat((2, 2, 2))


def seconds_per_step(log: Path, steps: int = STEPS) -> float:
    """LAMMPS' timer of the pair style over the last run, from its log."""
    rows = [line for line in log.read_text().splitlines() if line.startswith("Pair ")]
    return float(rows[-1].split("|")[2]) / steps


def bare_call_seconds(model: Path, atoms: Atoms, calls: int, *, device: str = "cpu") -> float:
    """Of the program alone, with its inputs and outputs left where it runs."""
    file = load_model(model, device=device)
    index, vectors = neighbor_graph(atoms, cutoff_A=file.passport.cutoff_A)
    arrays = (vectors, index, types_of(atoms, file.passport.type_names), np.ones(len(atoms)))
    arguments = [torch.from_numpy(array).to(device) for array in arrays]
    for _ in range(3):
        file.program(*arguments)
    finish(device)
    start = time.perf_counter()
    for _ in range(calls):
        energies, _ = file.program(*arguments)
    finish(device)
    elapsed = (time.perf_counter() - start) / calls
    assert torch.isfinite(energies).all()
    return elapsed


def finish(device: str) -> None:
    """Wait for what a GPU still has to do."""
    if device == "cuda":
        torch.cuda.synchronize()


@pytest.mark.parametrize("atoms_wanted", [52, 416])
@pytest.mark.parametrize("architecture", MODELS)
def test_pair_style_over_bare_call(architecture: str, atoms_wanted: int, tmp_path: Path, benchmark: Any) -> None:
    torch.set_num_threads(1)
    atoms, log = cell(atoms_wanted), tmp_path / "log.lammps"
    with simulation(atoms, log=log) as run:
        run.use_model(MODELS[architecture])
        run.lmp.commands_list(
            ["velocity all create 900 5", "fix move all nve", "timestep 0.001", f"run {WARM_UP_STEPS}"]
        )
        start_energy = run.lmp.get_thermo("etotal")
        benchmark.pedantic(lambda: run.lmp.command(f"run {STEPS}"), rounds=1)
        pair = seconds_per_step(log)
        # The answer: dynamics that conserves its energy, and ends where the bare call starts.
        drift = abs(run.lmp.get_thermo("etotal") - start_energy) / len(atoms)
        assert drift < 2e-3
        order = np.argsort(run.lmp.numpy.extract_atom("id")[: len(atoms)])
        moved = Atoms(
            [TYPE_NAMES[t - 1] for t in run.lmp.numpy.extract_atom("type")[: len(atoms)][order]],
            positions=run.lmp.numpy.extract_atom("x")[: len(atoms)][order],
            cell=atoms.cell,
            pbc=True,
        )
    bare = bare_call_seconds(MODELS[architecture], moved, STEPS)
    benchmark.extra_info.update(pair_ms=1e3 * pair, bare_ms=1e3 * bare, ratio=pair / bare)
    print(f"\n{architecture} {len(atoms)} atoms: pair style {1e3 * pair:.2f} ms, bare call {1e3 * bare:.2f} ms, "
          f"ratio {pair / bare:.3f}")  # fmt: skip
