"""`lpsmd select`: the committee, what is refused, what is picked, and the whole of it with two soft models."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

import tolerances
from lpsmd.cli import main
from lpsmd.ensemble import Ensemble, run_ensemble
from lpsmd.labels.frames import read_frames
from lpsmd.labels.recipe import read_recipe
from lpsmd.models.contract import load_model, save_model
from lpsmd.models.evaluate import evaluate
from lpsmd.selection import picking, selecting
from lpsmd.selection.committee import Bounds, Committee, Trust, force_deviation_eV_per_A
from lpsmd.selection.diversity import farthest_points, mean_soap
from lpsmd.selection.drawing import even_draw
from lpsmd.selection.judging import CLOSEST_KNOWN, Deviations, Refusal, contact_limits_A, judge, refusal_of
from lpsmd.selection.sampling import Cell, SampledFrame, SelectionError, cells_of, start_of, studies_of
from lpsmd.selection.selecting import with_seed
from lpsmd.structure import LI6PS5CL_ELEMENTS, li6ps5cl, read_structure, write_structure
from lpsmd.study import ModelSpec, Study, file_sha256
from lpsmd.study_file import load_study
from support.dft import DFT_FOLDER, first_frames
from support.selection import ONE_EV, STUDY, TWO_EV, bonded_model, study_folder

# The first frame, then three turns of both temperatures.
N, INVERSION, VOLUME = 7, 0.5, 0.03
BOUNDS = ("--lower", "0.01", "--upper", "1.0")
CELLS = ("--inversion", str(INVERSION), "--volume", str(VOLUME), "--drive", "two")
BATCH_1 = DFT_FOLDER / "batch-1"


def cell(*, inversion: float = 0.0, displaced_A: float = 0.0) -> Atoms:
    built = li6ps5cl(a_A=10.0, inversion=inversion)
    atoms = Atoms(built.symbols, positions=built.positions_A, cell=built.cell_A, pbc=True)
    atoms.positions += np.random.default_rng(5).normal(0.0, displaced_A, atoms.positions.shape)
    return atoms


def sampled(atoms: Atoms) -> SampledFrame:
    return SampledFrame(
        atoms=atoms,
        trajectory="t",
        start="s",
        model="one",
        temperature_K=600.0,
        time_ps=0.0,
        cell=Cell(inversion=0.0, volume_strain=0.0),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study, and in `out` what was selected from its dynamics."""
    found = tmp_path_factory.mktemp("select")
    study_folder(found)
    result = select(found, *CELLS, *BOUNDS)
    assert result.exit_code == 0, result.output
    (found / "said.txt").write_text(result.output)
    return found


def select(folder: Path, *options: str, n: int = N) -> Result:
    return CliRunner().invoke(
        main, ["select", str(folder / "study.toml"), "-o", str(folder / "out"), *options, f"-n{n}"]
    )


def models(folder: Path) -> tuple[ModelSpec, ...]:
    return load_study(study_folder(folder)).models


GENERATOR_TO_FILE = ('generator = "li6ps5cl"\na_A = 10.0', 'file = "mine.extxyz"')


def file_study(folder: Path) -> Path:
    """The study in a cell of one's own."""
    ase.io.write(folder / "mine.extxyz", cell())
    return study_folder(folder, STUDY.replace(*GENERATOR_TO_FILE))


# ----- the committee -----------------------------------------------------------------------------------------


def test_deviation_is_the_largest_standard_deviation_of_a_force_vector() -> None:
    forces = np.random.default_rng(1).normal(size=(3, 5, 3))
    by_atom = [
        np.sqrt(np.mean([np.sum((forces[m, i] - forces[:, i].mean(axis=0)) ** 2) for m in range(3)])) for i in range(5)
    ]
    assert force_deviation_eV_per_A(forces) == pytest.approx(max(by_atom), rel=tolerances.ROUNDING)
    forces[2, 3, 1] = np.nan
    assert force_deviation_eV_per_A(forces) == np.inf


def test_two_models_of_which_one_bond_is_stronger(tmp_path: Path) -> None:
    atoms = cell(displaced_A=0.1)
    one, two = (evaluate(bonded_model(tmp_path / "m.pt", eV), atoms).forces_eV_per_A for eV in (ONE_EV, TWO_EV))
    # Of two numbers the standard deviation is half their difference.
    needed = 0.5 * np.linalg.norm(one - two, axis=1).max()
    found = Committee(models(tmp_path)).deviation_eV_per_A(atoms)
    assert found == pytest.approx(needed, rel=tolerances.ROUNDING)
    assert found > 0.1


def test_functionals_are_not_mixed_and_the_larger_deviation_counts(tmp_path: Path) -> None:
    atoms = cell(displaced_A=0.1)
    for name, eV in (("three", 5.0), ("four", 10.0)):
        bonded_model(tmp_path / f"{name}.pt", eV, functional="HSE06")
    more = "".join(f'[[models]]\npath = "./{name}.pt"\n\n' for name in ("three", "four"))
    found = load_study(study_folder(tmp_path, STUDY.replace("[dynamics]", f"{more}[dynamics]"))).models
    pbe, hse06 = (Committee(part).deviation_eV_per_A(atoms) for part in (found[:2], found[2:]))
    assert hse06 > pbe
    assert Committee(found).deviation_eV_per_A(atoms) == hse06
    assert Committee(found[:3]).deviation_eV_per_A(atoms) == pbe  # one model alone is no committee
    with pytest.raises(SelectionError, match=r"found one \(PBE\), three \(HSE06\), needed at least two models of one"):
        Committee([found[0], found[2]])


def test_bounds_place_a_deviation() -> None:
    bounds = Bounds(lower_eV_per_A=0.2, upper_eV_per_A=1.0)
    placed = [bounds.place(value) for value in (0.1, 0.2, 1.0, 1.1, np.inf, np.nan)]
    assert placed == [Trust.BELOW, Trust.WITHIN, Trust.WITHIN, Trust.ABOVE, Trust.ABOVE, Trust.ABOVE]
    with pytest.raises(SelectionError, match=r"found 1 and 0\.2 eV/Angstrom"):
        Bounds(lower_eV_per_A=1.0, upper_eV_per_A=0.2)


# ----- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("inversion", [0.0, INVERSION])
def test_a_crystal_that_vibrates_is_not_refused(inversion: float) -> None:
    assert refusal_of(cell(inversion=inversion, displaced_A=0.15)) is None


@pytest.mark.parametrize(("length_A", "refusal"), [(2.7, None), (2.9, Refusal.BROKEN)])
def test_a_broken_unit_is_refused(length_A: float, refusal: Refusal | None) -> None:
    atoms = cell()
    p = atoms.symbols.search("P")[0]
    bonded = next(s for s in atoms.symbols.search("S") if atoms.get_distance(p, s, mic=True) < 2.5)
    atoms.set_distance(p, bonded, length_A, fix=0, mic=True)
    assert refusal_of(atoms) is refusal


def test_atoms_on_one_another_are_refused() -> None:
    atoms = cell()
    atoms.positions[1] = atoms.positions[0] + [0.5, 0.0, 0.0]
    assert refusal_of(atoms) is Refusal.DISTANCE


def pair(symbols: str, distance_A: float) -> Atoms:
    return Atoms(symbols, positions=[[0, 0, 0], [distance_A, 0, 0]], cell=[20] * 3, pbc=True)


def test_a_contact_closer_than_known_is_refused() -> None:
    known = [pair("ClLi", 2.4), pair("LiCl", 2.0), pair("LiCl", 2.2)]
    limits_A = contact_limits_A(known)
    assert refusal_of(pair("ClLi", 1.01 * CLOSEST_KNOWN * 2.0), limits_A) is None
    assert refusal_of(pair("ClLi", 0.99 * CLOSEST_KNOWN * 2.0), limits_A) is Refusal.CONTACT
    # No known frame has the two, or there is none.
    assert refusal_of(pair("BrLi", 1.6), limits_A) is None
    assert refusal_of(pair("LiCl", 1.5), contact_limits_A([])) is None


def test_elements_that_are_never_in_contact_have_the_limit_of_van_der_waals() -> None:
    limits_A = contact_limits_A([pair("ClCl", 6.0)])
    assert limits_A == {("Cl", "Cl"): pytest.approx(CLOSEST_KNOWN * 2 * 1.82)}  # Alvarez
    assert refusal_of(pair("ClCl", 3.2), limits_A) is None
    assert refusal_of(pair("ClCl", 2.0), limits_A) is Refusal.CONTACT


def test_cl2_is_refused_and_disorder_is_not() -> None:
    limits_A = contact_limits_A(first_frames())
    frames = ase.io.read(BATCH_1 / "frames.extxyz", ":")
    found = {number: refusal for number, atoms in enumerate(frames) if (refusal := refusal_of(atoms, limits_A))}
    assert found == dict.fromkeys((0, 18, 36), Refusal.CONTACT)


def test_no_model_is_asked_about_a_contact_closer_than_known(tmp_path: Path) -> None:
    frame, file = sampled(pair("LiCl", 1.5)), tmp_path / "deviations.json"
    deviations = Deviations(Committee(models(tmp_path)), file)
    bounds = Bounds(lower_eV_per_A=0.0, upper_eV_per_A=1.0)
    seen = judge(frame, deviations, bounds, contact_limits_A([pair("LiCl", 2.0)]))
    assert (seen.refusal, seen.deviation_eV_per_A, seen.trust) == (Refusal.CONTACT, None, None)
    deviations.keep()
    assert not json.loads(file.read_text())["deviations"]


def test_a_frame_that_a_model_cannot_take_is_refused(tmp_path: Path) -> None:
    specs = models(tmp_path)
    for spec in specs:
        loaded = load_model(spec.path)
        few = dataclasses.replace(loaded.passport, max_neighbors=(2, 2, 2, 2))
        save_model(loaded.program, few, spec.path)
    frame, file = sampled(cell()), tmp_path / "deviations.json"
    committee, bounds = Committee(specs), Bounds(lower_eV_per_A=0.0, upper_eV_per_A=1.0)
    deviations = Deviations(committee, file)
    seen = judge(frame, deviations, bounds)
    assert (seen.refusal, seen.deviation_eV_per_A, seen.trust) == (Refusal.MODEL, None, None)
    deviations.keep()
    assert "has 16 Li neighbours" in json.loads(file.read_text())["refused"][frame.name]
    # Atoms that any model takes, under the same name: no model was asked.
    sparse = dataclasses.replace(frame, atoms=Atoms("LiCl", positions=[[0, 0, 0], [20, 0, 0]], cell=[40] * 3, pbc=True))
    assert committee.deviation_eV_per_A(sparse.atoms) < 1.0
    assert judge(sparse, Deviations(committee, file), bounds).refusal is Refusal.MODEL


def test_deviations_are_kept_for_their_committee_alone(tmp_path: Path) -> None:
    frame, file = sampled(cell(displaced_A=0.1)), tmp_path / "deviations.json"
    committee = Committee(models(tmp_path))
    first = Deviations(committee, file)
    found = first.of(frame)
    first.keep()
    record = json.loads(file.read_text())
    assert record["deviations"] == {frame.name: found}
    file.write_text(json.dumps({**record, "deviations": {frame.name: 2.0 * found}}))
    assert Deviations(committee, file).of(frame) == 2.0 * found  # no model was asked
    bonded_model(tmp_path / "two.pt", 3.0)
    others = Committee(load_study(tmp_path / "study.toml").models)
    assert Deviations(others, file).of(frame) == others.deviation_eV_per_A(frame.atoms)


# ----- diversity ---------------------------------------------------------------------------------------------


def test_farthest_points_keep_away_from_what_is_known() -> None:
    candidates = np.array([[0.1], [1.0], [2.0], [5.0], [5.0]])
    everyone = [list(range(5))]
    known, nothing = np.array([[0.0]]), np.empty((0, 1))
    assert farthest_points(candidates, known, everyone, n=3, first=0) == [(3, 5.0), (2, 2.0), (1, 1.0)]
    assert [index for index, _ in farthest_points(candidates, nothing, everyone, n=3, first=2)] == [2, 3, 0]
    # Two are one point, and a known one is never taken, nor with the rounding of a file.
    for rounding in (0.0, 1e-6):
        taken = farthest_points(candidates, candidates[:1] + rounding, everyone, n=5, first=0)
        assert [index for index, _ in taken] == [3, 2, 1]


def test_each_group_has_its_turn_as_long_as_it_has_frames() -> None:
    candidates = np.array([[10.0], [20.0], [30.0], [1.0], [1.5]])
    taken = farthest_points(candidates, np.array([[0.0]]), [[3, 4], [0, 1, 2]], n=5, first=0)
    assert [index for index, _ in taken] == [4, 2, 3, 1, 0]


def test_descriptor_knows_geometry_and_nothing_else() -> None:
    atoms = cell(displaced_A=0.1)
    turned = atoms.copy()
    turned.rotate(35.0, (1.0, 2.0, 3.0), rotate_cell=True)
    turned.positions += [1.0, 2.0, 3.0]
    turned = turned[np.random.default_rng(2).permutation(len(turned))]
    moved = cell(displaced_A=0.11)
    here, there, other = mean_soap([atoms, turned, moved], LI6PS5CL_ELEMENTS)
    assert np.linalg.norm(here - there) < tolerances.SOAP_DISTANCE
    assert np.linalg.norm(here - other) > 100 * tolerances.SOAP_DISTANCE
    blocks = np.linalg.norm(here.reshape(len(LI6PS5CL_ELEMENTS), -1), axis=1)
    assert blocks == pytest.approx(1.0, rel=tolerances.ROUNDING)


# ----- an even draw ------------------------------------------------------------------------------------------

CELLS_2 = [Cell(inversion=inversion, volume_strain=0.0) for inversion in (0.0, 0.5)]
TEMPERATURES_3, MODELS_2, REPLICAS_2, TIMES_5 = (600.0, 900.0, 1200.0), ("one", "two"), (0, 1), range(5)


def lattice_of_frames() -> list[SampledFrame]:
    """Every combination once."""
    return [
        SampledFrame(
            atoms=Atoms(),
            trajectory=f"{model}-{temperature_K:g}K-{replica}-{cell.name}",
            start=f"{cell.name}-{replica}",
            model=model,
            temperature_K=temperature_K,
            time_ps=0.1 * time,
            cell=cell,
        )
        for cell, temperature_K, model, replica, time in itertools.product(
            CELLS_2, TEMPERATURES_3, MODELS_2, REPLICAS_2, TIMES_5
        )
    ]


@pytest.mark.parametrize("n", [1, 5, 6, 12, 20, 24, 48, 120])
def test_any_number_of_frames_is_drawn_evenly(n: int) -> None:
    frames = lattice_of_frames()
    drawn = [frames[index] for index in even_draw(frames, n=n, seed=1)]
    assert len({frame.name for frame in drawn}) == n
    of: dict[str, tuple[Callable[[SampledFrame], object], int]] = {
        "cell": (lambda frame: frame.cell, 2),
        "temperature": (lambda frame: frame.temperature_K, 3),
        "cell, temperature": (lambda frame: (frame.cell, frame.temperature_K), 6),
        "cell, temperature, model": (lambda frame: (frame.cell, frame.temperature_K, frame.model), 12),
        "trajectory": (lambda frame: frame.trajectory, 24),
    }
    for what, (key, groups) in of.items():
        counts = Counter(key(frame) for frame in drawn)
        assert max(counts.values()) - (min(counts.values()) if len(counts) == groups else 0) <= 1, what


def test_a_draw_follows_from_the_seed_and_its_times_are_spread() -> None:
    frames = lattice_of_frames()
    one, again, other = (even_draw(frames, n=24, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert set(one) != set(other)
    assert {frames[index].time_ps for index in one} == {frame.time_ps for frame in frames}


def test_a_group_that_ran_out_leaves_its_turns_to_others() -> None:
    frames = [frame for frame in lattice_of_frames() if frame.temperature_K < 1000.0 or frame.time_ps == 0.0]
    drawn = even_draw(frames, n=1000, seed=1)
    assert sorted(drawn) == list(range(len(frames)))
    hot = [rank for rank, index in enumerate(drawn, 1) if frames[index].temperature_K > 1000.0]
    assert hot[-1] <= 24  # of 8 frames, one in each three


# ----- the cells ---------------------------------------------------------------------------------------------


def test_each_cell_has_its_volume_and_sites_of_its_own(tmp_path: Path) -> None:
    study = load_study(study_folder(tmp_path))
    cells = cells_of(study, inversions=(0.0, 0.5), volume_strains=(-0.03, 0.0, 0.03))
    assert len({found.name for found in cells}) == len(cells) == 6
    studies = studies_of(study, cells, study.models[:1])
    for found, own in studies.items():
        atoms = own.structure.build(0)
        assert atoms.volume_A3 == pytest.approx(1000.0 * (1.0 + found.volume_strain), rel=tolerances.ROUNDING)
        assert f"anion inversion {found.inversion:g} " in atoms.title
        assert not own.ensemble.stop_on_broken_framework
    assert len({own.hash for own in studies.values()}) == 6
    lithium = [own.structure.build(0).positions_A[:24] / own.structure.a_A for own in studies.values()]
    assert not any(np.allclose(one, other) for one, other in itertools.combinations(lithium, 2))
    assert studies_of(study, cells[::-1], study.models[:1]) == studies  # whatever their order


def test_no_two_cells_or_seeds_share_a_start(tmp_path: Path) -> None:
    count, seeds = 2, (1, 2, 3, 4)
    study = load_study(study_folder(tmp_path, STUDY.replace("a_A = 10.0", f"a_A = 10.0\ncount = {count}")))
    cells = cells_of(study, inversions=(0.0, 0.5), volume_strains=(0.0, 0.03))
    found = [own for seed in seeds for own in studies_of(with_seed(study, seed), cells, study.models[:1]).values()]
    assert len({own.hash for own in found}) == len(found) == len(cells) * len(seeds)
    starts = {start_of(own.structure.build(index)) for own in found for index in range(count)}
    assert len(starts) == len(found) * count


def test_a_test_shares_no_start_with_training_whatever_the_seed(tmp_path: Path) -> None:
    study = load_study(study_folder(tmp_path))
    cells = cells_of(study, inversions=(0.0,), volume_strains=(0.0,))
    training, test = (studies_of(study, cells, study.models[:1], part=part)[cells[0]] for part in (None, "test"))
    assert start_of(training.structure.build(0)) != start_of(test.structure.build(0))


def test_a_structure_file_is_scaled_and_keeps_its_sites(tmp_path: Path) -> None:
    study = load_study(file_study(tmp_path))
    cells = cells_of(study, inversions=(), volume_strains=(-0.03, 0.0))
    assert [found.name for found in cells] == ["volume-0.03", "volume+0"]
    small, same = studies_of(study, cells, study.models).values()
    assert same.hash == study.hash  # as `lpsmd run` has it
    assert small.hash != study.hash
    assert Study.from_dict(small.to_dict()) == small
    built, file = small.structure.build(0), study.structure.build(0)
    assert built.volume_A3 == pytest.approx(0.97 * file.volume_A3, rel=tolerances.ROUNDING)
    fractional = [one.positions_A @ np.linalg.inv(one.cell_A) for one in (built, file)]
    assert fractional[0] == pytest.approx(fractional[1], abs=tolerances.ROUNDING)
    assert start_of(built) == start_of(file)


def test_a_start_is_that_of_the_file_that_lammps_reads(tmp_path: Path) -> None:
    built = li6ps5cl(a_A=10.0)
    turned = Rotation.from_euler("xyz", (10.0, 20.0, 30.0), degrees=True).as_matrix()
    sheared = np.array([[1.0, 0.1, 0.0], [0.0, 1.0, 0.2], [0.0, 0.0, 1.0]]) @ turned
    skewed = dataclasses.replace(built, cell_A=built.cell_A @ sheared, positions_A=built.positions_A @ sheared)
    write_structure(skewed, tmp_path / "skewed.data")
    assert start_of(read_structure(tmp_path / "skewed.data")) == start_of(skewed) != start_of(built)


def test_a_start_is_an_arrangement_of_sites_at_any_volume() -> None:
    starts = [start_of(li6ps5cl(a_A=10.0, seed=seed)) for seed in range(1, 9)]
    assert len(set(starts)) == len(starts)
    assert start_of(li6ps5cl(a_A=9.7, seed=1)) == starts[0]
    assert start_of(li6ps5cl(a_A=9.7, seed=1, supercell=(1, 1, 2))) != starts[0]
    # As a file has it: an identifier, although most SHA-256 begin with digits.
    written = [Atoms("Li", cell=[9] * 3, pbc=True, info={"start": start}) for start in starts]
    file = io.StringIO()
    ase.io.write(file, written, format="extxyz")
    file.seek(0)
    assert [atoms.info["start"] for atoms in ase.io.iread(file, format="extxyz")] == starts
    assert {len(start) for start in starts} == {16}


def test_0_and_0_point_0_are_one_study(tmp_path: Path) -> None:
    study = load_study(study_folder(tmp_path))
    hashes = set()
    for zero in (0, 0.0, -0.0):
        cells = cells_of(study, inversions=(zero,), volume_strains=(zero,))
        hashes |= {own.hash for own in studies_of(study, cells, study.models).values()}
    assert len(hashes) == 1


# ----- the whole ---------------------------------------------------------------------------------------------


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "seen.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_picked_frames_say_where_they_come_from(folder: Path) -> None:
    picked = ase.io.read(folder / "out" / "frames.extxyz", ":")
    assert len(picked) == N
    committee = Committee(load_study(folder / "study.toml").models)
    (own,) = (folder / "out" / "dynamics").iterdir()
    start = start_of(read_structure(own / "structures" / "structure-0.data"))
    for atoms in picked:
        assert atoms.info["start"] == start
        assert (atoms.info["inversion"], atoms.info["volume_strain"]) == (INVERSION, VOLUME)
        assert atoms.info["temperature_K"] in (300.0, 600.0)
        assert atoms.get_volume() == pytest.approx(
            1000.0 * (1.0 + atoms.info["volume_strain"]), rel=tolerances.ROUNDING
        )
        found = committee.deviation_eV_per_A(atoms)  # of positions with eight digits
        assert found == pytest.approx(atoms.info["committee_deviation"], rel=1e-5)
        assert 0.01 <= found <= 1.0
        origin = f"{atoms.info['model']}-{atoms.info['temperature_K']:g}K-replica-"
        assert atoms.info["trajectory"].startswith(origin)


def test_picked_frames_can_be_labelled(folder: Path) -> None:
    frames = read_frames(folder / "out" / "frames.extxyz", read_recipe(), recipe_sha256="0")
    assert len({frame.name for frame in frames}) == N
    assert {"trajectory", "committee_deviation", "volume_strain"} <= set(frames[0].atoms.info)


def test_every_frame_is_accounted_for(folder: Path) -> None:
    found = rows(folder)
    temperatures, replicas, frames = 2, 2, 11
    assert len(found) == temperatures * replicas * frames
    assert len({row["trajectory"] for row in found}) == temperatures * replicas
    assert len({row["start"] for row in found}) == 1  # count = 1: all replicas have the same sites
    assert sorted(row["picked"] for row in found if row["picked"]) == [str(rank) for rank in range(1, N + 1)]
    assert {row["verdict"] for row in found if row["picked"]} == {"within"}
    record = json.loads((folder / "out" / "selection.json").read_text())
    for share in record["seen"]:
        mine = [
            row["verdict"]
            for row in found
            if (float(row["temperature_K"]), float(row["inversion"])) == (share["temperature_K"], share["inversion"])
        ]
        told = {**share["refused"], **share["trust"]}
        assert told == {verdict: mine.count(verdict) for verdict in told}
        assert share["frames"] == len(mine) == sum(told.values())
    assert sum(share["picked"] for share in record["seen"]) == N
    assert record["committee"] == {"PBE": ["one", "two"]}
    assert (folder / "out" / "seen.png").stat().st_size > 0
    assert f"{N} of {len(found)} frames" in (folder / "said.txt").read_text()


def test_again_runs_nothing_and_keeps_away_from_known_frames(folder: Path) -> None:
    first = ase.io.read(folder / "out" / "frames.extxyz", ":")
    known = folder / "known.extxyz"
    shutil.copy(folder / "out" / "frames.extxyz", known)
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("chunk.*")}
    again = select(folder, *CELLS, *BOUNDS, "--known", str(known), n=3)
    assert again.exit_code == 0, again.output
    assert {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("chunk.*")} == before
    second = ase.io.read(folder / "out" / "frames.extxyz", ":")
    assert not {a.info["frame"] for a in first} & {a.info["frame"] for a in second}
    # As good as what a longer list without known frames would have had next.
    longer = select(folder, *CELLS, *BOUNDS, n=N + 3)
    assert longer.exit_code == 0, longer.output
    names = [atoms.info["frame"] for atoms in ase.io.read(folder / "out" / "frames.extxyz", ":")]
    assert names == [atoms.info["frame"] for atoms in (*first, *second)]


def test_a_known_file_that_moves_meanwhile_ends_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = folder / "moved.extxyz"
    ase.io.write(known, cell(displaced_A=0.05))
    sha256 = file_sha256(known)

    def run_and_move(*args: Any, **options: Any) -> Ensemble:
        done = run_ensemble(*args, **options)
        known.unlink()
        return done

    monkeypatch.setattr(selecting, "run_ensemble", run_and_move)
    result = select(folder, *CELLS, *BOUNDS, "--known", str(known))
    assert result.exit_code == 0, result.output
    assert json.loads((folder / "out" / "selection.json").read_text())["known"] == {str(known): sha256}


def test_no_frame_between_the_bounds_is_said(folder: Path) -> None:
    result = select(folder, *CELLS, "--lower", "50", "--upper", "60")
    assert result.exit_code == 2
    assert "found no frame between the bounds: 44 frames, 44 below" in result.output


def test_dry_run_says_what_would_run(tmp_path: Path) -> None:
    study_folder(tmp_path)
    result = select(tmp_path, "--inversion", "0", *CELLS, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "2 cells: inversion-0_volume+0.03, inversion-0.5_volume+0.03" in result.output
    assert "two-600K" in result.output
    assert "one-600K" not in result.output
    assert "88 frames, judged by one, two (PBE), 0 known; 7 to pick" in result.output
    assert not (tmp_path / "out").exists()


def test_a_dry_run_describes_no_known_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study_folder(tmp_path)
    ase.io.write(tmp_path / "known.extxyz", [cell()] * 3)
    described = []

    def counted(frames: Sequence[Atoms], elements: Sequence[str]) -> NDArray[np.float64]:
        described.append(len(frames))
        return mean_soap(frames, elements)

    monkeypatch.setattr(picking, "mean_soap", counted)
    result = select(tmp_path, *CELLS, "--known", str(tmp_path / "known.extxyz"), "--dry-run")
    assert result.exit_code == 0, result.output
    assert "3 known; 7 to pick" in result.output
    assert sum(described) == 0


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of a structure file, and in `out` what was drawn evenly from its dynamics, without DScribe."""
    found = tmp_path_factory.mktemp("uniform")
    file_study(found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "dscribe.descriptors", None)
        result = select(found, "--uniform", "--volume", str(VOLUME), "--drive", "one", n=3)
    assert result.exit_code == 0, result.output
    return found


def test_a_test_is_drawn_from_a_structure_file(drawn: Path) -> None:
    frames = ase.io.read(drawn / "out" / "frames.extxyz", ":")
    mine = read_structure(drawn / "mine.extxyz")
    assert [atoms.info["part"] for atoms in frames] == ["test"] * 3
    assert [atoms.info["start"] for atoms in frames] == [start_of(mine)] * 3
    assert not {"inversion", "committee_deviation"} & {key for atoms in frames for key in atoms.info}
    assert len({atoms.info["trajectory"] for atoms in frames}) == 3
    assert {atoms.info["temperature_K"] for atoms in frames} == {300.0, 600.0}
    assert frames[0].get_volume() == pytest.approx(mine.volume_A3 * (1.0 + VOLUME), rel=tolerances.ROUNDING)
    assert {row["verdict"] for row in rows(drawn)} == {"whole"}
    labelled = read_frames(drawn / "out" / "frames.extxyz", read_recipe(), recipe_sha256="0")
    assert labelled[0].atoms.info["part"] == "test"


def test_a_folder_is_for_training_or_for_a_test(folder: Path, drawn: Path) -> None:
    before = [(made / "out" / "frames.extxyz").read_bytes() for made in (folder, drawn)]
    result = select(folder, "--uniform")
    assert result.exit_code == 2
    assert "found frames for training, needed a folder of its own for a selection with --uniform" in result.output
    result = select(drawn)
    assert result.exit_code == 2
    assert "found frames for a test, needed a folder of its own for a selection without --uniform" in result.output
    assert [(made / "out" / "frames.extxyz").read_bytes() for made in (folder, drawn)] == before


def test_no_frame_for_training_from_a_start_of_a_test_and_the_other_way_round(drawn: Path, tmp_path: Path) -> None:
    frames = drawn / "out" / "frames.extxyz"
    study_folder(tmp_path, drawn.joinpath("study.toml").read_text())
    shutil.copy(drawn / "mine.extxyz", tmp_path)
    result = select(tmp_path, "--known", str(frames))
    assert result.exit_code == 2
    assert "frame 0: found part test and start" in result.output
    assert "training would be drawn here, needed other starts: give another --seed" in result.output
    trained = ase.io.read(frames, ":")
    for atoms in trained:
        del atoms.info["part"]
    ase.io.write(tmp_path / "trained.extxyz", trained)
    result = select(tmp_path, "--uniform", "--known", str(tmp_path / "trained.extxyz"))
    assert result.exit_code == 2
    assert "found part none" in result.output
    assert "a test would be drawn here" in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("made", "options"), [("folder", (*CELLS, *BOUNDS)), ("drawn", ("--uniform", *CELLS[2:4], "--drive", "one"))]
)
def test_contacts_closer_than_known_are_counted(
    made: str, options: tuple[str, ...], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder: Path = request.getfixturevalue(made)
    before = ase.io.read(folder / "out" / "frames.extxyz", ":")
    closest_A = [closest_lithium_A(atoms) for atoms in before]
    limit_A = float(np.mean(sorted(closest_A)[:2]))
    ase.io.write(tmp_path / "known.extxyz", pair("LiLi", limit_A / CLOSEST_KNOWN))
    result = select(folder, *options, "--known", str(tmp_path / "known.extxyz"), n=100)
    assert result.exit_code == 0, result.output
    refused = [row for row in rows(folder) if row["verdict"] == "contact closer than known"]
    assert f"{len(refused)} contact closer than known" in result.output
    assert {(row["committee_deviation_eV_per_A"], row["picked"]) for row in refused} == {("", "")}
    picked = {atoms.info["frame"]: atoms for atoms in ase.io.read(folder / "out" / "frames.extxyz", ":")}
    assert all(closest_lithium_A(atoms) >= limit_A for atoms in picked.values())
    assert {atoms.info["frame"] for atoms in before} - set(picked) == {before[np.argmin(closest_A)].info["frame"]}


def closest_lithium_A(atoms: Atoms) -> float:
    distances = atoms[atoms.symbols == "Li"].get_all_distances(mic=True)
    return float(distances[distances > 0].min())


# ----- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (('[[models]]\npath = "./two.pt"\n', ""), (), "found one (PBE), needed at least two models of one functional"),
        (("replicas = 2", "target_relative_error = 0.1"), (), "found target_relative_error, needed replicas"),
        (("[dynamics]", '[dynamics]\nensemble = "npt"'), (), 'found ensemble = "npt", needed "nvt"'),
        (None, ("--drive", "three"), "--drive: found three, needed a model of the study: one, two"),
        (None, ("--volume", "3"), "--volume: found 3, needed at most 0.2"),
        (None, ("--inversion", "1.5"), "inversion: found 1.5, needed a fraction"),
        (None, ("--lower", "2", "--upper", "1"), "--lower, --upper: found 2 and 1 eV/Angstrom"),
        (None, ("--uniform", "--upper", "1"), "--upper: found with --uniform, needed without"),
        (GENERATOR_TO_FILE, ("--inversion", "0.5"), "--inversion: found 0.5 for a structure file, needed none"),
        (None, ("--known", "none.extxyz"), "--known none.extxyz: cannot be read"),
        (None, ("--known", "nacl.extxyz"), "--known nacl.extxyz frame 0: found Na, needed periodic frames of Li, P"),
    ],
)
def test_bad_input_is_told_before_anything_runs(
    change: tuple[str, str] | None,
    options: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study_folder(tmp_path, STUDY.replace(*change) if change else STUDY)
    ase.io.write(tmp_path / "mine.extxyz", cell())
    ase.io.write(tmp_path / "nacl.extxyz", Atoms("NaCl", positions=[[0, 0, 0], [2.8, 0, 0]], cell=[6] * 3, pbc=True))
    monkeypatch.chdir(tmp_path)
    result = select(tmp_path, *options)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "out").exists()


def test_a_missing_dscribe_is_told_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study_folder(tmp_path)
    monkeypatch.setitem(sys.modules, "dscribe.descriptors", None)
    result = select(tmp_path)
    assert result.exit_code == 2
    assert "pip install 'lpsmd[select]'" in result.output
    assert not (tmp_path / "out").exists()
