"""`pair_style lpsmd device cuda`: the numbers of the CPU, on a GPU. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from support.parity import ARCHITECTURES, PARITY, assert_equal_to_package, in_lammps, reference
from support.simulation import simulation
from tolerances import CUDA_MEMORY_GROWTH_MIB, CUDA_POSITION_A

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="torch sees no CUDA device: `device cuda` of pair_style lpsmd is NOT tested"
)

HOT = ("velocity all create 900 5", "fix move all nve", "timestep 0.001")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equals_the_package(architecture: str, dtype: str) -> None:
    atoms, expected = reference(architecture)
    found = in_lammps(architecture, dtype, atoms, device="cuda")
    assert_equal_to_package(found, expected, dtype)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_moves_atoms_as_the_cpu_does(architecture: str) -> None:
    atoms, _ = reference(architecture)
    ends = []
    for device in ("cpu", "cuda"):
        with simulation(atoms) as run:
            run.use_model(PARITY / f"{architecture}_float64.pt", device=device)
            start = np.array(run.lmp.gather_atoms("x", 1, 3))
            run.lmp.commands_list([*HOT, "run 50"])
            ends.append(np.array(run.lmp.gather_atoms("x", 1, 3)))
            assert np.abs(ends[-1] - start).max() > 1e-2  # they did move
    assert np.abs(ends[1] - ends[0]).max() < CUDA_POSITION_A


def test_auto_takes_the_gpu_and_says_so(tmp_path: Path) -> None:
    atoms, _ = reference("deepmd")
    log = tmp_path / "log.lammps"
    with simulation(atoms, log=log) as run:
        run.use_model(PARITY / "deepmd_float32.pt", device="auto")
        run.compute()
    assert "on cuda:0" in log.read_text()


def test_keeps_no_memory_of_the_gpu() -> None:
    atoms, _ = reference("nequip")
    with simulation(atoms) as run:
        run.use_model(PARITY / "nequip_float32.pt", device="cuda")
        run.lmp.commands_list([*HOT, "run 100"])
        before = torch.cuda.memory_allocated()
        run.lmp.command("run 400")
        growth_MiB = (torch.cuda.memory_allocated() - before) / 2**20
    assert before > 0  # one libtorch holds the model and counts here
    assert growth_MiB < CUDA_MEMORY_GROWTH_MIB
