"""The dump reader: what it accepts, what it refuses and in which words."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lpsmd.analysis import read_dump
from lpsmd.errors import LpsmdError
from support.dumps import COLUMNS, frame_text, rows_of, write_dump
from tolerances import DUMP_POSITION_A, UNWRAP_POSITION_A

ELEMENTS = ["Li", "Li", "P", "S", "S", "Cl"]


@pytest.fixture
def positions() -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.uniform(-30, 30, (1, 6, 3)) + rng.normal(0, 0.3, (5, 6, 3)).cumsum(axis=0)


def test_reads_what_was_written(tmp_path: Path, positions: np.ndarray) -> None:
    path = write_dump(tmp_path / "a.dump", positions, ELEMENTS, first_step=1000, interval=5)
    found = read_dump(path)
    assert found.timesteps.tolist() == [1000, 1005, 1010, 1015, 1020]
    assert found.ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert list(found.elements) == ELEMENTS
    np.testing.assert_allclose(found.positions_A, positions, rtol=0, atol=DUMP_POSITION_A)
    np.testing.assert_array_equal(found.cells_A, np.broadcast_to(10 * np.eye(3), (5, 3, 3)))
    assert found.periodic == (True, True, True)
    assert not found.positions_A.flags.writeable


def test_arrays_outlive_the_trajectory(tmp_path: Path, positions: np.ndarray) -> None:
    view = read_dump(write_dump(tmp_path / "a.dump", positions, ELEMENTS)).positions_A
    np.testing.assert_allclose(view, positions, rtol=0, atol=DUMP_POSITION_A)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns=st.permutations([*COLUMNS, "type", "vx"]), seed=st.integers(0, 1000))
def test_any_order_of_columns_and_lines(tmp_path: Path, columns: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    expected = rng.normal(0, 20, (3, 6, 3))
    path = write_dump(tmp_path / "a.dump", expected, ELEMENTS, rng=rng, columns=columns)
    np.testing.assert_allclose(read_dump(path).positions_A, expected, rtol=0, atol=DUMP_POSITION_A)
    only = read_dump(path, species=["P", "S"])
    assert list(only.elements) == ["P", "S", "S"]
    assert only.ids.tolist() == [3, 4, 5]
    np.testing.assert_allclose(only.positions_A, expected[:, 2:5], rtol=0, atol=DUMP_POSITION_A)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=st.one_of(
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.floats(-1e6, 1e6).map(lambda x: f"{x:.8f}"),
        st.from_regex(r"\A[+-]?[0-9]{1,22}(\.[0-9]{0,22})?([eE][+-]?[0-9]{1,2})?\Z"),
        st.from_regex(r"\A[+-]?\.[0-9]{1,20}\Z"),
    )
)
def test_numbers_round_as_python_rounds(tmp_path: Path, number: str) -> None:
    text = frame_text(0, rows_of(np.zeros((1, 3)), ["Li"])).replace("Li 0.00000000", f"Li {number}")
    (tmp_path / "a.dump").write_text(text)
    assert read_dump(tmp_path / "a.dump").positions_A[0, 0, 0] == float(number)


def test_many_digits_round_once(tmp_path: Path) -> None:
    """16 to 18 digits do not fit a float64 before the division: dividing anyway would round twice."""
    rng = np.random.default_rng(14)
    digits = ["".join(rng.choice(list("0123456789"), size)) for size in rng.integers(15, 19, 3000)]
    numbers = [f"{text[:3]}.{text[3:]}" for text in digits]
    rows = [
        {"id": i + 1, "element": "Li", "xu": x, "yu": y, "zu": z}
        for i, (x, y, z) in enumerate(zip(*[iter(numbers)] * 3, strict=True))
    ]
    (tmp_path / "a.dump").write_text(frame_text(0, rows))
    assert read_dump(tmp_path / "a.dump").positions_A.ravel().tolist() == [float(x) for x in numbers]


CELLS = {
    "orthogonal": np.diag([9.0, 10.0, 11.0]),
    "triclinic": np.array([[9.0, 0, 0], [-3.1, 10.0, 0], [2.2, 4.7, 11.0]]),
    "general": np.array([[8.0, 1.0, -1.5], [2.0, 9.0, 1.0], [-1.0, 2.0, 10.0]]),
}


@pytest.mark.parametrize("kind", CELLS)
def test_images_unwrap(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(5)
    cell, origin = CELLS[kind], np.array([-1.0, 2.0, 0.5])
    expected = rng.normal(0, 40, (4, 6, 3))
    xlo, ylo, zlo = origin
    (lx, _, _), (xy, ly, _), (xz, yz, lz) = cell
    if kind == "general":
        header, bounds = "abc origin pp pp pp", [[*cell[k], origin[k]] for k in range(3)]
    elif kind == "triclinic":
        header = "xy xz yz pp pp pp"
        bounds = [
            [xlo + min(0, xy, xz, xy + xz), xlo + lx + max(0, xy, xz, xy + xz), xy],
            [ylo + min(0, yz), ylo + ly + max(0, yz), xz],
            [zlo, zlo + lz, yz],
        ]
    else:
        header, bounds = "pp pp ff", [[xlo, xlo + lx], [ylo, ylo + ly], [zlo, zlo + lz]]
    parts = []
    for step, frame in enumerate(expected):
        images = np.floor((frame - origin) @ np.linalg.inv(cell)).astype(int)
        wrapped = frame - images @ cell
        rows = [
            dict(
                zip(
                    ("id", "element", "x", "y", "z", "ix", "iy", "iz"),
                    (i + 1, ELEMENTS[i], *x, *n),
                    strict=True,
                )
            )
            for i, (x, n) in enumerate(zip(wrapped.tolist(), images.tolist(), strict=True))
        ]
        columns = ("ix", "x", "element", "y", "id", "iz", "z", "iy")
        parts.append(frame_text(step, rows, columns=columns, bounds=bounds, header=header))
    (tmp_path / "a.dump").write_text("".join(parts))
    found = read_dump(tmp_path / "a.dump")
    np.testing.assert_allclose(found.cells_A[0], cell, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.origins_A[0], origin, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.positions_A, expected, rtol=0, atol=UNWRAP_POSITION_A)
    assert found.periodic == (True, True, kind != "orthogonal")


def test_chunks_join_and_repeated_frames_are_taken_once(tmp_path: Path, positions: np.ndarray) -> None:
    first = write_dump(tmp_path / "0.dump", positions[:3], ELEMENTS)
    second = write_dump(tmp_path / "1.dump", positions[2:], ELEMENTS, first_step=20)
    found = read_dump([first, second])
    assert found.timesteps.tolist() == [0, 10, 20, 30, 40]
    assert found.repeated_frames == 1
    np.testing.assert_allclose(found.positions_A, positions, rtol=0, atol=DUMP_POSITION_A)


def test_units_and_time_items(tmp_path: Path, positions: np.ndarray) -> None:
    rows = rows_of(positions[0], ELEMENTS)
    text = frame_text(0, rows, preamble="ITEM: UNITS\nmetal\nITEM: TIME\n0.0\n")
    text += frame_text(10, rows, preamble="ITEM: TIME\n0.02\n")
    (tmp_path / "a.dump").write_text(text)
    assert read_dump(tmp_path / "a.dump").n_frames == 2


def good_text(frames: int = 3) -> str:
    rows = rows_of(np.arange(18.0).reshape(6, 3), ELEMENTS)
    return "".join(frame_text(10 * t, rows) for t in range(frames))


def wrapped(text: str) -> str:
    return text.replace("xu yu zu", "x y z")


BAD = {
    "empty": ("", r"bad\.dump: holds no frame; a LAMMPS text dump is needed"),
    "no dump": ("hello world\n", r"frame 0, line 1: found 'hello world' where ITEM: TIMESTEP is needed"),
    "wrapped": (
        wrapped(good_text()),
        r"frame 0 \(timestep 0\), line 9: the columns are 'id, element, x, y, z': x y z are wrapped into "
        r"the box and no image flags ix iy iz .*write the dump with `dump .* id element xu yu zu`",
    ),
    "no positions": (good_text().replace("xu yu zu", "vx vy vz"), r"no positions among them; 'xu yu zu' or"),
    "no element": (
        good_text().replace("element", "type"),
        r"'element' is missing \('type' alone does not name the element\): .*dump_modify \.\.\. element Li P",
    ),
    "no id": (
        good_text().replace("ATOMS id", "ATOMS mol"),
        r"'id' is missing, without which atoms cannot be",
    ),
    "nan": (
        good_text(2) + good_text(3)[len(good_text(2)) :].replace("9.00000000", "nan"),
        r"bad\.dump, frame 2 \(timestep 20\), line 43: column xu holds 'nan', a finite number is needed: "
        r"the simulation blew up at or before this step",
    ),
    "inf": (
        good_text().replace("9.00000000", "-inf", 1),
        r"column xu holds '-inf', a finite number is needed",
    ),
    "bad number": (
        good_text().replace("4.00000000", "4.0x", 1),
        r"frame 0 \(timestep 0\), line 11: column yu holds '4\.0x', a number is needed",
    ),
    "bad id": (good_text().replace("2 Li", "2.5 Li", 1), r"column id holds '2\.5', a whole number is needed"),
    "few columns": (
        good_text().replace(" 5.00000000\n", "\n", 1),
        r"line 11: found 4 columns, 5 are needed: the file is damaged here",
    ),
    "many columns": (good_text().replace(" 5.00000000\n", " 5.0 7\n", 1), r"found 6 columns, 5 are needed"),
    "atom count": (
        good_text(1) + frame_text(10, rows_of(np.zeros((5, 3)), ELEMENTS)),
        r"frame 1 \(timestep 10\), .*number of atoms is 5, in the first frame it was 6",
    ),
    "other id": (
        good_text(1) + good_text(1).replace("TIMESTEP\n0", "TIMESTEP\n10").replace("6 Cl", "9 Cl"),
        r"frame 1 \(timestep 10\), line 30: atom id 9 is not among the 6 atoms of the first frame",
    ),
    "twice": (good_text(1).replace("6 Cl", "5 Cl"), r"atom id 5 occurs twice, each atom once is needed"),
    "twice later": (
        good_text(1) + good_text(1).replace("TIMESTEP\n0", "TIMESTEP\n10").replace("5 S", "4 S"),
        r"frame 1 \(timestep 10\).* atom id 4 occurs twice",
    ),
    "element changes": (
        good_text(1) + good_text(1).replace("TIMESTEP\n0", "TIMESTEP\n10").replace("1 Li", "1 Cl"),
        r"atom id 1 is 'Cl', in the first frame it was 'Li'; elements must not change",
    ),
    "few lines": (
        good_text(1).replace("6 Cl 15.00000000 16.00000000 17.00000000\n", "") + good_text(1),
        r"the next frame starts after 5 of 6 atom lines; whole frames are needed",
    ),
    "backwards": (
        good_text(3) + good_text(1).replace("TIMESTEP\n0", "TIMESTEP\n5"),
        r"frame 3 \(timestep 5\), .*time goes backwards: the frame before has timestep 20",
    ),
    "other run": (
        good_text(2) + good_text(1).replace("4.00000000", "4.50000000", 1),
        r"frame 2 \(timestep 0\).*read before with other positions \(atom id 2 moved by 0\.500000 Angstrom",
    ),
    "box": (
        good_text().replace("1.0000000000000000e+01", "nan", 1),
        r"bounds of the box in x are .*2 finite num",
    ),
    "empty box": (
        good_text().replace("1.0000000000000000e+01", "-1", 1),
        r"the box is empty in x \(from 0\.0+ to",
    ),
    "units": ("ITEM: UNITS\nlj\n" + good_text(), r"the units are 'lj', lengths in Angstrom are needed"),
    "timestep": (
        good_text().replace("TIMESTEP\n0", "TIMESTEP\n1.5"),
        r"the timestep is '1\.5', a whole number",
    ),
    "no atoms": (
        good_text().replace("ATOMS\n6", "ATOMS\n-6", 1),
        r"the number of atoms is '-6', a positive whole",
    ),
    "lost item": (good_text().replace("ITEM: BOX", "ITEM: BIX", 1), r"where ITEM: BOX BOUNDS is needed"),
}


@pytest.mark.parametrize("case", BAD)
def test_refuses(tmp_path: Path, case: str) -> None:
    text, message = BAD[case]
    (tmp_path / "bad.dump").write_text(text)
    with pytest.raises(LpsmdError, match=message):
        read_dump(tmp_path / "bad.dump")


def test_every_cut_inside_a_frame_is_refused(tmp_path: Path) -> None:
    text, path = good_text(), tmp_path / "cut.dump"
    whole = [len(good_text(n)) for n in range(1, 4)]
    for size in range(1, len(text)):
        path.write_text(text[:size])
        if size in whole:
            assert read_dump(path).n_frames == 1 + whole.index(size)
            continue
        with pytest.raises(LpsmdError, match=r"cut\.dump, frame \d.*the file ends inside this frame"):
            read_dump(path)


def test_truncated_last_frame_says_how_to_keep_the_rest(tmp_path: Path) -> None:
    (tmp_path / "cut.dump").write_text(good_text()[:-30])
    with pytest.raises(
        LpsmdError,
        match=r"cut\.dump, frame 2 \(timestep 20\), line 45: the file ends inside this frame "
        r"\(5 of 6 atom lines are whole\).*resume it, or keep the whole frames with `head -n 30`",
    ):
        read_dump(tmp_path / "cut.dump")


def test_missing_file_folder_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(LpsmdError, match=r"none\.dump: cannot be opened \(No such file or directory\)"):
        read_dump(tmp_path / "none.dump")
    with pytest.raises(LpsmdError, match=re.escape(str(tmp_path)) + r": cannot be read \(Is a directory\)"):
        read_dump(tmp_path)
    with pytest.raises(LpsmdError, match="no dump file given; at least one is needed"):
        read_dump([])


def test_species_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.dump").write_text(good_text())
    with pytest.raises(LpsmdError, match=r"no atom of element 'Na'; found Li, P, S, Cl: choose among these"):
        read_dump(tmp_path / "a.dump", species="Na")


@pytest.mark.parametrize(
    ("where", "message"), [(b"element", "the columns are 'id, \\?, xu"), (b"Li", "holds '\\?', a chem")]
)
def test_bytes_that_are_no_text(tmp_path: Path, where: bytes, message: str) -> None:
    (tmp_path / "a.dump").write_bytes(good_text().encode().replace(where, b"\x80"))
    with pytest.raises(LpsmdError, match=message):
        read_dump(tmp_path / "a.dump")


def test_line_without_end(tmp_path: Path) -> None:
    (tmp_path / "a.dump").write_bytes(b"\0" * (3 << 20))
    with pytest.raises(LpsmdError, match=r"line 1: no end of line within \d+ bytes; this is no text dump"):
        read_dump(tmp_path / "a.dump")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_garbage_is_an_error_or_a_trajectory(tmp_path: Path, data: st.DataObject) -> None:
    text = bytearray(good_text().encode())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(text)))
        until = min(len(text), at + data.draw(st.integers(0, 40)))
        text[at:until] = data.draw(
            st.one_of(st.binary(max_size=20), st.sampled_from([b"1e999", b"-", b"\n", b"9" * 30]))
        )
    (tmp_path / "a.dump").write_bytes(bytes(text))
    try:
        found = read_dump(tmp_path / "a.dump")
    except LpsmdError as refused:
        text_of_error = str(refused)
    else:
        assert np.isfinite(found.positions_A).all()
        return
    assert "a.dump" in text_of_error
