# ruff: noqa: E501  (one fault a line, with its text)
from __future__ import annotations

from pathlib import Path

import pytest

from lpsmd.errors import LpsmdError
from lpsmd.structure import li6ps5cl, write_structure
from lpsmd.study import DEMO_STUDY, MAX_SEED, GeneratedStructure, StructureFile, load_study
from support.studies import STUDY, study_file


def test_a_study_is_read_and_resolved(tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path))
    assert study.name == "tiny"
    assert isinstance(study.structure, GeneratedStructure)
    assert study.structure.supercell == (1, 1, 1)
    (model,) = study.models
    assert (model.label, model.architecture, model.functional) == ("soft_pbe", "lj", "PBE")
    assert model.path == tmp_path / "soft_pbe.pt"
    assert study.dynamics.timestep_fs == 2.0
    assert (study.dynamics.equilibration_steps, study.dynamics.production_steps) == (50, 200)
    assert (study.dynamics.dump_steps, study.dynamics.frames) == (10, 21)
    assert study.analysis.species == "Li"


def test_a_structure_file_is_known_by_its_content(tmp_path: Path) -> None:
    write_structure(li6ps5cl(a_A=9.9), tmp_path / "cell.data")
    text = STUDY.replace('generator = "li6ps5cl"\na_A = 10.0', 'file = "cell.data"')
    study = load_study(study_file(tmp_path, text))
    assert isinstance(study.structure, StructureFile)
    assert study.structure.build().symbols.count("Li") == 24
    write_structure(li6ps5cl(a_A=9.8), tmp_path / "cell.data")
    assert load_study(tmp_path / "study.toml").hash != study.hash


def test_the_hash_is_of_what_decides_trajectories(tmp_path: Path) -> None:
    reference = load_study(study_file(tmp_path)).hash
    for same in (
        STUDY.replace("replicas = 2", "replicas = 9\nprocesses = 1"),
        STUDY + '\n[analysis]\ndrift = "none"\n',
        STUDY.replace('path = "./soft_pbe.pt"', 'path = "./soft_pbe.pt"\nlabel = "other"'),
    ):
        assert load_study(study_file(tmp_path, same)).hash == reference
    for changed in (
        STUDY.replace("seed = 3", "seed = 4"),
        STUDY.replace("= 600", "= 601"),
        STUDY.replace("a_A = 10.0", "a_A = 9.9"),
        STUDY.replace("production_ps = 0.4", "production_ps = 0.6"),
    ):
        assert load_study(study_file(tmp_path, changed)).hash != reference


def test_seeds_are_distinct_and_within_what_lammps_takes(tmp_path: Path) -> None:
    study = load_study(study_file(tmp_path))
    seeds = [study.replica_seed(k) for k in range(5000)]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= 1
    assert max(seeds) <= MAX_SEED
    # Not cut to fewer bits: they fill the range.
    assert max(seeds) > 0.99 * MAX_SEED
    assert sum(seeds) / len(seeds) == pytest.approx(MAX_SEED / 2, rel=0.05)


def test_the_demo_study_loads() -> None:
    study = load_study("demo")
    assert load_study(DEMO_STUDY) == study
    pairs = {(m.architecture, m.functional) for m in study.models}
    assert pairs == {(a, f) for a in ("nequip", "mace", "deepmd") for f in ("PBE", "HSE06")}
    assert study.ensemble.replicas >= 4
    assert study.dynamics.production_ps >= 2.0


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("temperature_K", "temprature_K", r"\[dynamics\]: 'temprature_K' is not a known key; did you mean 'temperature_K'\?"),
        ("[ensemble]", "[ensembel]", r"the file: 'ensembel' is not a known section; did you mean 'ensemble'\?"),
        ("path = ", "paht = ", r"\[\[models\]\] number 1: 'paht' is not a known key; did you mean 'path'\?"),
        ("temperature_K = 600", "", r"\[dynamics\]: key 'temperature_K' is missing"),
        ("= 600", "= -5", r"\[dynamics\]: temperature_K: found -5, needed: greater than 0"),
        ("= 600", '= "hot"', r"\[dynamics\]: temperature_K: found 'hot', needed: a valid number"),
        ("= 600", "= nan", r"\[dynamics\]: temperature_K: found nan, needed: a finite number"),
        ("replicas = 2", "replicas = 1", r"\[ensemble\]: replicas: found 1, needed: greater than or equal to 2"),
        ("replicas = 2", "replicas = 2\nminimum_replicas = 3", r"minimum_replicas: found 3, needed at most replicas, 2"),
        ("production_ps = 0.4", "production_ps = 0.401", r"production_ps: found 0.401 ps, needed a whole multiple of timestep_fs, 2 fs"),
        ("production_ps = 0.4", "production_ps = 0.41", r"production_ps: found 0.41 ps, needed a whole multiple of dump_interval_fs, 20 fs"),
        ("production_ps = 0.4", "production_ps = 0.1", r"found 0.1 ps, 5 dump intervals, needed at least 10"),
        ('name = "tiny"', 'name = "a/b"', r"\[study\]: name: found 'a/b', needed: string should match pattern"),
        ('generator = "li6ps5cl"', 'generator = "nacl"', r"\[structure\]: generator: found 'nacl', needed: 'li6ps5cl'"),
        ('generator = "li6ps5cl"', "", r"\[structure\]: found neither of generator and file, needed one"),
        ("a_A = 10.0", "", r"\[structure\]: key 'a_A' is missing"),
        ("a_A = 10.0", 'file = "x.data"', r"\[structure\]: found both of generator and file"),
        ('generator = "li6ps5cl"', 'file = "x.data"', r"\[structure\]: a_A belong to a generator, but file = 'x.data'"),
        ('generator = "li6ps5cl"\na_A = 10.0', 'file = "x.data"', r"x\.data: no such file"),
        ("a_A = 10.0", "a_A = 10.0\nsupercell = [1, 1]", r"\[structure\]: supercell: found \[1, 1\], needed: list should have at least 3"),
        ("[dynamics]", '[[models]]\npath = "./soft_pbe.pt"\n[dynamics]', r"label 'soft_pbe' is used twice"),
        ("./soft_pbe.pt", "./missing.pt", r"missing\.pt: no such model file"),
        ("./soft_pbe.pt", "nequip_pbee", r"no model named 'nequip_pbee' ships with lpsmd"),
        ("replicas = 2", "replicas = 2\n[analysis]\nfit_window = [0.5, 0.1]", r"fit_window: found \[0.5, 0.1\], needed two growing"),
        ("seed = 3", "seed = ", r"not valid TOML"),
    ],
)  # fmt: skip
def test_faults_are_named(tmp_path: Path, old: str, new: str, text: str) -> None:
    assert old in STUDY
    path = study_file(tmp_path, STUDY.replace(old, new, 1))
    with pytest.raises(LpsmdError, match=text):
        load_study(path)


def test_a_fault_names_the_file(tmp_path: Path) -> None:
    path = study_file(tmp_path, STUDY.replace("[study]", "[studdy]", 1))
    with pytest.raises(LpsmdError, match=rf"^study file {path}: "):
        load_study(path)
    with pytest.raises(LpsmdError, match=r"none\.toml: no such file; write one, or try .*`lpsmd run demo`"):
        load_study(tmp_path / "none.toml")
