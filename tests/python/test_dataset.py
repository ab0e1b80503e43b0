"""`lpsmd dataset import`: what is taken, and each bad frame with its message."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import Bohr, Hartree, kcal, kJ, mol
from click.testing import CliRunner

import tolerances
from lpsmd.cli import main
from lpsmd.dataset import DatasetError, import_dataset
from lpsmd.dataset.checks import LabelledFrame, Tolerances, unit_fault
from lpsmd.dataset.distances import is_same_geometry, repeated_geometries
from lpsmd.dataset.folder import alone_with, read_dataset
from lpsmd.dataset.keys import groups_of
from support.dft import DFT_FOLDER, FIRST, first_frames

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
        name = f"{tmp_path.name}/in_{n}"
        assert found.info == {"frame": name, "trajectory": f"t{n}", "source": f"{tmp_path}/in.extxyz frame {n}"}


def test_the_sets_of_the_project_are_good(tmp_path: Path) -> None:
    for name in ("pbe", "hse06"):
        done = import_dataset([DFT_FOLDER / f"{name}.extxyz"], tmp_path / f"{name}.extxyz")
        assert done.written >= FIRST[name.upper()]


def test_keys_that_extended_xyz_cannot_keep_are_left_out(tmp_path: Path) -> None:
    """ASE writes them, and then reads no energy, or no file at all."""
    found = frames()
    for atoms in found:
        atoms.info = {"comment": "", "note": "two\nlines", "blank": " ", "words": "of one line", **atoms.info}
    ase.io.write(tmp_path / "in.traj", found)
    import_dataset([tmp_path / "in.traj"], tmp_path / "set.extxyz")
    again = ase.io.read(tmp_path / "set.extxyz", ":")
    assert [list(atoms.info) for atoms in again] == [["frame", "words", "trajectory", "source"]] * NUMBER
    assert again[0].get_potential_energy() == pytest.approx(ENERGY_EV)


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
    with pytest.raises(DatasetError, match=r"rms of .* eV/Angstrom if those of the file are in "):
        import_dataset([written(tmp_path / "eV.extxyz", frames())], tmp_path / "other.extxyz", units=unit)
    for found, source in zip(ase.io.read(tmp_path / "set.extxyz", ":"), frames(), strict=True):
        assert found.get_potential_energy() == pytest.approx(source.get_potential_energy(), rel=1e-6)
        np.testing.assert_allclose(found.get_forces(), source.get_forces(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("numbers_per_eV_per_A", "bound", "found"),
    [
        (Bohr / Hartree, 3.1, "below"),
        (2 * Bohr / Hartree, 1.5, "below"),
        (1 / Hartree, 1.6, "below"),
        (mol / kcal, 0.65, "above"),
        (mol / kJ, 0.16, "above"),
        (1000.0, 0.015, "above"),
        (Bohr, 0.11, "below"),
    ],
)
def test_units_are_found_where_the_page_says(numbers_per_eV_per_A: float, bound: float, found: str) -> None:
    def is_found(true_rms: float) -> bool:
        forces = np.full((4, 3), true_rms * numbers_per_eV_per_A)
        frame = LabelledFrame(file="x", number=0, atoms=frames()[0], energy_eV=ENERGY_EV, forces_eV_per_A=forces)
        return unit_fault([frame]) is not None

    assert (is_found(0.95 * bound), is_found(1.05 * bound)) == (found == "below", found == "above")


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
    found[3] = labelled(found[1].copy(), energy=found[1].get_potential_energy(), forces=found[1].get_forces())


def _other_labels(found: list[Atoms]) -> None:
    forces = found[1].get_forces() + 0.02 * np.eye(4, 3, k=1)
    forces -= forces.mean(axis=0)
    found[3] = labelled(found[1].copy(), energy=ENERGY_EV, forces=forces)


def _repeated_and_turned(found: list[Atoms]) -> None:
    turned, forces = found[1].copy(), Atoms("X4", positions=found[1].get_forces())
    turned.rotate(33.0, (1, 2, 3), rotate_cell=True)
    forces.rotate(33.0, (1, 2, 3))
    found[3] = labelled(turned, energy=found[1].get_potential_energy(), forces=forces.positions)


def _other_zero(found: list[Atoms]) -> None:
    labelled(found[3], energy=ENERGY_EV - 180.0, forces=found[3].get_forces())


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_no_energy, "found no energy with forces of one source (calculator: forces), needed both"),
        (_no_forces, "found no energy with forces of one source (calculator: energy), needed both"),
        (_no_labels, "(no label at all), needed both"),
        (_nan_force, "found a force that is not finite"),
        (_infinite_energy, "found the energy inf, needed a finite number"),
        (_net_force, "sum to 0.04 eV/Angstrom, needed at most 0.02 (0.01 times the root of 4 atoms): atoms were lost"),
        (_overlap, "found atoms 0 (Li) and 1 (Li) at 0.500 Angstrom, needed at least 1.28"),
        (_nan_position, "found a position or cell vector that is not finite"),
        (_no_cell, "found periodic boundaries without a cell"),
        (_repeated, "repeats the geometry of {file} frame 1"),
        (_repeated_and_turned, "repeats the geometry of {file} frame 1"),
        (
            _other_labels,
            "has the geometry of {file} frame 1, but other labels: energies differ by 0.1 eV, forces by up to 0.015",
        ),
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
    assert f"{tmp_path.name}/in_3" not in [atoms.info["frame"] for atoms in ase.io.read(output, ":")]


def test_a_force_beyond_a_limit_is_refused_when_one_is_given(tmp_path: Path) -> None:
    found = frames()
    forces = found[3].get_forces()
    forces[:2] = [[0.0, 6.0, 8.0], [0.0, -6.0, -8.0]]
    forces[2:] -= forces[2:].mean(axis=0)
    labelled(found[3], energy=found[3].get_potential_energy(), forces=forces)
    path = written(tmp_path / "in.extxyz", found)
    limit = Tolerances(largest_force_eV_per_A=9.0)
    says = r"frame 3: found a force of 10.00 eV/Angstrom on atom 0 \(Li\), needed at most 9 \(--largest-force\)"
    with pytest.raises(DatasetError, match=says):
        import_dataset([path], tmp_path / "set.extxyz", tolerances=limit)
    assert import_dataset([path], tmp_path / "set.extxyz").written == NUMBER


def test_the_same_file_twice_is_all_repetition(tmp_path: Path) -> None:
    path = written(tmp_path / "in.extxyz", frames())
    with pytest.raises(DatasetError, match=f"{NUMBER} bad frames"):
        import_dataset([path, path], tmp_path / "set.extxyz")


# ----- one geometry ----------------------------------------------------------------------------------------


def _argyrodite(sigma_A: float, number: int) -> list[Atoms]:
    shipped, rng = first_frames()[0], np.random.default_rng(3)
    found = [Atoms(shipped.symbols, positions=shipped.positions, cell=shipped.cell, pbc=True) for _ in range(number)]
    for atoms in found:
        atoms.positions += rng.normal(0.0, sigma_A, (len(atoms), 3))
    return found


def test_a_geometry_is_found_again_wherever_its_digits_end_however_it_is_turned_and_imaged() -> None:
    found = _argyrodite(0.05, 40)
    copies = [atoms.copy() for atoms in found]
    rng = np.random.default_rng(4)
    for atoms in copies:
        atoms.positions += rng.uniform(-5e-5, 5e-5, (len(atoms), 3))  # some of the 6240 cross a border of any bins
        atoms.positions[rng.integers(len(atoms))] += atoms.cell[1] - 2 * atoms.cell[2]
        atoms.rotate(33.0, (1, 2, 3), rotate_cell=True)
    assert repeated_geometries(found + copies) == {40 + n: n for n in range(40)}


def test_what_is_another_geometry_is_not_taken_for_the_same() -> None:
    (atoms,) = _argyrodite(0.05, 1)
    moved, strained, swapped = atoms.copy(), atoms.copy(), atoms.copy()
    moved.positions[17] += [0.0, 3e-4, 0.0]
    strained.set_cell(atoms.cell * 1.0001, scale_atoms=True)
    swapped.symbols[[0, 51]] = swapped.symbols[[51, 0]]
    mirrored = Atoms(
        atoms.symbols, positions=atoms.positions * [-1, 1, 1], cell=atoms.cell.array * [-1, 1, 1], pbc=True
    )
    found = [atoms, moved, strained, swapped, mirrored]
    assert repeated_geometries(found) == {}
    assert is_same_geometry(atoms, moved, tolerance_A=4e-4)


def test_without_a_cell_nothing_has_images() -> None:
    molecule = Atoms("LiCl", positions=[[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    longer = Atoms("LiCl", positions=[[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    assert repeated_geometries([molecule, longer, molecule.copy()]) == {2: 0}


@pytest.mark.parametrize("bad", [1, 3])
def test_of_a_good_and_a_bad_copy_the_good_one_stays(tmp_path: Path, bad: int) -> None:
    found = frames()
    found[3] = labelled(found[1].copy(), forces=found[1].get_forces())
    labelled(found[bad], forces=found[bad].get_forces() + np.array([0.0, 0.0, 0.1]))
    path, output = written(tmp_path / "in.extxyz", found), tmp_path / "set.extxyz"
    done = import_dataset([path], output, skip_bad=True)
    assert [(entry.number, entry.why[:14]) for entry in done.refused] == [(bad, "the forces sum")]
    assert len(ase.io.read(output, ":")) == done.written == NUMBER - 1


# ----- names, and what belongs together --------------------------------------------------------------------


def _folders(tmp_path: Path, *names: str, keys: dict[str, object] | None = None) -> list[Path]:
    """A file run.extxyz in each folder, with geometries of its own and no keys but these."""
    files = []
    for n, name in enumerate(names):
        found = frames()
        for atoms in found:
            atoms.positions[0, 2] += 0.1 * n
            atoms.info = dict(keys or {})
        (tmp_path / name).mkdir(parents=True)
        files.append(written(tmp_path / name / "run.extxyz", found))
    return files


def test_files_of_one_name_in_several_folders(tmp_path: Path) -> None:
    import_dataset(_folders(tmp_path, "run1", "run2"), tmp_path / "set.extxyz")
    found = ase.io.read(tmp_path / "set.extxyz", ":")
    assert [atoms.info["frame"] for atoms in found] == [f"run{r}/run_{n}" for r in (1, 2) for n in range(NUMBER)]
    assert {atoms.info["trajectory"] for atoms in found} == {"run1/run", "run2/run"}


def test_independent_frames_are_groups_of_their_own_and_kinds_are_left_alone(tmp_path: Path) -> None:
    import_dataset(_folders(tmp_path, "run1"), tmp_path / "set.extxyz", independent=True)
    for atoms in ase.io.read(tmp_path / "set.extxyz", ":"):
        assert atoms.info["trajectory"] == atoms.info["frame"]
    import_dataset(_folders(tmp_path, "run2", keys={"kind": "rattle"}), tmp_path / "rattle.extxyz")
    assert not any("trajectory" in atoms.info for atoms in ase.io.read(tmp_path / "rattle.extxyz", ":"))
    import_dataset(_folders(tmp_path, "run3", keys={"kind": "md"}), tmp_path / "md.extxyz")
    assert {atoms.info["trajectory"] for atoms in ase.io.read(tmp_path / "md.extxyz", ":")} == {"run3/run"}


def test_one_name_for_two_geometries_is_refused_with_both_places(tmp_path: Path) -> None:
    files = _folders(tmp_path, "a/run", "b/run")
    with pytest.raises(DatasetError) as error:
        import_dataset(files, tmp_path / "set.extxyz")
    assert f"{files[1]} frame 2: has the name of {files[0]} frame 2, frame=run/run_2, but another" in str(error.value)
    found = frames()
    found[0].info["frame"] = found[4].info["frame"] = 7  # ASE reads such a name as a number
    with pytest.raises(DatasetError, match=r"in.extxyz frame 4: has the name of .*in.extxyz frame 0, frame=7,"):
        import_dataset([written(tmp_path / "in.extxyz", found)], tmp_path / "set.extxyz")


@pytest.mark.parametrize("independent", [False, True])
def test_frames_of_two_folders_get_the_names_of_their_geometries(tmp_path: Path, independent: bool) -> None:
    pbe, hse06 = _folders(tmp_path, "pbe", "hse06")
    data = tmp_path / "data"
    import_dataset([pbe], data / "pbe.extxyz", level="PBE", independent=independent)
    found = ase.io.read(pbe, ":")[::-1]
    for atoms in found:
        labelled(atoms, energy=ENERGY_EV - 1.0, forces=atoms.get_forces())
        atoms.positions[1] += atoms.cell[0]
    written(hse06, found)
    options = {"level": "HSE06", "independent": independent, "names_of": data / "pbe.extxyz"}
    import_dataset([hse06], data / "hse06.extxyz", **options)
    assert import_dataset([hse06], data / "hse06.extxyz", append=True, **options).known == NUMBER
    both = [ase.io.read(data / file, ":") for file in ("pbe.extxyz", "hse06.extxyz")]
    assert [a.info["frame"] for a in both[1]] == [a.info["frame"] for a in both[0]][::-1]
    assert len(read_dataset(data).frames()) == NUMBER
    assert len(set(groups_of([*both[0], *both[1]]))) == (NUMBER if independent else 1)


def test_a_frame_without_its_like_gets_no_name(tmp_path: Path) -> None:
    pbe, hse06 = _folders(tmp_path, "pbe", "hse06")
    output = tmp_path / "data" / "pbe.extxyz"
    import_dataset([pbe], output)
    found = ase.io.read(pbe, ":")
    found[2].positions[0, 2] += 0.02
    written(hse06, found)
    says = (
        rf"{hse06} frame 2: found no frame of its geometry in {output}, .*the closest, pbe/run_2, is 0.01 Angstrom rms"
    )
    with pytest.raises(DatasetError, match=says):
        import_dataset([hse06], tmp_path / "hse06.extxyz", names_of=output)
    command = ["dataset", "import", str(hse06), "-o", str(tmp_path / "hse06.extxyz"), "--names-of", str(output)]
    done = CliRunner().invoke(main, [*command, "--skip-bad"])
    assert f"{NUMBER - 1} frames, 1 left out" in done.stdout


@pytest.mark.parametrize("identity", ["0012345678901234", "12e3456789012345", "3e78c8e722372881"])
def test_a_hash_that_looks_like_a_number_stays_a_word(tmp_path: Path, identity: str) -> None:
    first, second = _folders(tmp_path, "run1", "run2")
    output = tmp_path / "set.extxyz"
    import_dataset([first], output, recipe=identity)
    assert import_dataset([second], output, recipe=identity, append=True).written == NUMBER
    assert {atoms.info["recipe"] for atoms in ase.io.read(output, ":")} == {identity}


# ----- where labels are ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("energy", "forces", "says"),
    [
        (ENERGY_EV, np.zeros((4, 2)), "found forces of shape (4, 2) under REF_, needed (4, 3): three for each atom"),
        (ENERGY_EV, np.zeros(4), "found forces of shape (4,) under REF_, needed (4, 3): three for each atom"),
        ([ENERGY_EV, ENERGY_EV], np.zeros((4, 3)), "found an energy of shape (2,) under REF_, needed one number"),
        ("unknown", np.zeros((4, 3)), "found energy or forces under REF_ that are no numbers"),
    ],
)
def test_labels_of_another_shape_are_refused(tmp_path: Path, energy: object, forces: np.ndarray, says: str) -> None:
    found = frames(keys=("REF_energy", "REF_forces"))
    found[3].info["REF_energy"] = energy
    del found[3].arrays["REF_forces"]
    found[3].set_array("REF_forces", forces)
    path = written(tmp_path / "in.extxyz", found)
    with pytest.raises(DatasetError, match=rf"{path} frame 3: {re.escape(says)}"):
        import_dataset([path], tmp_path / "set.extxyz")
    assert import_dataset([path], tmp_path / "set.extxyz", skip_bad=True).written == NUMBER - 1


def test_energy_and_forces_of_two_sources_are_refused(tmp_path: Path) -> None:
    found = frames()
    forces = found[3].get_forces()
    labelled(found[3], forces=None)
    found[3].set_array("REF_forces", forces)
    path = written(tmp_path / "in.extxyz", found)
    with pytest.raises(DatasetError, match=r"frame 3: .* one source \(calculator: energy, REF_: forces\), needed"):
        import_dataset([path], tmp_path / "set.extxyz")


def test_two_sources_that_differ_are_refused(tmp_path: Path) -> None:
    found = frames()
    found[3].info["REF_energy"] = -8100.0
    found[3].set_array("REF_forces", found[3].get_forces())
    path = written(tmp_path / "in.extxyz", found)
    with pytest.raises(DatasetError, match=r"calculator and REF_ \(energies -8129.7 and -8100\); say .*--labels REF_"):
        import_dataset([path], tmp_path / "set.extxyz")


def test_of_two_sources_the_one_that_is_named(tmp_path: Path) -> None:
    found = frames()
    for atoms in found:
        atoms.info.update(REF_energy=ENERGY_EV - 1.0, MACE_energy=0.0)
        atoms.set_array("REF_forces", 2.0 * atoms.get_forces())
        atoms.set_array("MACE_forces", 0.5 * atoms.get_forces())
    path = written(tmp_path / "in.extxyz", found)
    for source, factor in (("calculator", 1.0), ("REF_", 2.0), ("MACE_", 0.5)):
        output = tmp_path / f"{source}.extxyz"
        import_dataset([path], output, labels=source)
        taken = ase.io.read(output, ":")
        np.testing.assert_allclose(taken[0].get_forces(), factor * found[0].get_forces(), atol=1e-7)
        assert not {"REF_energy", "MACE_energy"} & set(taken[0].info)
    with pytest.raises(DatasetError, match=r"needed both under GAP_"):
        import_dataset([path], tmp_path / "set.extxyz", labels="GAP_")


def test_two_sources_that_agree_are_one(tmp_path: Path) -> None:
    found = frames()
    for atoms in found:
        atoms.info["REF_energy"] = atoms.get_potential_energy()
        atoms.set_array("REF_forces", atoms.get_forces())
    assert import_dataset([written(tmp_path / "in.extxyz", found)], tmp_path / "set.extxyz").written == NUMBER


def test_a_models_predictions_are_no_labels_unless_named(tmp_path: Path) -> None:
    path = written(tmp_path / "in.extxyz", frames(keys=("MACE_energy", "MACE_forces")))
    with pytest.raises(DatasetError, match=r"one source \(MACE_: energy and forces\), needed both from ASE's reader"):
        import_dataset([path], tmp_path / "set.extxyz")
    assert import_dataset([path], tmp_path / "set.extxyz", labels="MACE_").written == NUMBER


def test_stresses_are_counted_and_not_taken(tmp_path: Path) -> None:
    found = frames()
    found[2].calc.results["stress"] = np.full(6, 0.01)
    found[2].info["stress_pulay"] = "uncorrected"
    path, output = written(tmp_path / "in.extxyz", found), tmp_path / "set.extxyz"
    done = CliRunner().invoke(main, ["dataset", "import", str(path), "-o", str(output)])
    assert done.stdout == f"{output}: 5 frames, 0 left out, 1 had a stress, which is not taken\n"
    for atoms in ase.io.read(output, ":"):
        assert not {"stress", "stress_pulay"} & {*atoms.info, *atoms.calc.results}


# ----- the forces' sum -------------------------------------------------------------------------------------


def test_a_lost_atom_is_seen_in_a_large_cell_and_rounding_is_not(tmp_path: Path) -> None:
    atoms = Atoms("Li", cell=[3.0, 3.0, 3.0], pbc=True).repeat(10)
    forces = np.random.default_rng(5).normal(0.0, 1.0, (1000, 3))
    forces -= forces.mean(axis=0)
    rounded = labelled(atoms.copy(), forces=np.round(forces, 2))
    path, output = written(tmp_path / "in.extxyz", [rounded]), tmp_path / "set.extxyz"
    assert import_dataset([path], output).written == 1
    forces[-1] = [0.6, 0.0, 0.0]
    forces[:-1] -= forces.sum(axis=0) / 999
    lost = labelled(atoms[:-1], forces=forces[:-1])
    with pytest.raises(DatasetError, match=r"sum to 0.6 eV/Angstrom, needed at most 0.316 \(0.01 times the root"):
        import_dataset([written(tmp_path / "lost.extxyz", [lost])], tmp_path / "other.extxyz")


# ----- one functional, one recipe --------------------------------------------------------------------------


def test_two_functionals_are_refused(tmp_path: Path) -> None:
    files = [tmp_path / "pbe.extxyz", tmp_path / "hse06.extxyz"]
    for file, functional in zip(files, FIRST, strict=True):
        ase.io.write(file, first_frames(functional))
    with pytest.raises(DatasetError, match=r"level PBE in 61 frames, first .*pbe.extxyz frame 0; level HSE06 in 55"):
        import_dataset(files, tmp_path / "set.extxyz", skip_bad=True)
    with pytest.raises(DatasetError, match=r"level HSE06 in 55 .* and --level PBE was given; needed one level for all"):
        import_dataset(files[1:], tmp_path / "set.extxyz", level="PBE")


def test_frames_without_a_level_or_recipe_get_what_is_given(tmp_path: Path) -> None:
    first, second = _folders(tmp_path, "a", "b")
    marked = ase.io.read(first, ":")
    for atoms in marked:
        atoms.info.update(level="PBE", recipe="0a")
    files = [written(first, marked), second]
    output = tmp_path / "set.extxyz"
    with pytest.raises(DatasetError, match=r"no level in 5 frames, first .*b/run.extxyz frame 0; .*--level NAME gives"):
        import_dataset(files, output)
    with pytest.raises(DatasetError, match=r"no recipe in 5 frames.*--recipe NAME gives one to.*--mixed-"):
        import_dataset(files, output, level="PBE")
    import_dataset(files, output, level="PBE", recipe="0a")
    found = ase.io.read(output, ":")
    assert {(atoms.info["level"], atoms.info["recipe"]) for atoms in found} == {("PBE", "0a")}
    mixed = tmp_path / "mixed.extxyz"
    assert import_dataset(files, mixed, level="PBE", mixed_recipes=True).written == 2 * NUMBER


# ----- joining ---------------------------------------------------------------------------------------------


def test_two_files_become_one_set_to_the_last_digit(tmp_path: Path) -> None:
    files = [tmp_path / "first.extxyz", tmp_path / "later.extxyz"]
    found = first_frames()
    for atoms in found[:30]:
        del atoms.info["recipe"]
    ase.io.write(files[0], found[:30])
    ase.io.write(files[1], found[30:])
    import_dataset(files, tmp_path / "set.extxyz", recipe=found[-1].info["recipe"])
    sources = [atoms for file in files for atoms in ase.io.read(file, ":")]
    for found, source in zip(ase.io.read(tmp_path / "set.extxyz", ":"), sources, strict=True):
        assert found.get_potential_energy() == source.get_potential_energy()
        np.testing.assert_array_equal(found.positions, source.positions)
        np.testing.assert_array_equal(found.get_forces(), source.get_forces())
        assert {key: found.info[key] for key in source.info if key != "stress_pulay"} == {
            key: value for key, value in source.info.items() if key != "stress_pulay"
        }


def test_a_set_grows_and_keeps_what_it_has(tmp_path: Path) -> None:
    first, second = _folders(tmp_path, "run1", "run2")
    output = tmp_path / "set.extxyz"
    import_dataset([first], output)
    output.write_text(before := output.read_text().replace(' pbc="T T T"', ' pbc="T T T" part=test').rstrip("\n"))
    with pytest.raises(DatasetError, match=r"set.extxyz: is there already; --append adds to it, or choose another"):
        import_dataset([second], output)
    done = import_dataset([first, second], output, append=True)
    assert (done.kept, done.known, done.written, done.left_out) == (NUMBER, NUMBER, NUMBER, 0)
    assert output.read_text().startswith(before)
    again = import_dataset([first, second], output, append=True)
    assert (again.kept, again.known, again.written) == (2 * NUMBER, 2 * NUMBER, 0)
    assert len(ase.io.read(output, ":")) == 2 * NUMBER


def test_the_folder_of_a_set_is_made(tmp_path: Path) -> None:
    import_dataset(_folders(tmp_path, "run1"), tmp_path / "new" / "data" / "set.extxyz")
    assert [path.name for path in (tmp_path / "new" / "data").iterdir()] == ["set.extxyz"]


def test_two_calls_at_once_do_not_lose_what_the_other_adds(tmp_path: Path) -> None:
    first, second = _folders(tmp_path, "run1", "run2")
    output = tmp_path / "set.extxyz"
    import_dataset([first], output)
    with alone_with(tmp_path), pytest.raises(DatasetError, match=r"another call writes its sets \(.*held by process"):
        import_dataset([second], output, append=True)
    assert import_dataset([second], output, append=True).written == NUMBER


def test_another_label_of_a_frame_that_is_there_is_refused(tmp_path: Path) -> None:
    (path,) = _folders(tmp_path, "run1")
    output = tmp_path / "set.extxyz"
    import_dataset([path], output)
    changed = ase.io.read(path, ":")
    labelled(changed[2], energy=ENERGY_EV + 0.3, forces=changed[2].get_forces())
    written(path, changed)
    before = output.read_text()
    with pytest.raises(DatasetError, match=rf"{path} frame 2: has the geometry of {output} frame 2, but other labels"):
        import_dataset([path], output, append=True)
    assert output.read_text() == before


def test_what_is_no_set_is_not_appended_to(tmp_path: Path) -> None:
    output = written(tmp_path / "set.extxyz", [Atoms("Li")])
    with pytest.raises(DatasetError, match=r"is no set to append to"):
        import_dataset(_folders(tmp_path, "run1"), output, append=True)


# ----- other codes -----------------------------------------------------------------------------------------

VASP = Path(ase.__path__[0]) / "test" / "testdata" / "vasp"


@pytest.mark.skipif(not VASP.is_dir(), reason="this ASE came without its test data")
@pytest.mark.parametrize(
    ("name", "copy", "energy_eV", "first_force"),
    [
        ("OUTCAR_example_1", "OUTCAR", -68.23102426, [0.030415, -0.114705, -0.460114]),
        ("vasprun_dfpt.xml", "vasprun.xml", -6.74587304, [0.0, 0.0, 0.0]),
    ],
)
def test_vasps_own_files_are_read(
    tmp_path: Path, name: str, copy: str, energy_eV: float, first_force: list[float]
) -> None:
    (tmp_path / "run1").mkdir()
    path = tmp_path / "run1" / copy
    path.write_bytes((VASP / name).read_bytes())
    done = import_dataset([path], tmp_path / "set.extxyz", level="PBE", units="eV/Angstrom")
    assert (done.written, done.with_stress) == (1, 1)
    found = ase.io.read(tmp_path / "set.extxyz")
    assert isinstance(found, Atoms)
    assert found.get_potential_energy() == pytest.approx(energy_eV, abs=1e-8)
    np.testing.assert_allclose(found.get_forces()[0], first_force, atol=1e-8)
    assert found.info["frame"] == f"run1/{path.stem}_0"
    assert found.info["level"] == "PBE"


def test_cp2ks_files_are_joined_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positions and forces as CP2K's MD prints them: Angstrom, and Hartree/Bohr."""
    monkeypatch.chdir(tmp_path)
    sources = frames()

    def as_cp2k(file: str, rows: Callable[[Atoms], np.ndarray]) -> None:
        lines = []
        for n, atoms in enumerate(sources):
            energy = atoms.get_potential_energy() / Hartree
            lines += [f"{len(atoms):8d}", f" i = {n:8d}, time = {n:12.3f}, E = {energy:20.10f}"]
            lines += [
                f" {s:>2s} {x:19.10f} {y:19.10f} {z:19.10f}"
                for s, (x, y, z) in zip(atoms.symbols, rows(atoms), strict=True)
            ]
        Path(file).write_text("\n".join(lines) + "\n")

    as_cp2k("cell-pos-1.xyz", lambda atoms: atoms.positions)
    as_cp2k("cell-frc-1.xyz", lambda atoms: atoms.get_forces() / (Hartree / Bohr))
    page = (Path(__file__).parents[2] / "docs" / "labels.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?cell-pos-1.xyz.*?)```", page, re.DOTALL)
    exec(snippet.replace("[9.86, 9.86, 9.86]", "[6.0, 6.0, 4.0]"), {})
    import_dataset([Path("cp2k.extxyz")], Path("set.extxyz"), units="Hartree/Bohr", level="PBE")
    for found, source in zip(ase.io.read("set.extxyz", ":"), sources, strict=True):
        assert found.get_potential_energy() == pytest.approx(source.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(found.get_forces(), source.get_forces(), atol=1e-6)
        np.testing.assert_allclose(found.positions, source.positions, atol=1e-7)


# ----- the command -----------------------------------------------------------------------------------------


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
    output.unlink()
    assert CliRunner().invoke(main, [*command, "--net-force", "0.03"]).exit_code == 0
