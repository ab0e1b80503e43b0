# ruff: noqa: E501  (one fault a line, with its text)
"""Study files: what is read, what is refused and how, what decides the identity, what is warned of."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from lpsmd.errors import LpsmdError
from lpsmd.structure import li6ps5cl, write_structure
from lpsmd.study import MAX_SEED, GeneratedStructure, StructureFile, Study, StudyError
from lpsmd.study_file import DEMO_STUDY, PROTOCOLS, load_study, shipped_models, study_warnings
from support.studies import STUDY, soft_model, study_file

GRID = STUDY.replace(
    '[[models]]\npath = "./soft_pbe.pt"',
    '[model_grid]\npath = "./{architecture}_{functional}_{training_seed}.pt"\narchitectures = ["lj"]\n'
    'functionals = ["PBE", "HSE06"]\ntraining_seeds = [1, 2]',
)
TARGET = STUDY.replace("replicas = 2", "target_relative_error = 0.1")
SLURM = '\n[executor.slurm]\nwalltime = "24:00:00"\n'


def study_of(folder: Path, text: str = STUDY) -> Study:
    return load_study(study_file(folder, text))


def grid_file(folder: Path, text: str = GRID, *, training: dict[str, Any] | None = None) -> Path:
    path = study_file(folder, text)
    for functional in ("PBE", "HSE06"):
        for seed in (1, 2):
            soft_model(folder / f"lj_{functional}_{seed}.pt", functional=functional, training=training)
    return path


# ----- what is read ----------------------------------------------------------------------------------------


def test_a_study_is_read_and_resolved(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    assert study.name == "tiny"
    assert isinstance(study.structure, GeneratedStructure)
    assert (study.structure.supercell, study.structure.count) == ((1, 1, 1), 1)
    (model,) = study.models
    assert (model.label, model.architecture, model.functional) == ("soft_pbe", "lj", "PBE")
    assert (model.training_seed, model.knows_stress) == (None, False)
    assert model.path == tmp_path / "soft_pbe.pt"
    assert study.temperatures_K == (600.0,)
    dynamics = study.dynamics
    assert (dynamics.ensemble, dynamics.thermostat, dynamics.damping_ps) == ("nvt", "nose-hoover", 0.1)
    assert (dynamics.timestep_fs, dynamics.dump_species) == (2.0, None)
    assert (dynamics.equilibration_steps, dynamics.production_steps) == (50, 200)
    assert (dynamics.dump_steps, dynamics.frames, dynamics.n_chunks) == (10, 21, 2)
    assert dataclasses.astuple(study.ensemble) == (2, 2, None, 2, False)
    assert dataclasses.astuple(study.executor) == (None, (), 1, None, None)
    assert study.analysis.species == "Li"
    assert [condition.name for condition in study.conditions] == ["soft_pbe-600K"]


def test_all_of_the_rest_is_read(tmp_path: Path) -> None:
    text = STUDY.replace("temperature_K = 600", "temperatures_K = [600, 700.0]")
    text = text.replace("a_A = 10.0", "a_A = 10.0\ncount = 3\ninversion = 0.5\nseed = 0")
    text = text.replace(
        "[ensemble]",
        'ensemble = "npt"\nthermostat = "langevin"\npressure_bar = 5.0\nbarostat_damping_ps = 2.0\n'
        'dump_species = ["P", "Li"]\n[ensemble]',
    )
    text += (
        '[executor]\nworkers = 3\nlmp = "bin/lmp"\nreplicas_per_gpu = 2\n'
        '[executor.slurm]\nwalltime = "100:30:00"\npartition = "gpu"\nnodes = 2\ngpus_per_node = 4\n'
        'options = ["--qos=long"]\nprologue = """\nmodule load a\n"""\n'
        "[analysis]\nfit_window = [0.1, 0.5]\n"
    )
    study = study_of(tmp_path, text)
    assert study.temperatures_K == (600.0, 700.0)
    assert isinstance(study.structure, GeneratedStructure)
    assert (study.structure.seed, study.structure.count) == (0, 3)
    assert [study.structure_of(k) for k in range(4)] == [0, 1, 2, 0]
    dynamics = study.dynamics
    assert (dynamics.ensemble, dynamics.thermostat) == ("npt", "langevin")
    assert (dynamics.pressure_bar, dynamics.barostat_damping_ps) == (5.0, 2.0)
    assert dynamics.dump_species == ("Li", "P")
    assert (study.executor.workers, study.executor.lmp) == (3, str(tmp_path / "bin" / "lmp"))
    slurm = study.executor.slurm
    assert slurm is not None
    assert dataclasses.astuple(slurm) == ("gpu", None, "100:30:00", 2, 4, "module load a\n", ("--qos=long",))
    assert Study.from_dict(json.loads(json.dumps(study.to_dict()))) == study


def test_a_structure_file_is_known_by_its_content(tmp_path: Path) -> None:
    write_structure(li6ps5cl(a_A=9.9), tmp_path / "cell.data")
    text = STUDY.replace('generator = "li6ps5cl"\na_A = 10.0', 'file = "cell.data"')
    study = study_of(tmp_path, text)
    assert isinstance(study.structure, StructureFile)
    assert study.structure.build(0).symbols.count("Li") == 24
    assert Study.from_dict(json.loads(json.dumps(study.to_dict()))) == study
    write_structure(li6ps5cl(a_A=9.8), tmp_path / "cell.data")
    assert load_study(tmp_path / "study.toml").hash != study.hash


@pytest.mark.parametrize(
    ("production_ps", "interval_fs", "chunk_ps"),
    [(2.0, 20.0, 2.0), (25.0, 20.0, 5.0), (30.0, 30.0, 7.5), (12.34, 20.0, 12.34), (20.06, 20.0, 1.18)],
)
def test_a_chunk_that_is_not_named_never_follows_from_the_production(
    tmp_path: Path, production_ps: float, interval_fs: float, chunk_ps: float
) -> None:
    lengths = f"production_ps = {production_ps}\ndump_interval_fs = {interval_fs}"
    text = STUDY.replace("production_ps = 0.4\nchunk_ps = 0.2", lengths)
    with pytest.raises(StudyError, match=rf"default, 10 ps, does not divide .* that does, as chunk_ps = {chunk_ps:g}:"):
        study_of(tmp_path, text)
    study_of(tmp_path, text.replace("[ensemble]", f"chunk_ps = {chunk_ps}\n[ensemble]"))
    longer = [changed("production_ps = 0.4\nchunk_ps = 0.2", f"production_ps = {length}") for length in (10.0, 70.0)]
    assert {study_of(tmp_path, text).dynamics.chunk_ps for text in longer} == {10.0}


def test_a_target_bounds_the_number_of_replicas(tmp_path: Path) -> None:
    assert dataclasses.astuple(study_of(tmp_path, TARGET).ensemble) == (1000, 16, 0.1, 2, False)
    text = TARGET + "minimum_replicas = 20\nmaximum_replicas = 40\nretries = 0\n"
    assert dataclasses.astuple(study_of(tmp_path, text).ensemble) == (40, 20, 0.1, 0, False)


def test_gpus_may_be_numbers_or_names(tmp_path: Path) -> None:
    text = STUDY + '[executor]\nreplicas_per_gpu = 2\ngpus = [0, "GPU-8f2a"]\n'
    assert study_of(tmp_path, text).executor.gpus == ("0", "GPU-8f2a")


def test_replicas_per_gpu_may_stand_beside_gpus_per_node(tmp_path: Path) -> None:
    keys = (
        "[executor]\nreplicas_per_gpu = 3" + SLURM + "gpus_per_node = 2",
        SLURM + "gpus_per_node = 2\nreplicas_per_gpu = 3",
    )
    one, other = (study_of(tmp_path, STUDY + text).executor for text in keys)
    assert one == other
    assert one.replicas_per_gpu == 3


def test_a_bare_program_name_is_left_to_the_path(tmp_path: Path) -> None:
    assert study_of(tmp_path, STUDY + '[executor]\nlmp = "lmp_gpu"\n').executor.lmp == "lmp_gpu"


# ----- models ----------------------------------------------------------------------------------------------


def test_a_grid_is_every_combination(tmp_path: Path) -> None:
    models = load_study(grid_file(tmp_path)).models
    assert [(m.label, m.functional, m.training_seed) for m in models] == [
        ("lj_PBE_1", "PBE", 1),
        ("lj_PBE_2", "PBE", 2),
        ("lj_HSE06_1", "HSE06", 1),
        ("lj_HSE06_2", "HSE06", 2),
    ]


def test_a_grid_comes_after_the_list(tmp_path: Path) -> None:
    text = GRID.replace("[model_grid]", '[[models]]\npath = "./soft_pbe.pt"\n[model_grid]')
    assert [m.label for m in load_study(grid_file(tmp_path, text)).models][:2] == ["soft_pbe", "lj_PBE_1"]


@pytest.mark.parametrize("functionals", ['["PBE", "HSE06"]', '["pbe", "hse06"]'])
def test_a_grid_of_shipped_models_needs_no_small_letters(tmp_path: Path, functionals: str) -> None:
    text = STUDY.replace(
        '[[models]]\npath = "./soft_pbe.pt"',
        f'[model_grid]\npath = "{{architecture}}_{{functional}}"\narchitectures = ["mace", "nequip"]\n'
        f"functionals = {functionals}",
    )
    labels = [m.label for m in study_of(tmp_path, text).models]
    assert labels == ["mace_pbe", "mace_hse06", "nequip_pbe", "nequip_hse06"]
    assert set(labels) < set(shipped_models())


def test_a_grid_finds_files_in_small_letters(tmp_path: Path) -> None:
    path = grid_file(tmp_path)
    for model in tmp_path.glob("lj_*.pt"):
        model.rename(model.with_name(model.name.lower()))
    assert [m.label for m in load_study(path).models] == ["lj_pbe_1", "lj_pbe_2", "lj_hse06_1", "lj_hse06_2"]
    path.write_text(STUDY.replace("soft_pbe", "LJ_PBE_1"))  # one that is named is that one
    with pytest.raises(StudyError, match=r"LJ_PBE_1\.pt"):
        load_study(path)


def test_all_missing_files_of_a_grid_are_listed_at_once(tmp_path: Path) -> None:
    path = grid_file(tmp_path)
    for name in ("lj_PBE_2", "lj_HSE06_1"):
        (tmp_path / f"{name}.pt").unlink()
    with pytest.raises(
        StudyError,
        match=r"\[model_grid\]: 2 of 4 model files are not there, in small letters neither: .*lj_PBE_2\.pt, .*lj_HSE06_1\.pt; make",
    ):
        load_study(path)


def test_a_file_in_the_wrong_place_of_a_grid_is_refused(tmp_path: Path) -> None:
    path = grid_file(tmp_path)
    soft_model(tmp_path / "lj_HSE06_1.pt", functional="PBE")
    with pytest.raises(
        StudyError,
        match=r"\[model_grid\]: functional: the study says HSE06, but the passport of .*lj_HSE06_1\.pt says PBE",
    ):
        load_study(path)
    for name in ("mace_PBE_1", "mace_PBE_2", "mace_HSE06_1", "mace_HSE06_2"):
        soft_model(tmp_path / f"{name}.pt", functional=name.split("_")[1])
    path.write_text(GRID.replace('["lj"]', '["mace"]'))
    with pytest.raises(StudyError, match=r"architecture: the study says mace, but the passport of .* says lj"):
        load_study(path)


def test_the_seed_of_a_passport_wins_and_must_agree(tmp_path: Path) -> None:
    text = STUDY.replace('path = "./soft_pbe.pt"', 'path = "./soft_pbe.pt"\ntraining_seed = 5')
    path = study_file(tmp_path, text)
    assert load_study(path).models[0].training_seed == 5
    soft_model(tmp_path / "soft_pbe.pt", training={"seed": 7})
    with pytest.raises(StudyError, match=r"\[\[models\]\] number 1: training_seed: the study says 5, but .* says 7"):
        load_study(path)
    path.write_text(STUDY)
    assert load_study(path).models[0].training_seed == 7
    with pytest.raises(StudyError, match=r"\[model_grid\]: training_seed: the study says 2, but .* says 1"):
        load_study(grid_file(tmp_path / "grid", training={"seed": 1}))


@pytest.mark.parametrize(
    ("training", "known"),
    [
        ({}, False),
        ({"labels": {"dft": "energies and forces, no stress"}}, False),
        ({"held_out": {"stress_rms_GPa": 0.1}}, True),
        ({"held_out": {"virial_rms_eV_per_atom": 0.1}}, True),
        ({"stress_labels": True}, True),
        ({"stress_labels": False, "held_out": {"stress_rms_GPa": 0.1}}, False),
        ({"stress_labels": "yes"}, False),
    ],
)
def test_stress_is_known_where_the_passport_tells_so(tmp_path: Path, training: dict[str, Any], known: bool) -> None:
    path = study_file(tmp_path)
    soft_model(tmp_path / "soft_pbe.pt", training=training)
    assert load_study(path).models[0].knows_stress is known


def test_a_file_name_that_makes_no_label_is_refused(tmp_path: Path) -> None:
    path = study_file(tmp_path, STUDY.replace("./soft_pbe.pt", "./my model.pt"))
    soft_model(tmp_path / "my model.pt")
    with pytest.raises(StudyError, match=r"makes no label: found 'my model', needed letters"):
        load_study(path)


# ----- identity, seeds, record -----------------------------------------------------------------------------


def changed(old: str, new: str) -> str:
    assert old in STUDY
    return STUDY.replace(old, new, 1)


@pytest.mark.parametrize(
    "same",
    [
        changed("production_ps = 0.4", "production_ps = 0.6"),
        changed("= 600", "= 601"),
        changed("temperature_K = 600", "temperatures_K = [600, 700]"),
        changed("replicas = 2", "replicas = 9\nretries = 0"),
        changed("replicas = 2", "target_relative_error = 0.2"),
        changed('path = "./soft_pbe.pt"', 'path = "./soft_pbe.pt"\nlabel = "other"'),
        changed("[dynamics]", '[[models]]\npath = "nequip_pbe"\n[dynamics]'),
        changed('name = "tiny"', 'name = "other"'),
        changed("a_A = 10.0", "a_A = 10"),
        changed("[ensemble]", 'thermostat = "nose-hoover"\n[ensemble]'),
        STUDY + "[executor]\nworkers = 1\ngpus = [0]\n",
        STUDY + SLURM + "gpus_per_node = 1",
        STUDY + '[analysis]\ndrift = "none"\ncharge_e = 2.0\nfit_window = [0.1, 0.5]\n',
    ],
)
def test_the_identity_leaves_room_to_grow(tmp_path: Path, same: str) -> None:
    assert study_of(tmp_path, same).hash == study_of(tmp_path).hash


@pytest.mark.parametrize(
    "other",
    [
        changed("seed = 3", "seed = 4"),
        changed("a_A = 10.0", "a_A = 9.9"),
        changed("a_A = 10.0", "a_A = 10.0\ncount = 2"),
        changed("a_A = 10.0", "a_A = 10.0\nseed = 2"),
        changed("chunk_ps = 0.2", "chunk_ps = 0.4"),
        changed("equilibration_ps = 0.1", "equilibration_ps = 0.2"),
        changed("[ensemble]", 'thermostat = "langevin"\n[ensemble]'),
        changed("[ensemble]", 'ensemble = "npt"\n[ensemble]'),
        changed("[ensemble]", "damping_ps = 0.2\n[ensemble]"),
        changed("[ensemble]", "dump_interval_fs = 10.0\n[ensemble]"),
    ],
)
def test_the_identity_has_what_decides_trajectories(tmp_path: Path, other: str) -> None:
    assert study_of(tmp_path, other).hash != study_of(tmp_path).hash


def test_the_order_of_dumped_elements_is_not_in_the_identity(tmp_path: Path) -> None:
    one, other = (
        study_of(tmp_path, changed("[ensemble]", f"dump_species = {listed}\n[ensemble]"))
        for listed in ('["Li", "S"]', '["S", "Li"]')
    )
    assert one == other


def test_seeds_are_distinct_and_within_what_lammps_takes(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    seeds = [study.replica_seed(k) for k in range(5000)]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= 1
    assert max(seeds) <= MAX_SEED
    # Not cut to fewer bits: they fill the range.
    assert max(seeds) > 0.99 * MAX_SEED
    assert sum(seeds) / len(seeds) == pytest.approx(MAX_SEED / 2, rel=0.05)
    assert len({study.chunk_seed(k, chunk) for k in range(20) for chunk in range(20)}) == 400


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_a_study_comes_back_from_its_record(protocol: str) -> None:
    study = load_study(PROTOCOLS[protocol])
    again = Study.from_dict(json.loads(json.dumps(study.to_dict())))
    assert again == study
    assert again.hash == study.hash
    assert again.replica_seed(3) == study.replica_seed(3)
    assert study_warnings(again) == ()


def test_a_results_folder_is_the_study_that_was_run(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    results = tmp_path / "results"
    results.mkdir()
    (results / "study.json").write_text(json.dumps({"study": study.to_dict()}))
    for gone in ("study.toml", "soft_pbe.pt"):  # neither is needed
        (tmp_path / gone).unlink()
    assert load_study(results) == study


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ("{", r"study\.json: found no record that this version of lpsmd reads"),
        ("[]", r"found no record that this version of lpsmd reads"),
        ('{"study": {"name": "tiny"}}', r"found no record that this version of lpsmd reads \(KeyError: 'structure'\)"),
        ('{"study": 3}', r"found no record that this version of lpsmd reads"),
        ("seed", r"the record has hash [0-9a-f]{64}, but its values give [0-9a-f]{64}: it was changed"),
    ],
)
def test_a_record_that_is_none_is_refused(tmp_path: Path, record: str, text: str) -> None:
    if record == "seed":
        record = json.dumps({"study": {**study_of(tmp_path).to_dict(), "seed": 99}})
    (tmp_path / "study.json").write_text(record)
    with pytest.raises(StudyError, match=text):
        load_study(tmp_path)


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"found no study\.json, so no study was run here; give a study file instead"):
        load_study(tmp_path)
    study_file(tmp_path)
    with pytest.raises(StudyError, match=r"it holds study\.toml: give that file"):
        load_study(tmp_path)


def test_the_demo_study_loads() -> None:
    study = load_study("demo")
    assert load_study(DEMO_STUDY) == study
    pairs = {(m.architecture, m.functional) for m in study.models}
    assert pairs == {(a, f) for a in ("nequip", "mace", "deepmd") for f in ("PBE", "HSE06")}
    assert study.ensemble.replicas >= 4
    assert study.dynamics.production_ps >= 2.0
    assert study.temperatures_K == (900.0,)


# ----- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("temperature_K", "temprature_K", r"\[dynamics\]: 'temprature_K' is not a known key; did you mean 'temperature_K'\?"),
        ("[ensemble]", "[ensembel]", r"the file: 'ensembel' is not a known section; did you mean 'ensemble'\?"),
        ("path = ", "paht = ", r"\[\[models\]\] number 1: 'paht' is not a known key; did you mean 'path'\?"),
        ("[[models]]", "[models]", r"the file: models: found \{.*\}, needed: a list of sections: write \[\[models\]\], with two brackets"),
        ("[[models]]\npath = \"./soft_pbe.pt\"", "", r"found neither \[\[models\]\] nor \[model_grid\]"),
        ("[study]", "ensemble = 3\n[study]", r"not valid TOML"),
        ("seed = 3", "seed = ", r"not valid TOML"),
        ('name = "tiny"', 'name = "a/b"', r"\[study\]: name: found 'a/b', needed: letters, digits and \. _ -, a letter or digit first"),
        # [structure]
        ('generator = "li6ps5cl"', 'generator = "nacl"', r"\[structure\]: generator: found 'nacl', needed: 'li6ps5cl'"),
        ('generator = "li6ps5cl"', "", r"\[structure\]: found neither of generator and file, needed one"),
        ("a_A = 10.0", "", r"\[structure\]: key 'a_A' is missing"),
        ("a_A = 10.0", "a_A = 20", r"\[structure\]: a_A: found 20, needed 9 to 11 Angstrom"),
        ("a_A = 10.0", 'file = "x.data"', r"\[structure\]: found both of generator and file"),
        ('generator = "li6ps5cl"', 'file = "x.data"', r"\[structure\]: a_A belong to a generator, but file = 'x.data'"),
        ('generator = "li6ps5cl"\na_A = 10.0', 'file = "x.data"\ncount = 3', r"\[structure\]: count belong to a generator"),
        ('generator = "li6ps5cl"\na_A = 10.0', 'file = "x.data"', r"x\.data: no such file"),
        ("a_A = 10.0", "a_A = 10.0\nsupercell = [1, 1]", r"\[structure\]: supercell: found \[1, 1\], needed: at least 3 items$"),
        ("a_A = 10.0", "a_A = 10.0\nsupercell = [1, 1, 1, 1]", r"\[structure\]: supercell: found \[1, 1, 1, 1\], needed: at most 3 items$"),
        ("a_A = 10.0", "a_A = 10.0\nsupercell = [1000, 1000, 1000]", r"\[structure\]: supercell: found \[1000, 1000, 1000\], 52000000000 atoms, needed at most 100000"),
        ("a_A = 10.0", "a_A = 10.0\nsupercell = [1, 0, 1]", r"\[structure\]: supercell number 2: found 0, needed: greater than or equal to 1"),
        ("a_A = 10.0", "a_A = 10.0\ncount = 0", r"\[structure\]: count: found 0, needed: greater than or equal to 1"),
        # [[models]]
        ("[dynamics]", '[[models]]\npath = "./soft_pbe.pt"\n[dynamics]', r"label 'soft_pbe' is used twice"),
        ("./soft_pbe.pt", './soft_pbe.pt"\nlabel = "a b', r"\[\[models\]\] number 1: label: found 'a b', needed: letters, digits"),
        ("./soft_pbe.pt", "./missing.pt", r"missing\.pt: no such model file"),
        ("./soft_pbe.pt", "nequip_pbee", r"no model named 'nequip_pbee' ships with lpsmd; did you mean 'nequip_pbe'"),
        # [dynamics]
        ("temperature_K = 600", "", r"\[dynamics\]: key 'temperature_K' is missing \(or, for several"),
        ("= 600", "= 600\ntemperatures_K = [700]", r"\[dynamics\]: found both of temperature_K and temperatures_K"),
        ("temperature_K = 600", "temperatures_K = []", r"temperatures_K: found \[\], needed: at least 1 item$"),
        ("temperature_K = 600", "temperatures_K = [600, 0]", r"temperatures_K number 2: found 0, needed: greater than 0"),
        ("temperature_K = 600", "temperatures_K = [600, 600.00001]", r"temperatures_K: found 600 twice, needed each"),
        ("= 600", "= -5", r"\[dynamics\]: temperature_K: found -5, needed: greater than 0"),
        ("= 600", '= "hot"', r"\[dynamics\]: temperature_K: found 'hot', needed: a valid number"),
        ("= 600", "= nan", r"\[dynamics\]: temperature_K: found nan, needed: a finite number"),
        ("= 600", '= 600\nensemble = "nph"', r"ensemble: found 'nph', needed: 'nvt', 'nve' or 'npt'"),
        ("= 600", '= 600\nensemble = "nve"\nthermostat = "langevin"', r"thermostat: found 'langevin', needed none, as ensemble = \"nve\""),
        ("= 600", '= 600\nensemble = "nve"\ndamping_ps = 0.2', r"damping_ps: found 0.2, needed none, as ensemble = \"nve\""),
        ("= 600", "= 600\npressure_bar = 1.0", r"pressure_bar: found 1 with ensemble = \"nvt\", which keeps the cell; needed ensemble = \"npt\""),
        ("= 600", '= 600\nensemble = "nve"\nbarostat_damping_ps = 1.0', r"barostat_damping_ps: found 1 with ensemble = \"nve\""),
        ("= 600", "= 600\ndamping_ps = 0.0", r"damping_ps: found 0.0, needed: greater than 0"),
        ("production_ps = 0.4", "production_ps = 0.401", r"production_ps: found 0.401 ps, needed a whole multiple of timestep_fs, 2 fs"),
        ("production_ps = 0.4\nchunk_ps = 0.2", "production_ps = 0.41", r"production_ps: found 0.41 ps, needed a whole multiple of dump_interval_fs, 20 fs"),
        ("production_ps = 0.4", "production_ps = 0.1", r"found 0.1 ps, 5 dump intervals, needed at least 10"),
        ("equilibration_ps = 0.1", "equilibration_ps = 0.101", r"equilibration_ps: found 0.101 ps, needed a whole multiple of timestep"),
        ("chunk_ps = 0.2", "chunk_ps = 0.3", r"production_ps: found 0.4 ps, needed a whole multiple of chunk_ps, 0.3 ps"),
        ("chunk_ps = 0.2", "chunk_ps = 0.8", r"production_ps: found 0.4 ps, needed a whole multiple of chunk_ps, 0.8 ps"),
        ("chunk_ps = 0.2", "chunk_ps = 0.05", r"chunk_ps: found 0.05 ps, needed a whole multiple of dump_interval_fs, 20 fs"),
        ("chunk_ps = 0.2", "chunk_ps = 0.201", r"chunk_ps: found 0.201 ps, needed a whole multiple of timestep_fs, 2 fs"),
        ("chunk_ps = 0.2", "chunk_ps = 0.02", r"chunk_ps: found 0.02 ps, one dump interval, needed at least 2"),
        ("[ensemble]", "dump_interval_fs = 5.0\n[ensemble]", r"dump_interval_fs: found 5 fs, needed a whole multiple of timestep_fs, 2 fs"),
        ("[ensemble]", 'dump_species = ["P"]\n[ensemble]', r"dump_species: found \['P'\], needed 'Li' in it, the species of \[analysis\]"),
        ("[ensemble]", 'dump_species = ["Li"]\n[ensemble]', r"dump_species: found \['Li'\], needed an element beside Li in it"),
        ("[ensemble]", 'dump_species = ["Li", "Br"]\n[ensemble]', r"needed none but the structure's elements, Li, P, S, Cl"),
        ("[ensemble]", 'dump_species = ["Li", "Li"]\n[ensemble]', r"dump_species: found \['Li', 'Li'\], needed: each entry once, but 'Li' is there twice"),
        # [ensemble]
        ("replicas = 2", "replicas = 1", r"\[ensemble\]: replicas: found 1, needed: greater than or equal to 2"),
        ("replicas = 2", "replicas = 2\nminimum_replicas = 3", r"minimum_replicas: found 3, needed at most replicas, 2"),
        ("replicas = 2", "replicas = 2\nmaximum_replicas = 3", r"maximum_replicas: belongs to target_relative_error"),
        ("replicas = 2", "replicas = 2\nprocesses = 2", r"\[ensemble\]: 'processes' is not a known key; it is now `workers` in \[executor\]"),
        ("replicas = 2", "", r"\[ensemble\]: found neither of replicas and target_relative_error"),
        ("replicas = 2", "replicas = 20\ntarget_relative_error = 0.1", r"\[ensemble\]: found both of replicas and target_relative_error"),
        ("replicas = 2", "target_relative_error = 1.0", r"target_relative_error: found 1.0, needed: less than 1"),
        ("replicas = 2", "target_relative_error = 0.1\nminimum_replicas = 15", r"minimum_replicas: found 15, needed at least 16 with target"),
        ("replicas = 2", "target_relative_error = 0.1\nmaximum_replicas = 15", r"maximum_replicas: found 15, needed at least 16"),
        ("replicas = 2", "target_relative_error = 0.1\nmaximum_replicas = 20\nminimum_replicas = 30", r"minimum_replicas: found 30, needed at most maximum_replicas, 20"),
        ("replicas = 2", "replicas = 2\nretries = -1", r"retries: found -1, needed: greater than or equal to 0"),
        # [executor]
        ("replicas = 2", "replicas = 2\n[executor]\nworkers = 0", r"\[executor\]: workers: found 0, needed: greater than or equal to 1"),
        ("replicas = 2", "replicas = 2\n[executor]\nworker = 1", r"\[executor\]: 'worker' is not a known key; did you mean 'workers'\?"),
        ("replicas = 2", "replicas = 2\n[executor]\ngpus = [0, 0]", r"\[executor\]: gpus: found \[0, 0\], needed: each entry once"),
        ("replicas = 2", "replicas = 2\n[executor]\ngpus = [-1]", r"\[executor\]: gpus number 1: found '-1', needed: the number of a GPU"),
        ("replicas = 2", "replicas = 2\n[executor]\ngpus = 0", r"\[executor\]: gpus: found 0, needed: a valid list"),
        ("replicas = 2", "replicas = 2\n[executor]\nreplicas_per_gpu = 2", r"replicas_per_gpu: found 2 without GPUs"),
        ("replicas = 2", "replicas = 2" + SLURM + "replicas_per_gpu = 2", r"replicas_per_gpu: found 2 without GPUs"),
        ("replicas = 2", "replicas = 2\n[executor]\nreplicas_per_gpu = 2" + SLURM + "gpus_per_node = 1\nreplicas_per_gpu = 2", r"found replicas_per_gpu here and in \[executor.slurm\], needed one"),
        ("replicas = 2", "replicas = 2" + SLURM + 'partition = "a b"', r"\[executor.slurm\]: partition: found 'a b', needed: one word without spaces"),
        ("replicas = 2", "replicas = 2\n[executor]\nslurm = 3", r"\[executor\]: slurm: found 3, needed: a section of its own"),
        ("replicas = 2", "replicas = 2\n[executor]\ngpus = [0]\nworkers = 4", r"\[executor\]: workers: found 4, needed at most 1, replicas_per_gpu \(1\) on each GPU \(1\)"),
        ("replicas = 2", "replicas = 2\n[executor]\nworkers = 9\nreplicas_per_gpu = 2" + SLURM + "gpus_per_node = 4", r"workers: found 9, needed at most 8"),
        ("replicas = 2", "replicas = 2" + SLURM, r"\[executor\]: key 'workers' is missing: with \[executor.slurm\]"),
        ("replicas = 2", "replicas = 2\n[executor]\ngpus = [0]" + SLURM, r"\[executor\]: found both of gpus and \[executor.slurm\]"),
        ("replicas = 2", 'replicas = 2\n[executor.slurm]\npartition = "x"', r"\[executor.slurm\]: key 'walltime' is missing"),
        ("replicas = 2", 'replicas = 2\n[executor.slurm]\nwalltime = "2 h"', r"\[executor.slurm\]: walltime: found '2 h', needed: hours, minutes"),
        ("replicas = 2", 'replicas = 2\n[executor.slurm]\nwalltime = "01:60:00"', r"walltime: found '01:60:00', needed"),
        ("replicas = 2", 'replicas = 2\n[executor.slurm]\nwalltime = "00:00:00"', r"walltime: found '00:00:00', needed"),
        ("replicas = 2", "replicas = 2" + SLURM + "partiton = 1", r"\[executor.slurm\]: 'partiton' is not a known key; did you mean 'partition'\?"),
        ("replicas = 2", "replicas = 2" + SLURM + 'options = ["#SBATCH --qos=x"]', r"\[executor.slurm\]: options number 1: found '#SBATCH --qos=x', needed: an option of sbatch"),
        # [analysis]
        ("replicas = 2", "replicas = 2\n[analysis]\nfit_window = [0.5, 0.1]", r"fit_window: found \[0.5, 0.1\], needed two growing"),
        ("replicas = 2", "replicas = 2\n[analysis]\nfit_window = [0.0, 0.5]", r"fit_window: found \[0.0, 0.5\], needed two growing .* above 0"),
        ("replicas = 2", "replicas = 2\n[analysis]\nfit_window = [0.1, 0.24]", r"fit_window: found \[0.1, 0.24\], 3 lags of dump_interval_fs, needed at least 4"),
        ("replicas = 2", "replicas = 2\n[analysis]\ndrift = \"both\"", r"\[analysis\]: drift: found 'both', needed: 'framework', 'com' or 'none'"),
    ],
)  # fmt: skip
def test_faults_are_named(tmp_path: Path, old: str, new: str, text: str) -> None:
    path = study_file(tmp_path, changed(old, new))
    with pytest.raises(LpsmdError, match=text):
        load_study(path)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("architectures = ", "architecture = ", r"\[model_grid\]: 'architecture' is not a known key; did you mean 'architectures'\?"),
        ('["lj"]', '["neqip"]', r"\[model_grid\]: architectures: 'neqip' is not a known one; did you mean 'nequip'\?"),
        ('["PBE", "HSE06"]', '["PBE", "PBE"]', r"\[model_grid\]: functionals: found .*, needed: each entry once, but 'PBE' is there twice"),
        ('["PBE", "HSE06"]', "[]", r"\[model_grid\]: functionals: found \[\], needed: at least 1 item$"),
        ("{training_seed}", "{trainingseed}", r"path: '\{trainingseed\}' is not a known placeholder; did you mean 'training_seed'\?"),
        ("{functional}", "PBE", r"path: found .* without \{functional\}, but functionals has 2 values"),
        ("training_seeds = [1, 2]", "", r"path has \{training_seed\}, needed training_seeds = "),
        ("{functional}", "{functional", r"path: found .*, needed placeholders like"),
        ("{functional}", "{functional!y}", r"path: found .*, needed placeholders like"),
        ('path = "./{architecture}_{functional}_{training_seed}.pt"', 'path = "{architecture}_{functional}_{training_seed}"', r"\[model_grid\]: no model named 'lj_PBE_1' ships with lpsmd"),
    ],
)  # fmt: skip
def test_faults_of_a_grid_are_named(tmp_path: Path, old: str, new: str, text: str) -> None:
    assert old in GRID
    path = grid_file(tmp_path, GRID.replace(old, new, 1))
    with pytest.raises(StudyError, match=text):
        load_study(path)


def test_the_centre_of_mass_needs_every_element(tmp_path: Path) -> None:
    text = changed("[ensemble]", 'dump_species = ["Li", "P"]\n[ensemble]') + '[analysis]\ndrift = "com"\n'
    with pytest.raises(
        StudyError, match=r"dump_species: found \['Li', 'P'\], needed every element, Li, P, S, Cl, as drift"
    ):
        study_of(tmp_path, text)
    study_of(tmp_path, text.replace('"com"', '"none"'))


def test_a_fault_names_the_file(tmp_path: Path) -> None:
    path = study_file(tmp_path, STUDY.replace("[study]", "[studdy]", 1))
    with pytest.raises(LpsmdError, match=rf"^study file {path}: "):
        load_study(path)
    with pytest.raises(LpsmdError, match=r"none\.toml: no such file; `lpsmd init .*none\.toml` writes one"):
        load_study(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "replacements",
    [
        # Of the format, and between keys: either all at once.
        {"= 600": "= -5", "replicas = 2": "replicas = 1", "[study]": "[study]\nsede = 1"},
        {"chunk_ps = 0.2": "chunk_ps = 0.3", "replicas = 2": "replicas = 2\nmaximum_replicas = 3", "./soft": "./hard"},
    ],
)
def test_all_faults_are_listed_one_a_line(tmp_path: Path, replacements: dict[str, str]) -> None:
    text = STUDY
    for old, new in replacements.items():
        text = text.replace(old, new, 1)
    path = study_file(tmp_path, text)
    with pytest.raises(StudyError) as caught:
        load_study(path)
    first, *lines = str(caught.value).splitlines()
    assert first == f"study file {path}: {len(lines)} faults"
    assert len(lines) >= len(replacements)


def test_demo_is_the_study_that_ships_whatever_is_called_so_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = study_of(tmp_path)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "study.json").write_text(json.dumps({"study": mine.to_dict()}))
    shipped = load_study("demo")
    assert shipped == load_study(DEMO_STUDY)
    assert shipped.results_folder().name == f"demo-{shipped.hash[:8]}"
    assert "for the folder here write ./demo or demo/study.toml" in caplog.text
    for folder in ("./demo", Path("demo")):
        assert load_study(folder) == mine
        assert load_study(folder).results_folder() == Path("demo")


# ----- what is warned of -----------------------------------------------------------------------------------


def test_an_ordinary_study_has_no_warnings(tmp_path: Path) -> None:
    assert study_warnings(study_of(tmp_path)) == ()


@pytest.mark.parametrize(
    ("old", "new", "texts"),
    [
        ("= 600", '= 600\nensemble = "npt"', ["soft_pbe tell of no stress"]),
        ("= 600", '= 600\nensemble = "npt"\nbarostat_damping_ps = 0.05', ["no stress", "barostat_damping_ps = 0.05"]),
        ("= 600", '= 600\nthermostat = "langevin"\ndamping_ps = 0.5', ["slow the ions, the more the shorter damping_ps, now 0.5 ps"]),
        ("= 600", "= 600\ndamping_ps = 0.01", ["damping_ps = 0.01: shorter than 10 timesteps"]),
        ("= 600", '= 600\nensemble = "nve"', ["nothing holds the temperature"]),
        ("equilibration_ps = 0.1", "equilibration_ps = 0", ["no equilibrium"]),
        ("a_A = 10.0", "a_A = 10.0\ninversion = 0.3", ["inversion = 0.3: rounded to whole sites it is 0.25 of the 4 sites"]),
        ("a_A = 10.0", "a_A = 10.0\ncount = 3", ["count = 3: more structures than the 2 replicas"]),
    ],
)  # fmt: skip
def test_warnings_say_what_may_surprise(tmp_path: Path, old: str, new: str, texts: list[str]) -> None:
    warnings = study_warnings(study_of(tmp_path, changed(old, new)))
    assert len(warnings) == len(texts)
    assert all(text in warning for text, warning in zip(texts, warnings, strict=True))


def test_a_dump_in_which_no_broken_bond_is_seen_is_named(tmp_path: Path) -> None:
    held = STUDY.replace("stop_on_broken_framework = false\n", "")
    blind = changed("[ensemble]", 'dump_species = ["Li", "P"]\n[ensemble]')
    (warning,) = study_warnings(study_of(tmp_path, blind.replace("stop_on_broken_framework = false\n", "")))
    assert "['Li', 'P']: nothing tells whether a P-S bond breaks" in warning
    assert study_warnings(study_of(tmp_path, blind)) == ()
    assert (
        study_warnings(study_of(tmp_path, held.replace("[ensemble]", 'dump_species = ["Li", "P", "S"]\n[ensemble]')))
        == ()
    )


def test_a_model_with_stress_labels_may_change_its_cell(tmp_path: Path) -> None:
    path = study_file(tmp_path, changed("= 600", '= 600\nensemble = "npt"'))
    soft_model(tmp_path / "soft_pbe.pt", training={"stress_labels": True})
    assert not any("stress" in warning for warning in study_warnings(load_study(path)))


def test_single_precision_drifts_without_a_thermostat(tmp_path: Path) -> None:
    text = changed("= 600", '= 600\nensemble = "nve"').replace("./soft_pbe.pt", "nequip_pbe")
    assert any("nequip_pbe compute in float32" in warning for warning in study_warnings(study_of(tmp_path, text)))


def test_structures_that_coincide_are_found(tmp_path: Path) -> None:
    study = study_of(tmp_path, changed("a_A = 10.0", "a_A = 10.0\ncount = 20").replace("replicas = 2", "replicas = 20"))
    cells = [study.structure.build(k) for k in range(20)]
    same = [
        (i, k) for k in range(20) for i in range(k) if (cells[i].positions_A == cells[k].positions_A).all()
    ]  # one ordered cell has few ways to place its Li
    assert any(f"numbers {same[0][0]} and {same[0][1]} are the same cell" in text for text in study_warnings(study))


def test_unequal_shares_of_the_structures_are_named(tmp_path: Path) -> None:
    text = changed("a_A = 10.0", "a_A = 10.0\ninversion = 0.5\ncount = 2").replace("replicas = 2", "replicas = 5")
    (warning,) = study_warnings(study_of(tmp_path, text))
    assert "5 replicas are no multiple of it, so that some structures (1 of 2) have a replica more" in warning
