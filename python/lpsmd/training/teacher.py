"""Frames of Li6PS5Cl labelled by SevenNet, the teacher of the pre-training stage.

A program of its own: it runs inside an environment that has sevenn and ase, started by its path, and
imports nothing of lpsmd. A job list (JSON) names trajectories and single-point sets; each job has its own
seed, so a job gives the same frames whatever else is in the list.

    python teacher.py --jobs jobs.json -o frames.extxyz

The structure is F-43m Li6PS5Cl: P on 4b, Cl on 4a, S on 4c and 16e, one Li of each face-sharing pair of
48h sites (Kraft et al., J. Am. Chem. Soc. 139, 10909 (2017), doi:10.1021/jacs.7b06327). Two models teach, whose
weights are part of the wheel of sevenn: SevenNet-l3i5 gives all labels, the smaller SevenNet-0 moves the atoms (Park et
al., J. Chem. Theory Comput. 20, 4857 (2024), doi:10.1021/acs.jctc.4c00190).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import Stationary, thermalize_momenta

FCC = np.array([[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
LI_X, LI_Z, S_X = 0.183, 0.024, 0.617
LABELLER, MOVER = "7net-l3i5", "7net-0"
# Moved together by the short-contact job, down to about two thirds of what 900 K shows (Angstrom).
CONTACT_RANGE_A = {
    ("Li", "Li"): (1.6, 2.3), ("Li", "P"): (1.7, 2.4), ("Li", "S"): (1.6, 2.1), ("Li", "Cl"): (1.6, 2.1),
    ("P", "S"): (1.55, 1.85), ("S", "S"): (2.2, 3.0), ("S", "Cl"): (2.3, 3.1), ("P", "Cl"): (2.3, 3.1),
    ("Cl", "Cl"): (2.6, 3.3),
}  # fmt: skip


@dataclass(frozen=True)
class Teacher:
    """Who labels, who moves the atoms in dynamics (a step takes a third of the time), and the name of the labels."""

    labels: Calculator
    moves: Calculator
    level: str


def sevennet() -> Teacher:
    """The models in the wheel, on the CPU."""
    from sevenn.calculator import SevenNetCalculator

    labels, moves = (SevenNetCalculator(name, device="cpu") for name in (LABELLER, MOVER))
    return Teacher(labels, moves, level=f"SevenNet-l3i5 (sevenn {version('sevenn')})")


def lithium_pairs() -> np.ndarray:
    """Fractional coordinates [24, 2, 3] of the face-sharing pairs of 48h sites."""
    x, z = LI_X, LI_Z
    signs = [(1, 1, 1), (-1, -1, 1), (-1, 1, -1), (1, -1, -1)]
    base = [np.roll(np.array([sx * x, sy * x, sz * z]), turn) for sx, sy, sz in signs for turn in range(3)]
    sites = np.array([(b + f) % 1.0 for b in base for f in FCC])
    pairs, free = [], set(range(len(sites)))
    while free:
        first = free.pop()
        delta = sites[list(free)] - sites[first]
        nearest = list(free)[int(np.argmin(np.linalg.norm(delta - np.round(delta), axis=1)))]
        free.discard(nearest)
        pairs.append((sites[first], sites[nearest]))
    return np.array(pairs)


def argyrodite(*, a_A: float, inversion: float, rng: np.random.Generator) -> Atoms:
    """A 52-atom cell (24 Li, 4 P, 20 S, 4 Cl), Li arrangement and inverted sites drawn from `rng`."""
    pairs = lithium_pairs()
    best, best_gap = None, -1.0
    for _ in range(50):  # the arrangement with the widest shortest Li-Li distance of fifty
        chosen = pairs[np.arange(len(pairs)), rng.integers(0, 2, len(pairs))]
        delta = chosen[:, None] - chosen[None]
        gap = np.linalg.norm(delta - np.round(delta), axis=-1)[np.triu_indices(len(chosen), 1)].min()
        if gap > best_gap:
            best, best_gap = chosen, gap
    assert best is not None
    u = S_X
    s16 = np.array([[u, u, u], [-u, -u, u], [-u, u, -u], [u, -u, -u]])
    sulfur16 = np.concatenate([s16 + f for f in FCC]) % 1.0
    free_s, chloride, phosphorus = 0.25 + FCC, FCC.copy(), (0.5 + FCC) % 1.0
    swaps = round(inversion * 4)
    if swaps:
        i, j = rng.permutation(4)[:swaps], rng.permutation(4)[:swaps]
        free_s[i], chloride[j] = chloride[j].copy(), free_s[i].copy()
    fractional = np.concatenate([best, phosphorus, sulfur16, free_s, chloride])
    return Atoms("Li24P4S20Cl4", scaled_positions=fractional, cell=[a_A] * 3, pbc=True)


def trajectory(job: dict[str, Any], mover: Calculator) -> Iterator[Atoms]:
    """Langevin molecular dynamics; a snapshot every `every` steps after `skip` steps."""
    rng = np.random.default_rng(job["seed"])
    atoms = argyrodite(a_A=job["a_A"], inversion=job.get("inversion", 0.0), rng=rng)
    atoms.positions += rng.normal(0.0, 0.05, atoms.positions.shape)
    atoms.calc = mover
    # Twice the temperature: half of it goes into the potential within the first vibrations.
    thermalize_momenta(atoms, temperature_K=1.7 * job["temperature_K"], rng=rng)
    Stationary(atoms)
    dynamics = Langevin(
        atoms,
        job["timestep_fs"] * units.fs,
        temperature_K=job["temperature_K"],
        friction=0.02 / units.fs,
        rng=rng,
    )
    dynamics.run(job["skip"])
    for _ in range((job["steps"] - job["skip"]) // job["every"]):
        dynamics.run(job["every"])
        yield atoms


def rattles(job: dict[str, Any], mover: Calculator) -> Iterator[Atoms]:
    """Single points: normal displacements, hops of Li, isotropic strain and shear."""
    rng = np.random.default_rng(job["seed"])
    for _ in range(job["count"]):
        atoms = argyrodite(a_A=job["a_A"], inversion=float(rng.choice([0.0, 0.0, 0.25, 0.5])), rng=rng)
        strain = np.eye(3) * (1 + rng.uniform(-0.02, 0.02)) + np.triu(rng.uniform(-0.02, 0.02, (3, 3)), 1)
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        atoms.positions += rng.normal(0.0, rng.uniform(0.04, 0.16), atoms.positions.shape)
        for i in rng.permutation(24)[: rng.integers(0, 3)]:
            step = rng.normal(size=3)
            atoms.positions[i] += rng.uniform(0.4, 1.2) * step / np.linalg.norm(step)
        yield atoms


def short_contacts(job: dict[str, Any], mover: Calculator) -> Iterator[Atoms]:
    """Single points in which one pair of atoms stands closer than the dynamics brings it."""
    rng = np.random.default_rng(job["seed"])
    kinds = list(CONTACT_RANGE_A)
    for n in range(job["count"]):
        atoms = argyrodite(a_A=job["a_A"], inversion=float(rng.choice([0.0, 0.5])), rng=rng)
        atoms.positions += rng.normal(0.0, rng.uniform(0.04, 0.12), atoms.positions.shape)
        first, second = kinds[n % len(kinds)]
        symbols = np.array(atoms.get_chemical_symbols())
        i = int(rng.choice(np.flatnonzero(symbols == first)))
        others = np.flatnonzero((symbols == second) & (np.arange(len(atoms)) != i))
        distances = atoms.get_distances(i, others, mic=True)
        j = int(others[np.argmin(distances)])
        vector = atoms.get_distance(i, j, mic=True, vector=True)
        target = rng.uniform(*CONTACT_RANGE_A[first, second])
        shift = vector * (1 - target / np.linalg.norm(vector))
        atoms.positions[i] += 0.5 * shift
        atoms.positions[j] -= 0.5 * shift
        yield atoms


def relabel(job: dict[str, Any], mover: Calculator) -> Iterator[Atoms]:
    """Geometries that exist already (file of the job)."""
    from ase.io import iread

    yield from iread(job["file"])


MAKERS = {"md": trajectory, "rattle": rattles, "contact": short_contacts, "relabel": relabel}


def labelled(job: dict[str, Any], teacher: Teacher, *, max_force_eV_per_A: float) -> list[Atoms]:
    """The frames of one job with energies and forces, without those beyond the force limit."""
    frames = []
    for n, atoms in enumerate(MAKERS[job["make"]](job, teacher.moves)):
        # The numbers and positions alone: another calculator's energies or labels do not come along.
        frame = Atoms(atoms.get_chemical_symbols(), positions=atoms.positions, cell=atoms.cell, pbc=True)
        frame.calc = teacher.labels
        forces, energy = frame.get_forces(), frame.get_potential_energy()
        frame.calc = None
        # Geometries that exist already get their labels, whatever these are.
        if job["make"] != "relabel" and np.abs(forces).max() > max_force_eV_per_A:
            continue
        frame.info = {"frame": f"{job['name']}_{n:03d}", "kind": job["make"], "level": teacher.level,
                      "REF_energy": energy}  # fmt: skip
        frame.arrays["REF_forces"] = forces.copy()
        frames.append(frame)
    return frames


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=Path, required=True)
    parser.add_argument("--max-force", type=float, default=20.0, help="eV/Angstrom; larger: frame dropped")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    teacher = sevennet()
    jobs = json.loads(arguments.jobs.read_text())
    frames: list[Atoms] = []
    for job in jobs:
        new = labelled(job, teacher, max_force_eV_per_A=arguments.max_force)
        frames += new
        print(f"{job['name']}: {len(new)} frames, {len(frames)} in all", flush=True)
        partial = arguments.output.with_suffix(".part")
        write(partial, frames, format="extxyz")
    partial.replace(arguments.output)


if __name__ == "__main__":
    main()
