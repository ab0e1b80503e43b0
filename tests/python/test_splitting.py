"""Training, validation and test: what stays together, what stays where it is, what is refused, and what is shown."""

from __future__ import annotations

import json
import random
import re
import zlib
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from click.testing import CliRunner

from lpsmd.cli import main
from lpsmd.dataset import DatasetError, SplitError, split_dataset, split_frames, summarize
from lpsmd.dataset.distances import nearest_frames
from lpsmd.dataset.folder import alone_with
from lpsmd.dataset.keys import groups_of
from lpsmd.dataset.splitting import CLOSEST_RMS_A
from support.dft import FIRST, first_frames

TRAJECTORIES, FRAMES = 60, 4


def frames(trajectories: int = TRAJECTORIES) -> list[Atoms]:
    return [
        Atoms("Li", info={"frame": f"t{t}-{n}", "kind": "md", "trajectory": f"t{t}"})
        for n in range(FRAMES)
        for t in range(trajectories)
    ]


def trajectories_of(found: list[Atoms], parts: tuple[str, ...]) -> dict[str, set[str]]:
    split: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    for atoms, part in zip(found, parts, strict=True):
        split[part].add(atoms.info["trajectory"])
    return split


# ----- groups ----------------------------------------------------------------------------------------------


def test_every_frame_goes_with_its_whole_trajectory() -> None:
    found = frames()
    split = trajectories_of(found, split_frames(found, validation=0.2, test=0.2))
    assert sum(map(len, split.values())) == TRAJECTORIES
    # 12 of 60 each; the binomial spread is 3.1
    assert len(split["validation"]) == pytest.approx(0.2 * TRAJECTORIES, abs=10)
    assert len(split["test"]) == pytest.approx(0.2 * TRAJECTORIES, abs=10)


def test_a_trajectory_stays_where_it_is_when_the_set_grows_or_is_shuffled() -> None:
    found, more = frames(), frames(2 * TRAJECTORIES)
    random.Random(1).shuffle(more)
    before, after = trajectories_of(found, split_frames(found)), trajectories_of(more, split_frames(more))
    assert all(before[part] <= after[part] for part in before)


def test_replicas_of_several_models_from_one_start_stay_together() -> None:
    found = [
        Atoms("Li", info={"frame": f"{model}-{k}", "kind": "md", "trajectory": f"{model}-{k}", "start": f"s{k}"})
        for model in ("nequip", "mace", "deepmd")
        for k in range(40)
    ]
    parts = split_frames(found, test=0.3)
    assert parts[:40] == parts[40:80] == parts[80:]


def test_what_is_linked_by_any_key_is_one_group() -> None:
    def frame(name: str, **keys: str) -> Atoms:
        return Atoms("Li", info={"frame": name, "kind": "md", **keys})

    found = [
        frame("a", start="s1", trajectory="t1"),
        frame("b", trajectory="t1"),  # an older frame of it, from when there was no start
        frame("b", trajectory="hse06/run"),  # its other label, brought in from another file
        frame("c", start="s2", trajectory="t2"),
        frame("d", trajectory="t3"),
        Atoms("Li", info={"frame": "e", "kind": "rattle"}),
        Atoms("Li", info={"frame": "t3", "kind": "rattle"}),  # named like the trajectory, but not of it
        Atoms("Li", info={"frame": "frame t3", "kind": "rattle"}),
    ]
    found_groups = groups_of(found)
    assert found_groups[:6] == ["s1", "s1", "s1", "s2", "t3", "e"]
    assert sorted(found_groups[6:]) == ["frame frame t3", "frame t3"]


def test_a_seed_is_a_split() -> None:
    found = frames()
    assert split_frames(found, seed=2) == split_frames(found, seed=2)
    assert split_frames(found, seed=2) != split_frames(found, seed=3)


def test_parts_that_are_not_asked_for_are_empty() -> None:
    assert set(split_frames(frames(3), validation=0.0, test=0.0)) == {"train"}


@pytest.mark.parametrize(
    ("info", "says"),
    [
        ({"frame": "x", "kind": "md"}, "x: is of dynamics and names neither start nor trajectory"),
        ({"frame": "x", "kind": "aimd"}, "x: is of dynamics and names neither start nor trajectory"),
        ({"frame": "x"}, "x: has no key kind and names neither start nor trajectory"),
        ({"frame": "x", "trajectory": "x", "part": "hold"}, "x: found part=hold"),  # no dynamics, but no such part
        ({"kind": "rattle"}, "frame 4: found no key frame"),
        ({"frame": "x", "kind": "rattle", "part": "held_out"}, "x: found part=held_out, needed one of train, valid"),
    ],
)
def test_frames_of_unknown_origin_are_refused(info: dict[str, str], says: str) -> None:
    with pytest.raises(SplitError, match=re.escape(says)):
        split_frames([*frames(1), Atoms("Li", info=info)])


def test_fractions_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(SplitError, match=r"found 0\.5 and 0\.5"):
        split_frames(frames(), validation=0.5, test=0.5)


def test_a_part_without_a_group_is_refused() -> None:
    with pytest.raises(
        SplitError, match=r"found no group for .* among 1; .* a file for each trajectory, or .* --independent"
    ):
        split_frames(frames(1))


# ----- parts that are there --------------------------------------------------------------------------------


def test_a_part_that_is_there_holds_for_the_whole_group_under_any_seed() -> None:
    found = frames()
    found[0].info["part"] = "test"  # of trajectory t0
    for seed in range(5):
        parts = split_frames(found, seed=seed)
        assert {part for atoms, part in zip(found, parts, strict=True) if atoms.info["trajectory"] == "t0"} == {"test"}
    assert "t0" in trajectories_of(found, split_frames(found, seed=1, redraw=True))["train"]


def test_a_test_of_its_own_needs_no_draw() -> None:
    found = frames()
    for atoms in found[:3]:
        atoms.info["part"] = "test"
    assert trajectories_of(found, split_frames(found, test=0.0))["test"] == {"t0", "t1", "t2"}


def test_a_group_in_two_parts_is_refused() -> None:
    found = frames()
    found[0].info["part"], found[TRAJECTORIES].info["part"] = "test", "train"
    with pytest.raises(SplitError, match=r"t0-0 is in test and t0-1 in train, but both belong to t0; .*--redraw"):
        split_frames(found)


# ----- folders ---------------------------------------------------------------------------------------------


def labelled(atoms: Atoms, energy_eV: float = -5.0) -> Atoms:
    atoms.calc = SinglePointCalculator(atoms, energy=energy_eV, forces=np.full((len(atoms), 3), 0.5))
    return atoms


def dynamics(start: str, number: int, *, model: str, sigma_A: float = 0.0) -> list[Atoms]:
    """Random structures that follow from the start, all of them far apart, with noise that follows from the model."""
    rng = np.random.default_rng(zlib.crc32(start.encode()))
    noise = np.random.default_rng(zlib.crc32(f"{model} {start}".encode()))
    cell = np.diag([9.0, 10.0, 11.0])
    found = []
    for n in range(number):
        positions = rng.uniform(0.0, 1.0, (12, 3)) @ cell + noise.normal(0.0, sigma_A, (12, 3))
        info = {"frame": f"{model}-{start}-{n}", "kind": "md", "trajectory": f"{model}-{start}"}
        info |= {"temperature_K": 600.0 + 300.0 * (n % 2), "level": "PBE"}
        found.append(labelled(Atoms("Li8S4", positions=positions, cell=cell, pbc=True, info=info)))
    return found


def folder(path: Path, found: list[Atoms], *, hse06: int = 10**6) -> Path:
    """A folder with both labels, HSE06 for the first few frames."""
    path.mkdir(exist_ok=True)
    ase.io.write(path / "pbe.extxyz", found, format="extxyz")
    other = [labelled(atoms.copy(), -6.0) for atoms in found[:hse06]]
    for atoms in other:
        atoms.info["level"] = "HSE06"
    ase.io.write(path / "hse06.extxyz", other, format="extxyz")
    return path


def many(number: int = 25) -> list[Atoms]:
    return [atoms for k in range(number) for atoms in dynamics(f"s{k}", 3, model="a")]


def test_both_sets_get_the_same_parts_and_nothing_else_changes(tmp_path: Path) -> None:
    path = folder(tmp_path / "data", many(), hse06=20)
    (path / "frames.extxyz").write_text(unlabelled := "1\nkind=md\nLi 0 0 0\n")
    before = {name: (path / name).read_text() for name in ("pbe.extxyz", "hse06.extxyz")}
    done = split_dataset(path)
    assert (len(done.parts), done.groups, done.had_part) == (75, 25, 0)
    for name, text in before.items():
        after = (path / name).read_text()
        assert re.sub(r" part=\w+", "", after) == text
        assert {atoms.info["frame"]: atoms.info["part"] for atoms in ase.io.read(path / name, ":")}.items() <= (
            done.parts.items()
        )
    assert (path / "frames.extxyz").read_text() == unlabelled
    written = (path / "pbe.extxyz").read_text()
    again = split_dataset(path, seed=5)
    assert (again.parts, again.had_part) == (done.parts, 75)
    assert (path / "pbe.extxyz").read_text() == written
    assert split_dataset(path, seed=5, validation=0.2, test=0.2, redraw=True).parts != done.parts


@pytest.mark.parametrize("quoted", ['"my part=test run"', "'the \\' part=test \" run'", "{a part=test run}"])
def test_a_part_is_written_over_and_words_in_a_value_are_not(tmp_path: Path, quoted: str) -> None:
    path = folder(tmp_path / "data", many())
    file = path / "pbe.extxyz"
    file.write_text(file.read_text().replace(" level=PBE", f' source={quoted} part = "train" level=PBE'))
    sources = [atoms.info["source"] for atoms in ase.io.read(file, ":")]
    assert "part=test" in sources[0]
    done = split_dataset(path, redraw=True)
    found = ase.io.read(file, ":")
    assert [atoms.info["source"] for atoms in found] == sources
    assert {atoms.info["frame"]: atoms.info["part"] for atoms in found} == done.parts
    assert len(set(done.parts.values())) == 3


def test_frames_that_come_later_do_not_move_the_others(tmp_path: Path) -> None:
    before = split_dataset(folder(tmp_path / "data", many())).parts
    after = split_dataset(folder(tmp_path / "data", many(40))).parts
    assert before.items() <= after.items()


def test_a_kill_between_the_two_files_loses_nothing(tmp_path: Path) -> None:
    path = folder(tmp_path / "data", many())
    bare = (path / "hse06.extxyz").read_text()
    done = split_dataset(path, seed=4)
    (path / "hse06.extxyz").write_text(bare)
    assert split_dataset(path, seed=7).parts == done.parts


def test_one_name_for_two_geometries_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path / "data", many())
    other = ase.io.read(path / "hse06.extxyz", ":")
    other[4].positions[3, 1] += 0.01
    ase.io.write(path / "hse06.extxyz", other, format="extxyz")
    with pytest.raises(DatasetError, match=rf"extxyz: frame={other[4].info['frame']} has another geometry here"):
        split_dataset(path)


def test_two_names_for_one_geometry_are_refused(tmp_path: Path) -> None:
    """As two functionals have that were imported from two folders: one would be tested on what the other learned."""
    path = folder(tmp_path / "data", many())
    other = ase.io.read(path / "hse06.extxyz", ":")
    other[4].info["frame"] = "hse06/OUTCAR_4"
    ase.io.write(path / "hse06.extxyz", other, format="extxyz")
    with pytest.raises(SplitError, match=r"hse06/OUTCAR_4 and a-s1-1 are one geometry; needed one name for it"):
        split_dataset(path, closest_rms_A=0.0)


def test_a_split_waits_for_no_other_call(tmp_path: Path) -> None:
    path = folder(tmp_path / "data", many())
    with alone_with(path), pytest.raises(DatasetError, match=r"data: another call writes its sets"):
        split_dataset(path / "pbe.extxyz")


def test_frames_without_a_name_of_their_own_are_refused(tmp_path: Path) -> None:
    found = many()
    found[5].info["frame"] = found[2].info["frame"]
    path = folder(tmp_path / "data", found)
    with pytest.raises(DatasetError, match=r"frame 5 \(a-s0-2\): has the name of frame 2, needed a key frame of its"):
        split_dataset(path)
    del found[5].info["frame"]
    with pytest.raises(DatasetError, match=r"frame 5: found no key frame, needed a name of its own; .*dataset import"):
        split_dataset(folder(path, found))
    (path / "pbe.extxyz").unlink()
    (path / "hse06.extxyz").unlink()
    with pytest.raises(DatasetError, match=r"data: found no labelled frames; needed a folder with pbe.extxyz"):
        split_dataset(path)


# ----- leaks -----------------------------------------------------------------------------------------------


PAIRS = [("test", "train"), ("test", "validation"), ("validation", "train")]


def leaky(tmp_path: Path) -> Path:
    """Two models from each start, which no key says."""
    found = [a for k in range(12) for m in ("a", "b") for a in dynamics(f"s{k}", 2, model=m, sigma_A=0.1)]
    return folder(tmp_path / "data", found)


def test_a_test_frame_that_is_nearly_one_of_training_is_refused(tmp_path: Path) -> None:
    path = leaky(tmp_path)
    before = (path / "pbe.extxyz").read_text()
    with pytest.raises(
        SplitError, match=r"needed 0.4 Angstrom rms; .*one key start .*\n  [ab]-s\d+-\d \(test\) is 0.2\d Ang"
    ):
        split_dataset(path, test=0.3)
    assert (path / "pbe.extxyz").read_text() == before
    passed = split_dataset(path, test=0.3, closest_rms_A=0.0)
    assert [(entry.part, entry.other_part) for entry in passed.nearest] == PAIRS
    assert {entry.kind for entry in passed.nearest} == {"md"}
    assert 0.15 < passed.nearest[0].rms_A < 0.3  # 0.1 in each of 3 directions of both: 0.24


@pytest.mark.parametrize("other", ["train", "test"])
def test_a_validation_frame_that_is_nearly_one_of_another_part_is_refused(tmp_path: Path, other: str) -> None:
    found = many(4)
    (copy,) = dynamics("s0", 1, model="b", sigma_A=0.05)
    for atoms, part in zip(found[::3], (other, "train", "test", "train"), strict=True):
        atoms.info["part"] = part
    copy.info["part"] = "validation"
    # A rattle that is nearer still hides nothing.
    rattle = found[0].copy()
    rattle.info = {"frame": "r", "kind": "rattle", "part": other}
    rattle.positions = copy.positions + 1e-3
    path = folder(tmp_path / "data", [*found, copy, labelled(rattle)])
    first, second = ("b-s0-0", "a-s0-0") if other == "train" else ("a-s0-0", "b-s0-0")
    with pytest.raises(SplitError, match=rf"1 frames are .*\n  {first} \(\w+\) is 0\.\d\d Angstrom from {second} "):
        split_dataset(path)


def test_imported_frames_without_a_kind_are_taken_for_dynamics_unless_they_are_independent(tmp_path: Path) -> None:
    path = leaky(tmp_path)
    found = ase.io.read(path / "pbe.extxyz", ":")
    for atoms in found:
        del atoms.info["kind"]
    with pytest.raises(SplitError, match=r"needed 0.4 Angstrom rms"):
        split_dataset(folder(path, found), test=0.3)
    for atoms in found:
        atoms.info["trajectory"] = atoms.info["frame"]
    assert split_dataset(folder(path, found), test=0.3).nearest[0].rms_A < CLOSEST_RMS_A


def test_a_start_mends_it(tmp_path: Path) -> None:
    path = leaky(tmp_path)
    found = ase.io.read(path / "pbe.extxyz", ":")
    for atoms in found:
        atoms.info["start"] = atoms.info["frame"].split("-")[1]
    done = split_dataset(folder(path, found), test=0.3)
    assert done.groups == 12
    assert done.nearest[0].rms_A > CLOSEST_RMS_A


def test_rattles_of_one_arrangement_are_near_one_another_and_only_shown(tmp_path: Path) -> None:
    base, rng = many(1)[0], np.random.default_rng(2)
    found = [base.copy() for _ in range(30)]
    for n, atoms in enumerate(found):
        atoms.info = {"frame": f"rattle_{n}", "kind": "rattle"}
        atoms.positions += rng.normal(0.0, 0.05, (12, 3))
        labelled(atoms)
    done = split_dataset(folder(tmp_path / "data", found))
    assert [(entry.part, entry.other_part) for entry in done.nearest] == PAIRS
    assert all(entry.kind == "rattle" and entry.rms_A < 0.2 for entry in done.nearest)


def test_the_two_shipped_trajectories_share_their_start() -> None:
    """What the least distance was measured on: the same frames, under two models, from one start and seed."""
    found = first_frames()
    first, second = ([atoms for atoms in found if f"_{m}_0" in atoms.info["frame"]] for m in ("pbe", "r2scan"))
    rms_A = [entry[1] for entry in nearest_frames(first, second) if entry]
    assert rms_A[:5] == pytest.approx([0.135, 0.206, 0.273, 0.353, 0.494], abs=1e-3)
    later = [entry[1] for a, b in zip(first[1:], first, strict=False) if (entry := nearest_frames([a], [b])[0])]
    assert min(later) > CLOSEST_RMS_A


def test_the_nearest_frame_is_found_over_images_volumes_and_turns() -> None:
    found = many(40)
    copy = found[70].copy()
    copy.positions += np.random.default_rng(1).normal(0.0, 0.05, (12, 3))
    copy.positions[2] += copy.cell[0]
    copy.set_cell(copy.cell * 1.01, scale_atoms=True)
    copy.rotate(50.0, (1, 1, 2), rotate_cell=True)
    (nearest,) = nearest_frames([copy], found)
    assert nearest is not None
    assert nearest[0] == 70
    assert nearest[1] == pytest.approx(0.05 * 3**0.5, rel=0.3)
    other_atoms = copy.copy()
    other_atoms.symbols[0] = "Na"
    sheared = copy.copy()
    sheared.set_cell(copy.cell.array * [[1.0], [1.1], [1.0]])
    assert nearest_frames([other_atoms, sheared], found) == [None, None]


# ----- the commands ----------------------------------------------------------------------------------------


def test_split_prints_parts_by_region(tmp_path: Path) -> None:
    path = folder(tmp_path / "data", many())
    done = CliRunner().invoke(main, ["dataset", "split", str(path), "--validation", "0.2", "--test", "0.2"])
    assert done.exit_code == 0, done.output
    rows = {line[:24].strip(): line[24:].split() for line in done.stdout.splitlines()}
    assert rows[""] == ["frames", "train", "validation", "test"]
    assert rows["all"][0] == rows["kind md"][0] == "75"
    assert int(rows["temperature_K 600"][0]) + int(rows["temperature_K 900"][0]) == 75
    assert [int(rows["all"][n]) for n in (1, 2, 3)] == [
        sum(a.info["part"] == part for a in ase.io.read(path / "pbe.extxyz", ":"))
        for part in ("train", "validation", "test")
    ]
    assert "md in test" in done.stdout
    assert "md in validation" in done.stdout
    assert f"{path}: 75 frames in 25 groups; 0 had a part before" in done.stdout
    refused = CliRunner().invoke(main, ["dataset", "split", str(path), "--test", "1"])
    assert (refused.exit_code, "needed fractions from 0 up" in refused.stderr) == (2, True)


def test_show_tells_what_is_there(tmp_path: Path) -> None:
    path = folder(tmp_path / "data", many(2), hse06=5)
    (path / "frames.extxyz").write_text("1\nkind=md\nLi 0 0 0\n")
    shown = CliRunner().invoke(main, ["dataset", "show", str(path)])
    assert shown.exit_code == 0, shown.output
    assert "level: HSE06 (5)" in shown.stdout
    assert "5 of 6 geometries are in all sets\n  only in pbe.extxyz: a-s1-2" in shown.stdout
    told = json.loads(CliRunner().invoke(main, ["dataset", "show", str(path), "--json"]).stdout)
    assert told["by_part"] == {"no part": 6}
    assert [entry["energy_mean_eV_per_atom"] for entry in told["sets"]] == pytest.approx([-5.0 / 12, -6.0 / 12])
    alone = CliRunner().invoke(main, ["dataset", "show", str(path / "hse06.extxyz")])
    assert "5" in alone.stdout.splitlines()[2].split()


def test_regions_of_any_words_are_shown(tmp_path: Path) -> None:
    found = many(4)
    for n, (atoms, temperature) in enumerate(zip(found, ["300 K", 600, 1200.0, 300, True], strict=False)):
        atoms.info |= {"temperature_K": temperature, "kind": "md" if n else 1, "inversion": "none"}
    regions = summarize(folder(tmp_path / "data", found)).regions
    values = [region.value for region in regions if region.key == "temperature_K"]
    assert values == ["1", "300", "600", "900", "1200", "300 K"]
    assert [region.value for region in regions if region.key == "kind"] == ["1", "md"]


def test_the_first_frames_in_numbers(tmp_path: Path) -> None:
    """By hand: numpy on what ASE reads."""
    for functional in FIRST:
        ase.io.write(tmp_path / f"{functional.lower()}.extxyz", first_frames(functional))
    summary = summarize(tmp_path)
    assert (summary.frames, summary.in_all_sets) == (61, 55)
    found = first_frames()
    lithium = np.concatenate([atoms.get_forces()[atoms.numbers == 3] for atoms in found])
    per_atom = np.array([atoms.get_potential_energy() / 52 for atoms in found])
    pbe = summary.sets[0]
    assert pbe.force_rms_by_element_eV_per_A["Li"] == pytest.approx(np.sqrt((lithium**2).mean()))
    assert pbe.energy_std_meV_per_atom == pytest.approx(1e3 * per_atom.std())
    assert {region.value: region.frames for region in summary.regions if region.key == "kind"} == {
        "hop": 13, "md": 21, "rattle": 14, "strain": 13
    }  # fmt: skip
