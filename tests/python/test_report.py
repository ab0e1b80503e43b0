"""The command `lpsmd run`, from a study file to what people read."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from support.mounts import read_only
from support.studies import STUDY, soft_model, study_file

PNG = b"\x89PNG\r\n\x1a\n"


def lpsmd(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lpsmd", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a study of two functionals was run by the command."""
    folder = tmp_path_factory.mktemp("report")
    difference = {"r2": 0.97, "by_element": {"Li": {"r2": 0.21, "r2_error": 0.05}}}
    soft_model(folder / "soft_hse06.pt", functional="HSE06", training={"functional_difference": difference})
    text = STUDY.replace("[dynamics]", '[[models]]\npath = "./soft_hse06.pt"\n\n[dynamics]')
    study_file(folder, text)
    done = lpsmd("run", "study.toml", "--output", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    return folder


def test_the_table_says_d_with_error_window_and_verdict(folder: Path) -> None:
    table = (folder / "stdout").read_text()
    (found,) = json.loads((folder / "out" / "results.json").read_text())["models"][:1]
    diffusion = found["diffusion"]
    assert f"{1e5 * diffusion['D_cm2_per_s']:.2f} ± {1e5 * diffusion['D_half_interval_cm2_per_s']:.2f}" in table
    assert f"{diffusion['fit_start_ps']:g}-{diffusion['fit_end_ps']:g}" in table
    assert f"soft_pbe: {diffusion['verdict']}: {diffusion['reason']}" in table
    assert "2/2" in table
    assert "lj: D(HSE06) / D(PBE) = 1.00 +- " in table
    assert "cannot be told apart" in table
    assert "\n  functional not resolved: R^2 = 0.970 of F_HSE06 - F_PBE, 0.210 +- 0.050 on Li (needed 0.5)\n" in table
    assert table.splitlines()[-1] == "results.json, msd.csv, msd.png, diffusion_*.png in out"


def test_progress_is_plain_lines_where_there_is_no_terminal(folder: Path) -> None:
    lines = (folder / "stderr").read_text().splitlines()
    assert sum("ms/step" in line for line in lines) == 4
    assert "\x1b" not in "".join(lines)


def test_results_carry_units_versions_seeds_and_verdicts(folder: Path) -> None:
    results = json.loads((folder / "out" / "results.json").read_text())
    assert results["versions"]["lpsmd"]
    assert results["versions"]["lammps"].startswith("22 Jul 2025")
    assert results["versions"]["torch"].startswith("2.13")
    assert results["study"]["hash"]
    for model in results["models"]:
        assert len(model["sha256"]) == 64
        assert model["diffusion"]["verdict"]
        assert model["replicas_complete"] == 2
        assert [replica["index"] for replica in model["replicas"]] == [0, 1]
        assert all(1 <= replica["seed"] <= 900_000_000 for replica in model["replicas"])
        assert model["mean_pressure_GPa"] == pytest.approx(
            1e-4 * sum(replica["mean_pressure_bar"] for replica in model["replicas"]) / 2
        )
    # Two names for one potential, paired seeds: no difference at all, and errors that add in quadrature.
    (comparison,) = results["comparisons"]
    half = results["models"][0]["diffusion"]["D_half_interval_cm2_per_s"]
    assert comparison["ratio"] == 1.0
    assert comparison["difference_cm2_per_s"] == 0.0
    assert comparison["difference_half_width_cm2_per_s"] == pytest.approx(math.sqrt(2.0) * half)
    assert comparison["significant"] is False
    assert comparison["functional_resolution"]["resolved"] is False


def test_the_msd_is_written_as_csv_and_png(folder: Path) -> None:
    with (folder / "out" / "msd.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert len(rows) > 10
    assert (folder / "out" / "msd.png").read_bytes().startswith(PNG)


def test_each_model_has_its_four_panels_and_derived_quantities(folder: Path) -> None:
    results = json.loads((folder / "out" / "results.json").read_text())
    for model in results["models"]:
        assert (folder / "out" / f"diffusion_{model['label']}.png").read_bytes().startswith(PNG)
        for part in ("diffusion", "tensor", "collective"):
            assert model[part]["verdict"]
        conducted = model["conductivity"]
        assert (conducted["temperature_K"], conducted["volume_A3"]) == (600.0, pytest.approx(1000.0))
        ratio = conducted["nernst_einstein_S_per_cm"] / conducted["collective_S_per_cm"]
        assert ratio == pytest.approx(model["diffusion"]["D_cm2_per_s"] / model["collective"]["D_cm2_per_s"])


def test_the_same_numbers_come_from_analyse_only(folder: Path) -> None:
    before = json.loads((folder / "out" / "results.json").read_text())
    done = lpsmd("run", "study.toml", "--output", "out", "--analyse-only", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == before


def test_a_copy_that_takes_no_files_is_analysed_all_the_same(folder: Path) -> None:
    with read_only(folder / "out"):
        done = lpsmd("run", "out", "--analyse-only", cwd=folder)
    assert done.returncode == 2
    told = (folder / "stdout").read_text().splitlines()[:-1]  # the last names the files that were written
    assert done.stdout.splitlines() == told
    warning, error = done.stderr.splitlines()
    assert warning.startswith("warning: [[models]] soft_pbe and soft_hse06: functional not resolved: R^2 = 0.970 of ")
    assert error == (
        "error: out: results cannot be written there (Read-only file system); make the folder writable, or analyse a "
        "copy of it"
    )


def test_too_few_survivors_fail_the_study_but_not_its_report(tmp_path: Path) -> None:
    # A timestep of 40 fs throws light atoms through each other.
    text = STUDY.replace("[ensemble]", "timestep_fs = 40.0\ndump_interval_fs = 40.0\n[ensemble]")
    text = text.replace("equilibration_ps = 0.1", "equilibration_ps = 0.4").replace("= 600", "= 50000")
    done = lpsmd("run", study_file(tmp_path, text), "-o", "out", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "too few replicas" in done.stdout
    assert "error: soft_pbe: " in done.stderr
    assert "needed at least 2 (minimum_replicas)" in done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["models"][0]["diffusion"] is None
    assert results["models"][0]["replicas"][0]["state"] == "failed"


def test_bad_input_ends_in_one_line_and_code_2(tmp_path: Path) -> None:
    done = lpsmd("run", "none.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: study file none.toml: no such file")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("ignored", "code"), [(False, 130), (True, 0)])
def test_a_closed_terminal_stops_a_study_but_not_under_nohup(ignored: bool, code: int, tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys; from lpsmd.cli.run import stoppable\n"
        f"if {ignored}: signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with stoppable(pathlib.Path('out')): os.kill(os.getpid(), signal.SIGHUP)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code
    assert done.stderr == ("" if ignored else "stopped; run the same command again to go on with out\n")


def test_help_teaches(tmp_path: Path) -> None:
    done = lpsmd("run", "--help", cwd=tmp_path)
    assert done.returncode == 0
    for word in ("lpsmd run demo", "temperature_K", "results.json", "Ctrl-C", "--analyse-only"):
        assert word in done.stdout
