"""A batch script for sites where no driver may run: an array of jobs, each with a share of the replicas."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from lpsmd.ensemble.claim import check_before, claim
from lpsmd.ensemble.driver import only_driver
from lpsmd.ensemble.engine import job_prologue, workers_of
from lpsmd.ensemble.files import EnsembleError, write_atomically
from lpsmd.study import SlurmSpec, Study

SCRIPT_NAME = "replicas.sbatch"
#: What `lpsmd work` ends with when its job has no time left for another chunk (EX_TEMPFAIL).
TRY_AGAIN = 75
#: Slurm takes arrays of 1001 jobs at the most, unless a site says otherwise (MaxArraySize).
_MOST_SHARES = 1000


def write_slurm_script(study: Study, output: Path) -> Path:
    """Make the folder of a study and write a script for `sbatch` into it.

    Parameters
    ----------
    study
        With a section [executor.slurm] and a fixed number of replicas.
    output
        Folder of the study, made if missing; the script's jobs write there.

    Raises
    ------
    EnsembleError
        If the study says nothing of Slurm, stops at a target (that needs a driver), or the folder holds another study.
    """
    slurm = study.executor.slurm
    if slurm is None:
        raise EnsembleError(
            f"{study.name}: found no [executor.slurm] in the study, needed one with a walltime; "
            "`lpsmd init - --protocol reference` shows it"
        )
    if study.ensemble.target_relative_error is not None:
        raise EnsembleError(
            "[ensemble]: target_relative_error: someone must look at the error while replicas run: give `replicas` "
            "instead, or use `lpsmd run`"
        )
    check_before(study, output)
    output.mkdir(parents=True, exist_ok=True)
    with only_driver(output):
        claim(study, output)
    script = output.resolve() / SCRIPT_NAME
    write_atomically(script, _script(study, slurm, output.resolve()))
    return script


def _script(study: Study, slurm: SlurmSpec, output: Path) -> str:
    workers = workers_of(study.executor)
    replicas = study.ensemble.replicas * len(study.conditions)
    shares = min(_MOST_SHARES, -(-replicas // workers))
    asked = {
        "job-name": study.name,
        "partition": slurm.partition,
        "account": slurm.account,
        "time": str(slurm.minutes),
        "nodes": "1",
        "ntasks": "1",
        "cpus-per-task": str(workers),
        "gpus-per-node": slurm.gpus_per_node or None,
        "array": f"0-{shares - 1}%{max(1, slurm.nodes)}",
        "output": f"{output}/slurm-%A_%a.out",
        "open-mode": "append",
    }
    lines = ["#!/bin/bash"]
    lines += [f"#SBATCH --{name}={value}" for name, value in asked.items() if value is not None]
    lines += ["#SBATCH --requeue", *(f"#SBATCH {option}" for option in slurm.options)]
    command = shlex.join([sys.executable, "-m", "lpsmd", "work", str(output), "--workers", str(workers)])
    lines += [
        "",
        f"# {replicas} replicas in {shares} shares, {workers} at a time in each. A share that has no time for another",
        "# chunk goes back into the queue; all of it may be submitted again at any time, and does what is missing.",
        job_prologue(slurm),
        f"{command} --share $SLURM_ARRAY_TASK_ID/{shares}",
        "code=$?",
        f'[ $code -eq {TRY_AGAIN} ] && scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"',
        "exit $code",
    ]
    return "\n".join(lines) + "\n"
