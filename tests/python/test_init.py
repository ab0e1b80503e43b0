"""`lpsmd init`: study files to start from, through the command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lpsmd.cli.init import PROTOCOLS as CHOICES
from lpsmd.study_file import DEMO_STUDY, PROTOCOLS, load_study


def lpsmd(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lpsmd", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_command_knows_every_protocol() -> None:
    assert list(CHOICES) == list(PROTOCOLS)


@pytest.mark.parametrize("protocol", CHOICES)
def test_a_protocol_is_written_and_loads(protocol: str, tmp_path: Path) -> None:
    done = lpsmd("init", "mine", "--protocol", protocol, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    then = "select mine/study.toml -o FOLDER" if protocol == "select" else "run mine/study.toml"
    assert done.stdout == f"mine/study.toml: the {protocol} protocol; edit it, then: lpsmd {then}\n"
    study = load_study(tmp_path / "mine" / "study.toml")
    assert study.name == protocol
    assert study.hash == load_study(PROTOCOLS[protocol]).hash


def test_what_is_commented_out_is_right_as_well(tmp_path: Path) -> None:
    """The blocks for Slurm and for a target, taken out of their comments."""
    text = PROTOCOLS["reference"].read_text()
    slurm = text[text.index("# [executor.slurm]") : text.index("# ----- what is made of it")]
    target = text[text.index("# target_relative_error") : text.index("# ----- where")]
    fixed = text[text.index("replicas = 300") : text.index("retries = 2")]
    text = text.replace(fixed, "")
    for block in (slurm, target):
        text = text.replace(block, re.sub("^# ", "", block, flags=re.MULTILINE))
    (tmp_path / "study.toml").write_text(text)
    study = load_study(tmp_path / "study.toml")
    assert study.executor.slurm is not None
    assert "source ~/lpsmd/bin/activate\n" in study.executor.slurm.prologue
    assert study.ensemble.target_relative_error == 0.1
    assert (study.ensemble.minimum_replicas, study.ensemble.replicas) == (20, 1000)


def test_the_reference_is_the_full_protocol() -> None:
    study = load_study(PROTOCOLS["reference"])
    assert len(study.models) == 6
    assert (study.ensemble.replicas, study.dynamics.production_ps, study.dynamics.n_chunks) == (300, 70.0, 7)
    assert study.dynamics.dump_interval_fs == 50.0
    assert len(study.structure.build(0).types) == 8 * 52
    assert study.structure.count > 1


def test_a_file_a_folder_and_the_standard_output(tmp_path: Path) -> None:
    assert lpsmd("init", cwd=tmp_path).returncode == 0
    assert lpsmd("init", "new/900K.toml", cwd=tmp_path).returncode == 0
    assert (tmp_path / "study.toml").read_text() == (tmp_path / "new" / "900K.toml").read_text()
    done = lpsmd("init", "-", "--protocol", "demo", cwd=tmp_path)
    assert done.stdout == DEMO_STUDY.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "study.toml"]


def test_the_name_of_a_protocol_is_a_folder_and_told(tmp_path: Path) -> None:
    done = lpsmd("init", "reference", cwd=tmp_path)
    assert load_study(tmp_path / "reference" / "study.toml").name == "small"
    assert done.stderr == "reference is a folder here; that protocol is: lpsmd init --protocol reference\n"
    assert lpsmd("init", "demo", "--protocol", "demo", cwd=tmp_path).stderr == ""


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("precious")
    for target in (".", "study.toml"):
        done = lpsmd("init", target, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith("error: study.toml: exists, and nothing was overwritten; choose another name")
    assert (tmp_path / "study.toml").read_text() == "precious"


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    for target in ("taken", "taken/study.toml", "taken/inner/study.toml"):
        done = lpsmd("init", target, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert "taken" in done.stderr


def test_the_help_teaches(tmp_path: Path) -> None:
    done = lpsmd("init", "--help", cwd=tmp_path)
    assert all(word in done.stdout for word in (*CHOICES, "lpsmd run study.toml", "never"))
    assert "init " in lpsmd("--help", cwd=tmp_path).stdout
