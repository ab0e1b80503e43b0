"""Replicas in real LAMMPS, with a Lennard-Jones model."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from pathlib import Path

import pytest

import tolerances
from lpsmd.ensemble import (
    Ensemble,
    EnsembleError,
    Replica,
    ReplicaError,
    ReplicaOutcome,
    check_product,
    default_output,
    plan_replicas,
    read_ensemble,
    run_ensemble,
)
from lpsmd.inputs import find_lammps_input, find_lmp, lammps_environment
from lpsmd.study import Study
from lpsmd.study_file import load_study
from support.studies import STUDY, soft_model, study_file

ATOMS = 52


class Notes:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.ended: list[tuple[str, int, int]] = []

    def progress(self, steps_done: float) -> None:
        self.steps.append(steps_done)

    def finished(self, outcome: ReplicaOutcome, *, done: int, total: int) -> None:
        self.ended.append((outcome.replica.name, done, total))


class Interrupt(Notes):
    """Presses Ctrl-C as soon as a replica moves."""

    def progress(self, steps_done: float) -> None:
        if steps_done > 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path, Notes]:
    """A study with two models and two replicas of each, run once."""
    folder = tmp_path_factory.mktemp("study")
    soft_model(folder / "soft_hse06.pt", functional="HSE06")
    text = STUDY.replace("[dynamics]", '[[models]]\npath = "./soft_hse06.pt"\n\n[dynamics]')
    study, output, notes = load_study(study_file(folder, text)), folder / "out", Notes()
    ensemble = run_ensemble(study, output, processes=2, watcher=notes)
    assert all(outcome.complete for outcome in ensemble.outcomes)
    return study, output, notes


def first_replica(study: Study, output: Path) -> Replica:
    return plan_replicas(study, output)[0]


def copied(finished: tuple[Study, Path, Notes], folder: Path) -> tuple[Study, Path]:
    """A copy of the finished study, to damage."""
    study, output, _ = finished
    shutil.copytree(output, folder / "out")
    return study, folder / "out"


def test_every_replica_runs_in_its_own_folder_with_its_own_seed(finished: tuple[Study, Path, Notes]) -> None:
    study, output, notes = finished
    replicas = plan_replicas(study, output)
    assert len(replicas) == 4
    assert [n for _, n, _ in notes.ended] == [1, 2, 3, 4]
    assert notes.steps[-1] == 4 * 250
    dumps = {r: r.dump.read_text() for r in replicas}
    for replica, text in dumps.items():
        assert text.count("ITEM: TIMESTEP") == study.dynamics.frames
        assert "ITEM: ATOMS id element xu yu zu" in text
        thermo = check_product(replica, dynamics=study.dynamics, n_atoms=ATOMS)
        assert thermo.mean_temperature_K == pytest.approx(600.0, abs=tolerances.STUDY_TEMPERATURE_K)
        assert thermo.ms_per_step > 0
    # Replicas differ. The two models are the same potential under two names: paired seeds make them one.
    pbe_0, pbe_1, hse_0, hse_1 = replicas
    assert pbe_0.seed == hse_0.seed != pbe_1.seed == hse_1.seed
    assert dumps[pbe_0] != dumps[pbe_1]
    assert dumps[pbe_0] == dumps[hse_0]


def test_the_input_by_hand_gives_the_same_trajectory(finished: tuple[Study, Path, Notes], tmp_path: Path) -> None:
    study, output, _ = finished
    replica = first_replica(study, output)
    knobs = {
        "model": replica.model.path,
        "data": output / "structure.data",
        "seed": replica.seed,
        "temperature": 600,
        "equilibration": 0.1,
        "production": 0.4,
        "out": "by_hand",
    }
    mpirun = find_lmp().with_name("mpirun")
    command = [str(mpirun), "-np", "1", str(find_lmp()), "-in", str(find_lammps_input())]
    for name, value in knobs.items():
        command += ["-var", name, str(value)]
    subprocess.run(command, cwd=tmp_path, env=lammps_environment(), check=True, capture_output=True)
    assert (tmp_path / "by_hand" / "msd.dump").read_text() == replica.dump.read_text()


def test_the_input_runs_from_any_folder_on_its_defaults_but_the_model(tmp_path: Path) -> None:
    # The default model is a trained network; everything else is left as it stands, but for the length.
    model = soft_model(tmp_path / "soft.pt")
    command = [
        str(find_lmp()),
        "-in",
        str(find_lammps_input()),
        "-var",
        "model",
        str(model),
        "-var",
        "production",
        "0.2",
    ]
    done = subprocess.run(command, cwd=tmp_path, env=lammps_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout
    assert (tmp_path / "diffusion" / "msd.dump").read_text().count("ITEM: TIMESTEP") == 11
    assert (tmp_path / "diffusion" / "end.restart").is_file()


def test_complete_replicas_are_not_run_again(finished: tuple[Study, Path, Notes], tmp_path: Path) -> None:
    study, output = copied(finished, tmp_path)
    before = {r: r.dump.stat().st_mtime_ns for r in plan_replicas(study, output)}
    notes = Notes()
    ensemble = run_ensemble(study, output, processes=2, watcher=notes)
    assert notes.ended == []
    assert all(outcome.reused for outcome in ensemble.outcomes)
    assert {r: r.dump.stat().st_mtime_ns for r in before} == before


def test_a_truncated_replica_is_run_again_and_the_old_one_kept(
    finished: tuple[Study, Path, Notes], tmp_path: Path
) -> None:
    study, output = copied(finished, tmp_path)
    replica = first_replica(study, output)
    whole = replica.dump.read_text()
    replica.dump.write_text(whole[: len(whole) // 2])
    notes = Notes()
    ensemble = run_ensemble(study, output, processes=1, watcher=notes)
    assert [name for name, _, _ in notes.ended] == [replica.name]
    assert [outcome.reused for outcome in ensemble.outcomes] == [False, True, True, True]
    assert replica.dump.read_text() == whole
    assert (replica.directory / "attempt-1" / "msd.dump").read_text() == whole[: len(whole) // 2]


@pytest.mark.parametrize(
    ("file", "old", "new", "text"),
    [
        ("msd.dump", "ITEM: TIMESTEP\n200\n", "ITEM: TIMESTEP\n210\n", r"frame 20: found step 210 with 52 atoms, needed step 200"),  # noqa: E501
        ("msd.dump", "\n1 Li ", "\n1 Li nan ", r"msd\.dump: frame 0: found coordinates that are not finite"),
        ("log.lammps", "Loop time", "Lop time", r"log\.lammps: found no end of the production"),
    ],
)  # fmt: skip
def test_a_product_with_a_fault_is_not_complete(
    finished: tuple[Study, Path, Notes], tmp_path: Path, file: str, old: str, new: str, text: str
) -> None:
    study, output = copied(finished, tmp_path)
    replica = first_replica(study, output)
    path = replica.directory / file
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))
    with pytest.raises(ReplicaError, match=text):
        check_product(replica, dynamics=study.dynamics, n_atoms=ATOMS)
    path.unlink()
    with pytest.raises(ReplicaError, match=r"found no (dump|log)"):
        check_product(replica, dynamics=study.dynamics, n_atoms=ATOMS)


def test_a_dump_with_frames_too_many_is_not_complete(finished: tuple[Study, Path, Notes], tmp_path: Path) -> None:
    study, output = copied(finished, tmp_path)
    replica = first_replica(study, output)
    with replica.dump.open("a") as stream:
        stream.write("ITEM: TIMESTEP\n")
    with pytest.raises(ReplicaError, match=r"found more than 21 frames"):
        check_product(replica, dynamics=study.dynamics, n_atoms=ATOMS)


def test_a_failed_replica_is_kept_and_says_why(tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path))
    # The file is cut short after the study was read.
    (tmp_path / "soft_pbe.pt").write_bytes((tmp_path / "soft_pbe.pt").read_bytes()[:2000])
    ensemble = run_ensemble(study, tmp_path / "out", processes=2, watcher=Notes())
    assert [outcome.complete for outcome in ensemble.outcomes] == [False, False]
    outcome = ensemble.outcomes[0]
    assert outcome.reason.startswith("ERROR")
    assert "soft_pbe.pt" in outcome.reason
    assert "pair_coeff" in outcome.tail
    assert (outcome.replica.directory / "lmp.out").is_file()


def test_another_study_in_the_folder_is_refused(finished: tuple[Study, Path, Notes], tmp_path: Path) -> None:
    _, output = copied(finished, tmp_path)
    changed = load_study(study_file(tmp_path, STUDY.replace("= 600", "= 700")))
    with pytest.raises(EnsembleError, match=r"dynamics\.temperature_K was 600\.0, is 700\.0.*choose another --output"):
        run_ensemble(changed, output, watcher=Notes())
    same = load_study(study_file(tmp_path))
    assert default_output(same) != default_output(changed)
    assert default_output(same).name.startswith("tiny-")


def test_a_swapped_model_is_refused(finished: tuple[Study, Path, Notes], tmp_path: Path) -> None:
    _, output = copied(finished, tmp_path)
    study_file(tmp_path)
    soft_model(tmp_path / "soft_pbe.pt", functional="another")
    swapped = load_study(tmp_path / "study.toml")
    with pytest.raises(
        EnsembleError, match=r"replica-000: this replica was run with something else \(model_sha256 was"
    ):
        run_ensemble(swapped, output, watcher=Notes())


def test_more_replicas_extend_a_study(finished: tuple[Study, Path, Notes], tmp_path: Path) -> None:
    _, output = copied(finished, tmp_path)
    shutil.copy(finished[0].models[0].path, tmp_path / "keep.pt")
    path = study_file(tmp_path, STUDY.replace("replicas = 2", "replicas = 3"))
    shutil.move(tmp_path / "keep.pt", tmp_path / "soft_pbe.pt")
    ensemble = run_ensemble(load_study(path), output, processes=1, watcher=Notes())
    assert [outcome.reused for outcome in ensemble.outcomes] == [True, True, False]


def test_two_drivers_of_one_study_refuse_each_other(finished: tuple[Study, Path, Notes], tmp_path: Path) -> None:
    study, output = copied(finished, tmp_path)
    with (output / ".lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(EnsembleError, match=r"another process is running this study"):
            run_ensemble(study, output, watcher=Notes())


def test_an_interrupt_leaves_no_process_behind_and_the_study_goes_on(tmp_path: Path) -> None:
    long = load_study(study_file(tmp_path, STUDY.replace("= 0.4", "= 100")))
    output = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_ensemble(long, output, processes=2, watcher=Interrupt())
    assert processes_that_mention(output) == []
    left = read_ensemble(long, output)
    assert [outcome.complete for outcome in left.outcomes] == [False, False]


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
    assert not (tmp_path / "out").exists()


def test_analysis_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnsembleError, match=r"found no study\.json, so no study was run here"):
        read_ensemble(load_study(study_file(tmp_path)), tmp_path)


def test_the_record_of_a_study_is_whole(finished: tuple[Study, Path, Notes]) -> None:
    study, output, _ = finished
    record = json.loads((output / "study.json").read_text())
    assert record["study"]["hash"] == study.hash
    assert record["identity"]["dynamics"]["temperature_K"] == 600.0
    assert isinstance(read_ensemble(study, output), Ensemble)


def test_a_folder_with_a_space_is_refused_before_anything_runs(tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path))
    with pytest.raises(EnsembleError, match="found a space in the path, LAMMPS inputs take none"):
        run_ensemble(study, tmp_path / "my results", watcher=Notes())
    assert not (tmp_path / "my results").exists()
