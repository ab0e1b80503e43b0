"""A worker in a process of its own, to be killed: python replica_worker.py OUTPUT PRODUCTION_PS LMP."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from lpsmd.ensemble.claim import read_plan
from lpsmd.ensemble.driver import task_of
from lpsmd.ensemble.worker import run_replica

if __name__ == "__main__":
    output, production_ps, lmp = sys.argv[1:]
    plan = read_plan(Path(output))
    plan = replace(
        plan, study=replace(plan.study, dynamics=replace(plan.study.dynamics, production_ps=float(production_ps)))
    )
    task = task_of(plan, plan.replica(plan.study.conditions[0], 0))
    print(run_replica(replace(task, lmp=lmp or None)).state)
