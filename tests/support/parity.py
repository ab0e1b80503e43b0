"""The parity data: tiny exported networks, and what each trainer's own calculator says of one frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from support.simulation import Computed, simulation
from tolerances import PARITY_ENERGY_EV_PER_ATOM, PARITY_FORCE_EV_PER_A, PARITY_VIRIAL_EV_PER_ATOM

PARITY = Path(__file__).parent.parent / "data" / "parity"
ARCHITECTURES = ("nequip", "mace", "deepmd")


def reference(architecture: str) -> tuple[Atoms, dict[str, Any]]:
    """The frame, and the stored values in the units that their keys name."""
    values = json.loads((PARITY / f"{architecture}.json").read_text())
    symbols = [values["type_names"][t] for t in values["types"]]
    return Atoms(symbols, positions=values["positions_A"], cell=values["cell_A"], pbc=True), values


def in_lammps(architecture: str, dtype: str, atoms: Atoms, *, device: str = "cpu") -> Computed:
    """What LAMMPS computes with one of the networks."""
    with simulation(atoms) as run:
        run.use_model(PARITY / f"{architecture}_{dtype}.pt", device=device)
        return run.compute()


def assert_equal_to_package(found: Computed, expected: dict[str, Any], dtype: str) -> None:
    """What LAMMPS computed against the stored values."""
    n = len(found.forces)
    np.testing.assert_allclose(found.forces, expected["forces_eV_per_A"], rtol=0, atol=PARITY_FORCE_EV_PER_A[dtype])
    assert abs(found.energy - expected["energy_eV"]) / n < PARITY_ENERGY_EV_PER_ATOM[dtype]
    virial_error = np.abs(found.virial - np.array(expected["virial_eV"])).max() / n
    assert virial_error < PARITY_VIRIAL_EV_PER_ATOM[dtype]
