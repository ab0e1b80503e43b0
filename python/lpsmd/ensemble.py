"""Run the replicas of a study: one folder, one seed, one LAMMPS process each, some at a time.

A replica is complete when its product says so (every frame and the last step are there, and every thermo
value is finite), never by an exit code alone. Complete replicas are not run again, so a study that was
stopped goes on where it was. What failed is kept, reported and counted: leaving replicas out silently
biases D.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import math
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from lpsmd.errors import LpsmdError
from lpsmd.inputs import (
    DUMP_NAME,
    LOG_NAME,
    find_lammps_input,
    lammps_command,
    lammps_environment,
)
from lpsmd.structure import Structure, lammps_data
from lpsmd.study import Dynamics, ModelSpec, Study, file_sha256

_log = logging.getLogger(__name__)

_STUDY_RECORD = "study.json"
_REPLICA_RECORD = "replica.json"
_DATA_FILE = "structure.data"
_OUTPUT_NAME = "lmp.out"
_POLL_S = 1.0
_GRACE_S = 5.0
_TAIL_LINES = 12


class EnsembleError(LpsmdError):
    """A study that cannot be run where it was asked to."""


class ReplicaError(LpsmdError):
    """What is wrong with the product of a replica."""


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One trajectory of one model, in a folder of its own."""

    model: ModelSpec
    index: int
    seed: int
    directory: Path

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.model.label} replica {self.index}"

    @property
    def dump(self) -> Path:
        """Its trajectory."""
        return self.directory / DUMP_NAME

    @property
    def log(self) -> Path:
        """Its LAMMPS log."""
        return self.directory / LOG_NAME


@dataclass(frozen=True, kw_only=True)
class Thermo:
    """Averages over the production of a replica, its first step left out."""

    mean_temperature_K: float
    mean_pressure_bar: float
    ms_per_step: float


@dataclass(frozen=True, kw_only=True)
class ReplicaOutcome:
    """How a replica ended: with its thermo averages, or with the reason why it has none.

    `reused` is True where an earlier run of the study had completed it. `tail` is LAMMPS' last words.
    """

    replica: Replica
    thermo: Thermo | None
    reason: str = ""
    tail: str = ""
    reused: bool = False

    @property
    def complete(self) -> bool:
        """True if its trajectory is whole."""
        return self.thermo is not None


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """All replicas of a study with their outcomes, ordered as the study's models, then by index."""

    output: Path
    structure: Structure
    outcomes: tuple[ReplicaOutcome, ...]

    def of_model(self, label: str) -> tuple[ReplicaOutcome, ...]:
        """The outcomes of one model."""
        return tuple(o for o in self.outcomes if o.replica.model.label == label)


class Watcher(Protocol):
    """Who wants to know how a running study is doing."""

    def progress(self, steps_done: float) -> None:
        """Steps done by all replicas together, reused ones included."""

    def finished(self, outcome: ReplicaOutcome, *, done: int, total: int) -> None:
        """A replica ended, `done` of `total` so far."""


def default_output(study: Study) -> Path:
    """Folder named by what decides the trajectories, so that a changed study gets its own."""
    return Path(f"{study.name}-{study.hash[:8]}")


def run_ensemble(study: Study, output: Path, *, processes: int | None = None, watcher: Watcher) -> Ensemble:
    """Run every replica of a study that is not complete yet.

    Parameters
    ----------
    study
        What to run.
    output
        Folder of the study, made if missing.
    processes
        LAMMPS processes at a time; default: the study's, else one for each core.
    watcher
        Told about progress.

    Returns
    -------
    Ensemble
        Complete and failed replicas alike; deciding whether enough are left is up to the caller.

    Raises
    ------
    EnsembleError
        If the folder belongs to another study, or another process runs this one.
    KeyboardInterrupt
        After all LAMMPS processes were stopped.
    """
    structure = study.structure.build()
    _check_elements(study, structure)
    _refuse_spaces([output.resolve(), *(model.path.resolve() for model in study.models)])
    output.mkdir(parents=True, exist_ok=True)
    with _driver_lock(output):
        data_file = _claim(study, output, structure)
        replicas = plan_replicas(study, output)
        found = {
            r: _earlier_outcome(r, study=study, data_file=data_file, n_atoms=len(structure.types)) for r in replicas
        }
        outcomes = {r: outcome for r, outcome in found.items() if outcome.complete}
        job = _Job(study=study, structure=structure, data_file=data_file)
        # Replica by replica and not model by model, so that every model has some early.
        todo = sorted((r for r in replicas if r not in outcomes), key=lambda r: r.index)
        if outcomes:
            _log.info("%d of %d replicas are complete from an earlier run", len(outcomes), len(replicas))
        outcomes |= _run_all(job, todo, n_reused=len(outcomes), processes=_processes(study, processes), watcher=watcher)
    return Ensemble(output=output, structure=structure, outcomes=tuple(outcomes[r] for r in replicas))


def read_ensemble(study: Study, output: Path) -> Ensemble:
    """Look at the replicas of a study that was run before, and run nothing.

    Raises
    ------
    EnsembleError
        If there is nothing of this study in the folder.
    """
    if not (output / _STUDY_RECORD).is_file():
        raise EnsembleError(
            f"{output}: found no {_STUDY_RECORD}, so no study was run here; run it without --analyse-only"
        )
    structure = study.structure.build()
    data_file = _claim(study, output, structure)
    outcomes = [
        _earlier_outcome(r, study=study, data_file=data_file, n_atoms=len(structure.types))
        for r in plan_replicas(study, output)
    ]
    return Ensemble(output=output, structure=structure, outcomes=tuple(outcomes))


def plan_replicas(study: Study, output: Path) -> list[Replica]:
    """All replicas of a study. Replica k has the same seed, and the same initial cell, for every model."""
    return [
        Replica(
            model=model,
            index=index,
            seed=study.replica_seed(index),
            directory=output / model.label / f"replica-{index:03d}",
        )
        for model in study.models
        for index in range(study.ensemble.replicas)
    ]


def check_product(replica: Replica, *, dynamics: Dynamics, n_atoms: int) -> Thermo:
    """Say that a replica's trajectory and log are whole and finite, and average its thermo values.

    Raises
    ------
    ReplicaError
        Naming the file, what was found and what is needed.
    """
    _check_dump(replica.dump, dynamics=dynamics, n_atoms=n_atoms)
    return _check_log(replica.log, dynamics=dynamics)


# --- one study, one folder -----------------------------------------------------------------------


def _check_elements(study: Study, structure: Structure) -> None:
    if study.analysis.species not in structure.elements:
        raise EnsembleError(
            f"[analysis]: species: found {study.analysis.species!r}, needed one of the structure's elements, "
            f"{', '.join(structure.elements)}"
        )
    for model in study.models:
        missing = [element for element in structure.elements if element not in model.type_names]
        if missing:
            raise EnsembleError(
                f"model {model.label} ({model.path}) does not know {', '.join(missing)} of the structure; "
                f"it knows {', '.join(model.type_names)}"
            )


def _claim(study: Study, output: Path, structure: Structure) -> Path:
    """Write what this folder is for, or refuse one that is for something else. Returns the data file."""
    record = output / _STUDY_RECORD
    text = lammps_data(structure)
    identity = {**study.identity(), "structure_sha256": hashlib.sha256(text.encode()).hexdigest()}
    if record.is_file():
        earlier = _read_json(record).get("identity", {})
        changed = _differences(earlier, identity)
        if changed:
            raise EnsembleError(
                f"{output}: holds another study ({'; '.join(changed)}); choose another --output, or remove the folder"
            )
    _write_atomically(record, _json({"identity": identity, "study": study.to_dict()}))
    data_file = output / _DATA_FILE
    if not data_file.is_file():
        _write_atomically(data_file, text)
    return data_file.resolve()


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Leaves that differ, as "dynamics.temperature_K was 900.0, is 800.0"."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted(old.keys() | new.keys())
        return [text for key in keys for text in _differences(old.get(key), new.get(key), f"{name}.{key}".lstrip("."))]
    return [] if old == new else [f"{name} was {old}, is {new}"]


def _refuse_spaces(paths: Sequence[Path]) -> None:
    """LAMMPS splits a line at spaces after it has put in the values of variables."""
    for path in paths:
        if any(character.isspace() for character in str(path)):
            raise EnsembleError(f"{path}: found a space in the path, LAMMPS inputs take none; use a path without")


@contextlib.contextmanager
def _driver_lock(output: Path) -> Iterator[None]:
    """Only one process runs a study; the kernel drops the lock with its owner."""
    with (output / ".lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EnsembleError(f"{output}: another process is running this study; wait for it to end") from error
        yield


def _processes(study: Study, asked: int | None) -> int:
    return asked or study.ensemble.processes or len(os.sched_getaffinity(0))


# --- one replica ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What all replicas of a study share."""

    study: Study
    structure: Structure
    data_file: Path


@dataclass
class _Children:
    """The running LAMMPS processes, so that an interrupt can stop them all."""

    running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    stopping: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, command: Sequence[str], *, cwd: Path, stdout: Any) -> subprocess.Popen[bytes] | None:
        """Start a process in its own session: `lmp` is a wrapper, and signals must reach what it wraps."""
        with self.lock:
            if self.stopping:
                return None
            child = subprocess.Popen(
                command,
                cwd=cwd,
                env=lammps_environment(),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.running.add(child)
            return child

    def ended(self, child: subprocess.Popen[bytes]) -> None:
        with self.lock:
            self.running.discard(child)

    def stop(self) -> None:
        """Ask all to end, and make them after a grace period."""
        with self.lock:
            self.stopping = True
            children = list(self.running)
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, sign)
            deadline = time.monotonic() + _GRACE_S
            while time.monotonic() < deadline and any(child.poll() is None for child in children):
                time.sleep(0.05)


def _run_all(
    job: _Job, todo: Sequence[Replica], *, n_reused: int, processes: int, watcher: Watcher
) -> dict[Replica, ReplicaOutcome]:
    children = _Children()
    outcomes: dict[Replica, ReplicaOutcome] = {}
    total = n_reused + len(todo)
    dynamics = job.study.dynamics
    steps_each = dynamics.equilibration_steps + dynamics.production_steps
    with ThreadPoolExecutor(max_workers=processes) as pool:
        waiting: dict[Future[ReplicaOutcome | None], Replica] = {
            pool.submit(_run_replica, job, replica, children): replica for replica in todo
        }
        try:
            while waiting:
                ended, _ = wait(waiting, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                for future in ended:
                    replica, outcome = waiting.pop(future), future.result()
                    assert outcome is not None  # only an interrupt leaves a replica without one
                    outcomes[replica] = outcome
                    watcher.finished(outcome, done=n_reused + len(outcomes), total=total)
                partial = sum(_steps_done(r.log, dynamics) for r in waiting.values())
                watcher.progress(steps_each * (n_reused + len(outcomes)) + partial)
        except BaseException:
            for future in waiting:
                future.cancel()
            children.stop()
            raise
    return outcomes


def _run_replica(job: _Job, replica: Replica, children: _Children) -> ReplicaOutcome | None:
    """Run one replica from its beginning. None if it was stopped with the whole study."""
    _set_earlier_aside(replica)
    replica.directory.mkdir(parents=True, exist_ok=True)
    _write_atomically(replica.directory / _REPLICA_RECORD, _json(_replica_identity(replica, data_file=job.data_file)))
    command = lammps_command(
        model=replica.model,
        dynamics=job.study.dynamics,
        data_file=job.data_file,
        elements=job.structure.elements,
        seed=replica.seed,
    )
    screen = replica.directory / _OUTPUT_NAME
    with screen.open("wb") as stream:
        child = children.start(command, cwd=replica.directory, stdout=stream)
        if child is None:
            return None
        code = child.wait()
        children.ended(child)
    if children.stopping:
        return None
    return _judge(replica, job=job, exit_code=code)


def _judge(replica: Replica, *, job: _Job, exit_code: int) -> ReplicaOutcome:
    try:
        thermo = check_product(replica, dynamics=job.study.dynamics, n_atoms=len(job.structure.types))
    except ReplicaError as error:
        text = _read_text(replica.directory / _OUTPUT_NAME)
        said = re.search(r"^ERROR.*$", text, flags=re.MULTILINE)
        reason = said.group(0) if said else f"lmp ended with code {exit_code}; {error}"
        tail = "\n".join(text.splitlines()[-_TAIL_LINES:])
        return ReplicaOutcome(replica=replica, thermo=None, reason=reason, tail=tail)
    return ReplicaOutcome(replica=replica, thermo=thermo)


def _earlier_outcome(replica: Replica, *, study: Study, data_file: Path, n_atoms: int) -> ReplicaOutcome:
    """What an earlier run of the study left of this replica."""
    record = replica.directory / _REPLICA_RECORD
    if not record.is_file():
        return ReplicaOutcome(replica=replica, thermo=None, reason="not run yet")
    changed = _differences(_read_json(record), _replica_identity(replica, data_file=data_file))
    if changed:
        raise EnsembleError(
            f"{replica.directory}: this replica was run with something else ({'; '.join(changed)}); choose "
            f"another --output, or remove the folder to run it again"
        )
    try:
        thermo = check_product(replica, dynamics=study.dynamics, n_atoms=n_atoms)
    except ReplicaError as error:
        return ReplicaOutcome(replica=replica, thermo=None, reason=str(error))
    return ReplicaOutcome(replica=replica, thermo=thermo, reused=True)


def _replica_identity(replica: Replica, *, data_file: Path) -> dict[str, Any]:
    """What a trajectory follows from, by content."""
    return {
        "model_sha256": replica.model.sha256,
        "structure_sha256": file_sha256(data_file),
        "input_sha256": file_sha256(find_lammps_input()),
        "seed": replica.seed,
    }


def _set_earlier_aside(replica: Replica) -> None:
    """Move what a failed or stopped attempt left into attempt-1, attempt-2, ...: it may be needed yet."""
    left = [p for p in replica.directory.glob("*") if p.is_file()]
    if not left:
        return
    number = 1 + sum(1 for _ in replica.directory.glob("attempt-*"))
    aside = replica.directory / f"attempt-{number}"
    aside.mkdir()
    for path in left:
        path.rename(aside / path.name)


# --- what LAMMPS wrote ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _LogRun:
    """One `run` of a log: thermo rows by column, and its time if it ended."""

    columns: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    loop_time_s: float | None

    def column(self, name: str) -> list[float]:
        at = self.columns.index(name)
        return [row[at] for row in self.rows]


def _log_runs(text: str) -> list[_LogRun]:
    runs: list[_LogRun] = []
    columns: tuple[str, ...] = ()
    rows: list[tuple[float, ...]] = []

    def close(loop_time_s: float | None) -> None:
        nonlocal columns
        if columns:
            runs.append(_LogRun(columns=columns, rows=tuple(rows), loop_time_s=loop_time_s))
        columns = ()
        rows.clear()

    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["Step"]:
            close(None)
            columns = tuple(words)
        elif line.startswith("Loop time of "):
            close(float(words[3]))
        elif columns and len(words) == len(columns):
            with contextlib.suppress(ValueError):  # a warning among the rows
                rows.append(tuple(float(word) for word in words))
    close(None)
    return runs


def _steps_done(log: Path, dynamics: Dynamics) -> float:
    """Steps that a running replica has behind it, by its log."""
    runs = _log_runs(_read_text(log)) if log.is_file() else []
    last = runs[-1].column("Step")[-1] if runs and runs[-1].rows else 0.0
    return last + (dynamics.equilibration_steps if len(runs) > 1 else 0)


def _check_log(path: Path, *, dynamics: Dynamics) -> Thermo:
    if not path.is_file():
        raise ReplicaError(f"{path}: found no log")
    runs = _log_runs(_read_text(path))
    if len(runs) != 2 or runs[1].loop_time_s is None:
        raise ReplicaError(f"{path}: found no end of the production, needed equilibration and production complete")
    production = runs[1]
    steps = production.column("Step")
    if not steps or steps[-1] != dynamics.production_steps:
        raise ReplicaError(f"{path}: found last step {steps[-1:]}, needed {dynamics.production_steps}")
    if not all(math.isfinite(value) for row in production.rows for value in row):
        raise ReplicaError(f"{path}: found thermo values that are not finite; the dynamics exploded")
    temperatures, pressures = production.column("Temp")[1:], production.column("Press")[1:]
    return Thermo(
        mean_temperature_K=math.fsum(temperatures) / len(temperatures),
        mean_pressure_bar=math.fsum(pressures) / len(pressures),
        ms_per_step=1000.0 * (production.loop_time_s or 0.0) / dynamics.production_steps,
    )


def _check_dump(path: Path, *, dynamics: Dynamics, n_atoms: int) -> None:
    if not path.is_file():
        raise ReplicaError(f"{path}: found no dump")
    wanted = range(0, dynamics.production_steps + 1, dynamics.dump_steps)
    with path.open("rb") as stream:
        for frame, step in enumerate(wanted):
            head = list(islice(stream, 9))
            atoms = b"".join(islice(stream, n_atoms))
            if len(head) < 9 or atoms.count(b"\n") < n_atoms:
                raise ReplicaError(f"{path}: found {frame} whole frames, needed {len(wanted)}")
            if head[1].split() != [b"%d" % step] or head[3].split() != [b"%d" % n_atoms]:
                raise ReplicaError(
                    f"{path}: frame {frame}: found step {_shown(head[1])} with {_shown(head[3])} atoms, "
                    f"needed step {step} with {n_atoms}"
                )
            if b"nan" in atoms or b"inf" in atoms:
                raise ReplicaError(f"{path}: frame {frame}: found coordinates that are not finite")
        if stream.read(1):
            raise ReplicaError(f"{path}: found more than {len(wanted)} frames")


def _shown(line: bytes) -> str:
    return line.decode(errors="replace").strip()


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EnsembleError(f"{path}: cannot be read ({error}); remove its folder to start over") from error
    if not isinstance(values, dict):
        raise EnsembleError(f"{path}: found no JSON object; remove its folder to start over")
    return values


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2) + "\n"


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
