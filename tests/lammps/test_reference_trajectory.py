"""Fifty steps in LAMMPS against the same steps by ASE with the trainer's own calculator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase.io import read

from lpsmd.analysis import read_dump
from support.simulation import simulation
from tolerances import TRAJECTORY_A

DATA = Path(__file__).parent.parent / "data" / "trajectory"


def test_follows_the_reference(tmp_path: Path) -> None:
    start = read(DATA / "start.extxyz")
    with simulation(start) as run:
        run.use_model(DATA / "nequip_float64.pt")
        order = np.argsort(run.lmp.numpy.extract_atom("id")[: len(start)])
        run.lmp.numpy.extract_atom("v")[order] = start.arrays["velocity_A_per_ps"]
        dump = tmp_path / "here.dump"
        run.lmp.commands_list(
            [
                "fix move all nve",
                "timestep 0.001",
                "neighbor 0.5 bin",
                f"dump d all custom 5 {dump} id element xu yu zu",
                'dump_modify d element Li P S Cl format float "%.8f"',
                "run 50",
                "undump d",
            ]
        )
    expected, found = read_dump(DATA / "reference.dump"), read_dump(dump)
    np.testing.assert_array_equal(found.timesteps, expected.timesteps)
    np.testing.assert_allclose(found.positions_A, expected.positions_A, rtol=0, atol=TRAJECTORY_A)
    # The test would see a wrong force: atoms went some tenths of an Angstrom.
    assert np.abs(expected.positions_A[-1] - expected.positions_A[0]).max() > 0.1
