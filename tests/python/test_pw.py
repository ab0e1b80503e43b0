"""Recipes, and input and output of pw.x, on outputs that pw.x 6.7 made (tests/data/espresso)."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import ase.io
import numpy as np
import pytest

import tolerances
from lpsmd.labels import LabelError, read_recipe
from lpsmd.labels.pw import XML, PwBroken, PwFailure, PwRefusal, PwResult, geometry_cards, pw_input, read_result
from lpsmd.labels.recipe import SHIPPED_RECIPE
from support.labels import DATA, RECIPE, lih

# ----- recipes ---------------------------------------------------------------------------------------------


def test_the_shipped_recipe_is_that_of_the_shipped_frames() -> None:
    recipe = read_recipe()
    assert (recipe.plane_waves.ecutwfc_Ry, recipe.HSE06.ecutfock_Ry) == (40.0, 40.0)
    assert {element: recipe.valence(element) for element in recipe.pseudopotentials} == {
        "Li": 1,
        "P": 5,
        "S": 6,
        "Cl": 7,
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("ecutwfc_Ry", "ecutwfc"), r"\[plane_waves\]: 'ecutwfc' is not a known key; did you mean 'ecutwfc_Ry'\?"),
        (
            ("ecutwfc_Ry = 40.0", "ecutwfc_Ry = -1.0"),
            r"\[plane_waves\]: ecutwfc_Ry: found -1.0, needed: greater than 0",
        ),
        (("[scf]", "[scff]"), r"the file: 'scff' is not a known section; did you mean 'scf'\?"),
        (("empty_bands = 2 ", "empty_bands = 0 "), r"empty_bands: found 0, needed: greater than or equal to 1"),
        (('k_points = "gamma"', 'k_points = "2x2x2"'), r"k_points: found '2x2x2', needed: 'gamma'"),
        (
            ('S = "GTH-PBE-q6"', 'S = "GTH-BLYP-q6"'),
            r"\[pseudopotentials\]: S: found 'GTH-BLYP-q6', needed: the name of",
        ),
        (('S = "GTH', 'Sulfur = "GTH'), r"needed: symbols of elements, but 'Sulfur' is none"),
        (
            ("[HSE06]\n", "[HSE06]\nstress = true\n"),
            r"\[HSE06\]: 'stress' is not a known key; not computed: that of Quantum ESPRESSO 6.7 is wrong",
        ),
        (("[scf]", "[scf"), r"not valid TOML"),
        (
            ("ecutfock_Ry = 40.0", "ecutfock_Ry = 39.0"),
            r"\[HSE06\]: ecutfock_Ry: found 39.0, needed: 40.0 to 160.0, one to four times ecutwfc_Ry",
        ),
        (("ecutfock_Ry = 40.0", "ecutfock_Ry = 161.0"), r"ecutfock_Ry: found 161.0, needed: 40.0 to 160.0"),
        (("mixing_ndim = 8", "mixing_ndim = 26"), r"mixing_ndim: found 26, needed: less than or equal to 25"),
    ],
)
def test_faults_of_a_recipe_are_told(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    text = SHIPPED_RECIPE.read_text()
    assert change[0] in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(*change))
    with pytest.raises(LabelError, match=rf"^recipe {path}: (.|\n)*{says}"):
        read_recipe(path)


def test_a_recipe_that_is_not_there() -> None:
    with pytest.raises(LabelError, match=r"recipe nowhere.toml: cannot be read: .*; the one that ships is"):
        read_recipe(Path("nowhere.toml"))


# ----- input -----------------------------------------------------------------------------------------------


def written(functional: str) -> str:
    atoms = lih()
    symbols = atoms.get_chemical_symbols()
    geometry = geometry_cards(symbols, atoms.positions, atoms.cell.array)
    return pw_input(functional, read_recipe(RECIPE), symbols=symbols, geometry=geometry, pseudopotentials="../pseudo")


def test_ase_reads_the_same_atoms_from_the_input() -> None:
    found = ase.io.read(io.StringIO(written("PBE")), format="espresso-in")
    assert found.get_chemical_symbols() == ["Li", "H"]
    np.testing.assert_allclose(found.positions, lih().positions, atol=tolerances.EXTXYZ_POSITION_A)
    np.testing.assert_allclose(found.cell.array, lih().cell.array, atol=tolerances.EXTXYZ_POSITION_A)


def test_the_two_functionals_differ_where_they_must() -> None:
    pbe, hse06 = written("PBE").splitlines(), written("HSE06").splitlines()
    assert set(hse06) - set(pbe) == {
        "  tstress = .false.", "  input_dft = 'HSE'", "  exx_fraction = 0.25", "  screening_parameter = 0.11",
        "  ecutfock = 20.0", "  nqx1 = 1", "  nqx2 = 1", "  nqx3 = 1", "  exxdiv_treatment = 'none'",
        "  x_gamma_extrapolation = .false.", "  startingpot = 'file'", "  startingwfc = 'file'",
    }  # fmt: skip
    assert set(pbe) - set(hse06) == {"  tstress = .true.", "  input_dft = 'PBE'"}
    assert "  nbnd = 3" in pbe  # one occupied, two empty


def test_a_geometry_has_one_spelling() -> None:
    minus_zero, zero = np.array([[-1e-12, 0.0, 1.0]]), np.array([[0.0, 0.0, 1.0]])
    cell = np.eye(3)
    assert geometry_cards(["H"], minus_zero, cell) == geometry_cards(["H"], zero, cell)


# ----- output ----------------------------------------------------------------------------------------------


def result(folder: Path, name: str, *, functional: str, exit_code: int = 0) -> PwResult:
    """What is found in a folder in which pw.x has left one of the outputs."""
    xml = DATA / f"{name}.xml.gz"
    if xml.exists():
        (folder / XML).parent.mkdir(parents=True)
        (folder / XML).write_bytes(gzip.decompress(xml.read_bytes()))
    return read(folder, DATA / f"{name}.out", functional=functional, exit_code=exit_code)


def read(folder: Path, printed: Path, *, functional: str, exit_code: int = 0) -> PwResult:
    return read_result(folder, printed, functional=functional, recipe=read_recipe(RECIPE), exit_code=exit_code)


def test_pbe_against_ases_reader(tmp_path: Path) -> None:
    found = result(tmp_path, "pbe", functional="PBE")
    oracle = ase.io.read(DATA / "pbe.out", format="espresso-out")
    assert found.energy_eV == pytest.approx(oracle.get_potential_energy(), abs=tolerances.PW_TEXT_ENERGY_EV)
    np.testing.assert_allclose(
        found.forces_eV_per_A, oracle.get_forces(), rtol=0, atol=tolerances.PW_TEXT_FORCE_EV_PER_A
    )
    np.testing.assert_allclose(
        found.stress_eV_per_A3, oracle.get_stress(voigt=False), rtol=0, atol=tolerances.PW_TEXT_STRESS_EV_PER_A3
    )
    assert found.gap_eV == pytest.approx(4.0009, abs=tolerances.PW_TEXT_GAP_EV)  # -4.1021 and -0.1012 in the text
    assert found.version.startswith("6.7")
    assert 0 < found.cpu_s < 10


def test_hse06_takes_the_last_energy_and_has_no_stress(tmp_path: Path) -> None:
    found = result(tmp_path, "hse06", functional="HSE06")
    (line,) = [line for line in (DATA / "hse06.out").read_text().splitlines() if line.startswith("!!")]
    assert found.energy_eV == pytest.approx(
        float(line.split()[-2]) * ase.units.Rydberg, abs=tolerances.PW_TEXT_ENERGY_EV
    )
    assert found.stress_eV_per_A3 is None
    assert found.gap_eV > result(_sub(tmp_path), "pbe", functional="PBE").gap_eV + 1.0


def _sub(folder: Path) -> Path:
    (folder / "pbe").mkdir()
    return folder / "pbe"


def test_an_inner_loop_that_does_not_converge(tmp_path: Path) -> None:
    with pytest.raises(PwFailure, match=r"^convergence NOT achieved after +3 iterations: stopping$"):
        result(tmp_path, "unconverged", functional="PBE", exit_code=2)


def test_an_outer_loop_that_does_not_converge_though_pw_says_that_all_is_well(tmp_path: Path) -> None:
    xml = gzip.decompress((DATA / "exchange_unconverged.xml.gz").read_bytes())
    assert b"<convergence_achieved>true</convergence_achieved>" in xml
    with pytest.raises(PwFailure, match=r"^EXX convergence NOT achieved after +4 iterations: stopping$"):
        result(tmp_path, "exchange_unconverged", functional="HSE06", exit_code=0)


def test_the_words_of_an_error(tmp_path: Path) -> None:
    with pytest.raises(PwFailure, match=r"^check_atoms \(1\): atoms # +1 and # +2 overlap!$"):
        result(tmp_path, "overlap", functional="PBE", exit_code=1)


def test_an_input_that_pw_does_not_take(tmp_path: Path) -> None:
    with pytest.raises(PwRefusal, match=r"^iosys \(1\): ecutfock can not be < ecutwfc or > ecutrho!$"):
        result(tmp_path, "refused", functional="HSE06", exit_code=1)


def test_without_memory_the_frame_is_not_to_blame(tmp_path: Path) -> None:
    said = (DATA / "overlap.out").read_text().replace("check_atoms", "allocate_fft")
    (tmp_path / "pw.out").write_text(said.replace("atoms #   1 and #   2 overlap!", "cannot allocate psic"))
    with pytest.raises(PwBroken, match=r"^allocate_fft \(1\): cannot allocate psic$"):
        read(tmp_path, tmp_path / "pw.out", functional="PBE", exit_code=1)


def test_a_signal_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(PwBroken, match=r"^pw.x was ended by SIGSEGV; its last words: none$"):
        read(tmp_path, tmp_path / "none.out", functional="PBE", exit_code=-11)


@pytest.mark.parametrize(
    ("key", "was", "found", "needed"),
    [
        ("functional", "HSE", "PBE0", "HSE"),
        ("exx_fraction", "2.500000000000000e-1", "2.000000000000000e-1", "0.25"),
        ("screening_parameter", "1.100000000000000e-1", "1.060000000000000e-1", "0.11"),
        ("ecutfock", "1.000000000000000e1", "2.000000000000000e1", "10.0"),
    ],
)
def test_another_hybrid_does_not_pass_for_hse06(tmp_path: Path, key: str, was: str, found: str, needed: str) -> None:
    result(tmp_path, "hse06", functional="HSE06")
    xml = (tmp_path / XML).read_text()
    head, output = xml.split("<output>")
    assert f"<{key}>{was}<" in output
    (tmp_path / XML).write_text(f"{head}<output>{output.replace(f'<{key}>{was}<', f'<{key}>{found}<')}")
    with pytest.raises(PwRefusal, match=rf"found (hybrid/)?{key} {found} in the output for HSE06, needed {needed}"):
        read(tmp_path, DATA / "hse06.out", functional="HSE06")


def test_hse06_does_not_pass_for_pbe(tmp_path: Path) -> None:
    with pytest.raises(PwRefusal, match="found functional HSE in the output for PBE, needed PBE"):
        result(tmp_path, "hse06", functional="PBE")


def test_pbe_does_not_pass_for_hse06(tmp_path: Path) -> None:
    with pytest.raises(PwFailure, match="did not say 'EXX self-consistency reached'"):
        result(tmp_path, "pbe", functional="HSE06")


def test_an_output_that_was_cut(tmp_path: Path) -> None:
    text = (DATA / "pbe.out").read_text()
    (tmp_path / "cut.out").write_text(text[: len(text) // 2])
    with pytest.raises(PwBroken, match=r"pw.x ended with exit code 0; its last words: "):
        read(tmp_path, tmp_path / "cut.out", functional="PBE")


def test_numbers_that_are_missing_or_none(tmp_path: Path) -> None:
    result(tmp_path, "pbe", functional="PBE")
    xml = (tmp_path / XML).read_text()
    for change, says in (
        ("", "cannot be read"),
        (xml.replace("<forces rank", "<force rank").replace("</forces>\n  </output>", "</force>\n  </output>"), "."),
        (xml[: len(xml) // 2], "cannot be read"),
    ):
        (tmp_path / XML).write_text(change)
        with pytest.raises(PwFailure, match=says):
            read(tmp_path, DATA / "pbe.out", functional="PBE")
    energy = xml.split("<etot>")[1].split("</etot>")[0]
    (tmp_path / XML).write_text(xml.replace(f"<etot>{energy}<", "<etot>NaN<"))
    with pytest.raises(PwFailure, match="not finite"):
        read(tmp_path, DATA / "pbe.out", functional="PBE")
