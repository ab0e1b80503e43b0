"""`lpsmd dataset import`: each bad frame with its message."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import Bohr, Hartree
from click.testing import CliRunner

import tolerances
from lpsmd.cli import main
from lpsmd.dataset.checks import geometry_hash
from lpsmd.dataset.importing import DatasetError, import_dataset
from support.training import DFT_FOLDER

ENERGY_EV, NUMBER = -8130.0, 5


def labelled(
    atoms: Atoms, *, energy: float | None = ENERGY_EV, forces: np.ndarray | None, keys: tuple[str, str] | None = None
) -> Atoms:
    """Labels where ASE puts them, or under other keys."""
    if keys is not None:
        atoms.info[keys[0]], atoms.arrays[keys[1]] = energy, forces
        return atoms
    results = {"energy": energy, "forces": forces}
    atoms.calc = SinglePointCalculator(atoms, **{name: value for name, value in results.items() if value is not None})
    return atoms


def frames(*, keys: tuple[str, str] | None = None, unit: tuple[float, float] = (1.0, 1.0)) -> list[Atoms]:
    """Good frames: LiCl in a box, random forces of about 1 eV/Angstrom that sum to zero; labels in some unit."""
    rng = np.random.default_rng(7)
    found = []
    for n in range(NUMBER):
        atoms = Atoms("Li2Cl2", positions=[[0, 0, 0], [3, 3, 0], [3, 0, 0], [0, 3, 0]], cell=[6.0, 6.0, 4.0], pbc=True)
        atoms.positions += rng.normal(0.0, 0.1, (4, 3))
        forces = rng.normal(0.0, 1.0, (4, 3))
        forces -= forces.mean(axis=0)
        atoms.info["trajectory"] = f"t{n}"
        found.append(labelled(atoms, energy=(ENERGY_EV + 0.1 * n) / unit[0], forces=forces / unit[1], keys=keys))
    return found


def written(path: Path, atoms: list[Atoms]) -> Path:
    ase.io.write(path, atoms, format="extxyz")
    return path


# ----- what is good ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [None, ("REF_energy", "REF_forces")])
def test_good_frames_come_out_as_ase_reads_them(tmp_path: Path, keys: tuple[str, str] | None) -> None:
    done = import_dataset([written(tmp_path / "in.extxyz", frames(keys=keys))], tmp_path / "set.extxyz")
    assert (done.written, done.refused) == (NUMBER, ())
    for n, (found, source) in enumerate(zip(ase.io.read(tmp_path / "set.extxyz", ":"), frames(), strict=True)):
        assert found.get_potential_energy() == pytest.approx(source.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(found.get_forces(), source.get_forces(), atol=tolerances.EXTXYZ_POSITION_A)
        np.testing.assert_allclose(found.positions, source.positions, atol=tolerances.EXTXYZ_POSITION_A)
        assert found.info == {"frame": f"in_{n}", "trajectory": f"t{n}", "source": f"{tmp_path}/in.extxyz frame {n}"}


def test_the_shipped_sets_are_good(tmp_path: Path) -> None:
    for name, number in (("pbe", 61), ("hse06", 55)):
        assert import_dataset([DFT_FOLDER / f"{name}.extxyz"], tmp_path / "set.extxyz").written == number


def test_other_formats_of_ase_are_read(tmp_path: Path) -> None:
    path = tmp_path / "run.traj"
    ase.io.write(path, frames())
    assert import_dataset([path], tmp_path / "set.extxyz").written == NUMBER


# ----- units -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "factors", "looks"),
    [
        ("Hartree/Bohr", (Hartree, Hartree / Bohr), "looks like Hartree/Bohr or Ry/Bohr"),
        ("Ry/Bohr", (Hartree / 2, Hartree / 2 / Bohr), "looks like Hartree/Bohr or Ry/Bohr"),
        ("kcal/mol/Angstrom", (1 / 23.060548, 1 / 23.060548), "looks like kcal/mol/Angstrom"),
    ],
)
def test_other_units_are_seen_and_converted_only_when_told(
    tmp_path: Path, unit: str, factors: tuple[float, float], looks: str
) -> None:
    path = written(tmp_path / "in.extxyz", frames(unit=factors))
    with pytest.raises(DatasetError, match=rf"in.extxyz frame 0: the forces have an rms of .*{looks}; give --units"):
        import_dataset([path], tmp_path / "set.extxyz")
    import_dataset([path], tmp_path / "set.extxyz", units=unit)
    for found, source in zip(ase.io.read(tmp_path / "set.extxyz", ":"), frames(), strict=True):
        assert found.get_potential_energy() == pytest.approx(source.get_potential_energy(), rel=1e-6)
        np.testing.assert_allclose(found.get_forces(), source.get_forces(), rtol=1e-5, atol=1e-6)


def test_small_forces_are_taken_when_it_is_said_that_they_are_meant(tmp_path: Path) -> None:
    path = written(tmp_path / "in.extxyz", frames(unit=(1.0, 100.0)))
    assert import_dataset([path], tmp_path / "set.extxyz", units="eV/Angstrom").written == NUMBER


def test_an_energy_below_that_of_all_electrons_is_no_eV(tmp_path: Path) -> None:
    path = written(tmp_path / "in.extxyz", [labelled(a, energy=-1e5, forces=a.get_forces()) for a in frames()])
    with pytest.raises(
        DatasetError, match=r"found -25000 eV/atom, below -79.., which all electrons of these atoms have"
    ):
        import_dataset([path], tmp_path / "set.extxyz")


# ----- what is bad -----------------------------------------------------------------------------------------


def _no_energy(found: list[Atoms]) -> None:
    labelled(found[3], energy=None, forces=found[3].get_forces())


def _no_forces(found: list[Atoms]) -> None:
    labelled(found[3], forces=None)


def _no_labels(found: list[Atoms]) -> None:
    found[3].calc = None


def _nan_force(found: list[Atoms]) -> None:
    forces = found[3].get_forces()
    forces[0, 0] = np.nan
    labelled(found[3], forces=forces)


def _infinite_energy(found: list[Atoms]) -> None:
    labelled(found[3], energy=float("inf"), forces=found[3].get_forces())


def _net_force(found: list[Atoms]) -> None:
    labelled(found[3], forces=found[3].get_forces() + np.array([0.0, 0.0, 0.01]))


def _overlap(found: list[Atoms]) -> None:
    results = dict(found[3].calc.results)
    found[3].positions[1] = found[3].positions[0] + [0.0, 0.0, 3.5]  # across the cell's boundary
    labelled(found[3], energy=results["energy"], forces=results["forces"])


def _nan_position(found: list[Atoms]) -> None:
    results = dict(found[3].calc.results)
    found[3].positions[0, 1] = np.nan
    labelled(found[3], energy=results["energy"], forces=results["forces"])


def _no_cell(found: list[Atoms]) -> None:
    results = dict(found[3].calc.results)
    found[3].cell[:] = 0.0
    labelled(found[3], energy=results["energy"], forces=results["forces"])


def _repeated(found: list[Atoms]) -> None:
    found[3] = labelled(found[1].copy(), forces=found[1].get_forces())


def _repeated_and_turned(found: list[Atoms]) -> None:
    turned, forces = found[1].copy(), Atoms("X4", positions=found[1].get_forces())
    turned.rotate(33.0, (1, 2, 3), rotate_cell=True)
    forces.rotate(33.0, (1, 2, 3))
    found[3] = labelled(turned, forces=forces.positions)


def _other_zero(found: list[Atoms]) -> None:
    labelled(found[3], energy=ENERGY_EV - 180.0, forces=found[3].get_forces())


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_no_energy, "found no energy (or REF_energy, dft_energy); its keys are trajectory, numbers, positions"),
        (_no_forces, "found no forces (or REF_forces, dft_forces); its keys are"),
        (_no_labels, "found no energy (or REF_energy, dft_energy), forces (or REF_forces, dft_forces); its keys are"),
        (_nan_force, "found a force that is not finite"),
        (_infinite_energy, "found the energy inf, needed a finite number"),
        (_net_force, "the forces sum to 0.04 eV/Angstrom, 0.01 for each atom, needed at most 0.001"),
        (_overlap, "found atoms 0 (Li) and 1 (Li) at 0.500 Angstrom, needed at least 1.28"),
        (_nan_position, "found a position or cell vector that is not finite"),
        (_no_cell, "found periodic boundaries without a cell"),
        (_repeated, "repeats the geometry of {file} frame 1"),
        (_repeated_and_turned, "repeats the geometry of {file} frame 1"),
        (_other_zero, "eV/atom, -45.03 off the median of the 5 frames of ClLi, needed at most 1: another energy zero"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_bad_frame_is_named_and_left_out_only_when_told(
    tmp_path: Path, damage: Callable[[list[Atoms]], None], says: str
) -> None:
    found = frames()
    damage(found)
    path = tmp_path / "in.traj"  # extended XYZ rounds and drops what some of these need
    ase.io.write(path, found)
    output = tmp_path / "set.extxyz"
    says = says.replace("{file}", str(path))
    headline = "1 bad frame; nothing was written (--skip-bad leaves them out)"
    with pytest.raises(DatasetError, match=rf"^{re.escape(headline)}\n  {path} frame 3: .*{re.escape(says)}"):
        import_dataset([path], output)
    assert not output.exists()
    done = import_dataset([path], output, skip_bad=True)
    assert (done.written, done.left_out) == (NUMBER - 1, 1)
    assert "in_3" not in [atoms.info["frame"] for atoms in ase.io.read(output, ":")]


def test_the_same_file_twice_is_all_repetition(tmp_path: Path) -> None:
    path = written(tmp_path / "in.extxyz", frames())
    with pytest.raises(DatasetError, match=f"{NUMBER} bad frames"):
        import_dataset([path, path], tmp_path / "set.extxyz")


def test_different_geometries_have_different_hashes() -> None:
    hashes = {geometry_hash(atoms) for atoms in frames()}
    assert len(hashes) == NUMBER
    moved = frames()[0]
    moved.positions[2, 2] += 1e-3
    assert geometry_hash(moved) not in hashes


def test_nothing_good_is_an_error(tmp_path: Path) -> None:
    found = frames()
    for atoms in found:
        atoms.calc = None
    path = written(tmp_path / "in.extxyz", found)
    with pytest.raises(DatasetError, match="found no good frame in"):
        import_dataset([path], tmp_path / "set.extxyz", skip_bad=True)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere.extxyz: cannot be read"):
        import_dataset([tmp_path / "nowhere.extxyz"], tmp_path / "set.extxyz")


def test_the_command_names_what_it_leaves_out(tmp_path: Path) -> None:
    found = frames()
    _net_force(found)
    path, output = written(tmp_path / "in.extxyz", found), tmp_path / "set.extxyz"
    command = ["dataset", "import", str(path), "-o", str(output)]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 2
    assert f"{path} frame 3: the forces sum to" in refused.stderr
    done = CliRunner().invoke(main, [*command, "--skip-bad"])
    assert done.exit_code == 0
    assert f"left out: {path} frame 3: the forces sum to" in done.stderr
    assert f"{output}: 4 frames, 1 left out" in done.stdout
    assert CliRunner().invoke(main, [*command, "--net-force", "0.02"]).exit_code == 0
