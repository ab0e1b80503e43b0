"""Replicas in real LAMMPS under the engine, with a Lennard-Jones model."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tolerances
from lpsmd.ensemble import (
    Ensemble,
    EnsembleError,
    ReplicaOutcome,
    StudyStatus,
    default_output,
    read_ensemble,
    read_plan,
    run_ensemble,
)
from lpsmd.ensemble.claim import DRIVER_LOCK
from lpsmd.ensemble.locks import hold
from lpsmd.ensemble.outcomes import outcome_of
from lpsmd.ensemble.probe import probe_study
from lpsmd.ensemble.running import RunningDiffusion
from lpsmd.errors import LpsmdError
from lpsmd.inputs import find_lammps_input, find_lmp, lammps_environment
from lpsmd.structure import Structure, write_structure
from lpsmd.study import Condition, Study
from lpsmd.study_file import load_study
from support.replicas import lmp_script
from support.studies import STUDY, soft_model, study_file


class Notes:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.last: StudyStatus | None = None
        self.decisions: list[str] = []

    def progress(self, status: StudyStatus) -> None:
        self.last = status

    def finished(self, outcome: ReplicaOutcome) -> None:
        self.ended.append(outcome.replica.name)

    def decided(self, condition: Condition, text: str) -> None:
        self.decisions.append(f"{condition.name}: {text}")


class Interrupt(Notes):
    """Presses Ctrl-C as soon as a replica is done."""

    def finished(self, outcome: ReplicaOutcome) -> None:
        raise KeyboardInterrupt


TWO_MODELS = STUDY.replace("[dynamics]", '[[models]]\npath = "./soft_hse06.pt"\n\n[dynamics]')


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path, Notes]:
    """A study with two models and two replicas of each, run once."""
    folder = tmp_path_factory.mktemp("study")
    soft_model(folder / "soft_hse06.pt", functional="HSE06")
    study, output, notes = load_study(study_file(folder, TWO_MODELS)), folder / "out", Notes()
    ensemble = run_ensemble(study, output, workers=2, watcher=notes)
    assert all(outcome.complete for outcome in ensemble.outcomes)
    return study, output, notes


def copied(finished: tuple[Study, Path, Notes], folder: Path) -> tuple[Study, Path]:
    """A copy of the finished study, to damage."""
    study, output, _ = finished
    shutil.copytree(output, folder / "out")
    return study, folder / "out"


def bits(outcome: ReplicaOutcome) -> list[bytes]:
    return [path.read_bytes() for path in outcome.dumps]


def test_every_replica_runs_in_its_own_folder_with_its_own_seed(finished: tuple[Study, Path, Notes]) -> None:
    _, output, notes = finished
    outcomes = read_ensemble(output).outcomes
    assert len(outcomes) == 4
    assert sorted(notes.ended) == sorted(outcome.replica.name for outcome in outcomes)
    for outcome in outcomes:
        assert outcome.thermo is not None
        assert outcome.thermo.mean_temperature_K == pytest.approx(600.0, abs=tolerances.STUDY_TEMPERATURE_K)
        assert sorted(outcome.status.chunks) == [0, 1, 2]
    # Replicas differ. The two models are the same potential under two names: a paired design makes them one.
    pbe_0, pbe_1, hse_0, hse_1 = outcomes
    assert pbe_0.replica.seed == hse_0.replica.seed != pbe_1.replica.seed == hse_1.replica.seed
    assert bits(pbe_0) != bits(pbe_1)
    assert bits(pbe_0) == bits(hse_0)


def test_the_input_by_hand_gives_the_same_trajectory(finished: tuple[Study, Path, Notes], tmp_path: Path) -> None:
    _, output, _ = finished
    outcome = read_ensemble(output).outcomes[0]
    knobs = {
        "model": outcome.replica.condition.model.path,
        "data": output / "structures" / "structure-0.data",
        "seed": outcome.replica.seed,
        "temperature": 600,
        "equilibration": 0.1,
        "chunk_length": 0.2,
        "out": "by_hand",
    }
    mpirun = find_lmp().with_name("mpirun")
    command = [str(mpirun), "-np", "1", str(find_lmp()), "-in", str(find_lammps_input())]
    command += ["-var", "chunk", "0", "1", "2"]
    for name, value in knobs.items():
        command += ["-var", name, str(value)]
    # The random forces of the equilibration have a seed of their own, from the study.
    script = outcome.replica.file(0, "in").read_text()
    (seed,) = [line.split()[-1] for line in script.splitlines() if " chunk_seed " in line]
    command += ["-var", "chunk_seed", seed]
    subprocess.run(command, cwd=tmp_path, env=lammps_environment(), check=True, capture_output=True)
    by_hand = [(tmp_path / "by_hand" / path.name).read_bytes() for path in outcome.dumps]
    assert by_hand == bits(outcome)


def test_the_input_of_a_chunk_runs_by_hand_in_an_empty_folder(
    finished: tuple[Study, Path, Notes], tmp_path: Path
) -> None:
    _, output, _ = finished
    replica = read_ensemble(output).outcomes[0].replica
    command = [str(find_lmp()), "-in", str(replica.file(2, "in"))]
    subprocess.run(command, cwd=tmp_path, env=lammps_environment(), check=True, capture_output=True)
    assert (tmp_path / "chunk.2.dump.gz").read_bytes() == replica.file(2, "dump.gz").read_bytes()
    assert outcome_of(read_plan(output), replica).complete


def test_the_input_runs_from_any_folder_on_its_defaults_but_the_model(tmp_path: Path) -> None:
    # The default model is a trained network; everything else is left as it stands, but for the length.
    model = soft_model(tmp_path / "soft.pt")
    command = [str(find_lmp()), "-in", str(find_lammps_input()), "-var", "model", str(model)]
    command += ["-var", "chunk_length", "0.2"]
    done = subprocess.run(command, cwd=tmp_path, env=lammps_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout
    assert (tmp_path / "diffusion" / "chunk.1.dump.gz").is_file()
    assert (tmp_path / "diffusion" / "chunk.1.restart").is_file()


def test_complete_replicas_are_not_run_again(finished: tuple[Study, Path, Notes], tmp_path: Path) -> None:
    study, output = copied(finished, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in output.glob("*/replica-*/chunk.*")}
    notes = Notes()
    ensemble = run_ensemble(study, output, workers=2, watcher=notes)
    assert notes.ended == []
    assert all(outcome.complete for outcome in ensemble.outcomes)
    assert before
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_another_study_in_the_folder_is_refused(finished: tuple[Study, Path, Notes], tmp_path: Path) -> None:
    _, output = copied(finished, tmp_path)
    changed = load_study(study_file(tmp_path, STUDY.replace("a_A = 10.0", "a_A = 9.9")))
    with pytest.raises(
        EnsembleError, match=r"structure\.a_A was 10\.0, is 9\.9; .*; to go on with it .* another --output \(.*\)$"
    ):
        run_ensemble(changed, output, watcher=Notes())
    same = load_study(study_file(tmp_path))
    assert default_output(same) != default_output(changed)
    assert default_output(same).name.startswith("tiny-")


def test_another_model_under_the_same_label_is_refused(finished: tuple[Study, Path, Notes], tmp_path: Path) -> None:
    _, output = copied(finished, tmp_path)
    study_file(tmp_path)
    soft_model(tmp_path / "soft_pbe.pt", functional="another")
    with pytest.raises(EnsembleError, match=r"models\.soft_pbe was .* another label"):
        run_ensemble(load_study(tmp_path / "study.toml"), output, watcher=Notes())


def test_a_study_is_extended_in_place(finished: tuple[Study, Path, Notes], tmp_path: Path) -> None:
    first, output = copied(finished, tmp_path)
    before = {path: path.read_bytes() for path in output.glob("*/replica-*/chunk.*.dump.gz")}
    for model in first.models:
        shutil.copy(model.path, tmp_path / model.path.name)
    text = TWO_MODELS.replace("replicas = 2", "replicas = 3").replace("production_ps = 0.4", "production_ps = 0.6")
    (tmp_path / "study.toml").write_text(text)
    ensemble = run_ensemble(load_study(tmp_path / "study.toml"), output, workers=2, watcher=Notes())
    assert [outcome.complete for outcome in ensemble.outcomes] == [True] * 6
    assert all(len(outcome.dumps) == 3 for outcome in ensemble.outcomes)
    assert {path: path.read_bytes() for path in before} == before


def test_two_drivers_of_one_study_refuse_each_other(finished: tuple[Study, Path, Notes], tmp_path: Path) -> None:
    study, output = copied(finished, tmp_path)
    with (
        hold(output / DRIVER_LOCK),
        pytest.raises(EnsembleError, match=r"process \d+ on .* is running this study.*lpsmd status"),
    ):
        run_ensemble(study, output, watcher=Notes())


def test_an_interrupt_leaves_no_process_behind_and_the_study_goes_on(
    finished: tuple[Study, Path, Notes], tmp_path: Path
) -> None:
    study = load_study(study_file(tmp_path, STUDY.replace("replicas = 2", "replicas = 6")))
    output = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_ensemble(study, output, workers=2, watcher=Interrupt())
    assert processes_that_mention(output) == []
    ensemble = run_ensemble(study, output, workers=2, watcher=Notes())
    assert all(outcome.complete for outcome in ensemble.outcomes)
    # As in the study that nobody interrupted.
    for outcome, other in zip(ensemble.outcomes[:2], read_ensemble(finished[1]).outcomes[:2], strict=True):
        assert bits(outcome) == bits(other)


def processes_that_mention(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has just ended
            continue
        if any(str(folder) in word for word in words):
            found.append(" ".join(words))
    return found


def test_elements_are_checked_before_anything_runs(tmp_path: Path) -> None:
    sodium = STUDY + '\n[analysis]\nspecies = "Na"\n'
    with pytest.raises(EnsembleError, match=r"species: found 'Na', needed one of .*Li, P, S, Cl"):
        run_ensemble(load_study(study_file(tmp_path, sodium)), tmp_path / "out", watcher=Notes())
    lithium = Structure(
        elements=("Li",),
        types=np.zeros(2, dtype=np.int64),
        positions_A=np.array([[0.0, 0.0, 0.0], [5.0, 5.0, 5.0]]),
        cell_A=10.0 * np.eye(3),
        title="Li",
    )
    write_structure(lithium, tmp_path / "cell.data")
    alone = STUDY.replace('generator = "li6ps5cl"\na_A = 10.0', 'file = "cell.data"')
    with pytest.raises(EnsembleError, match=r'drift: found "framework", needed "com" or "none", as .* beside Li$'):
        run_ensemble(load_study(study_file(tmp_path, alone)), tmp_path / "out", watcher=Notes())
    assert not (tmp_path / "out").exists()


def test_a_program_that_is_not_there_is_named_before_anything_runs(tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path, STUDY + '[executor]\nlmp = "./none"\n'))
    with pytest.raises(LpsmdError, match=rf"\[executor\]: lmp: {tmp_path}/none: found no program that can be run"):
        run_ensemble(study, tmp_path / "out", watcher=Notes())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("analysis", "told"),
    [({"fit_window": (0.1, 0.11)}, "the fit window .* holds"), ({"species": "Na"}, "no atom of element 'Na'")],
)
def test_a_running_D_that_cannot_be_had_stops_nothing(
    analysis: dict[str, object],
    told: str,
    finished: tuple[Study, Path, Notes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    study, output, _ = finished
    plan = read_ensemble(output, replace(study, analysis=replace(study.analysis, **analysis))).plan  # type: ignore[arg-type]
    running = RunningDiffusion(plan)
    for outcome in read_ensemble(output).outcomes:
        running.add(outcome)
    condition, _ = study.conditions
    assert running.of_all(condition) is None
    assert running.of(condition) is None
    (record,) = caplog.records
    assert re.search(rf"^warning: soft_pbe-600K: no running D: .*{told}", record.getMessage())


def test_analysis_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnsembleError, match=r"found no study\.json, so no study was run here"):
        read_ensemble(tmp_path, load_study(study_file(tmp_path)))


def test_the_record_of_a_study_is_whole(finished: tuple[Study, Path, Notes]) -> None:
    study, output, _ = finished
    record = json.loads((output / "study.json").read_text())
    assert record["study"]["hash"] == study.hash
    assert record["versions"]["torch"].startswith("2.13")
    assert set(record["identity"]["models"]) == {"soft_pbe", "soft_hse06"}
    assert load_study(output) == study
    assert isinstance(read_ensemble(output, study), Ensemble)


@pytest.mark.parametrize("sign", [" ", "\t", "#", "$", "%", "&", '"', "'", "ü"])
def test_a_folder_that_lammps_cannot_name_is_refused_before_anything_runs(sign: str, tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path))
    found = re.escape("a space" if sign.isspace() else sign)
    with pytest.raises(EnsembleError, match=f"found {found} in the path, LAMMPS inputs take none"):
        run_ensemble(study, tmp_path / f"my{sign}results", watcher=Notes())
    assert not (tmp_path / f"my{sign}results").exists()


def test_a_setup_that_lammps_refuses_fails_no_replica(tmp_path: Path) -> None:
    # As a GPU without its driver: LAMMPS ends with an error before it has run a step of any replica.
    lmp = Path(lmp_script(tmp_path, 'once || { lmp "$@"; exit; }\necho ERROR: no kernel image is available; exit 1'))
    text = STUDY.replace("production_ps = 0.4", "production_ps = 0.2") + f'[executor]\nlmp = "{lmp}"\n'
    study, output, notes = load_study(study_file(tmp_path, text)), tmp_path / "out", Notes()
    with pytest.raises(EnsembleError, match=r"no kernel image.*no replica has come further, see .*failed-1: mend it"):
        run_ensemble(study, output, workers=1, watcher=notes)
    assert notes.ended == []
    (first, second) = run_ensemble(study, output, workers=1, watcher=notes).outcomes
    assert first.complete
    assert second.complete
    assert first.status.failures == ()


def test_a_row_of_failures_that_are_not_the_motions_stops_the_study(tmp_path: Path) -> None:
    lmp = lmp_script(tmp_path, 'case "$*" in *chunk.1.in*) echo "ERROR: this node is ill"; exit 1;; esac; lmp "$@"')
    text = STUDY.replace("replicas = 2", "replicas = 12") + f'[executor]\nlmp = "{lmp}"\n'
    study, output = load_study(study_file(tmp_path, text)), tmp_path / "out"
    with pytest.raises(EnsembleError, match=r"5 replicas in a row have failed.* on .*: LAMMPS error: .*node is ill"):
        run_ensemble(study, output, workers=2, watcher=Notes())
    failed = [outcome for outcome in read_ensemble(output).outcomes if outcome.failure]
    assert 5 <= len(failed) < 12


def test_more_workers_than_gpus_take_are_refused(tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path, STUDY + "[executor]\ngpus = [0, 1]\nreplicas_per_gpu = 2\n"))
    for begin in (run_ensemble, probe_study):
        with pytest.raises(
            EnsembleError, match=r"workers: found 5, needed at most 4, replicas_per_gpu \(2\) on each GPU"
        ):
            begin(study, tmp_path / "out", workers=5, **({"watcher": Notes()} if begin is run_ensemble else {}))
    assert not (tmp_path / "out").exists()
