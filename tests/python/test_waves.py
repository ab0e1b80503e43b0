"""A study that stops at its target: what is decided, and that it is decided once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

from lpsmd.ensemble import Failure, FailureKind, Plan, StudyStatus, run_ensemble
from lpsmd.ensemble.outcomes import ReplicaOutcome, outcome_of
from lpsmd.ensemble.records import STATUS_NAME, read_status, write_status
from lpsmd.ensemble.running import RunningDiffusion
from lpsmd.ensemble.waves import Waves
from lpsmd.study import Condition
from lpsmd.study_file import load_study
from support.studies import STUDY, study_file

#: Soft spheres that random forces make diffuse from the first steps on.
TARGET = (
    STUDY.replace('generator = "li6ps5cl"\na_A = 10.0', 'file = "gas.extxyz"')
    .replace("[dynamics]", '[dynamics]\nthermostat = "langevin"\ndamping_ps = 0.05\nchunk_ps = 1.0')
    .replace("production_ps = 0.4\nchunk_ps = 0.2", "production_ps = 2.0")
    .replace("replicas = 2", "target_relative_error = 0.2\nmaximum_replicas = 40")
)


class Decisions:
    """Remembers what was decided."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def progress(self, status: StudyStatus) -> None:
        pass

    def finished(self, outcome: ReplicaOutcome) -> None:
        pass

    def decided(self, condition: Condition, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """D is known to a fifth after the first wave."""
    folder = tmp_path_factory.mktemp("target")
    write(folder / "gas.extxyz", bulk("LiCl", "rocksalt", a=5.1, cubic=True) * (2, 2, 2))
    decisions = Decisions()
    ensemble = run_ensemble(load_study(study_file(folder, TARGET)), folder / "out", workers=2, watcher=decisions)
    assert [outcome.complete for outcome in ensemble.outcomes] == [True] * 16
    assert len(decisions.texts) == 1
    assert "20 % is wanted, with 16 replicas" in decisions.texts[0]
    return ensemble.plan


@pytest.fixture
def plan(reached: Plan, tmp_path: Path) -> Plan:
    """The same in a copy, to change."""
    shutil.copytree(reached.output, tmp_path / "out")
    return replace(reached, output=tmp_path / "out")


def waves_of(plan: Plan) -> Waves:
    return Waves(plan=plan, diffusion=RunningDiffusion(plan))


def asking(plan: Plan, **ensemble: float) -> Plan:
    """The same study with another target or maximum."""
    return replace(plan, study=replace(plan.study, ensemble=replace(plan.study.ensemble, **ensemble)))


def fail(plan: Plan, index: int) -> None:
    replica = plan.replica(plan.study.conditions[0], index)
    failure = Failure(
        chunk=2, kind=FailureKind.UNSTABLE, reason="too hot", tail="", kept="", host="here", time="2026-01-01"
    )
    status = read_status(replica.directory)
    write_status(replica.directory, status.without_chunks({2}).with_failure(failure))


def test_nothing_is_left_to_do_at_the_target(plan: Plan) -> None:
    assert list(waves_of(plan).todo()) == []


def test_a_wave_that_was_decided_is_the_same_for_the_next_driver(plan: Plan) -> None:
    plan = asking(plan, target_relative_error=0.04)
    first = waves_of(plan)
    wave = list(first.todo())
    assert [replica.index for replica in wave] == list(range(16, 16 + len(wave)))
    (text,) = first.decisions.values()
    assert text.endswith("core-hours more")
    # Killed before any of them began: the next one does what was decided, and decides nothing.
    second = waves_of(plan)
    assert list(second.todo()) == wave
    assert second.decisions == {}


def test_a_changed_dump_is_made_again_before_anything_is_decided(plan: Plan) -> None:
    waves = waves_of(plan)
    dump = outcome_of(plan, plan.replica(plan.study.conditions[0], 3)).dumps[0]
    changed = bytearray(dump.read_bytes())
    changed[len(changed) // 2] ^= 0xFF
    dump.write_bytes(changed)
    assert [replica.index for replica in waves.todo()] == [3]
    assert waves.decisions == {}


def test_a_replica_that_is_seen_complete_while_it_runs_counts_once(plan: Plan) -> None:
    replica = plan.replica(plan.study.conditions[0], 5)
    status = replica.directory / STATUS_NAME
    status.rename(status.with_suffix(".hidden"))
    waves = waves_of(plan)
    assert list(waves.todo()) == [replica]
    # Its worker writes the record, and then lets the lock go: between the two somebody looks.
    status.with_suffix(".hidden").rename(status)
    replica.lock.touch()
    waves.look_at_running()
    replica.lock.unlink()
    decision = waves.ended(outcome_of(plan, replica))
    assert decision.text
    assert decision.replicas == ()


def test_one_more_is_tried_for_each_that_failed_but_not_beyond_the_maximum(plan: Plan) -> None:
    fail(plan, 7)
    waves = waves_of(asking(plan, replicas=16))
    assert list(waves.todo()) == []
    (text,) = waves.decisions.values()
    assert text.endswith("but all 16 that there may be were tried, and 1 of them failed")
    assert [replica.index for replica in waves_of(plan).todo()] == [16]


def test_a_model_that_breaks_in_most_replicas_gets_no_more(plan: Plan) -> None:
    for index in range(9):
        fail(plan, index)
    waves = waves_of(plan)
    assert list(waves.todo()) == []
    assert list(waves.decisions.values()) == [
        "9 of 16 replicas failed by their own motion; more replicas do not mend the model"
    ]


def test_an_analysis_that_fails_ends_the_waves_with_its_reason(plan: Plan) -> None:
    study = replace(plan.study, analysis=replace(plan.study.analysis, species="Na"))
    waves = waves_of(replace(plan, study=study))
    assert list(waves.todo()) == []
    (text,) = waves.decisions.values()
    assert text.startswith("D of all replicas cannot be computed (")
    assert "Na" in text
