"""The shipped models conserve energy: forces, images and reneighbouring fit together over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lpsmd
from support.dft import first_frames
from support.simulation import simulation
from tolerances import NVE_FLUCTUATION_EV_PER_ATOM_PER_FS2, NVE_SLOPE_EV_PER_ATOM_PER_PS

PACKAGE = Path(lpsmd.__file__).parent
MODELS = sorted((PACKAGE / "demo" / "models").glob("*.pt"))


def total_energies(model: Path, *, timestep_fs: float, length_fs: float) -> np.ndarray:
    """Total energy in eV/atom, every 4 fs, of NVE dynamics at about 900 K."""
    atoms = first_frames()[20]
    every = round(4 / timestep_fs)
    energies = []
    with simulation(atoms) as run:
        run.use_model(model)
        run.lmp.commands_list(
            [
                "velocity all create 900 11 loop all",
                "fix move all nve",
                f"timestep {timestep_fs / 1000}",
                # A thin skin forces several reneighbourings.
                "neighbor 0.3 bin",
                "neigh_modify every 1 delay 0 check yes",
            ]
        )
        for _ in range(round(length_fs / 4)):
            run.lmp.command(f"run {every}")
            energies.append(run.lmp.get_thermo("etotal") / len(atoms))
    return np.array(energies)


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_nve(model: Path) -> None:
    energies = total_energies(model, timestep_fs=1.0, length_fs=200.0)
    times_ps = 0.004 * np.arange(len(energies))
    slope = np.polyfit(times_ps, energies, 1)[0]
    assert abs(slope) < NVE_SLOPE_EV_PER_ATOM_PER_PS
    assert np.ptp(energies) < NVE_FLUCTUATION_EV_PER_ATOM_PER_FS2


def test_there_are_models() -> None:
    assert MODELS
