"""Replicas run by the worker's own code without an engine, and programs around LAMMPS that do what machines do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lpsmd.ensemble import Plan
from lpsmd.ensemble.claim import claim
from lpsmd.ensemble.driver import task_of
from lpsmd.ensemble.records import ReplicaStatus, read_status
from lpsmd.ensemble.replicas import Replica
from lpsmd.ensemble.worker import ReplicaTask
from lpsmd.inputs import find_lmp
from lpsmd.study_file import load_study
from support.studies import STUDY, study_file


def claimed(folder: Path, text: str = STUDY, *, model: Callable[[Path], object] | None = None) -> Plan:
    """The plan of a study in folder/out; `model` writes another model file in the place of the soft one."""
    path = study_file(folder, text)
    if model is not None:
        model(folder / "soft_pbe.pt")
    (folder / "out").mkdir(exist_ok=True)
    return claim(load_study(path), folder / "out")


def replica_of(plan: Plan, index: int = 0) -> Replica:
    """A replica of the first condition."""
    return plan.replica(plan.study.conditions[0], index)


def task(plan: Plan, index: int = 0, *, production_ps: float | None = None, **changes: Any) -> ReplicaTask:
    """What a worker is told of a replica of the first condition."""
    if production_ps is not None:
        plan = replace(plan, study=with_production(plan, production_ps))
    return replace(task_of(plan, replica_of(plan, index)), **changes)


def with_production(plan: Plan, production_ps: float) -> Any:
    """The study of a plan, of another length."""
    return replace(plan.study, dynamics=replace(plan.study.dynamics, production_ps=production_ps))


def status_of(plan: Plan, index: int = 0) -> ReplicaStatus:
    """What the replica's record says."""
    return read_status(replica_of(plan, index).directory)


def dumps_of(plan: Plan, index: int = 0) -> dict[str, bytes]:
    """Its trajectory, to the bit."""
    return {path.name: path.read_bytes() for path in replica_of(plan, index).directory.glob("chunk.*.dump.gz")}


def files_in(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All files below a folder by name: when they were written, and what is in them."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def lmp_script(folder: Path, body: str) -> str:
    """A shell program in the place of lmp.

    In its body, `lmp` is the real one, and `once` is true the first time only.
    """
    path = folder / "lmp.sh"
    path.write_text(
        f'#!/bin/bash\nlmp() {{ {find_lmp()} "$@"; }}\nonce() {{ mkdir {folder}/once 2>/dev/null; }}\n{body}\n'
    )
    path.chmod(0o755)
    return str(path)
