"""Every tolerance of the tests: a name, a unit and a reason. Tests import from here and invent none."""

from __future__ import annotations

# ----- pair style against LAMMPS' own lj/cut ---------------------------------------------------------------
# Two summation orders of the same float64 terms; forces of rattled rock salt reach some eV/Angstrom.
LJ_FORCE_EV_PER_A = 1e-11
LJ_ENERGY_RELATIVE = 1e-12  # of the sum of |atom energies|

# ----- exported networks against the trainer's own calculator in float64 -----------------------------------
# float64: different order of sums in different programs; float32: rounding of the network, forces of some eV/A.
PARITY_FORCE_EV_PER_A = {"float64": 1e-8, "float32": 1e-4}
PARITY_ENERGY_EV_PER_ATOM = {"float64": 1e-9, "float32": 1e-5}
PARITY_VIRIAL_EV_PER_ATOM = {"float64": 1e-8, "float32": 1e-4}

# ----- derivatives by central differences ------------------------------------------------------------------
# Step 1e-3 A: truncation h^2 f'''/6 with f''' of some 100 eV/A^3 gives 1e-5; rounding of -8000 eV gives 1e-9/h.
DIFFERENCE_FORCE_EV_PER_A = 1e-4
# Strain 1e-4: truncation below 1e-4 eV for a virial of tens of eV.
DIFFERENCE_VIRIAL_EV = 1e-3

# ----- constant-energy dynamics ----------------------------------------------------------------------------
# Velocity Verlet at timestep dt conserves a shadow energy; the true one wobbles by c dt^2, without a slope. c about
# 5e-4 eV/atom/fs^2 for P-S bonds of 60 fs at 900 K (measured for the shipped models: see test_energy_conservation).
NVE_FLUCTUATION_EV_PER_ATOM_PER_FS2 = 1e-3
# Over 0.2 ps, the wobble alone fits a slope of a few 1e-4 eV/atom/ps.
NVE_SLOPE_EV_PER_ATOM_PER_PS = 2e-3
