"""Studies of six models and hundreds of replicas of each, the size of the reference protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lpsmd.ensemble import Plan, Replica, read_ensemble
from lpsmd.ensemble.claim import claim
from lpsmd.ensemble.driver import task_of
from lpsmd.ensemble.files import write_json
from lpsmd.ensemble.records import read_status, write_status
from lpsmd.ensemble.worker import REPLICA_RECORD, ReplicaState, run_replica
from lpsmd.inputs import lammps_program
from lpsmd.study_file import load_study
from support.processes import families, memory_MB
from support.studies import STUDY, soft_model, study_file

FUNCTIONALS = ("pbe", "hse06", "scan", "r2scan", "pbesol", "lda")


def study_text(*, replicas: int, dynamics: Sequence[str], executor: Sequence[str] = ()) -> str:
    """The small study with six models; `dynamics` and `executor` are lines of these sections."""
    models = "\n".join(f'[[models]]\npath = "./soft_{functional}.pt"\n' for functional in FUNCTIONALS)
    head, _, rest = STUDY.partition("[[models]]")
    ensemble = rest.partition("[ensemble]")[2].replace("replicas = 2", f"replicas = {replicas}")
    parts = [head, models, "[dynamics]", *dynamics, "\n[ensemble]", ensemble, "[executor]", *executor]
    return "\n".join(parts) + "\n"


def write_study(folder: Path, text: str) -> Path:
    """The study's file with its six models: one potential under six names."""
    path = study_file(folder, text)
    for functional in FUNCTIONALS[1:]:
        soft_model(folder / f"soft_{functional}.pt", functional=functional.upper())
    return path


def finished_study(folder: Path, text: str, *, left: int = 0) -> Plan:
    """A study of which all replicas but the last ones are complete; LAMMPS really ran the first of them.

    The others have its trajectory (hard links), its status, and a record of their own, written by the functions that a
    worker writes with. Records and folders are those of a study in which every replica ran; only the bits of the
    trajectories are all the same.
    """
    output = folder / "out"
    output.mkdir(parents=True)
    plan = claim(load_study(write_study(folder, text)), output)
    replicas = [
        r for condition in plan.study.conditions for r in plan.replicas(condition, plan.study.ensemble.replicas)
    ]
    end = run_replica(task_of(plan, replicas[0]))
    assert end.state is ReplicaState.COMPLETE, end.failure
    for replica in replicas[1 : len(replicas) - left]:
        _copy(plan, replicas[0], replica)
    return plan


def _copy(plan: Plan, first: Replica, replica: Replica) -> None:
    replica.directory.mkdir(parents=True)
    for path in first.directory.glob("chunk.*"):
        os.link(path, replica.directory / path.name)
    write_json(replica.directory / REPLICA_RECORD, plan.record(replica))
    write_status(replica.directory, read_status(first.directory))


#: The reference protocol on the 52-atom cell: eight calls of lmp, 1,401 frames.
REFERENCE = (
    "temperature_K = 600",
    "timestep_fs = 2.0",
    "equilibration_ps = 5.0",
    "production_ps = 70.0",
    "chunk_ps = 10.0",
    "dump_interval_fs = 50.0",
)
#: The shortest that is still a study: two calls of lmp, 101 frames.
CHEAP = (
    "temperature_K = 600",
    "timestep_fs = 2.0",
    "equilibration_ps = 0.02",
    "production_ps = 0.4",
    "chunk_ps = 0.4",
    "dump_interval_fs = 4.0",
)
_CALLS = 2
DRIVER = Path(__file__).with_name("scale_driver.py")
_SAMPLE_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a study cost beside LAMMPS.

    `lmp_s` is the sum of the lives of all LAMMPS processes by the records of their chunks, `run_s` the time from the
    call of `run_ensemble` to its return. Memory is the largest ever of the driver (until its replicas were done, and
    with the report), and of all processes together without LAMMPS, pages that they share counted once.
    """

    replicas: int
    workers: int
    lmp_s: float
    run_s: float
    driver_MB: float
    report_MB: float
    report_s: float
    all_MB: float

    @property
    def overhead(self) -> float:
        """Part of the workers' time in which they did not run LAMMPS."""
        return 1.0 - self.lmp_s / (self.workers * self.run_s)

    def __str__(self) -> str:
        return (
            f"{self.replicas} replicas of {self.lmp_s / self.replicas:.2f} s on {self.workers} workers in "
            f"{self.run_s:.1f} s: overhead {self.overhead:.2%}; driver {self.driver_MB:.0f} MB, all without LAMMPS "
            f"{self.all_MB:.0f} MB; report {self.report_s:.1f} s, {self.report_MB:.0f} MB"
        )


def measure(folder: Path, *, replicas: int, workers: int, replica_s: float) -> Measured:
    """Run six models times `replicas` and say what it cost.

    Every call of LAMMPS is a real one, through a wrapper that waits until the call has taken its share of `replica_s`:
    the wait stands for a dear model on cores of its own, which one machine has not got for so many workers.
    """
    folder.mkdir(parents=True)
    wrapper = waiting_lmp(folder / "waiting_lmp", seconds=replica_s / _CALLS)
    text = study_text(replicas=replicas, dynamics=CHEAP, executor=[f'lmp = "{wrapper}"'])
    study, output = write_study(folder, text), folder / "out"
    command = [sys.executable, str(DRIVER), str(study), str(output), str(workers), "report"]
    all_MB = 0.0
    with (folder / "log").open("w") as log:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        while child.poll() is None:
            all_MB = max(all_MB, sum(map(memory_MB, families(str(output), but=wrapper.name))))
            time.sleep(_SAMPLE_S)
    assert child.returncode == 0, (folder / "log").read_text()
    assert child.stdout is not None
    outcomes = read_ensemble(output).outcomes
    assert all(outcome.complete and not outcome.status.failures for outcome in outcomes)
    return Measured(
        replicas=len(outcomes),
        workers=workers,
        lmp_s=sum(outcome.status.wall_s for outcome in outcomes),
        all_MB=all_MB,
        **json.loads(child.stdout.read()),
    )


def waiting_lmp(path: Path, *, seconds: float) -> Path:
    """A program that runs the real lmp and ends no sooner than after so many seconds."""
    program = lammps_program()
    settings = (f"export {name}='{program.environment[name]}'" for name in ("LPSMD_HOME", "LAMMPS_PLUGIN_PATH"))
    libraries = program.environment["LD_LIBRARY_PATH"]
    lines = [
        "#!/bin/sh",
        *settings,
        f"export LD_LIBRARY_PATH='{libraries}'",
        f"sleep {seconds:g} &",
        f"'{program.path}' \"$@\"",
        "code=$?",
        "wait",
        "exit $code",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.chmod(0o755)
    return path
