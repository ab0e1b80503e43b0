r"""Free particles under `fix langevin`, through a whole study: D is known without any simulation.

A particle of mass m that feels friction m v / tau and white noise f of strength 2 m kB T / tau diffuses with
D = kB T tau / m (Langevin 1908). LAMMPS' steps change nothing of it: the velocity at half steps is an autoregression,
v' = (1 - dt / tau) v + f dt / m, each kick moves the particle by tau f dt / m in the end, and the variance of f is
2 m kB T / (tau dt), so D is the same for every dt below tau.

in.diffusion has `zero yes`: of every f the mean of all N is taken off (LAMMPS manual, fix langevin), which keeps the
centre of mass at rest. With it, in the place of m_i stands (1 - 1/N)^2 m_i + 1/N^2 times the sum of all other masses:

.. math:: D_i = \frac{k_B T \tau}{m_i} \Big( 1 - \frac{2}{N} + \frac{\bar m}{N m_i} \Big) ,

the factor 1 - 1/N for equal masses.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.data import atomic_masses, atomic_numbers
from ase.io import write

from lpsmd import Study
from lpsmd.analysis import Verdict
from lpsmd.analysis.constants import BOLTZMANN_EV_PER_K
from lpsmd.analysis.diffusion import CM2_PER_S_IN_A2_PER_PS
from support.models import zero_model
from tolerances import FREE_PARTICLES_RELATIVE

TEMPERATURE_K, DAMPING_PS = 900.0, 0.02
#: eV in one (g/mol) (Angstrom/ps)^2.
MASS_UNIT_EV = 1.0364269e-4

STUDY = f"""
[study]
name = "gas"
seed = 1

[structure]
file = "gas.extxyz"

[[models]]
path = "./nothing.pt"

[dynamics]
temperature_K = {TEMPERATURE_K}
thermostat = "langevin"
damping_ps = {DAMPING_PS}
timestep_fs = 4.0
equilibration_ps = 0.2
production_ps = 16.0
chunk_ps = 16.0
dump_interval_fs = 40.0

[ensemble]
replicas = 8

[analysis]
species = "Li"
drift = "none"
fit_window = [0.02, 0.25]
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """A gas of Li and Cl under a model whose energies and forces are zero, run once."""
    folder = tmp_path_factory.mktemp("gas")
    write(folder / "gas.extxyz", bulk("LiCl", "rocksalt", a=5.1, cubic=True) * (2, 2, 2))
    zero_model(folder / "nothing.pt", ["Li", "Cl"])
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    found = Study.load(folder / "study.toml")
    found.run(folder / "out", workers=2)
    return found, folder / "out"


@pytest.mark.parametrize("species", ["Li", "Cl"])
def test_free_particles_diffuse_as_langevin_says(study: tuple[Study, Path], species: str) -> None:
    run, output = study
    structure = run.structure.build(0)
    masses = np.array([atomic_masses[atomic_numbers[symbol]] for symbol in structure.symbols])
    mass = atomic_masses[atomic_numbers[species]]
    found = replace(run, analysis=replace(run.analysis, species=species)).diffusion(output)["nothing-900K"]
    correction = 1.0 - 2.0 / len(masses) + masses.mean() / (len(masses) * mass)
    kT = BOLTZMANN_EV_PER_K * TEMPERATURE_K / MASS_UNIT_EV
    D = correction * kT * DAMPING_PS / mass * CM2_PER_S_IN_A2_PER_PS
    half = found.D_half_interval_cm2_per_s
    assert half is not None
    print(f"{species}: {found}, expected {D:.4g}")
    assert found.verdict is Verdict.DIFFUSIVE
    assert abs(found.D_cm2_per_s - D) < half < FREE_PARTICLES_RELATIVE * D
