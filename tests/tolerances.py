"""Every tolerance of the tests: a name, a unit and a reason. Tests import from here and invent none."""

from __future__ import annotations

# ----- pair style against LAMMPS' own lj/cut ---------------------------------------------------------------
# Two summation orders of the same float64 terms; forces of rattled rock salt reach some eV/Angstrom.
LJ_FORCE_EV_PER_A = 1e-11
# 200 steps at 900 K amplify rounding of 1e-15 A about a million times.
LJ_POSITION_A = 1e-7
LJ_ENERGY_RELATIVE = 1e-12  # of the sum of |atom energies|

# ----- exported networks against the trainer's own calculator in float64 -----------------------------------
# float64: different order of sums in different programs; float32: rounding of the network, forces of some eV/A.
PARITY_FORCE_EV_PER_A = {"float64": 1e-8, "float32": 1e-4}
PARITY_ENERGY_EV_PER_ATOM = {"float64": 1e-9, "float32": 1e-5}
PARITY_VIRIAL_EV_PER_ATOM = {"float64": 1e-8, "float32": 1e-4}

# ----- committee of models ---------------------------------------------------------------------------------
# One member computes in float32: rounding of its forces of some eV/A, and of its energy for each atom.
COMMITTEE_DEVIATION_EV_PER_A = 1e-5
COMMITTEE_ENERGY_EV_PER_ATOM = 1e-6
# ----- many ranks: LAMMPS against ASE on the same model file, and against one rank ---------------------------
# One program on two graphs whose edges and atoms come in other orders. Measured by permuting the atoms of each
# structure of the matrix, largest of all: forces 1e-13 (float64) and 1.3e-5 eV/A (float32), atom energies 6e-14 and
# 3.1e-5 eV, virial 1e-13 and 1.4e-6 eV/atom, energy 4e-16 and 8e-9 of the sum. All are of the tiny nequip network:
# its forces reach 90 eV/A, its atom energies lie some 100 eV off the shifts and round by 8e-6 eV in float32.
# ASE and LAMMPS also place images and axes differently: 1e-14 A, times some 1000 eV/A^2.
MATRIX_FORCE_EV_PER_A = {"float64": 1e-8, "float32": 1e-4}
MATRIX_ATOM_ENERGY_EV = {"float64": 1e-9, "float32": 1e-4}
MATRIX_VIRIAL_EV_PER_ATOM = {"float64": 1e-9, "float32": 1e-5}
MATRIX_ENERGY_RELATIVE = {"float64": 1e-12, "float32": 1e-7}  # of the sum of |atom energies|
# Between numbers of ranks the order of sums alone differs: ten times and more what is measured above in float64, four
# times in float32. One edge left out of 1372 changes some force by 0.02 eV/A in the median and, of 150 tried for each
# network, in 90 % of cases by 1e-4 at least; 2e-9 where it is longest: that only float64 sees.
RANKS_FORCE_EV_PER_A = {"float64": 1e-10, "float32": 5e-5}
RANKS_ATOM_ENERGY_EV = {"float64": 1e-11, "float32": 1e-4}
RANKS_VIRIAL_EV_PER_ATOM = {"float64": 1e-11, "float32": 1e-5}
RANKS_ENERGY_RELATIVE = {"float64": 1e-12, "float32": 1e-7}  # of the sum of |atom energies|

# ----- long runs -------------------------------------------------------------------------------------------
# One leaked graph of 27 atoms and 1,000 edges is 60 KiB: 90,000 of them would be 5 GiB, one in a hundred 50 MiB.
# Buffers grow with the densest environment met, the allocators of torch and LAMMPS by some 100 KiB.
MEMORY_GROWTH_MIB = 4.0

# ----- a GPU against the CPU -------------------------------------------------------------------------------
# float64 on both, sums in another order (and, on the GPU, in one that changes). 50 steps of 1 fs under the tiny nequip
# network, whose forces reach 90 eV/A, ended 9.7e-8 A apart on an H100; under the others below 1e-8.
CUDA_POSITION_A = 1e-6
# Blocks of torch's allocator follow the number of edges; one graph kept for each step would be 20 MiB.
CUDA_MEMORY_GROWTH_MIB = 8.0

# ----- one LAMMPS against another --------------------------------------------------------------------------
# The same libtorch, compilers that order LAMMPS' own sums differently: rounding of 8,000 eV, or of a float32 network
# of 52 atoms, over 5 steps. Measured: no difference at all.
SITE_ENERGY_EV = {"float64": 1e-8, "float32": 1e-3}

# ----- derivatives by central differences ------------------------------------------------------------------
# Step 1e-3 A: truncation h^2 f'''/6 with f''' of some 100 eV/A^3 gives 1e-5; rounding of -8000 eV gives 1e-9/h.
DIFFERENCE_FORCE_EV_PER_A = 1e-4
# Strain 1e-4: truncation below 1e-4 eV for a virial of tens of eV.
DIFFERENCE_VIRIAL_EV = 1e-3

# ----- heat flux and per-atom virials ----------------------------------------------------------------------
# Central differences at 0.2 and 0.1 fs are 5e-2 and 1e-2 off, what they extrapolate to 6e-7 (dt^4), and rounding of
# 18 atoms' r e of 2000 eV A over 0.1 fs 1e-8; a virial on the wrong atom is 7 off.
FLUX_DERIVATIVE_EV_A_PER_PS = 1e-5
# Errors of the two differences are as 4 to 1 but for terms of dt^4: 2e-4 measured.
FLUX_SECOND_ORDER_RATIO = 5e-3
# The same float64 terms in other orders, and programs of other libraries: 1e-12 of each, of the largest component.
FLUX_SUM_RELATIVE = 1e-11
# Sums of 52 atoms' virials against one over edges: float64 terms of some 10 eV.
ATOM_VIRIAL_EV = 1e-10

# ----- constant-energy dynamics ----------------------------------------------------------------------------
# Velocity Verlet at timestep dt conserves a shadow energy; the true one wobbles by c dt^2, without a slope. c about
# 5e-4 eV/atom/fs^2 for P-S bonds of 60 fs at 900 K (measured for the shipped models: see test_energy_conservation).
NVE_FLUCTUATION_EV_PER_ATOM_PER_FS2 = 1e-3
# Over 0.2 ps, the wobble alone fits a slope of a few 1e-4 eV/atom/ps.
NVE_SLOPE_EV_PER_ATOM_PER_PS = 2e-3

# ----- model files and programs of the contract ------------------------------------------------------------
# Sum over pairs in numpy and in the program: a few hundred float64 terms of up to some 10 eV each.
LJ_VIRIAL_EV = 1e-10
# float32 rounding (6e-8) of forces of some 10 eV/Angstrom that cancel.
LJ_SINGLE_PRECISION_EV_PER_A = 1e-4
# Central differences of float64 programs, step 1e-4 A: truncation h^2 f'''/6 with f''' of some 100 eV/A^3.
CONTRACT_GRADIENT_EV_PER_A = 1e-6
# Identities that hold but for the order of float64 sums of energies of some 100 eV.
CONTRACT_SYMMETRY_EV = 1e-10

# ----- dumps and mean squared displacements ----------------------------------------------------------------
# LAMMPS writes %.8f: half a unit of the last digit, and a little for the rounding of positions near 1e4 A.
DUMP_POSITION_A = 5.1e-9
# Binary dumps hold the float64 itself.
BINARY_POSITION_A = 0.0
# Unwrapping adds images times cell vectors to x: rounding of float64 at some 100 A, above the digits of %.8f.
UNWRAP_POSITION_A = 2e-8
# A frame shears the cell of some 10 Angstrom by 0.04 of it: an image crossed in between moves the atom by that,
# three of them by 1.3; a flip that is missed, by a cell vector of 11 Angstrom at least.
FLIP_STEP_A = 1.5
# Reading ahead of a dump: 64 MiB as stated, one portion carried on and one handed out of 3 MB of text each, and the
# stacks and arenas of up to 64 threads.
READ_AHEAD_MIB = 110.0
# XDATCAR holds 8 digits of fractions of some 10 A, extended XYZ 8 digits: rounding of a few 1e-8 A.
XDATCAR_POSITION_A = 3e-7
# float32 positions of some 10 A.
SINGLE_PRECISION_POSITION_A = 1e-5
# XTC keeps a hundredth of an Angstrom: half of it, and float32 cells.
XTC_POSITION_A = 6e-3
# Sums of up to 1e6 products in float64, in another order than the oracle's, and the rounding of transforms (4e-12 of
# the sum is tolerated, beyond it lags are summed directly). Positions 1e4 A away are exact in these tests.
MSD_RELATIVE = 1e-10
# Time of a trajectory with one frame out of place, or missing, over that without: some ten percent and other work on
# the machine; summed pair by pair, 10,000 frames take more than 50 times as long.
MSD_OUTLIER_TIMES = 10.0
# Signals are looked at every 50 ms; Ctrl-C comes after 0.3 s, and other work shares the machine.
INTERRUPT_S = 3.0
# Random walk of 400 atoms, MSD at lag 1: relative standard error sqrt(2/3/400/1000) = 0.0013, four of these.
RANDOM_WALK_MSD_RELATIVE = 0.006
# alpha2 of the same walk: variance of 3 <r^4> / (5 <r^2>^2) is 8/15 per step, sqrt(8/15/4e5) = 0.0012, four of these.
GAUSSIAN_ALPHA2 = 0.005
# MDAnalysis' EinsteinMSD takes S1 - 2 S2 of positions that are not shifted: rounding of 1e3 frames of 1e2 A^2 each.
EINSTEIN_MSD_A2 = 1e-9
# Benchmark: float32 positions near 20 A are 1e-6 A off at each end of a step of 0.09 A, in 8e5 such steps.
BENCHMARK_MSD_RELATIVE = 1e-5
# Peak memory over the selected coordinates; cost near linear in frames from 1,000 to 100,000: log2 of the
# transform grows 1.6 times, and the caches hold 1,000 frames but not 100,000.
BENCHMARK_EXTRA_MEMORY_MB = 100.0
BENCHMARK_COST_PER_FRAME_RATIO = 5.0
# The reference protocol, 1,800 replicas: what `lpsmd status` may take, what a driver may hold, and which part of the
# workers' time may go to anything but LAMMPS where a replica takes 10 s.
STATUS_S = 1.0
DRIVER_MEMORY_MB = 300.0
DRIVER_OVERHEAD = 0.05
# MDAnalysis holds positions in float32: 6e-8 of 20 A for each end of a step, a thousand steps added up at random.
FLOAT32_UNWRAP_A2 = 1e-3
# D of 8 random-walk replicas against the D that made them: four standard errors (stated by the fit itself).
RANDOM_WALK_D_STANDARD_ERRORS = 4.0
# Closed forms against sums over all pairs, and one formula against another, in float64.
ALGEBRA_RELATIVE = 1e-9
# The exponent with a free offset is right to first order in its distance from 1 only: 0.15 away, 0.02 off.
STRAIGHTNESS_EXPONENT = 0.02
# Probability under which a sample of p-values is taken as not uniform.
KOLMOGOROV_P = 0.01
# 2,000 resamples of 200 replicas: interval limits to some 3 %, and the bootstrap lacks a factor of (n - 1)/n.
BOOTSTRAP_RELATIVE = 0.1
# The standard deviation of 300 D is known to 4 %, that which the blocks state to 3 %: four standard errors.
SINGLE_ERROR_RELATIVE = 0.2
# What the default estimator must keep over 2,000 ensembles: binomial standard errors 0.010 and 0.005.
COVERAGE_68_RANGE = (0.65, 0.71)
COVERAGE_95_RANGE = (0.93, 0.97)
BIAS_STANDARD_ERRORS = 0.1
# Coverage of a 95 % interval in 600 sets: binomial standard error 0.009, three of these.
COVERAGE_95 = 0.027
# The same over 150 ensembles: standard errors 0.038 and 0.018, three of these.
COVERAGE_SMALL_68 = 0.115
COVERAGE_SMALL_95 = 0.054
# t^0.8 of 8 replicas or more: 4 % are taken for diffusion, plus three binomial standard errors of 60 ensembles.
SUBDIFFUSION_TAKEN_FOR_DIFFUSION = 0.12
# Replicas in structures that differ as much as they do, taken as independent: their 95 % interval holds 60 to 88 %.
NESTED_TAKEN_AS_INDEPENDENT_95 = 0.9
# At a target error, what the interval at the stop must hold, and how often half way foretells the number at the stop.
STOP_COVERAGE_95_RANGE = (0.93, 0.97)
STOP_FORESEEN = 0.9
# Ordinary least squares claims 95 % and holds the truth in fewer than 30 % of cases.
OLS_COVERAGE_95 = 0.5

# ----- cells of Li6PS5Cl -----------------------------------------------------------------------------------
# Coordinates are rounded to 1e-9 of a cell when orbits are made, to 1e-12 A in data files and 1e-8 in CIF.
STRUCTURE_POSITION_A = 1e-6
# P-S of 2.03 A and Li-S of 2.42 A against refinements that differ by a few hundredths.
STRUCTURE_BOND_A = 0.05

# ----- studies ---------------------------------------------------------------------------------------------
# Mean temperature of three 0.5 ps runs of 52 thermostatted atoms: the standard deviation of one is about 25 K.
STUDY_TEMPERATURE_K = 100.0
# The same over one run of 0.4 ps from an equilibration of 0.1 ps, which is not long enough for rest.
ENSEMBLE_TEMPERATURE_K = 100.0
# Spread of the total energy of soft spheres at 2 fs, over that under a thermostat: 0.004 measured.
NVE_OVER_NVT_ENERGY = 0.02
# The pressure of 52 atoms in the last 0.2 ps scatters by thousands of bar; without a barostat it is twice that of one
# test and a fifth of that of the other.
BAROSTAT_RELATIVE = 0.4
# Disk by a probe of 30 steps: 0.3 to 1.7 % measured. Later frames compress otherwise, later steps have more digits.
DRY_RUN_DISK_RELATIVE = 0.05

# ----- trajectory against ASE ------------------------------------------------------------------------------
# 50 fs at 900 K: 1e-8 A from the dump's digits; LAMMPS' and ASE's constants differ by 6e-8 of a path of 0.5 A.
TRAJECTORY_A = 1e-6

# ----- models that ship ------------------------------------------------------------------------------------
# Test frames at 900 K; the rms of predicting no force is 0.7.
SHIPPED_FORCE_RMS_EV_PER_A = {"nequip": 0.060, "mace": 0.060, "deepmd": 0.100}
SHIPPED_FORCE_RMS_MISSED_EV_PER_A = {"nequip_hse06_2": 0.0602}  # misses the target, which its README says
SHIPPED_ENERGY_RMS_EV_PER_ATOM = 0.003
SHIPPED_MAX_FILE_MB = 6.0  # they ship with the package
SHIPPED_MAX_STEP_MS = 30.0  # processor time at 52 atoms, start and warm-up included
# A P-S bond is 2.05 A and stretches to 2.5 A at 900 K; beyond 2.8 A for longer than a few vibrations it is gone.
PS_BOND_BROKEN_A = 2.8
PS_BOND_BROKEN_FOR_PS = 0.1
# ----- training data ---------------------------------------------------------------------------------------
# Sums of 52 per-type energies of some 100 eV in float64.
TRAINING_ENERGY_EV = 1e-8

# ----- quantities derived from D ---------------------------------------------------------------------------
# Straight lines without noise: a few hundred float64 operations.
LINE_RELATIVE = 1e-10
# False alarms of a test at 5 % in 300 ensembles: binomial standard error 0.013, three of these.
FALSE_ALARMS_5 = 0.038
# Numbers worked by hand to six digits.
BY_HAND_RELATIVE = 5e-6

# ----- the pair style as a citizen of LAMMPS ---------------------------------------------------------------
# One float64 program on one graph in another order of edges, its sums of some 10 eV/A: 1e-13, times the network's gain.
CITIZEN_FORCE_EV_PER_A = 1e-10
# Energies of 52 to 416 atoms, -14,000 eV for 52: rounding 2e-12 times the number of additions.
CITIZEN_ENERGY_EV = 1e-7
# Sums of 2,000 to 20,000 edges of some eV.
CITIZEN_VIRIAL_EV = 1e-8
# Rounding of forces, 1e-14 eV/A, over 30 steps of 1 fs, and the wrapping of positions of some 10 A.
CITIZEN_POSITION_A = 1e-9
# 'minimize' is asked for a force norm of 1e-3 eV/A; line searches see energies of -8,000 eV to 1e-12 eV.
MINIMUM_FORCE_EV_PER_A = 1e-3
# 'fix box/relax' weighs atoms and cell in one norm: a stop at 1e-3 eV/A leaves some bar of the 5,000 asked for.
BOX_RELAX_PRESSURE_BAR = 50.0
# Nose-Hoover at 1 fs and 600 K: a wobble of c dt^2, like that of NVE, and the barostat's.
NPT_CONSERVED_EV_PER_ATOM = 1e-3
# Stored numbers have 12 decimals. float64: the same steps by ASE, sums in another order. float32: rounding of forces of
# up to 60 eV/A and of their second derivatives over four steps; energies of an atom to 400 eV, shifts in float64.
REFERENCE_FORCE_EV_PER_A = {"float64": 1e-9, "float32": 2e-4}
REFERENCE_POSITION_A = {"float64": 1e-10, "float32": 1e-6}
REFERENCE_ENERGY_EV = {"float64": 1e-7, "float32": 1e-3}
REFERENCE_VIRIAL_EV = {"float64": 1e-8, "float32": 5e-3}
# D of free particles from 8 replicas of 16 ps with 32 particles and collision times of 0.02 ps: half the 95 % interval.
FREE_PARTICLES_RELATIVE = 0.05

# ----- DFT labels ------------------------------------------------------------------------------------------
# Extended XYZ has eight digits after the point.
EXTXYZ_POSITION_A = 5.1e-9
# The printed text of pw.x: 1e-8 Ry, 1e-8 Ry/bohr, 1e-8 Ry/bohr^3 and 1e-4 eV, halves of the last digit of each. ASE's
# reader takes the constants of CODATA 2006, 8e-8 off those of 2014: 2e-6 eV of 22.
PW_TEXT_ENERGY_EV = 3e-6
PW_TEXT_FORCE_EV_PER_A = 2e-7
PW_TEXT_STRESS_EV_PER_A3 = 1e-6
PW_TEXT_GAP_EV = 2e-4
# Central differences over 0.02 A: truncation of 1e-4; of HSE06, whose exchange is on the coarse grid of ecutfock =
# ecutwfc = 20 Ry, 3.4e-4 measured. The two functionals differ by 1.6e-2.
LABEL_FORCE_EV_PER_A = {"PBE": 2e-4, "HSE06": 1e-3}

# ----- frames that want labels -----------------------------------------------------------------------------
# Sums of float64 numbers in another order.
ROUNDING = 1e-12
# Of means of SOAP spectra with length one, of a cell that was turned and shifted.
SOAP_DISTANCE = 1e-6
