"""`lpsmd export-slurm` and `lpsmd work`: the script of a batch array, run by hand as Slurm would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from lpsmd.cli import main
from lpsmd.ensemble import EnsembleError, read_ensemble, study_status
from lpsmd.ensemble.slurm_script import TRY_AGAIN, write_slurm_script
from lpsmd.study_file import load_study
from support.processes import processes_with
from support.studies import STUDY, study_file

SLURM = """
[executor]
workers = 1
[executor.slurm]
partition = "long"
account = "ions"
walltime = "12:30:00"
nodes = 2
prologue = "export SLURM_JOB_END_TIME=${TEST_JOB_END_TIME:-$SLURM_JOB_END_TIME}"
options = ["--qos=normal"]
"""
THREE = STUDY.replace("replicas = 2", "replicas = 3").replace("production_ps = 0.4", "production_ps = 0.2") + SLURM
TWO_AT_A_TIME = THREE.replace("workers = 1", "workers = 2")


@dataclass(frozen=True)
class Job:
    """A share of a script under bash, where `scontrol` is a program that writes down what it is told."""

    process: subprocess.Popen[str]
    requests: Path

    @classmethod
    def start(cls, script: Path, task: int, folder: Path, **variables: str) -> Job:
        folder.mkdir()
        scontrol = folder / "scontrol"
        scontrol.write_text(f'#!/bin/sh\necho "$@" >> {folder}/requests\n')
        scontrol.chmod(0o755)
        slurm = {"SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": str(task), **variables}
        environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", **slurm}
        process = subprocess.Popen(
            ["bash", str(script)], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
        )
        return cls(process=process, requests=folder / "requests")

    def end(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=300)
        return self.process.returncode, said

    def owns(self, pid: int) -> bool:
        """Whether a process is a child of the script."""
        return f"PPid:\t{self.process.pid}\n" in Path(f"/proc/{pid}/status").read_text()

    @property
    def requeued(self) -> list[str]:
        return self.requests.read_text().splitlines() if self.requests.exists() else []


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three replicas, two at a time: two shares."""
    folder = tmp_path_factory.mktemp("slurm")
    study_file(folder, TWO_AT_A_TIME)
    command = [sys.executable, "-m", "lpsmd", "export-slurm", "study.toml", "-o", "out"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == f"sbatch {folder / 'out' / 'replicas.sbatch'}\n"
    return folder / "out" / "replicas.sbatch"


def test_the_script_asks_for_what_the_study_says(script: Path) -> None:
    lines = script.read_text().splitlines()
    asked = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")]
    assert set(asked) == {
        "--job-name=tiny",
        "--partition=long",
        "--account=ions",
        "--time=750",
        "--nodes=1",
        "--ntasks=1",
        "--cpus-per-task=2",
        "--array=0-1%2",
        f"--output={script.parent}/slurm-%A_%a.out",
        "--open-mode=append",
        "--requeue",
        "--qos=normal",
    }
    assert lines[0] == "#!/bin/bash"
    assert lines.index("export SLURM_JOB_END_TIME=${TEST_JOB_END_TIME:-$SLURM_JOB_END_TIME}") < lines.index(
        f"{sys.executable} -m lpsmd work {script.parent} --workers 2 --share $SLURM_ARRAY_TASK_ID/2"
    )
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def test_shares_run_every_replica_once_and_go_on_after_their_time(script: Path, tmp_path: Path) -> None:
    output = script.parent
    # Share 0 has replicas 0 and 2, share 1 replica 1. The job of share 1 ends before a chunk could.
    jobs = [
        Job.start(script, 0, tmp_path / "0"),
        Job.start(script, 1, tmp_path / "1", TEST_JOB_END_TIME="1000000000"),
    ]
    (code, said), (late_code, late_said) = (job.end() for job in jobs)
    assert code == 0, said
    assert late_code == TRY_AGAIN, late_said
    assert late_said.splitlines()[-1] == "no time is left for another chunk: 1 replica goes on in the next job"
    assert [job.requeued for job in jobs] == [[], ["requeue 77_1"]]
    assert [outcome.complete for outcome in read_ensemble(output).outcomes] == [True, False, True]

    again = Job.start(script, 1, tmp_path / "again")
    code, said = again.end()
    assert code == 0, said
    assert again.requeued == []
    outcomes = read_ensemble(output).outcomes
    assert all(outcome.complete for outcome in outcomes)
    assert all(outcome.status.failures == () for outcome in outcomes)
    # No chunk was run by more than one job: each job tells of its own replicas only.
    assert [line.split(": ")[0] for line in said.splitlines() if line.startswith("[")] == [
        "[3/3] soft_pbe-600K replica 1"
    ]

    nothing = Job.start(script, 1, tmp_path / "nothing")
    assert nothing.end() == (0, f"{output}: share 1/2: nothing is left to run\n")

    # A driver that comes later finds nothing to do, and has D.
    command = [sys.executable, "-m", "lpsmd", "run", str(output), "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    (model,) = json.loads(done.stdout)["models"]
    assert model["replicas_complete"] == 3
    assert model["diffusion"]["D_half_interval_cm2_per_s"] > 0


def test_a_job_that_is_told_to_end_ends_its_replicas(tmp_path: Path) -> None:
    long = THREE.replace("production_ps = 0.2", "production_ps = 2000").replace("chunk_ps = 0.2", "chunk_ps = 1000")
    output = tmp_path / "out"
    script = write_slurm_script(load_study(study_file(tmp_path, long)), output)
    job = Job.start(script, 0, tmp_path / "job")
    while not study_status(output).running:
        assert job.process.poll() is None
        time.sleep(0.1)
    done = CliRunner().invoke(main, ["status", str(output)])
    assert "no driver runs, but replicas do: those of a batch job" in done.stdout
    (worker,) = [pid for pid in processes_with("lpsmd\0work") if job.owns(pid)]
    os.kill(worker, signal.SIGTERM)
    code, said = job.end()
    assert code == 130
    assert said.splitlines()[-1] == f"stopped; run the same command again to go on with {output}"
    assert job.requeued == []
    assert study_status(output).running == 0
    assert processes_with(str(output)) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            STUDY,
            r"tiny: found no \[executor\.slurm\] in the study, needed one with a walltime; `lpsmd init - --protocol",
        ),
        (
            THREE.replace("replicas = 3", "target_relative_error = 0.1"),
            r"target_relative_error: someone must look at the error while replicas run: give `replicas` instead",
        ),
    ],
)
def test_what_makes_no_script(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(EnsembleError, match=says):
        write_slurm_script(load_study(study_file(tmp_path, text)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_there_are_as_many_shares_as_jobs(tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path, THREE))
    text = write_slurm_script(study, tmp_path / "out").read_text()
    assert "#SBATCH --array=0-2%2\n" in text
    assert "# 3 replicas in 3 shares, 1 at a time in each." in text
    assert text.count("$SLURM_ARRAY_TASK_ID/3") == 1


def test_an_array_has_no_more_jobs_than_slurm_takes(tmp_path: Path) -> None:
    text = write_slurm_script(load_study(study_file(tmp_path, THREE.replace("= 3", "= 1800"))), tmp_path / "out")
    assert "#SBATCH --array=0-999%2\n" in text.read_text()
    assert "--share $SLURM_ARRAY_TASK_ID/1000\n" in text.read_text()
