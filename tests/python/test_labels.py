"""`lpsmd label` with the real pw.x: LiH in a box, seconds. What needs no pw.x: test_pw.py, test_pseudopotentials.py."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

import tolerances
from lpsmd.ensemble.locks import hold
from lpsmd.labels import LabelError, read_recipe
from lpsmd.labels.collection import LabelFolder
from lpsmd.labels.frames import read_frames
from lpsmd.labels.records import LabelFailure, read_failure, write_failure
from support.dft import first_frames
from support.labels import (
    POTENTIALS,
    RECIPE,
    STEP_A,
    commands_in,
    direction,
    displaced,
    frames_file,
    label,
    label_command,
    lih,
    needs_pw,
    run_label,
)
from support.mounts import disk

SETS = ("pbe.extxyz", "hse06.extxyz")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three frames, labelled with both functionals without any trouble."""
    folder = tmp_path_factory.mktemp("labels")
    done = run_label(frames_file(folder), folder / "out", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "3 frames labelled, 0 failed, 0 not finished" in done.stdout
    assert "[3/3]" in done.stderr
    return folder / "out"


def counting_pw(folder: Path) -> tuple[Path, Callable[[], list[str]]]:
    """A pw.x that writes down where it was started; and what it has written."""
    notes, script = folder / "starts", folder / "counting_pw.x"
    script.write_text(f'#!/bin/sh\necho "$PWD $2" >> {notes}\nexec pw.x "$@"\n')
    script.chmod(0o755)
    return script, lambda: notes.read_text().splitlines() if notes.exists() else []


def script(folder: Path, *lines: str) -> str:
    """A program in the place of pw.x: the lines of a shell script, which knows the input as $2."""
    path = folder / "script_pw.x"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return str(path)


def one_frame(folder: Path, *, step_A: float = 0.0, name: str = "centre") -> Path:
    path = folder / f"{name}.extxyz"
    ase.io.write(path, displaced(step_A, name))
    return path


def wait_for(what: Callable[[], bool], *, limit_s: float = 120.0) -> None:
    end = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


# ----- labels ----------------------------------------------------------------------------------------------


@needs_pw
@pytest.mark.parametrize(("name", "functional"), [("pbe", "PBE"), ("hse06", "HSE06")])
def test_forces_are_the_slope_of_the_energy(labelled: Path, name: str, functional: str) -> None:
    centre, plus, minus = ase.io.read(labelled / f"{name}.extxyz", ":")
    slope = (plus.get_potential_energy() - minus.get_potential_energy()) / (2 * STEP_A)
    along = float((centre.get_forces() * direction()).sum())
    assert along == pytest.approx(-slope, abs=tolerances.LABEL_FORCE_EV_PER_A[functional])


@needs_pw
def test_the_sets_have_the_frames_as_they_came_and_what_belongs_to_a_label(labelled: Path) -> None:
    pbe, hse06 = (ase.io.read(labelled / name, ":") for name in SETS)
    record = json.loads((labelled / "labels.json").read_text())
    for found, functional in ((pbe, "PBE"), (hse06, "HSE06")):
        assert [atoms.info["frame"] for atoms in found] == ["centre", "plus", "minus"]
        for atoms in found:
            keys = {"frame", "kind", "trajectory", "temperature_K", "level", "gap_eV", "recipe"}
            assert set(atoms.info) - {"stress_pulay"} == keys  # no REF_energy of an earlier label
            assert (atoms.info["kind"], atoms.info["trajectory"], atoms.info["temperature_K"]) == ("test", "t1", 300.0)
            assert atoms.info["level"] == functional
            assert record["recipe_sha256"].startswith(atoms.info["recipe"])
            assert atoms.get_chemical_symbols() == ["Li", "H"]
    np.testing.assert_allclose(pbe[0].positions, lih().positions, atol=tolerances.EXTXYZ_POSITION_A)
    assert all(hse.info["gap_eV"] > low.info["gap_eV"] + 1.0 for low, hse in zip(pbe, hse06, strict=True))


@needs_pw
def test_pbe_has_a_stress_that_says_what_it_is_and_hse06_has_none(labelled: Path) -> None:
    pbe, hse06 = (ase.io.read(labelled / name) for name in SETS)
    assert pbe.info["stress_pulay"] == "uncorrected"
    assert np.abs(pbe.get_stress()).max() > 0
    assert "stress" not in hse06.calc.results
    notes = json.loads((labelled / "labels.json").read_text())["notes"]
    assert "Pulay" in notes["stress PBE"]
    assert "wrong" in notes["stress HSE06"]


@needs_pw
def test_no_wave_functions_are_left(labelled: Path) -> None:
    folders = list((labelled / "frames").iterdir())
    assert len(folders) == 3
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == [
            "frame.extxyz", "hse06.in", "hse06.json", "hse06.out", "pbe.in", "pbe.json", "pbe.out",
        ]  # fmt: skip


@needs_pw
def test_hse06_may_be_asked_for_later(labelled: Path, tmp_path: Path) -> None:
    frames, output = tmp_path / "one.extxyz", tmp_path / "out"
    ase.io.write(frames, displaced(0.0, "centre"))
    assert label(frames, output, functionals=["PBE"]).labelled == ["centre"]
    assert not (output / "hse06.extxyz").exists()
    (record,) = output.glob("frames/*/pbe.json")
    before = record.stat().st_mtime_ns
    assert label(frames, output).labelled == ["centre"]
    assert record.stat().st_mtime_ns == before
    later, at_once = ase.io.read(output / "hse06.extxyz"), ase.io.read(labelled / "hse06.extxyz", 0)
    assert later.get_potential_energy() == at_once.get_potential_energy()


@needs_pw
def test_hse06_is_added_to_frames_that_have_pbe(labelled: Path, tmp_path: Path) -> None:
    """A set of PBE as input: its energies, forces and level must not pass for those of the other functional."""
    frames, output = tmp_path / "frames.extxyz", tmp_path / "out"
    shutil.copytree(labelled, output)
    have = ase.io.read(labelled / "pbe.extxyz", ":")
    (output / "frames" / json.loads((output / "labels.json").read_text())["frames"][1]["id"] / "hse06.json").unlink()
    for atoms in have:
        atoms.info.update(start="a1b2c3d4e5f60718", part="test")
    ase.io.write(frames, have)
    pw, starts = counting_pw(tmp_path)
    assert label(frames, output, pw=str(pw)).labelled == ["centre", "minus", "plus"]
    assert [start.split()[1] for start in starts()] == ["pbe.in", "hse06.in"]
    found, at_once = (ase.io.read(folder / "hse06.extxyz", ":") for folder in (output, labelled))
    for atoms, once in zip(found, at_once, strict=True):
        assert atoms.info == {**once.info, "start": "a1b2c3d4e5f60718", "part": "test"}
        assert atoms.get_potential_energy() == once.get_potential_energy()


def test_frames_with_pbe_labels_alone_can_be_labelled_again(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "pbe.extxyz", first_frames("PBE"))
    frames = read_frames(tmp_path / "pbe.extxyz", read_recipe(), recipe_sha256="")
    have = {atoms.info["frame"] for atoms in first_frames("HSE06")}
    missing = [frame for frame in frames if frame.name not in have]
    assert len(missing) == 6
    for frame in missing:
        assert frame.atoms.calc is None
        assert not {"energy", "stress", "level", "gap_eV"} & set(frame.atoms.info)
        assert set(frame.atoms.arrays) == {"numbers", "positions"}


# ----- once, whatever happens ------------------------------------------------------------------------------


@needs_pw
def test_killed_by_sigkill_it_goes_on_to_the_same_labels(labelled: Path, tmp_path: Path) -> None:
    frames, output = frames_file(tmp_path), tmp_path / "out"
    # HSE06 of the second frame stays for ever where it has done everything, and nothing is recorded yet.
    slow = tmp_path / "slow_pw.x"
    slow.write_text(
        f'#!/bin/sh\npw.x "$@"\n[ $2 = hse06.in ] && ls {output}/frames/*/hse06.json && exec sleep 1000\nexit 0\n'
    )
    slow.chmod(0o755)
    command = label_command(frames, output, "--workers", "1", "--pw", str(slow))
    program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: "sleep" in commands_in(output))
    program.kill()
    program.wait()
    wait_for(lambda: not commands_in(output), limit_s=10.0)  # it dies with its parent
    whole = {path: path.stat().st_mtime_ns for path in output.glob("frames/*/*.json")}
    assert len(whole) == 3  # PBE of two frames, HSE06 of one
    done = run_label(frames, output, "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in whole} == whole
    assert not list(output.glob("frames/*/running"))
    for name in SETS:
        assert (output / name).read_text() == (labelled / name).read_text()


@needs_pw
def test_what_is_labelled_is_not_computed_again(labelled: Path, tmp_path: Path) -> None:
    pw, starts = counting_pw(tmp_path)
    before = {name: (labelled / name).read_bytes() for name in SETS}
    assert label(frames_file(tmp_path), labelled, pw=str(pw)).labelled == ["centre", "plus", "minus"]
    assert starts() == []
    assert {name: (labelled / name).read_bytes() for name in SETS} == before


@needs_pw
def test_two_at_once_share_the_work(labelled: Path, tmp_path: Path) -> None:
    pw, starts = counting_pw(tmp_path)
    command = label_command(frames_file(tmp_path), tmp_path / "out", "--workers", "2", "--pw", str(pw))
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert all(program.wait(timeout=120) in (0, 1) for program in both)  # 1: the other one still had some
    assert len(starts()) == len(set(starts())) == 6
    assert (tmp_path / "out" / "hse06.extxyz").read_text() == (labelled / "hse06.extxyz").read_text()


@needs_pw
def test_a_frame_that_another_process_labels_is_left_to_it(tmp_path: Path) -> None:
    frames, output = tmp_path / "one.extxyz", tmp_path / "out"
    ase.io.write(frames, displaced(0.0, "centre"))
    assert label(frames, output, pw="/bin/false").failed
    (folder,) = (output / "frames").iterdir()
    pw, starts = counting_pw(tmp_path)
    with hold(folder / "lock"):
        outcome = label(frames, output, pw=str(pw), retry_failed=True)
    assert "held by process" in outcome.unfinished["centre"]
    assert starts() == []


@needs_pw
def test_ctrl_c_leaves_no_pw_running_and_says_how_to_go_on(tmp_path: Path) -> None:
    frames, output = frames_file(tmp_path), tmp_path / "out"
    program = subprocess.Popen(label_command(frames, output), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: bool(commands_in(output)))
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=60)
    assert program.returncode == 130
    assert f"stopped; run the same command again to go on with {output}" in said
    assert not commands_in(output)
    assert not list(output.glob("frames/*/running"))
    assert not list(output.glob("frames/*/failed.json"))


@needs_pw
def test_a_full_disk_is_no_failed_frame(tmp_path: Path) -> None:
    with disk(tmp_path / "small", kib=300) as small:
        with pytest.raises(LabelError, match=r"No space left on device.*; mend that and run the same command again"):
            label(frames_file(tmp_path), small / "out")
        assert not list(small.glob("**/failed.json"))


@needs_pw
def test_a_pw_that_someone_ends_is_no_failed_frame(tmp_path: Path) -> None:
    frames = tmp_path / "one.extxyz"
    ase.io.write(frames, displaced(0.0, "centre"))
    outcome = label(frames, tmp_path / "out", pw=script(tmp_path, "kill -9 $$"))
    assert outcome.unfinished["centre"].startswith("pw.x was ended by SIGKILL: by the system if memory ran out")
    assert label(frames, tmp_path / "out", functionals=["PBE"]).labelled == ["centre"]


@needs_pw
@pytest.mark.parametrize("end", ['pw.x "$@"', "exit 1", "exit 0"], ids=["a label", "a failure", "a crash"])
def test_a_frame_that_another_process_took_over_is_left_as_that_has_it(tmp_path: Path, end: str) -> None:
    other = '{"host": "node7", "machine": "m", "pid": 7, "started": 1, "token": "t"}'
    pw = script(tmp_path, f"echo '{other}' > ../lock; touch theirs", end)
    outcome = label(one_frame(tmp_path), tmp_path / "out", pw=pw)
    assert "held by process 7 on node7" in outcome.unfinished["centre"]
    (folder,) = (tmp_path / "out" / "frames").iterdir()
    assert {path.name for path in folder.iterdir()} == {"frame.extxyz", "lock", "running"}
    assert (folder / "running" / "theirs").exists()


MEMORY = "terminate called after throwing an instance of 'std::bad_alloc'"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([f'echo "{MEMORY}"; kill -ABRT $$'], f"pw.x ran out of memory: {MEMORY}"),
        (["echo 'Operating system error: Cannot allocate memory'; exit 1"], "pw.x ran out of memory: Operating"),
        (["kill -TERM $$"], "pw.x was ended by SIGTERM"),
    ],
    ids=["C++", "Fortran", "SIGTERM"],
)
def test_what_is_not_the_frames_fault_leaves_it_to_be_done(tmp_path: Path, lines: list[str], says: str) -> None:
    outcome = label(one_frame(tmp_path), tmp_path / "out", pw=script(tmp_path, *lines))
    assert outcome.unfinished["centre"].startswith(says)
    assert not list(tmp_path.glob("out/frames/*/failed.*"))


def test_a_pw_that_cannot_run_here_stops_all(tmp_path: Path) -> None:
    pw = script(tmp_path, "echo 'pw.x: error while loading shared libraries: libmpi.so.40: cannot open'; exit 127")
    with pytest.raises(LabelError, match=r"error while loading shared libraries: libmpi.so.40.*; mend that and run"):
        label(frames_file(tmp_path), tmp_path / "out", pw=pw)
    assert not list(tmp_path.glob("out/frames/*/failed.json"))


def test_a_crash_is_tried_twice_then_told_and_recorded(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    pw = script(tmp_path, f"echo start >> {starts}", "kill -SEGV $$")
    reason = "2 tries: pw.x was ended by SIGSEGV; its last words: none"
    assert label(one_frame(tmp_path), tmp_path / "out", pw=pw).failed["centre"].reason == reason
    assert label(one_frame(tmp_path), tmp_path / "out", pw=pw).failed["centre"].reason == reason
    assert starts.read_text() == "start\nstart\n"
    (entry,) = json.loads((tmp_path / "out" / "labels.json").read_text())["frames"]
    assert entry["failed"] == f"PBE: {reason}"


@needs_pw
def test_a_crash_that_does_not_come_again_is_no_failure(tmp_path: Path) -> None:
    mark = tmp_path / "crashed"
    pw = script(tmp_path, f"[ -e {mark} ] || {{ touch {mark}; kill -SEGV $$; }}", 'exec pw.x "$@"')
    assert label(one_frame(tmp_path), tmp_path / "out", pw=pw, functionals=["PBE"]).labelled == ["centre"]


def test_a_pw_that_hangs_is_ended(tmp_path: Path) -> None:
    output = tmp_path / "out"
    outcome = label(one_frame(tmp_path), output, pw=script(tmp_path, "exec sleep 1000"), timeout_min=0.005)
    assert outcome.failed["centre"].reason == "no end within 0.005 min; --timeout-min gives it more"
    assert not commands_in(output)


@needs_pw
def test_an_input_that_pw_refuses_stops_all_and_is_no_failed_frame(tmp_path: Path) -> None:
    pw = script(tmp_path, "sed -i 's/ecutwfc/ecutwfcc/' $2", 'exec pw.x "$@"')
    output = tmp_path / "out"
    with pytest.raises(
        LabelError, match=r'^centre: PBE: pw.x does not .*bad line in namelist &system: " ecutwfcc'
    ) as e:
        label(frames_file(tmp_path), output, pw=pw)
    assert "choose another --output" in str(e.value)
    assert not list(output.glob("frames/*/failed.json"))
    (kept,) = output.glob("frames/*/failed.out")
    assert str(kept) in str(e.value)


@needs_pw
def test_another_functional_than_was_asked_for_gives_no_label(tmp_path: Path) -> None:
    pw = script(tmp_path, "sed -i \"s/'HSE'/'PBE0'/\" $2", 'exec pw.x "$@"')
    with pytest.raises(LabelError, match=r"HSE06: .*found functional PBE0 in the output for HSE06, needed HSE"):
        label(one_frame(tmp_path), tmp_path / "out", pw=pw)
    assert not list(tmp_path.glob("out/frames/*/hse06.json"))


@needs_pw
@pytest.mark.parametrize("pinned", [True, False], ids=["", "begun before versions were pinned"])
def test_another_version_of_pw_needs_another_folder(tmp_path: Path, pinned: bool) -> None:
    output = tmp_path / "out"
    label(one_frame(tmp_path), output, functionals=["PBE"])
    record = json.loads((output / "labels.json").read_text())
    version = record["versions"]["pw.x"]
    if not pinned:
        del record["versions"]["pw.x"]
        (output / "labels.json").write_text(json.dumps(record))
    xml = "out/lpsmd.save/data-file-schema.xml"
    pw = script(tmp_path, 'pw.x "$@"', f"""sed -i 's/VERSION="{version}"/VERSION="7.9"/' {xml}""")
    says = f"found pw.x 7.9, its labels are of pw.x {version}; give that one with --pw, or choose another --output"
    with pytest.raises(LabelError, match=re.escape(says)):
        label(one_frame(tmp_path, step_A=STEP_A, name="plus"), output, functionals=["PBE"], pw=pw)
    assert len(list(output.glob("frames/*/pbe.json"))) == 1


# ----- what does not converge ------------------------------------------------------------------------------


@needs_pw
def test_an_unconverged_frame_is_kept_apart_and_named(tmp_path: Path) -> None:
    stretched = lih()
    stretched.positions[1, 2] = 2.0
    stretched.info["frame"] = "stretched"
    frames, output = tmp_path / "frames.extxyz", tmp_path / "out"
    ase.io.write(frames, [displaced(0.0, "centre"), stretched])
    # The one takes 9 iterations, the other 11.
    short = tmp_path / "short.toml"
    short.write_text(RECIPE.read_text().replace("electron_maxstep = 60", "electron_maxstep = 10"))
    given = ["--functional", "PBE", "--recipe", str(short)]
    done = run_label(frames, output, *given)
    assert done.returncode == 1
    reason = "convergence NOT achieved after  10 iterations: stopping"
    assert f"stretched failed: PBE: {reason}" in done.stderr
    assert [atoms.info["frame"] for atoms in ase.io.read(output / "pbe.extxyz", ":")] == ["centre"]
    (kept,) = output.glob("frames/*/failed.out")
    assert "convergence NOT achieved" in kept.read_text()
    assert not list(output.glob("frames/*/running"))
    (entry,) = [e for e in json.loads((output / "labels.json").read_text())["frames"] if "failed" in e]
    assert entry["frame"] == "stretched"
    # Told again, but not tried again unless that is asked for.
    pw, starts = counting_pw(tmp_path)
    assert label(frames, output, recipe=short, functionals=["PBE"], pw=str(pw)).failed["stretched"].reason == reason
    assert starts() == []
    again = label(frames, output, recipe=short, functionals=["PBE"], pw=str(pw), retry_failed=True)
    assert again.failed["stretched"].reason == reason
    assert len(starts()) == 1


@needs_pw
def test_a_failure_of_hse06_is_not_forgotten_when_pbe_is_tried_again(tmp_path: Path) -> None:
    frames, output = one_frame(tmp_path), tmp_path / "out"
    pw = script(tmp_path, "[ $2 = pbe.in ] || exit 3", 'exec pw.x "$@"')
    assert label(frames, output, pw=pw).failed["centre"].functional == "HSE06"
    assert label(frames, output, functionals=["PBE"], retry_failed=True).labelled == ["centre"]
    assert label(frames, output, pw="/bin/false").failed["centre"].functional == "HSE06"
    assert label(frames, output, pw="/bin/false", retry_failed=True).failed["centre"].functional == "PBE"


def test_other_pseudopotentials_are_refused_and_leave_the_folder_as_it_is(tmp_path: Path) -> None:
    output, other = tmp_path / "out", tmp_path / "POTENTIAL_UZH"
    label(one_frame(tmp_path), output, pw="/bin/false")
    before = {path.name: path.read_bytes() for path in (output / "pseudo").iterdir()}
    other.write_text(POTENTIALS.read_text().replace("-4.17806832477260", "-4.2"))
    with pytest.raises(LabelError, match=r"another recipe \(pseudopotentials.H-q1.gth was \w+, is \w+\)"):
        label(one_frame(tmp_path), output, pw="/bin/false", potentials=other)
    three = tmp_path / "three.toml"
    three.write_text(RECIPE.read_text().replace('Li = "GTH-PBE-q1"', 'Li = "GTH-PBE-q3"'))
    with pytest.raises(LabelError, match="another recipe"):
        label(one_frame(tmp_path), output, pw="/bin/false", recipe=three)
    assert {path.name: path.read_bytes() for path in (output / "pseudo").iterdir()} == before


@needs_pw
def test_another_recipe_needs_another_folder(labelled: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(RECIPE.read_text().replace("ecutwfc_Ry = 20.0", "ecutwfc_Ry = 19.0"))
    says = "holds labels of another recipe (recipe.plane_waves.ecutwfc_Ry was 20.0, is 19.0); choose another --output"
    with pytest.raises(LabelError, match=re.escape(says)):
        label(frames_file(tmp_path), labelled, recipe=other)


# ----- what is refused before anything runs ----------------------------------------------------------------


def changed(change: Callable[[Atoms], None]) -> list[Atoms]:
    atoms = lih()
    change(atoms)
    return [lih(), atoms]


def _close(atoms: Atoms) -> None:
    atoms.positions[1] = atoms.positions[0] + [0.0, 0.0, 0.4]


def _nan(atoms: Atoms) -> None:
    atoms.positions[0, 0] = np.nan


def _sodium(atoms: Atoms) -> None:
    atoms.symbols[0] = "Na"


def _molecule(atoms: Atoms) -> None:
    atoms.pbc = False


def _odd(atoms: Atoms) -> None:
    atoms.append("H")
    atoms.positions[2] = [3.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_close, "frame 1: found atoms 0 (Li) and 1 (H) at 0.400 Angstrom, needed at least 0.80"),
        (_nan, "frame 1: found a position or cell vector that is not finite"),
        (_sodium, "frame 1: found Na, the recipe's [pseudopotentials] has Li, H"),
        (_molecule, 'frame 1: found no three periodic directions, which plane waves have; write pbc="T T T"'),
        (_odd, "frame 1: found 3 electrons, needed an even number: only closed shells are computed"),
    ],
)
def test_frames_that_cannot_be_labelled_are_named(tmp_path: Path, change: Callable[[Atoms], None], says: str) -> None:
    frames = tmp_path / "frames.extxyz"
    ase.io.write(frames, changed(change))
    with pytest.raises(LabelError, match=rf"1 of 2 frames cannot be labelled\n  {re.escape(says)}"):
        label(frames, tmp_path / "out", pw="/bin/false")


def test_one_name_for_two_geometries_is_refused(tmp_path: Path) -> None:
    frames = tmp_path / "frames.extxyz"
    ase.io.write(frames, [displaced(0.0, "same"), displaced(0.1, "same")])
    with pytest.raises(LabelError, match="found different geometries with one name: frame=same"):
        label(frames, tmp_path / "out", pw="/bin/false")


def test_a_second_name_of_one_geometry_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ase.io.write(tmp_path / "in.extxyz", [displaced(0.0, "one"), displaced(0.0, "two")])
    found = read_frames(tmp_path / "in.extxyz", read_recipe(RECIPE), recipe_sha256="")
    assert [frame.name for frame in found] == ["one"]
    assert "frame=two has the geometry of frame=one" in caplog.text


def test_a_name_that_the_folder_has_for_another_geometry_is_refused(tmp_path: Path) -> None:
    frames = tmp_path / "frames.extxyz"
    ase.io.write(frames, displaced(0.0, "same"))
    label(frames, tmp_path / "out", pw="/bin/false")
    ase.io.write(frames, displaced(0.1, "same"))
    with pytest.raises(LabelError, match="frame=same stands for another geometry already"):
        label(frames, tmp_path / "out", pw="/bin/false")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "frames.extxyz").write_text("no frames\n")
    with pytest.raises(LabelError, match=r"frames.extxyz: cannot be read"):
        label(tmp_path / "frames.extxyz", tmp_path / "out", pw="/bin/false")
    assert not (tmp_path / "out").exists()  # else it were a folder of this recipe


def test_a_record_of_a_failure_with_other_keys_is_none(tmp_path: Path) -> None:
    failure = LabelFailure(functional="PBE", reason="not converged", host="here", ended="now")
    write_failure(tmp_path, failure)
    assert read_failure(tmp_path) == failure
    record = tmp_path / "failed.json"
    record.write_text(record.read_text().replace('"reason"', '"raeson"'))
    assert read_failure(tmp_path) is None


def test_a_pw_that_is_not_there_is_told_with_its_package(tmp_path: Path) -> None:
    done = run_label(frames_file(tmp_path), tmp_path / "out", "--pw", "no-such-pw.x")
    assert done.returncode == 2
    assert "no-such-pw.x: found no such program; install Quantum ESPRESSO (Debian: apt install" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("library", "warned"), [("blas", True), ("openblas-openmp", False)])
def test_the_reference_blas_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, library: str, warned: bool
) -> None:
    """What `ldd` says decides, here one of our own: which BLAS a machine has is not ours to change."""
    blas = tmp_path / library / "libblas.so.3"
    blas.parent.mkdir()
    blas.touch()
    (tmp_path / "ldd").write_text(f"#!/bin/sh\necho '\tlibblas.so.3 => {blas} (0x7f)'\n")
    (tmp_path / "ldd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    caplog.set_level("WARNING", logger="lpsmd")
    label(frames_file(tmp_path), tmp_path / "out", pw="/bin/false")
    assert ("reference BLAS" in caplog.text) is warned


def test_a_pw_that_says_nothing_is_a_failed_frame(tmp_path: Path) -> None:
    frames = tmp_path / "one.extxyz"
    ase.io.write(frames, displaced(0.0, "centre"))
    outcome = label(frames, tmp_path / "out", pw="/bin/false")
    assert outcome.failed["centre"].reason == "2 tries: pw.x ended with exit code 1; its last words: none"


def test_sets_that_take_long_are_not_written_after_each_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 500 frames they take seconds, and the time goes as their number."""
    calls = []
    collect = LabelFolder.collect

    def slow(folder: LabelFolder) -> None:
        calls.append(folder)
        time.sleep(0.3)
        collect(folder)

    monkeypatch.setattr(LabelFolder, "collect", slow)
    assert len(label(frames_file(tmp_path), tmp_path / "out", pw="/bin/false").failed) == 3
    assert 2 <= len(calls) < 5  # before and after, and not once for each
    assert '"failed": "PBE: 2 tries' in (tmp_path / "out" / "labels.json").read_text()
