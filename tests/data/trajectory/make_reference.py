"""Make the reference trajectory: 50 steps by ASE with the trainer's own calculator, no part of lpsmd in the forces.

    PYTHONPATH=python <environment of nequip>/bin/python tests/data/trajectory/make_reference.py nequip_pbe.ckpt

Starts from a 900 K frame of the DFT set with velocities of a fixed seed, and integrates with ASE's velocity Verlet and
NequIP's calculator in float64. Writes

    nequip_float64.pt   the same network as a model file, for the pair style
    start.extxyz        positions (Angstrom) and velocities (Angstrom/ps)
    reference.dump      LAMMPS dump, one frame every 5 steps of 1 fs

The checkpoint is that of a NequIP (`lpsmd train nequip --functional PBE`).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io import read, write
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet

from lpsmd.models.export import export_model, load_network

HERE = Path(__file__).resolve().parent
FRAMES = HERE.parents[2] / "data" / "li6ps5cl_dft" / "pbe.extxyz"
SEED, STEPS, EVERY, TIMESTEP_FS, TEMPERATURE_K = 7, 50, 5, 1.0, 900.0
PS = 1000.0 * units.fs


def frame_text(step: int, atoms: Atoms) -> str:
    edges = "\n".join(f"0.0 {length:.10f}" for length in atoms.cell.lengths())
    rows = "\n".join(
        f"{n} {symbol} {x:.8f} {y:.8f} {z:.8f}"
        for n, (symbol, (x, y, z)) in enumerate(zip(atoms.symbols, atoms.positions, strict=True), start=1)
    )
    return (
        f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(atoms)}\n"
        f"ITEM: BOX BOUNDS pp pp pp\n{edges}\nITEM: ATOMS id element xu yu zu\n{rows}\n"
    )


def main() -> None:
    checkpoint = Path(sys.argv[1])
    source = next(a for a in read(FRAMES, ":") if a.info["frame"] == "md900_chgnet_pbe_020")
    atoms = Atoms(source.symbols, positions=source.positions, cell=source.cell, pbc=True)
    atoms.wrap()
    rng = np.random.default_rng(SEED)
    MaxwellBoltzmannDistribution(atoms, temperature_K=TEMPERATURE_K, rng=rng)
    Stationary(atoms)
    start = atoms.copy()
    start.set_array("velocity_A_per_ps", atoms.get_velocities() * PS)
    write(HERE / "start.extxyz", start, format="extxyz", columns=["symbols", "positions", "velocity_A_per_ps"])
    export_model("nequip", checkpoint, HERE / "nequip_float64.pt", functional="PBE", reference=source, dtype="float64")
    # extxyz rounds: run from what the file says.
    again = read(HERE / "start.extxyz")
    atoms.positions = again.positions
    atoms.set_velocities(again.arrays["velocity_A_per_ps"] / PS)
    atoms.calc = load_network("nequip", checkpoint, dtype="float64").calculator
    dynamics = VelocityVerlet(atoms, TIMESTEP_FS * units.fs)
    frames = [frame_text(0, atoms)]
    for step in range(EVERY, STEPS + 1, EVERY):
        dynamics.run(EVERY)
        frames.append(frame_text(step, atoms))
    (HERE / "reference.dump").write_text("".join(frames))


if __name__ == "__main__":
    main()
