"""A study in a notebook: `Study.load`, `run`, `status` and `diffusion`; and the paired design of what it ran."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lpsmd
from lpsmd.across_conditions import activation_energies
from lpsmd.analysis import Diffusion
from lpsmd.ensemble import ReplicaOutcome, StudyStatus, read_ensemble
from lpsmd.report import analyse_study, write_results
from lpsmd.study import Condition, Study
from support.coefficients import diffusion_of

CONDITIONS = ["soft_pbe-600K", "soft_pbe-900K", "soft_hse06-600K", "soft_hse06-900K"]


class Silent:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.told = 0

    def progress(self, status: StudyStatus) -> None:
        self.told += 1

    def finished(self, outcome: ReplicaOutcome) -> None:
        self.told += 1

    def decided(self, condition: Condition, text: str) -> None:
        self.told += 1


@pytest.fixture(scope="module")
def study(paired_study: Path) -> Study:
    return lpsmd.Study.load(paired_study / "study.toml")


def test_a_notebook_prints_what_it_is_asked_to_and_shows_the_table(paired_study: Path) -> None:
    said = json.loads((paired_study / "said.json").read_text())
    assert said["complete"] == 8
    assert list(said["D"]) == CONDITIONS
    lines = said["repr"].splitlines()
    assert lines[0].startswith("Li in Li6PS5Cl")
    assert sum(line.startswith(name) and "2/2" in line for line in lines for name in CONDITIONS) == 4
    assert "array(" not in said["repr"]


def test_progress_is_in_the_log(paired_study: Path) -> None:
    lines = (paired_study / "progress.log").read_text().splitlines()
    assert lines[0] == "tiny: 0/8 replicas, 0 running; `lpsmd status out` tells how it stands"
    assert [line.split()[0] for line in lines if line.startswith("[")] == [f"[{k}/8]" for k in range(1, 9)]
    assert all("replica" in line and "ms/step" in line for line in lines[1:])


def test_results_are_objects(study: Study, paired_study: Path) -> None:
    found = study.diffusion(paired_study / "out")
    written = json.loads((paired_study / "out" / "results.json").read_text())
    assert list(found) == CONDITIONS
    for entry, (name, diffusion) in zip(written["models"], found.items(), strict=True):
        assert isinstance(diffusion, Diffusion)
        assert entry["label"] == name
        assert diffusion.D_cm2_per_s == entry["diffusion"]["D_cm2_per_s"]
        assert diffusion.D_half_interval_cm2_per_s == entry["diffusion"]["D_half_interval_cm2_per_s"]
        assert diffusion.structures == (0, 1)


def test_the_status_tells_the_same_D(study: Study, paired_study: Path) -> None:
    status = study.status(paired_study / "out")
    found = study.diffusion(str(paired_study / "out"))
    assert (status.complete, status.replicas, status.running, status.failed) == (8, 8, 0, 0)
    assert status.steps_done == status.steps_total == 8 * 150
    assert {entry.name: entry.D_cm2_per_s for entry in status.conditions} == {
        name: pytest.approx(diffusion.D_cm2_per_s) for name, diffusion in found.items()
    }


def test_what_is_complete_is_analysed_again_and_nothing_runs(study: Study, paired_study: Path) -> None:
    before = (paired_study / "out" / "results.json").read_text()
    watcher = Silent()
    report = study.run(paired_study / "out", watcher=watcher)
    assert watcher.told == 0
    assert len(report.conditions) == 4
    assert (paired_study / "out" / "results.json").read_text() == before.replace(
        '"directory": "out/', f'"directory": "{paired_study}/out/'
    )


def test_a_study_of_a_folder_goes_on_there(study: Study, paired_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = lpsmd.Study.load(paired_study / "out")
    assert again == study
    assert again.diffusion().keys() == set(CONDITIONS)
    assert again.status().complete == 8
    watcher = Silent()
    again.run(watcher=watcher)
    assert watcher.told == 0
    # It is no part of the study that is written down.
    assert again.to_dict() == study.to_dict()
    monkeypatch.chdir(paired_study)
    with pytest.raises(lpsmd.LpsmdError, match=r"^tiny-\w{8}: found no study\.json, so no study was run here"):
        study.status()


def test_without_a_run_there_is_no_answer(study: Study, tmp_path: Path) -> None:
    for ask in (study.status, study.diffusion):
        with pytest.raises(lpsmd.LpsmdError, match=r"found no study\.json, so no study was run here; run it with"):
            ask(tmp_path / "none")


# ---- the paired design ----------------------------------------------------------------------------------------------


def test_models_and_temperatures_start_from_the_same_structures(paired_study: Path) -> None:
    outcomes = read_ensemble(paired_study / "out").outcomes
    records = [json.loads((o.replica.directory / "replica.json").read_text()) for o in outcomes]
    for index in (0, 1):
        mine = [record for record in records if record["index"] == index]
        assert len(mine) == 4
        assert {record["structure"] for record in mine} == {index}
        assert len({record["structure_sha256"] for record in mine}) == 1
        assert len({record["seed"] for record in mine}) == 1
    assert len({record["structure_sha256"] for record in records}) == 2
    for outcome in outcomes:
        script = outcome.replica.file(0, "in").read_text()
        assert f"structure-{outcome.replica.structure}.data" in script
    # The two models are one potential under two names, so that what is paired is the same to the last bit.
    for pbe, hse06 in zip(outcomes[:4], outcomes[4:], strict=True):
        assert [path.read_bytes() for path in pbe.dumps] == [path.read_bytes() for path in hse06.dumps]


def test_the_comparison_is_over_the_shared_structures(paired_study: Path) -> None:
    results = json.loads((paired_study / "out" / "results.json").read_text())
    assert [entry["label"] for entry in results["comparisons"]] == ["lj, 600 K", "lj, 900 K"]
    for entry in results["comparisons"]:
        assert (entry["ratio"], entry["paired_structures"]) == (pytest.approx(1.0), 2)
        # What the structures do, they do to both: nothing is left of it.
        assert entry["difference_half_width_cm2_per_s"] == 0.0
    assert min(model["diffusion"]["D_half_interval_cm2_per_s"] for model in results["models"]) > 0.0


# ---- activation energies --------------------------------------------------------------------------------------------


def test_a_model_whose_ions_do_not_diffuse_has_no_activation_energy(paired_study: Path) -> None:
    results = json.loads((paired_study / "out" / "results.json").read_text())
    assert [entry["label"] for entry in results["activation_energies"]] == ["soft_pbe", "soft_hse06"]
    for entry in results["activation_energies"]:
        assert entry["fit"] is None
        assert entry["reason"] == "D is diffusive at 0 of 2 temperatures, 2 at least are needed"


def test_activation_energies_are_printed_written_and_drawn(study: Study, paired_study: Path, tmp_path: Path) -> None:
    report = analyse_study(study, read_ensemble(paired_study / "out", study))
    values = np.array([1.0, 1.1, 0.9])
    diffusive = {condition: diffusion_of(values * condition.temperature_K * 1e-8) for condition in study.conditions[:2]}
    ensemble = replace(report.ensemble, plan=replace(report.ensemble.plan, output=tmp_path))
    energies = tuple(activation_energies(study, diffusive))
    shown = replace(
        report, ensemble=ensemble, conditions=report.conditions[:1], comparisons=(), activation_energies=energies
    )
    assert "\nsoft_pbe: Ea = 0." in repr(shown)
    assert "\nsoft_hse06: no activation energy: " in repr(shown)
    written = ("results.json", "msd.csv", "msd.png", "diffusion_*.png", "arrhenius_*.png")
    assert write_results(shown) == written
    assert (tmp_path / "arrhenius_soft_pbe.png").stat().st_size > 0
    assert not (tmp_path / "arrhenius_soft_hse06.png").exists()
    pbe, _ = json.loads((tmp_path / "results.json").read_text())["activation_energies"]
    assert energies[0].fit is not None
    assert pbe["fit"]["activation_energy_eV"] == energies[0].fit.activation_energy_eV
