"""Heat flux and per-atom virials.

For a local model, energies e_i of atoms are functions of their own edges, and the flux

    J = d/dt sum_i r_i e_i,    e_i = kinetic and potential energy of atom i,

is sum_i e_i v_i + sum_j W_j v_j where the virial of an edge i -> j, -r (x) g, goes wholly to j. That is what `compute
centroid/stress/atom` finds in the pair style, and `compute heat/flux` makes a flux of (in eV Angstrom/ps; it is J times
the volume, first whole, then its convective part).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers

from lpsmd.models.contract import ModelFile, load_model
from lpsmd.models.evaluate import evaluate
from support.models import lj_model
from support.mpirun import numbers_of
from support.parity import ARCHITECTURES, PARITY, reference
from support.simulation import BAR_A3_PER_EV, TYPE_NAMES, simulation
from tolerances import (
    ATOM_VIRIAL_EV,
    FLUX_DERIVATIVE_EV_A_PER_PS,
    FLUX_SECOND_ORDER_RATIO,
    FLUX_SUM_RELATIVE,
    PARITY_VIRIAL_EV_PER_ATOM,
)

# LAMMPS' own constants of units metal (src/update.cpp): eV in one (g/mol) (A/ps)^2, and A/ps^2 of one eV/A / (g/mol).
EV_PER_MV2 = 1.0364269e-4
ACCELERATION = 1.0 / EV_PER_MV2
DEEPMD = PARITY / "deepmd_float64.pt"
# Of compute centroid/stress/atom and of stress/atom: each whole and convective.
FLUX = [f"c_{name}[{k}]" for name in ("J", "J_symmetric") for k in range(1, 7)]
NEWTON = ("on", "off")


def cluster() -> Atoms:
    """Two PS4 units, Li and Cl in an open box, rattled: 18 atoms, most within the cutoff of 5 A of each other."""
    tetrahedron = 2.05 / np.sqrt(3.0) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    unit = np.concatenate([np.zeros((1, 3)), tetrahedron])
    lithium = [
        [2.8, -0.8, 1.6],
        [2.8, 1.6, -0.8],
        [1.2, -2.4, 0.8],
        [1.2, 0.8, -2.4],
        [1.2, 0.0, 3.2],
        [4.4, 0.8, -2.4],
    ]
    chlorine = [[1.2, 3.2, 0.0], [4.4, 3.2, 0.0]]
    positions = np.concatenate([unit, unit @ np.diag([-1, 1, 1]) + [5.2, 0.4, 0.7], lithium, chlorine])
    atoms = Atoms("PS4PS4Li6Cl2", positions=positions + np.random.default_rng(5).normal(0.0, 0.15, positions.shape))
    atoms.center(vacuum=6.0)
    return atoms


def rock_salt() -> Atoms:
    corners = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    fractional = np.concatenate([corners, corners + np.array([0.5, 0.0, 0.0])])
    atoms = Atoms("Li4S4", scaled_positions=fractional, cell=[5.4] * 3, pbc=True).repeat((3, 2, 2))
    atoms.positions += np.random.default_rng(7).normal(0.0, 0.15, atoms.positions.shape)
    return atoms


def masses(atoms: Atoms) -> np.ndarray:
    """As LAMMPS gets them from `Simulation`, [N, 1]."""
    return np.array([[round(atomic_masses[atomic_numbers[symbol]], 6)] for symbol in atoms.symbols])


def velocities(atoms: Atoms) -> np.ndarray:
    """About 1500 K, of a total momentum that is not zero, Angstrom/ps."""
    thermal = np.sqrt(8.617e-5 * 1500.0 / (masses(atoms) * EV_PER_MV2))
    return np.random.default_rng(9).normal(0.0, 1.0, (len(atoms), 3)) * thermal + np.array([1.0, -0.5, 0.3])


def write_data(atoms: Atoms, path: Path, type_names: tuple[str, ...] = TYPE_NAMES) -> Path:
    """A data file with the velocities, all digits."""
    with simulation(atoms, type_names) as run:
        order = np.argsort(run.lmp.numpy.extract_atom("id")[: len(atoms)])
        run.lmp.numpy.extract_atom("v")[: len(atoms)][order] = velocities(atoms)
        run.lmp.command(f"write_data {path} nocoeff")
    return path


def flux_commands(data: Path, style: list[str], *, newton: str, boundary: str = "p p p") -> list[str]:
    """Both fluxes of one step; `FLUX` are their numbers."""
    return [
        "units metal",
        f"newton {newton}",
        f"boundary {boundary}",
        f"read_data {data}",
        *style,
        "compute ke all ke/atom",
        "compute pe all pe/atom",
        "compute w all centroid/stress/atom NULL virial",
        "compute J all heat/flux ke pe w",
        "compute w_symmetric all stress/atom NULL virial",
        "compute J_symmetric all heat/flux ke pe w_symmetric",
        "thermo_style custom step " + " ".join(FLUX),
        "run 0",
    ]


def lpsmd_style(model: Path, elements: tuple[str, ...] = TYPE_NAMES) -> list[str]:
    return ["pair_style lpsmd device cpu", f"pair_coeff * * {model} {' '.join(elements)}"]


def first_moment(model: ModelFile, atoms: Atoms, v: np.ndarray) -> np.ndarray:
    """sum_i r_i e_i in eV Angstrom."""
    energies = evaluate(model, atoms).atom_energies_eV[:, None]
    return np.sum(atoms.positions * (energies + 0.5 * EV_PER_MV2 * masses(atoms) * (v**2).sum(1, keepdims=True)), 0)


def derivative(model: ModelFile, atoms: Atoms, dt: float) -> np.ndarray:
    """Central difference of the first moment along the trajectory through `atoms`."""
    v = velocities(atoms)
    a = evaluate(model, atoms).forces_eV_per_A / masses(atoms) * ACCELERATION
    moments = []
    for t in (dt, -dt):
        moved = atoms.copy()
        moved.positions += v * t + 0.5 * a * t**2
        moments.append(first_moment(model, moved, v + a * t))
    return (moments[0] - moments[1]) / (2.0 * dt)


@pytest.fixture(scope="module", params=[1, 2], ids=["1 rank", "2 ranks"])
def n_ranks(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def cluster_flux(n_ranks: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """`FLUX` of DP, by newton."""
    folder = tmp_path_factory.mktemp("cluster")
    data = write_data(cluster(), folder / "cluster.data")
    runs = {n: flux_commands(data, lpsmd_style(DEEPMD), newton=n, boundary="f f f") for n in NEWTON}
    return numbers_of(runs, FLUX, folder, n_ranks=n_ranks)


@pytest.mark.parametrize("newton", NEWTON)
def test_flux_is_the_derivative_of_the_first_moment(newton: str, cluster_flux: dict[str, np.ndarray]) -> None:
    """Two central differences, whose errors fall as dt^2, and what they extrapolate to."""
    model = load_model(DEEPMD)
    flux = cluster_flux[newton][:3]
    coarse, fine = derivative(model, cluster(), 2e-4), derivative(model, cluster(), 1e-4)
    np.testing.assert_allclose((coarse - flux) / (fine - flux), 4.0, rtol=0, atol=FLUX_SECOND_ORDER_RATIO)
    np.testing.assert_allclose((4.0 * fine - coarse) / 3.0, flux, rtol=0, atol=FLUX_DERIVATIVE_EV_A_PER_PS)


@pytest.mark.parametrize("newton", NEWTON)
def test_convective_part(newton: str, cluster_flux: dict[str, np.ndarray]) -> None:
    atoms = cluster()
    v = velocities(atoms)
    energies = evaluate(load_model(DEEPMD), atoms).atom_energies_eV[:, None]
    expected = np.sum((energies + 0.5 * EV_PER_MV2 * masses(atoms) * (v**2).sum(1, keepdims=True)) * v, 0)
    np.testing.assert_allclose(cluster_flux[newton][3:6], expected, rtol=FLUX_SUM_RELATIVE, atol=0)
    # The other part is no trifle beside what the test above resolves.
    assert np.abs(cluster_flux[newton][:3] - expected).min() > 1e5 * FLUX_DERIVATIVE_EV_A_PER_PS


def test_the_symmetric_stress_is_wrong_for_many_bodies(cluster_flux: dict[str, np.ndarray]) -> None:
    """What the centroid virial is there for: stress/atom has six numbers for the nine of an atom."""
    flux, symmetric = cluster_flux["on"].reshape(2, 6)
    assert np.abs(symmetric - flux).max() > 1e5 * FLUX_DERIVATIVE_EV_A_PER_PS


@pytest.fixture(scope="module")
def lj_flux(n_ranks: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """`FLUX` of periodic LJ, by pair style and newton."""
    folder = tmp_path_factory.mktemp("lj")
    elements = ("Li", "S")
    data = write_data(rock_salt(), folder / "lj.data", elements)
    model = lj_model(folder / "lj.pt", elements, epsilon_eV=0.02, sigma_A=2.5, cutoff_A=5.0)
    styles = {
        "lj/cut": ["pair_style lj/cut 5.0", "pair_coeff * * 0.02 2.5"],
        "lpsmd": lpsmd_style(model, elements),
    }
    runs = {f"{style}:{n}": flux_commands(data, styles[style], newton=n) for style in styles for n in NEWTON}
    return numbers_of(runs, FLUX, folder, n_ranks=n_ranks)


@pytest.mark.parametrize("newton", NEWTON)
def test_flux_of_pairs_is_that_of_lj_cut(newton: str, lj_flux: dict[str, np.ndarray]) -> None:
    """With either stress: for pairs both are right."""
    expected = lj_flux[f"lj/cut:{newton}"]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(lj_flux[f"lpsmd:{newton}"], expected, rtol=0, atol=FLUX_SUM_RELATIVE * scale)
    assert np.abs(expected[:3] - expected[3:6]).min() > 1e-3 * scale


@pytest.mark.parametrize("architecture", ["nequip", "mace"])
def test_message_passing_has_no_centroid_virial(architecture: str) -> None:
    """Its flux cannot be had from the contract, so LAMMPS must refuse it.

    With messages, e_i depends on edges of other atoms: moving j changes e_i over paths i <- k <- j, and the flux needs
    sum_ij (r_i - r_j) (de_i/dr_j . v_j). A program of the contract gives the derivative of sum_i e_i with respect to
    each edge: which e_i an edge changes is summed away, so any virial made of it would be a wrong flux that looks
    right.
    """
    with simulation(cluster()) as run:
        run.use_model(DEEPMD)
        run.lmp.command("compute w all centroid/stress/atom NULL virial")
        run.lmp.command("run 0")
        run.use_model(PARITY / f"{architecture}_float64.pt")
        with pytest.raises(Exception, match="Pair style does not support compute centroid/stress/atom"):
            run.lmp.command("run 0")


@pytest.fixture(scope="module")
def virials(n_ranks: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """By model: sums of the per-atom virial, and the total one; dE/d(strain) in eV, six numbers each."""
    folder = tmp_path_factory.mktemp("virials")
    runs = {
        architecture: [
            "units metal",
            "newton on" if n_ranks == 1 else "newton off",  # the path on which lpsmd sends virials itself
            f"read_data {write_data(reference(architecture)[0], folder / f'{architecture}.data')}",
            *lpsmd_style(PARITY / f"{architecture}_float64.pt"),
            "compute w all stress/atom NULL virial",
            "compute total all reduce sum c_w[*]",
            "compute p all pressure NULL virial",
            "thermo_style custom step vol c_total[1] c_p[1]",
            "run 0",
        ]
        for architecture in ARCHITECTURES
    }
    printed = [f"c_total[{k}]/{BAR_A3_PER_EV}" for k in range(1, 7)]
    printed += [f"-c_p[{k}]*vol/{BAR_A3_PER_EV}" for k in range(1, 7)]
    return numbers_of(runs, printed, folder, n_ranks=n_ranks)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_atom_virials_sum_to_the_virial(architecture: str, virials: dict[str, np.ndarray]) -> None:
    of_atoms, total = virials[architecture].reshape(2, 6)
    np.testing.assert_allclose(of_atoms, total, rtol=0, atol=ATOM_VIRIAL_EV)
    atoms, expected = reference(architecture)
    assert total[:3].sum() == pytest.approx(  # the trace is the same in LAMMPS' axes and in ASE's
        np.trace(expected["virial_eV"]), abs=len(atoms) * PARITY_VIRIAL_EV_PER_ATOM["float64"]
    )
