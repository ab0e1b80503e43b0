"""The commands on dumps, from files to files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from lpsmd.analysis import MSD_COLUMNS, DiffusionOptions, analyse_replicas
from lpsmd.cli import main
from lpsmd.cli._dumps import natural, replicas_of
from lpsmd.errors import LpsmdError
from support.dumps import write_dump
from tolerances import ALGEBRA_RELATIVE

ELEMENTS = ["Li"] * 8 + ["P"] * 4
PNG = b"\x89PNG\r\n\x1a\n"
D_A2_PER_PS = 1.2


def walk(seed: int, n_frames: int = 401) -> np.ndarray:
    """[F, 12, 3]: Li walks, P stays; frames 10 fs apart."""
    rng = np.random.default_rng(seed)
    positions = np.repeat(rng.uniform(0, 10, (1, 12, 3)), n_frames, axis=0)
    positions += rng.normal(0, 0.05, positions.shape)
    positions[:, :8] += rng.normal(0, np.sqrt(2 * D_A2_PER_PS * 0.01), (n_frames, 8, 3)).cumsum(axis=0)
    return positions


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven replicas in folders; 2 fs a step, a frame every 5 steps."""
    folder = tmp_path_factory.mktemp("runs")
    for replica in range(11):
        (folder / f"run-{replica}").mkdir()
        write_dump(folder / f"run-{replica}" / "msd.dump", walk(replica), ELEMENTS, interval=5)
    return folder


def lpsmd(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_diffusion_is_that_of_the_library(runs: Path, tmp_path: Path) -> None:
    json_file, csv_file, msd_file, plot = (tmp_path / name for name in ("d.json", "d.csv", "msd.csv", "d.png"))
    done = lpsmd(
        "diffusion", runs / "run-*" / "msd.dump", "--timestep-fs", 2, "--temperature-K", 500, "--target-error", 0.01,
        "--out", json_file, "--out", csv_file, "--msd-out", msd_file, "--plot", plot,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    paths = [runs / f"run-{replica}" / "msd.dump" for replica in range(11)]
    expected = analyse_replicas(paths, species="Li", timestep_fs=2.0).diffusion
    values = json.loads(json_file.read_text())
    assert values["diffusion"]["D_cm2_per_s"] == pytest.approx(expected.D_cm2_per_s, rel=ALGEBRA_RELATIVE)
    assert values["diffusion"]["verdict"] == "diffusive"
    assert values["replicas"] == [[str(path)] for path in paths]
    assert values["window_scan"]["D_cm2_per_s"][0] == pytest.approx(1.2e-4, rel=0.2)
    assert len(values["local_exponent"]["time_ps"]) == len(values["local_exponent"]["exponent"]) > 10
    for part in ("tensor", "collective", "plan"):
        assert values[part]["verdict"] == "diffusive"
    assert values["conductivity"]["nernst_einstein_verdict"] == "diffusive"
    assert values["conductivity"]["volume_A3"] == pytest.approx(1000.0)
    (row,) = csv.DictReader(csv_file.read_text().splitlines())
    assert float(row["D_cm2_per_s"]) == pytest.approx(expected.D_cm2_per_s, rel=ALGEBRA_RELATIVE)
    assert (row["verdict"], row["n_replicas"]) == ("diffusive", "11")
    assert msd_file.read_text().splitlines()[0] == ",".join(MSD_COLUMNS)
    assert plot.read_bytes().startswith(PNG)
    first, *others = done.stdout.splitlines()
    assert first == f"D(Li) = {expected.value_text}, fit 0.4-2.0 of 4.0 ps: diffusive"
    assert sum("diffusive" in line for line in others) == 4  # reason, tensor, collective, conductivities
    assert any(line.startswith("for 1 % (95 %): ") for line in others)


def test_windows_in_ps_and_per_cent(runs: Path, tmp_path: Path) -> None:
    pattern, out = runs / "run-*", tmp_path / "d.json"
    for fit, window in (("0.5:1.5", (0.5, 1.5)), ("25%:50%", (1.0, 2.0))):
        done = lpsmd("diffusion", pattern, "--timestep-fs", 2, "--fit", fit, "--framework", "none", "--out", out)
        assert done.exit_code == 0, done.output
        found = json.loads(out.read_text())["diffusion"]
        assert (found["fit_start_ps"], found["fit_end_ps"]) == pytest.approx(window)
        assert "the framework was not checked" in done.stdout


def test_one_trajectory_in_chunks(tmp_path: Path) -> None:
    positions = walk(1, 801)
    for chunk in range(12):
        start = 70 * chunk
        write_dump(
            tmp_path / f"{chunk}.dump", positions[start : start + 71], ELEMENTS, first_step=5 * start, interval=5
        )
    out = tmp_path / "d.json"
    done = lpsmd("diffusion", tmp_path, "--timestep-fs", 2, "--drift", "none", "--framework", "none", "--out", out)
    assert done.exit_code == 0, done.output
    assert "n = 1, blocks" in done.stdout
    assert json.loads(out.read_text())["collective"]["D_stderr_cm2_per_s"] is None
    again = lpsmd(
        "diffusion", tmp_path / "?.dump", tmp_path / "1?.dump", "--one-trajectory", "--timestep-fs", 2, "--drift",
        "none", "--framework", "none",
    )  # fmt: skip
    assert again.stdout == done.stdout


def test_msd_as_table_and_files(runs: Path, tmp_path: Path) -> None:
    json_file, csv_file = tmp_path / "msd.json", tmp_path / "msd.csv"
    done = lpsmd("msd", runs / "run-*", "--timestep-fs", 2, "--out", json_file, "--out", csv_file)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("MSD of Li, 11 replica(s) of 8 atoms\n")
    rows = list(csv.DictReader(csv_file.read_text().splitlines()))
    values = json.loads(json_file.read_text())
    assert len(rows) == len(values["time_ps"]) == 201
    assert float(rows[100]["time_ps"]) == pytest.approx(1.0)
    assert [float(row["msd_A2"]) for row in rows] == values["msd_A2"]
    assert values["alpha2"][0] is None
    errors = np.array(values["msd_stderr_A2"])[50:]
    moved = np.array(values["msd_A2"])[50:] - 6 * D_A2_PER_PS * np.array(values["time_ps"])[50:]
    assert np.abs(moved / errors).max() < 4.0


def test_streamed_msd_is_that_of_the_whole_at_its_lags(runs: Path, tmp_path: Path) -> None:
    whole, streamed = tmp_path / "whole.json", tmp_path / "streamed.json"
    file = runs / "run-3" / "msd.dump"
    assert lpsmd("msd", file, "--timestep-fs", 2, "--out", whole).exit_code == 0
    done = lpsmd("msd", file, "--timestep-fs", 2, "--stream-to-ps", 1.5, "--out", streamed)
    assert done.exit_code == 0, done.output
    all_lags, some = json.loads(whole.read_text()), json.loads(streamed.read_text())
    assert len(some["time_ps"]) < len(all_lags["time_ps"])
    # up to 32 frames every origin is there, beyond every second and so on
    np.testing.assert_allclose(some["msd_A2"][:16], all_lags["msd_A2"][:16], rtol=1e-9)
    reference = np.interp(some["time_ps"], all_lags["time_ps"], all_lags["msd_A2"])
    np.testing.assert_allclose(some["msd_A2"][1:], reference[1:], rtol=0.1)


def test_arrhenius_of_result_files(runs: Path, tmp_path: Path) -> None:
    """The same dumps at three temperatures, with D made to follow 0.3 eV."""
    done = lpsmd("diffusion", runs / "run-*", "--timestep-fs", 2, "--temperature-K", 500, "--out", tmp_path / "0.json")
    assert done.exit_code == 0, done.output
    template = json.loads((tmp_path / "0.json").read_text())
    files = []
    for temperature_K in (500.0, 600.0, 700.0):
        factor = np.exp(-0.3 / 8.617333e-5 * (1 / temperature_K - 1 / 500.0))
        values = {**template, "temperature_K": temperature_K, "diffusion": dict(template["diffusion"])}
        for name in ("D_cm2_per_s", "D_stderr_cm2_per_s"):
            values["diffusion"][name] *= factor
        files.append(tmp_path / f"d{temperature_K:g}.json")
        files[-1].write_text(json.dumps(values))
    out, plot = tmp_path / "a.json", tmp_path / "a.png"
    done = lpsmd("arrhenius", *files, "--at", 300, "--out", out, "--plot", plot)
    assert done.exit_code == 0, done.output
    values = json.loads(out.read_text())
    assert values["activation_energy_eV"] == pytest.approx(0.3, rel=1e-4)
    assert values["predictions"][0]["temperature_K"] == 300.0
    assert "Ea = " in done.stdout
    assert "extrapolated" in done.stdout
    assert plot.read_bytes().startswith(PNG)


def test_a_file_given_twice_is_refused(runs: Path) -> None:
    one = runs / "run-1" / "msd.dump"
    done = lpsmd("diffusion", one, runs / "run-?" / "msd.dump", "--timestep-fs", 2)
    assert done.exit_code == 2
    assert "is given twice" in done.stderr


def test_a_plan_that_cannot_be_had_leaves_D(runs: Path) -> None:
    done = lpsmd("diffusion", runs / "run-*", "--timestep-fs", 2, "--target-error", 1e-9)
    assert done.exit_code == 0
    assert done.stdout.startswith("D(Li) = ")


def test_names_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 100):
        (tmp_path / f"chunk.{number}.dump.gz").touch()
    (tmp_path / "log.lammps").touch()
    names = [f"{tmp_path}/chunk.{number}.dump.gz" for number in (9, 10, 100)]
    assert replicas_of([str(tmp_path)], one_trajectory=False) == [names]
    assert replicas_of([f"{tmp_path}/*.gz"], one_trajectory=False) == [[name] for name in names]
    assert replicas_of([f"{tmp_path}/*.gz"], one_trajectory=True) == [names]
    assert sorted(["b2", "b10", "a3"], key=natural) == ["a3", "b2", "b10"]
    with pytest.raises(LpsmdError, match=r"\*\.xtc: no file matches this pattern"):
        replicas_of([f"{tmp_path}/*.xtc"], one_trajectory=False)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(LpsmdError, match=r"empty: holds no file named \*\.dump or \*\.lammpstrj"):
        replicas_of([str(empty)], one_trajectory=False)


BAD = {
    "no timestep": ([], r"dumps count steps, not time; give the integrator's step"),
    "fit": (["--timestep-fs", 2, "--fit", "7-35"], r"--fit 7-35: a window is needed as 7:35 (ps), 10%:50%"),
    "fit numbers": (["--timestep-fs", 2, "--fit", "1.2.3:4"], r"--fit 1.2.3:4: two numbers are needed"),
    "framework": (["--timestep-fs", 2, "--framework", "PS4"], r"--framework PS4: centre, neighbour and their number"),
    "out": (["--timestep-fs", 2, "--out", "d.txt"], r"--out d.txt: the name must end in .csv or .json"),
    "plot": (["--timestep-fs", 2, "--plot", "d.xyz"], r"--plot d.xyz: the name must end in .png or .pdf or .svg"),
    "msd out": (["--timestep-fs", 2, "--msd-out", "d.json"], r"--msd-out d.json: the name must end in .csv"),
    "no bonds": (
        ["--timestep-fs", 2, "--framework", "P-S:0"],
        r"--framework P-S:0: centre, neighbour and their",
    ),
    "confidence": (["--timestep-fs", 2, "--confidence", 95], r"confidence is 95.0, a number from 0.01 to 0.999999"),
    "temperature": (["--timestep-fs", 2, "--temperature-K", -3], r"temperature_K is -3.0, a positive number of kelvin"),
    "charge": (["--timestep-fs", 2, "--charge", 0], r"charge_e is 0.0, elementary charges other than 0"),
    "target": (["--timestep-fs", 2, "--target-error", 0], r"--target-error 0: a part of D is needed, as 0.01"),
    "folder": (["--timestep-fs", 2, "--out", "/none/d.csv"], r"the folder /none does not exist; create it first"),
    "species": (["--timestep-fs", 2, "--species", "Na"], r"no atom of element 'Na'; found Li, P: choose among these"),
    "gls": (["--timestep-fs", 2, "--estimator", "gls"], r"estimator 'gls': found 11 replicas for 16 lags"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_code_2(runs: Path, case: str) -> None:
    arguments, message = BAD[case]
    done = lpsmd("diffusion", runs / "run-*", *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["msd", "diffusion", "arrhenius"])
def test_help_teaches(command: str) -> None:
    done = lpsmd(command, "--help")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    # an example keeps its line
    assert any(line.strip().startswith(f"lpsmd {command} ") for line in lines)
    assert "--out" in done.stdout


def test_options_reach_the_fit(runs: Path) -> None:
    done = lpsmd("diffusion", runs / "run-*", "--timestep-fs", 2, "--confidence", 0.68, "--hop-distance-A", 5)
    assert "(68 %, n = 11)" in done.stdout
    assert "one hop of 5 Angstrom is 25.0" in done.stdout
    assert DiffusionOptions(hop_distance_A=5).hop_distance_A == 5
