"""`lpsmd run --dry-run`: what would run, how long, how much disk, from a short probe in LAMMPS."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import tolerances
from lpsmd.cli import main
from lpsmd.ensemble import read_ensemble
from lpsmd.ensemble.probe import probe_study
from lpsmd.study import SlurmSpec, Study
from lpsmd.study_file import load_study
from support.processes import processes_in
from support.replicas import lmp_script
from support.studies import STUDY, soft_model, study_file


def dry_run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["run", *map(str, arguments), "--dry-run"])


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """The command sends lpsmd's log to its own console."""
    log = logging.getLogger("lpsmd")
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.level, log.propagate = before


def first_condition(study: Study) -> Study:
    return replace(study, models=study.models[:1], temperatures_K=study.temperatures_K[:1])


def test_it_tells_what_a_study_takes_and_leaves_nothing(paired_study: Path, tmp_path: Path) -> None:
    study = first_condition(load_study(paired_study / "study.toml"))
    found = probe_study(study, tmp_path / "out", workers=2)
    assert not (tmp_path / "out").exists()
    (entry,) = found.conditions
    assert (entry.name, entry.replicas, found.complete) == ("soft_pbe-600K", 2, 0)
    assert (found.atoms, found.chunks, found.workers, found.nodes) == (52, 2, 2, 1)
    # One replica beside the other.
    assert found.wall_s == entry.replica_s
    assert entry.core_hours == pytest.approx(2 * entry.replica_s / 3600)
    assert entry.replica_s == pytest.approx(150 * entry.ms_per_step / 1000 + 2 * entry.start_s)
    # What the replicas of this condition have written when they were run.
    folders = [o.replica.directory for o in read_ensemble(paired_study / "out", study).outcomes]
    written = sum(path.stat().st_size for folder in folders for path in folder.iterdir())
    assert found.disk_bytes == pytest.approx(written, rel=tolerances.DRY_RUN_DISK_RELATIVE)


def test_what_is_complete_is_not_counted(paired_study: Path) -> None:
    before = sorted((paired_study / "out").rglob("*"))
    done = dry_run(paired_study / "study.toml", "-o", paired_study / "out")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"tiny: all 8 replicas in {paired_study / 'out'} are complete, none is left to run\n"
    study = load_study(paired_study / "study.toml")
    more = replace(first_condition(study), ensemble=replace(study.ensemble, replicas=5))
    found = probe_study(more, paired_study / "out", workers=1)
    assert (found.complete, found.conditions[0].replicas) == (2, 3)
    assert found.wall_s == pytest.approx(3 * found.conditions[0].replica_s)
    assert "tiny: 3 replicas of 52 atoms in" in str(found)
    assert "1 at a time; 2 more are complete" in str(found)
    assert sorted((paired_study / "out").rglob("*")) == before


def test_the_same_as_json(tmp_path: Path) -> None:
    target = "target_relative_error = 0.1\nmaximum_replicas = 40"
    file = study_file(tmp_path, STUDY.replace("replicas = 2", target))
    done = dry_run(file, "-o", tmp_path / "out", "--json", "--workers", "1")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["at_most"], found["workers"], found["output"]) == (True, 1, str(tmp_path / "out"))
    (entry,) = found["conditions"]
    assert entry["replicas"] == 40
    assert found["disk_bytes"] == entry["disk_bytes"] > 0
    assert found["free_bytes"] > found["disk_bytes"]


def test_the_table_in_words(paired_study: Path, tmp_path: Path) -> None:
    study = first_condition(load_study(paired_study / "study.toml"))
    slurm = SlurmSpec(
        partition=None, account=None, walltime="1:00:00", nodes=3, gpus_per_node=0, prologue="", options=()
    )
    target = replace(study.ensemble, target_relative_error=0.1, replicas=16)
    study = replace(study, ensemble=target, executor=replace(study.executor, slurm=slurm))
    found = replace(probe_study(study, tmp_path / "out", workers=1), free_bytes=1000)
    first, header, row, total, warning = str(found).splitlines()
    assert first.startswith(f"tiny: at most 16 replicas of 52 atoms in {tmp_path / 'out'}, 2 chunks each, 1 at a time")
    assert first.endswith("on each of 3 nodes")
    assert header.split() == ["condition", "replicas", "ms/step", "a", "chunk", "core-hours", "disk"]
    assert row.split()[:2] == ["soft_pbe-600K", "16"]
    assert total.startswith("in all at most ")
    assert total.endswith(" kB of 1 kB free")
    assert warning.startswith("warning: that is more than is free")
    # 16 replicas on 3 nodes: the last of 6 rounds.
    assert found.wall_s == pytest.approx(6 * found.conditions[0].replica_s)


def test_a_model_is_probed_once_on_the_gpus_of_the_study(
    paired_study: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lmp = lmp_script(tmp_path, f'echo $CUDA_VISIBLE_DEVICES >> {tmp_path}/gpus\nlmp "$@"')
    study = load_study(paired_study / "study.toml")
    executor = replace(study.executor, lmp=lmp, gpus=("3", "GPU-5"))
    with caplog.at_level(logging.INFO, logger="lpsmd"):
        found = probe_study(replace(study, executor=executor), tmp_path / "out")
    assert [message for message in caplog.messages if message.startswith("probe")] == [
        "probe 1 of 2: soft_pbe-900K",
        "probe 2 of 2: soft_hse06-900K",
    ]
    # Of each model an equilibration and a production of two replicas, side by side.
    gpus = (tmp_path / "gpus").read_text().splitlines()
    assert len(gpus) == 2 * 2 * 2
    assert set(gpus) == {"3", "GPU-5"}
    pbe_600, pbe_900, _, hse_900 = found.conditions
    assert [entry.name for entry in (pbe_600, pbe_900, hse_900)] == [
        "soft_pbe-600K",
        "soft_pbe-900K",
        "soft_hse06-900K",
    ]
    assert pbe_600.ms_per_step == pbe_900.ms_per_step


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_dry_run_that_is_stopped_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    lmp = lmp_script(tmp_path, f"touch {tmp_path}/begun; exec sleep 1000")
    study_file(tmp_path, STUDY + f'[executor]\nlmp = "{lmp}"\n')
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "lpsmd", "run", "study.toml", "--dry-run", "-w", "1"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(number)
        _, said = process.communicate(timeout=100)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "stopped"
    assert processes_in(tmp_path) == []
    assert list((tmp_path / "tmp").glob("lpsmd*")) == []


def test_a_probe_that_fails_says_what_lammps_said(tmp_path: Path) -> None:
    hot = STUDY.replace("= 600", "= 50000").replace(
        "[ensemble]", "timestep_fs = 40.0\ndump_interval_fs = 40.0\n[ensemble]"
    )
    file = study_file(tmp_path, hot.replace("equilibration_ps = 0.1", "equilibration_ps = 0.4"))
    done = dry_run(file, "-o", tmp_path / "out", "-w", "1")
    assert done.exit_code == 2
    assert "error: soft_pbe-50000K: the probe failed: " in done.stderr


def test_what_a_run_would_refuse_is_refused_before_a_probe(paired_study: Path, tmp_path: Path) -> None:
    soft_model(tmp_path / "soft_hse06.pt", functional="HSE06")
    other = study_file(tmp_path, STUDY.replace("a_A = 10.0", "a_A = 9.9"))
    done = dry_run(other, "-o", paired_study / "out")
    assert done.exit_code == 2
    assert "a_A was 10.0, is 9.9" in done.stderr


def test_it_is_not_both_dry_and_analysed(paired_study: Path) -> None:
    done = dry_run(paired_study / "study.toml", "-o", paired_study / "out", "--analyse-only")
    assert done.exit_code == 2
    assert "--dry-run and --analyse-only" in done.stderr
