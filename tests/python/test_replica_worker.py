"""One replica in real LAMMPS, without an engine: whatever happens to it, its trajectory is that of a quiet day."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from lpsmd.ensemble import (
    EnsembleError,
    Failure,
    FailureKind,
    Plan,
    ReplicaOutcome,
    StudyStatus,
    read_ensemble,
    run_ensemble,
    study_status,
)
from lpsmd.ensemble.claim import claim
from lpsmd.ensemble.locks import hold, read_holder
from lpsmd.ensemble.probe import probe_study
from lpsmd.ensemble.records import DamagedRecordError, read_status, write_status
from lpsmd.ensemble.worker import RUNNING, ReplicaState, run_replica
from lpsmd.errors import LpsmdError
from lpsmd.inputs import find_lmp, lammps_environment, lammps_program
from lpsmd.report import analyse_study, print_report
from lpsmd.structure import Structure, li6ps5cl, write_structure
from lpsmd.study import Condition
from lpsmd.study_file import load_study
from support.broken_models import FAILURE, NAN_ENERGY, NAN_FORCES, OUT_OF_MEMORY, breaking_model
from support.mounts import disk, read_only
from support.processes import processes_in, wait_until_none_in
from support.replicas import (
    claimed,
    dumps_of,
    files_in,
    lmp_script,
    replica_of,
    status_of,
    task,
    with_production,
)
from support.studies import STUDY, soft_model

WORKER = Path(__file__).resolve().parents[1] / "support" / "replica_worker.py"
#: The replicas of these tests have two chunks, then go on to a third.
LONG_PS = 0.6


@dataclass(frozen=True, kw_only=True)
class Quiet:
    """A study whose two replicas have run for two chunks, and a copy of it.

    And what they come to on a quiet day: the dumps of three chunks of the first and of two of the second.
    """

    folder: Path
    copy: Path
    dumps: dict[str, bytes]
    dumps_of_second: dict[str, bytes]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Quiet:
    folder, copy = tmp_path_factory.mktemp("study"), tmp_path_factory.mktemp("copy")
    plan = claimed(folder)
    for index in range(2):
        assert run_replica(task(plan, index)).state is ReplicaState.COMPLETE
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    assert run_replica(task(plan, production_ps=LONG_PS)).state is ReplicaState.COMPLETE
    return Quiet(folder=folder, copy=copy, dumps=dumps_of(plan), dumps_of_second=dumps_of(plan, 1))


@pytest.fixture
def begun(quiet: Quiet) -> Plan:
    """The study after two chunks, to damage. Always in one place: restarts name the model's path."""
    shutil.rmtree(quiet.folder)
    shutil.copytree(quiet.copy, quiet.folder)
    return claimed(quiet.folder)


@pytest.fixture
def dumps(quiet: Quiet) -> dict[str, bytes]:
    """The trajectory of three chunks on a quiet day."""
    return quiet.dumps


def goes_on(plan: Plan, dumps: dict[str, bytes], *, lmp: str | None = None) -> None:
    """The replica runs to the end of its third chunk, and is as on a quiet day."""
    end = run_replica(task(plan, production_ps=LONG_PS, lmp=lmp))
    assert (end.state, end.failure) == (ReplicaState.COMPLETE, None)
    assert dumps_of(plan) == dumps
    assert not replica_of(plan).lock.exists()
    assert not (replica_of(plan).directory / RUNNING).exists()


# --- files that a disk has changed ---


def bit(data: bytes) -> bytes:
    """One bit in the middle is another."""
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1 :]


def cut(data: bytes) -> bytes:
    return data[:-100]


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        (bit, ("chunk.2.restart",)),
        (cut, ("chunk.2.restart",)),
        (bit, ("chunk.0.restart", "chunk.1.dump.gz")),
        (cut, ("chunk.0.restart", "chunk.1.dump.gz")),
    ],
)
def test_damaged_files_are_kept_and_made_again(
    begun: Plan, dumps: dict[str, bytes], damage: Callable[[bytes], bytes], names: tuple[str, ...]
) -> None:
    folder = replica_of(begun).directory
    before = files_in(folder)
    for name in names:
        (folder / name).write_bytes(damage(before[name][1]))
    goes_on(begun, dumps)
    after = files_in(folder)
    assert {name: after[name][1] for name in names} == {name: before[name][1] for name in names}
    kept = {name: data for name, (_, data) in after.items() if name.startswith("damaged")}
    assert kept == {f"damaged-{n}/{name}": damage(before[name][1]) for n, name in enumerate(names, start=1)}
    # What was whole was left alone.
    others = [name for name in before if name.startswith("chunk") and name[:7] not in {name[:7] for name in names}]
    assert others
    assert {name: after[name] for name in others} == {name: before[name] for name in others}


def test_missing_files_are_made_again(begun: Plan, dumps: dict[str, bytes]) -> None:
    folder = replica_of(begun).directory
    (folder / "chunk.0.restart").unlink()
    (folder / "chunk.2.dump.gz").unlink()
    goes_on(begun, dumps)
    assert list(folder.glob("damaged-*")) == []


def test_a_restart_that_changes_while_the_replica_runs_is_made_again(
    begun: Plan, dumps: dict[str, bytes], tmp_path: Path
) -> None:
    change = "if once; then echo x | dd of=../chunk.2.restart bs=1 seek=3000 conv=notrunc; kill -9 $$; fi"
    goes_on(begun, dumps, lmp=lmp_script(tmp_path, f'{change}\nlmp "$@"'))
    assert (replica_of(begun).directory / "damaged-1" / "chunk.2.restart").is_file()


def test_a_restart_that_the_disk_took_a_part_of_is_no_restart(
    begun: Plan, dumps: dict[str, bytes], tmp_path: Path
) -> None:
    # LAMMPS ends well on a disk that is full for a moment.
    goes_on(begun, dumps, lmp=lmp_script(tmp_path, 'lmp "$@"\nif once; then truncate -s 4096 chunk.3.restart; fi'))
    (failure,) = status_of(begun).failures
    assert failure.kind is FailureKind.PRODUCT
    assert re.search(
        r"failed-1/running/chunk\.3\.restart: found no end of the restart file, it was cut", failure.reason
    )


@pytest.mark.parametrize(
    "damage", [cut, lambda _: b"", lambda _: b"[]", lambda _: b'{"chunks": []}', lambda _: b"\xff"]
)
def test_a_damaged_record_is_kept_and_the_replica_is_made_again(
    begun: Plan, dumps: dict[str, bytes], damage: Callable[[bytes], bytes]
) -> None:
    folder = replica_of(begun).directory
    path = folder / "status.json"
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    with pytest.raises(DamagedRecordError, match=r"status\.json: "):
        read_status(folder)
    if damage is cut:
        goes_on(begun, dumps)
        assert (folder / "damaged-1" / "status.json").read_bytes() == damaged


def test_a_record_that_cannot_be_read_is_left_alone(begun: Plan) -> None:
    folder = replica_of(begun).directory
    (folder / "status.json").rename(folder / "elsewhere")
    (folder / "status.json").mkdir()  # as good as a disk that answers with an error
    before = files_in(folder)
    end = run_replica(task(begun, production_ps=LONG_PS))
    assert end.failure is not None
    assert end.failure.kind is FailureKind.STORAGE
    assert files_in(folder).keys() == before.keys()


def test_the_driver_has_complete_replicas_made_again_whose_files_were_changed(
    begun: Plan, quiet: Quiet, caplog: pytest.LogCaptureFixture
) -> None:
    before, before_of_second = dumps_of(begun), dumps_of(begun, 1)
    dump, record = replica_of(begun).file(1, "dump.gz"), replica_of(begun, 1).directory / "status.json"
    dump.write_bytes(changed := bit(dump.read_bytes()))
    with pytest.raises(LpsmdError, match=r"chunk\.1\.dump\.gz: the gzip data are damaged .*lpsmd run"):
        analyse_study(begun.study, read_ensemble(begun.output))
    record.write_bytes(cut_record := cut(record.read_bytes()))
    assert study_status(begun.output).complete == 1
    ensemble = run_ensemble(begun.study, begun.output, workers=2, watcher=Silent())
    assert [outcome.reason for outcome in ensemble.outcomes] == ["", ""]
    assert (dumps_of(begun), dumps_of(begun, 1)) == (before, before_of_second)
    assert (dump.parent / "damaged-1" / dump.name).read_bytes() == changed
    assert (record.parent / "damaged-1" / record.name).read_bytes() == cut_record
    assert "found chunk.1.dump.gz changed after it was written; made again" in caplog.text
    assert re.search(r"status\.json: found no record \(.*\); this replica is to be made again", caplog.text)


class Silent:
    """Does not want to know."""

    def progress(self, status: StudyStatus) -> None: ...
    def finished(self, outcome: ReplicaOutcome) -> None: ...
    def decided(self, condition: Condition, text: str) -> None: ...


# --- models and inputs that people change ---


def test_a_model_that_is_swapped_between_two_chunks_stops_the_replica(
    begun: Plan, dumps: dict[str, bytes], tmp_path: Path
) -> None:
    model, other = begun.study.models[0].path, soft_model(tmp_path / "other.pt", functional="another")
    whole = model.read_bytes()
    forget_chunk_2(begun)
    swap = lmp_script(tmp_path, f'lmp "$@"\ncp {other} {model}')
    failure = assert_stops(begun, swap, FailureKind.MODEL)
    assert re.search(rf"^model soft_pbe: {model}: found \w+, the study began with \w+: put", failure.reason)
    assert failure.chunk == 3
    model.write_bytes(whole)
    goes_on(begun, dumps)


def test_a_model_that_is_swapped_while_lammps_starts_is_noticed(
    begun: Plan, dumps: dict[str, bytes], tmp_path: Path
) -> None:
    model, other = begun.study.models[0].path, soft_model(tmp_path / "other.pt", functional="another")
    whole = model.read_bytes()
    failure = assert_stops(begun, lmp_script(tmp_path, f'cp {other} {model}\nlmp "$@"'), FailureKind.MODEL)
    assert "the model that ran is not the study's" in failure.reason
    model.write_bytes(whole)
    goes_on(begun, dumps)


def test_an_input_that_is_edited_between_two_chunks_stops_the_replica(
    begun: Plan, dumps: dict[str, bytes], tmp_path: Path
) -> None:
    path = begun.output / "in.diffusion"
    whole = path.read_bytes()
    forget_chunk_2(begun)
    failure = assert_stops(begun, lmp_script(tmp_path, f'lmp "$@"\necho "# mine" >> {path}'), FailureKind.INPUT)
    assert re.search(rf"^{path}: found \w+, the study began with \w+$", failure.reason)
    with pytest.raises(EnsembleError, match=r"in\.diffusion: found \w+, the study began with \w+: put the file back"):
        claim(begun.study, begun.output)
    path.write_bytes(whole)
    goes_on(begun, dumps)


def test_a_moved_folder_goes_on_with_its_own_structures(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    write_structure(li6ps5cl(a_A=10.0), old / "cell.data")
    plan = claimed(old, STUDY.replace('generator = "li6ps5cl"\na_A = 10.0', 'file = "cell.data"'))
    (old / "out").rename(new)
    (old / "cell.data").unlink()
    study = load_study(new)
    assert probe_study(study, study.results_folder(), workers=1).atoms == 52
    moved = claim(study, study.results_folder())
    assert moved.structures == plan.structures
    for index in (0, 1):
        assert run_replica(task(moved, index)).state is ReplicaState.COMPLETE
    # Where all is complete, not even the model is needed.
    (old / "soft_pbe.pt").unlink()
    assert all(outcome.complete for outcome in run_ensemble(study, new, watcher=Silent()).outcomes)
    end = run_replica(task(moved, production_ps=LONG_PS))
    assert end.failure is not None
    assert end.failure.kind is FailureKind.MODEL
    assert end.failure.kind.remedy == "put the file back (or, if it was moved, give the study file again)"


def forget_chunk_2(plan: Plan) -> None:
    """Chunks 2 and 3 are to be run, with what happens between them."""
    write_status(replica_of(plan).directory, status_of(plan).without_chunks({2}))


def assert_stops(plan: Plan, lmp: str, kind: FailureKind) -> Failure:
    """The study would be stopped, with chunks 0 to 2 done."""
    end = run_replica(task(plan, production_ps=LONG_PS, lmp=lmp))
    assert end.state is ReplicaState.FAILED
    assert end.failure is not None
    assert end.failure.kind is kind, end.failure
    assert kind.stops_study
    assert sorted(status_of(plan).chunks) == [0, 1, 2]
    assert status_of(plan).final_failure(with_production(plan, LONG_PS).dynamics, retries=0) is None
    return end.failure


def test_a_structure_that_was_changed_stops_the_replica_before_it_starts(tmp_path: Path) -> None:
    plan = claimed(tmp_path)
    data = tmp_path / "out" / "structures" / "structure-0.data"
    data.write_bytes(bit(data.read_bytes()))
    end = run_replica(task(plan))
    assert end.failure is not None
    assert end.failure.kind is FailureKind.INPUT
    assert str(data) in end.failure.reason
    # The driver writes it anew, as it follows from the study.
    assert run_replica(task(claim(plan.study, plan.output))).state is ReplicaState.COMPLETE


# --- disks ---


def test_a_replica_on_a_disk_that_is_full_again_and_again_loses_nothing(begun: Plan, dumps: dict[str, bytes]) -> None:
    with disk(begun.output / "soft_pbe-600K", kib=16) as folder:
        chunks: set[int] = set()
        for kib in range(16, 240, 20):
            subprocess.run(["mount", "-o", f"remount,size={kib}k", str(folder)], check=True)
            end = run_replica(task(begun, production_ps=LONG_PS))
            if end.failure is None:
                break
            assert end.failure.kind is FailureKind.DISK, end.failure
            assert re.search(rf"^{folder}.*: No space left on device", end.failure.reason)
            assert chunks <= set(status_of(begun).chunks)
            chunks = set(status_of(begun).chunks)
        assert chunks >= {0, 1}  # it was full in many places
        assert list(replica_of(begun).directory.glob("*-*")) == []  # there is no room to keep what failed
        goes_on(begun, dumps)


def test_a_study_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    begun: Plan, quiet: Quiet, tmp_path: Path
) -> None:
    with disk(tmp_path / "out", kib=180) as output:
        with pytest.raises(
            EnsembleError,
            match=rf"{output}.*: .*No space left on device.*nothing that was finished is lost: .* run the",
        ):
            run_ensemble(begun.study, output, workers=2, watcher=Silent())
        subprocess.run(["mount", "-o", "remount,size=4096k", str(output)], check=True)
        ensemble = run_ensemble(begun.study, output, workers=2, watcher=Silent())
        assert [outcome.reason for outcome in ensemble.outcomes] == ["", ""]
        assert dumps_of(ensemble.plan) == dumps_of(begun)
        assert dumps_of(ensemble.plan, 1) == dumps_of(begun, 1)


def test_folders_that_take_no_files_stop_the_study_and_lose_nothing(begun: Plan, dumps: dict[str, bytes]) -> None:
    longer = with_production(begun, LONG_PS)
    before = files_in(replica_of(begun).directory)
    with read_only(begun.output / "soft_pbe-600K") as folder:
        with pytest.raises(
            EnsembleError,
            match=rf"storage: {folder}.*: Read-only file system; .*: make the folder writable and run the",
        ):
            run_ensemble(longer, begun.output, workers=1, watcher=Silent())
        assert files_in(replica_of(begun).directory) == before
    with read_only(begun.output) as folder, pytest.raises(EnsembleError, match=rf"Read-only file system: '{folder}"):
        run_ensemble(longer, begun.output, workers=1, watcher=Silent())
    goes_on(begun, dumps)


# --- failures of a run ---


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        ("kill -9 $$", FailureKind.KILLED, "lmp was ended by SIGKILL: by the system if memory ran out"),
        ("kill -SEGV $$", FailureKind.KILLED, "lmp was ended by SIGSEGV"),
        ('lmp "$@" & sleep 0.05; kill -9 $!; wait $!; exit $?', FailureKind.KILLED, "lmp was ended by SIGKILL"),
        ("exit 3", FailureKind.PRODUCT, r"failed-1/running/chunk\.3\.log: found no end of the run"),
        ("ulimit -v 150000", FailureKind.MEMORY, "failed to map segment"),
        ("echo slurmstepd: error: Detected 1 oom_kill event; kill -9 $$", FailureKind.MEMORY, "oom_kill"),
    ],
)
def test_what_can_pass_is_tried_again_and_written_down(
    begun: Plan, dumps: dict[str, bytes], tmp_path: Path, body: str, kind: FailureKind, reason: str
) -> None:
    goes_on(begun, dumps, lmp=lmp_script(tmp_path, f'if once; then {body}; fi\nlmp "$@"'))
    (failure,) = status_of(begun).failures
    assert (failure.chunk, failure.kind, failure.kept) == (3, kind, "failed-1")
    assert re.search(reason, failure.reason)
    assert (replica_of(begun).directory / "failed-1" / RUNNING / "chunk.3.in").is_file()


def test_what_does_not_pass_is_given_up_after_the_retries(begun: Plan, tmp_path: Path) -> None:
    end = run_replica(task(begun, production_ps=LONG_PS, retries=1, lmp=lmp_script(tmp_path, "kill -9 $$")))
    assert end.state is ReplicaState.FAILED
    assert end.failure is not None
    assert end.failure.kind is FailureKind.KILLED
    status = status_of(begun)
    assert [failure.kept for failure in status.failures] == ["failed-1", "failed-2"]
    dynamics = with_production(begun, LONG_PS).dynamics
    assert status.final_failure(dynamics, retries=1) == end.failure
    assert status.final_failure(dynamics, retries=2) is None  # more of them are granted
    assert sorted(status.chunks) == [0, 1, 2]


def test_a_program_that_does_not_start_stops_the_study(begun: Plan, dumps: dict[str, bytes], tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    assert "found no program that can be run" in assert_stops(begun, str(junk), FailureKind.PROGRAM).reason
    junk.write_text("junk")
    junk.chmod(0o755)
    assert "junk: cannot be started: Exec" in assert_stops(begun, str(junk), FailureKind.PROGRAM).reason
    missing = lmp_script(tmp_path, "lmp_of_another_site")
    assert "lmp_of_another_site: command not found" in assert_stops(begun, missing, FailureKind.PROGRAM).reason
    without_plugin = lmp_script(tmp_path, f'env -u LAMMPS_PLUGIN_PATH {lammps_program().path} "$@"')
    assert_stops(begun, without_plugin, FailureKind.PROGRAM)
    goes_on(begun, dumps)


TWO_ATOMS = STUDY.replace('generator = "li6ps5cl"\na_A = 10.0', 'file = "two.data"')


def two_atoms(folder: Path, distance_A: float) -> None:
    """Lithium in an empty cell."""
    write_structure(
        Structure(
            elements=("Li",),
            types=np.zeros(2, dtype=np.int64),
            positions_A=np.array([[4.0, 5.0, 5.0], [4.0 + distance_A, 5.0, 5.0]]),
            cell_A=np.diag([12.0] * 3),
            title="two atoms",
        ),
        folder / "two.data",
    )


@pytest.mark.parametrize(
    ("fault", "kind", "failures"),
    [
        (OUT_OF_MEMORY, FailureKind.MEMORY, 3),
        (NAN_ENERGY, FailureKind.UNSTABLE, 1),
        (NAN_FORCES, FailureKind.UNSTABLE, 1),
        (FAILURE, FailureKind.LAMMPS, 1),
    ],
)
def test_a_model_that_breaks(tmp_path: Path, fault: int, kind: FailureKind, failures: int) -> None:
    two_atoms(tmp_path, distance_A=0.8)
    plan = claimed(tmp_path, TWO_ATOMS, model=lambda path: breaking_model(path, ["Li", "P", "S", "Cl"], fault))
    assert_fails(plan, kind, failures=failures)


def test_atoms_that_are_thrown_apart_have_exploded(tmp_path: Path) -> None:
    two_atoms(tmp_path, distance_A=1.3)
    text = TWO_ATOMS.replace("equilibration_ps = 0.1", 'equilibration_ps = 0.02\nensemble = "nve"')
    failure = assert_fails(claimed(tmp_path, text), FailureKind.UNSTABLE, failures=1)
    assert re.search(
        r"found \d+ K, more than 3 times the 600 K that are set: the structure has exploded", failure.reason
    )


def test_a_timestep_that_is_far_too_long_loses_atoms(tmp_path: Path) -> None:
    text = STUDY.replace("[ensemble]", "timestep_fs = 100.0\ndump_interval_fs = 100.0\n\n[ensemble]")
    text = text.replace("_ps = 0.1", "_ps = 1.0").replace("_ps = 0.4", "_ps = 2.0").replace("_ps = 0.2", "_ps = 1.0")
    assert_fails(claimed(tmp_path, text), FailureKind.LOST_ATOMS, failures=1)


def assert_fails(plan: Plan, kind: FailureKind, *, failures: int) -> Failure:
    """It fails so many times, and what it said is kept."""
    end = run_replica(task(plan))
    assert end.state is ReplicaState.FAILED
    assert end.failure is not None
    assert end.failure.kind is kind, end.failure
    status = status_of(plan)
    assert status.final_failure(plan.study.dynamics, retries=plan.study.ensemble.retries) == end.failure
    kept = [replica_of(plan).directory / failure.kept / RUNNING for failure in status.failures]
    assert [folder.parent.name for folder in kept] == [f"failed-{n}" for n in range(1, failures + 1)]
    assert all((folder / f"chunk.{end.failure.chunk}.out").read_text() for folder in kept)
    return end.failure


def test_a_broken_framework_is_a_failure_and_the_report_tells_how_it_may_bias_d(tmp_path: Path) -> None:
    # The soft model melts all of them; two were run before anyone cared.
    plan = claimed(tmp_path, STUDY.replace("replicas = 2", "replicas = 3"))
    for index in range(2):
        assert run_replica(task(plan, index)).state is ReplicaState.COMPLETE
    end = run_replica(task(plan, 2, stop_on_broken_framework=True))
    assert end.failure is not None
    assert end.failure.kind is FailureKind.FRAMEWORK
    assert re.search(r"failed-1/running/chunk\.1\.dump\.gz: P-S bond of atoms \d+ and \d+ broke at", end.failure.reason)
    said = io.StringIO()
    print_report(analyse_study(plan.study, read_ensemble(plan.output)), Console(file=said, width=200))
    assert "2/3" in said.getvalue()
    assert (
        "warning: soft_pbe: 1 of 3 replicas failed by their own motion (1 framework broken): D is that of the "
        "survivors, and biased if those that failed moved otherwise" in said.getvalue()
    )
    assert "replica 2: framework broken: " in said.getvalue()


# --- locks, jobs, signals ---


def test_a_replica_of_another_process_is_left_alone(begun: Plan, dumps: dict[str, bytes]) -> None:
    replica = replica_of(begun)
    with hold(replica.lock):
        before = files_in(replica.directory)
        end = run_replica(task(begun, production_ps=LONG_PS))
        assert end.state is ReplicaState.BUSY
        assert f"held by process {os.getpid()} on " in end.holder
        assert files_in(replica.directory) == before
    goes_on(begun, dumps)


def test_a_worker_that_slept_while_another_took_over_leaves_all_to_it(begun: Plan, tmp_path: Path) -> None:
    replica = replica_of(begun)
    taken = f"sed -i s/token.*/token/ ../{replica.lock.name}"
    end = run_replica(task(begun, production_ps=LONG_PS, lmp=lmp_script(tmp_path, f'lmp "$@"\n{taken}')))
    assert end.state is ReplicaState.BUSY
    assert "another process took this replica over" in end.holder
    assert sorted(status_of(begun).chunks) == [0, 1, 2]
    assert status_of(begun).failures == ()
    assert (replica.directory / RUNNING / "chunk.3.dump.gz").is_file()
    assert replica.lock.is_file()


def test_no_chunk_is_started_that_the_job_cannot_end(
    begun: Plan, dumps: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = replica_of(begun).directory
    status = status_of(begun)
    slow = replace(status, chunks={n: replace(record, wall_s=1000.0) for n, record in status.chunks.items()})
    write_status(folder, slow)
    before = files_in(folder)
    now = int(time.time())
    monkeypatch.setenv("SLURM_JOB_START_TIME", str(now - 3600))
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(now + 500))
    end = run_replica(task(begun, production_ps=LONG_PS))
    assert (end.state, end.failure) == (ReplicaState.PAUSED, None)
    assert {name: data for name, (_, data) in files_in(folder).items()} == {name: d for name, (_, d) in before.items()}
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(now + 3600))
    goes_on(begun, dumps)


@pytest.mark.parametrize(
    ("number", "body"),
    [(signal.SIGTERM, ""), (signal.SIGKILL, ""), (signal.SIGTERM, 'lmp "$@" & wait')],
    ids=["SIGTERM", "SIGKILL", "a script around lmp"],
)
def test_a_worker_that_is_ended_loses_at_most_its_chunk(
    begun: Plan, dumps: dict[str, bytes], tmp_path: Path, number: signal.Signals, body: str
) -> None:
    folder = replica_of(begun).directory
    before = files_in(folder)
    lmp = lmp_script(tmp_path, body) if body else None
    with worker(begun, lmp) as child:
        wait_for_rows(folder / RUNNING / "chunk.3.log")
        for pid in processes_in(folder / RUNNING):
            os.kill(pid, signal.SIGSTOP)  # so that the chunk does not end meanwhile
        assert run_replica(task(begun, production_ps=LONG_PS)).state is ReplicaState.BUSY
        child.send_signal(number)
        assert child.wait() == -number
    if not body:  # what a script has left is ended by whoever goes on
        wait_until_none_in(folder)
    assert read_holder(replica_of(begun).lock) is not None
    whole = {name: file for name, file in files_in(folder).items() if name in before and name != "replica.json"}
    assert whole == {name: file for name, file in before.items() if name != "replica.json"}
    goes_on(begun, dumps)
    assert processes_in(folder) == []


@contextlib.contextmanager
def worker(plan: Plan, lmp: str | None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs the replica."""
    command = [sys.executable, str(WORKER), str(plan.output), str(LONG_PS), lmp or ""]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as child:
        try:
            yield child
        finally:
            child.kill()


def wait_for_rows(log: Path) -> None:
    """Until LAMMPS is in the middle of its run."""
    end = time.monotonic() + 60.0
    while not (log.is_file() and re.search(r"^ +2[1-9]0 ", log.read_text(), flags=re.MULTILINE)):
        assert time.monotonic() < end, "LAMMPS did not come to its run"
        time.sleep(0.001)


def test_the_input_of_a_chunk_by_hand_gives_its_dump(begun: Plan, dumps: dict[str, bytes], tmp_path: Path) -> None:
    shutil.copy(replica_of(begun).file(2, "in"), tmp_path)
    command = [str(find_lmp().with_name("mpirun")), "-np", "1", str(find_lmp()), "-in", "chunk.2.in"]
    subprocess.run(command, cwd=tmp_path, env=lammps_environment(), check=True, capture_output=True)
    assert (tmp_path / "chunk.2.dump.gz").read_bytes() == dumps["chunk.2.dump.gz"]


# --- what was not foreseen ---


def test_the_record_of_a_later_lpsmd_is_left_alone(begun: Plan) -> None:
    record = replica_of(begun).directory / "status.json"
    record.write_text(record.read_text().replace('"format": 1', '"format": 2'))
    before = record.read_bytes()
    end = run_replica(task(begun, production_ps=LONG_PS))
    assert end.state is ReplicaState.FAILED
    assert end.failure is not None
    assert end.failure.kind.stops_study
    assert "found format 2, this lpsmd knows format 1: use the one that wrote it" in end.failure.reason
    assert record.read_bytes() == before
    with pytest.raises(EnsembleError, match="found format 2"):
        study_status(begun.output)


def test_a_worker_that_is_lost_is_written_down_by_the_next_and_not_for_ever(
    begun: Plan, dumps: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("START", "END"):  # each worker has time to write, but not for a chunk
        monkeypatch.setenv(f"SLURM_JOB_{name}_TIME", "1000000000")
    lost = task(begun, production_ps=LONG_PS, lost="node-7 is gone")
    for count in range(lost.retries):
        assert run_replica(lost).state is ReplicaState.PAUSED
        assert [failure.kind for failure in status_of(begun).failures] == [FailureKind.NODE] * (count + 1)
    end = run_replica(lost)
    assert end.state is ReplicaState.FAILED
    assert end.failure == status_of(begun).final_failure(lost.dynamics, retries=lost.retries)
    assert dumps_of(begun).items() < dumps.items()


def test_an_error_of_lpsmd_itself_stops_the_study_and_says_what_it_is(begun: Plan, dumps: dict[str, bytes]) -> None:
    end = run_replica(task(begun, production_ps=LONG_PS, chunk_seeds=(1, 2)))
    assert end.state is ReplicaState.FAILED
    assert end.failure is not None
    assert end.failure.kind is FailureKind.INTERNAL
    assert end.failure.kind.stops_study
    assert end.failure.reason == "IndexError: tuple index out of range"
    assert "in _input" in end.failure.tail
    goes_on(begun, dumps)


def test_what_cannot_be_removed_goes_out_of_the_way(begun: Plan, dumps: dict[str, bytes]) -> None:
    (replica_of(begun).directory / RUNNING).write_text("left by a file system")
    goes_on(begun, dumps)
    assert (replica_of(begun).directory / "damaged-1" / RUNNING).read_text() == "left by a file system"
