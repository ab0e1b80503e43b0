"""The dump reader: what it accepts, what it refuses and in which words."""

from __future__ import annotations

import gzip
import io
import os
import re
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lpsmd import _core
from lpsmd.analysis import iterate_dump, read_dump, read_trajectory
from lpsmd.errors import LpsmdError
from support.dumps import COLUMNS, binary_frame, frame_text, rows_of, write_dump
from tolerances import BINARY_POSITION_A, DUMP_POSITION_A, READ_AHEAD_MIB, UNWRAP_POSITION_A

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


# ----- unequal intervals -----------------------------------------------------------------------------------


def test_unequal_intervals_are_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    steps = [0, 10, 20, 40, 80]
    rows = rows_of(np.arange(18.0).reshape(6, 3), ELEMENTS)
    (tmp_path / "log.dump").write_text("".join(frame_text(step, rows) for step in steps))
    found = read_dump(tmp_path / "log.dump")
    assert found.timesteps.tolist() == steps
    assert not found.equally_spaced
    assert (
        "10 steps between the first two, 20 between timesteps 20 and 40; if that is not meant, a chunk" in caplog.text
    )
    np.testing.assert_allclose(found.times_ps(2.0), [0, 0.02, 0.04, 0.08, 0.16])
    with pytest.raises(LpsmdError, match=r"log\.dump: frames are not equally spaced.*equal intervals are needed here"):
        found.frame_interval_ps(2.0)


def test_equal_intervals_do_not_warn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.dump").write_text(good_text())
    found = read_dump(tmp_path / "a.dump")
    assert found.equally_spaced
    assert found.frame_interval_ps(2.0) == pytest.approx(0.02)
    assert not caplog.records
    with pytest.raises(LpsmdError, match=r"dumps count steps, not time; give the integrator's step"):
        found.times_ps()


# ----- which atoms -----------------------------------------------------------------------------------------


@pytest.fixture
def typed(tmp_path: Path, positions: np.ndarray) -> Path:
    """Ids from 11 in steps of 3, types 1 to 4 of Li, P, S, Cl, and an element column."""
    parts = []
    for step, frame in enumerate(positions):
        rows = [
            {**row, "id": 11 + 3 * i, "type": 1 + ["Li", "P", "S", "Cl"].index(ELEMENTS[i])}
            for i, row in enumerate(rows_of(frame, ELEMENTS))
        ]
        parts.append(frame_text(step, rows, columns=("id", "type", "element", "xu", "yu", "zu")))
    (tmp_path / "typed.dump").write_text("".join(parts))
    return tmp_path / "typed.dump"


SELECTIONS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "all": ({}, [0, 1, 2, 3, 4, 5]),
    "species": ({"species": ["Li", "Cl"]}, [0, 1, 5]),
    "types": ({"types": [3]}, [3, 4]),
    "one type": ({"types": 4}, [5]),
    "ids": ({"ids": [26, 11]}, [0, 5]),
    "array of ids": ({"ids": np.array([20, 23])}, [3, 4]),
    "species and ids": ({"species": "S", "ids": [20]}, [3]),
    "types, named here": ({"types": [1, 2], "elements_of_types": ["Li", "P", "S", "Cl"]}, [0, 1, 2]),
    "species, named here": ({"species": "Li", "elements_of_types": ["Li", "P", "S", "Cl"]}, [0, 1]),
}


@pytest.mark.parametrize("case", SELECTIONS)
def test_selections(typed: Path, positions: np.ndarray, case: str) -> None:
    options, kept = SELECTIONS[case]
    found = read_dump(typed, **options)
    assert found.ids.tolist() == [11 + 3 * i for i in kept]
    np.testing.assert_allclose(found.positions_A, positions[:, kept], rtol=0, atol=DUMP_POSITION_A)
    assert list(found.elements) == [ELEMENTS[i] for i in kept]


def test_only_types_in_the_dump(typed: Path) -> None:
    typed.write_text(typed.read_text().replace(" element ", " mol ").replace("Li", "1").replace("Cl", "2"))
    assert list(read_dump(typed, elements_of_types=["Li", "P", "S", "Cl"]).elements) == ELEMENTS
    assert list(read_dump(typed, elements_of_types=["Na", "P", "S", "Cl"], species="Na").elements) == ["Na", "Na"]
    with pytest.raises(LpsmdError, match=r"'element' is missing .*name the elements here \(elements_of_types="):
        read_dump(typed)


BAD_SELECTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "type": ({"types": [7]}, r"no atom of type 7 is left by the selections"),
    "id": ({"ids": [12]}, r"no atom of id 12 is left by the selections"),
    "nothing": ({"species": "Li", "ids": [20]}, r"no atom of id 20 is left by the selections"),
    "too few names": (
        {"elements_of_types": ["Li", "P"]},
        r"line 13: the type of an atom is 3, elements are given for types 1 to 2: name the element of every type",
    ),
    "threads": ({"threads": 0}, r"threads is 0, a positive number is needed"),
}


@pytest.mark.parametrize("case", BAD_SELECTIONS)
def test_selections_refused(typed: Path, case: str) -> None:
    options, message = BAD_SELECTIONS[case]
    with pytest.raises(LpsmdError, match=message):
        read_dump(typed, **options)


def test_types_without_their_column(tmp_path: Path) -> None:
    (tmp_path / "a.dump").write_text(good_text())
    with pytest.raises(LpsmdError, match=r"'type' is missing, by which atoms shall be selected"):
        read_dump(tmp_path / "a.dump", types=[1])


# ----- columns of positions --------------------------------------------------------------------------------


def bounds_of(cell: np.ndarray, origin: np.ndarray, kind: str) -> tuple[str, list[list[float]]]:
    """Header and bounds as LAMMPS writes them."""
    (lx, _, _), (xy, ly, _), (xz, yz, lz) = cell.tolist()
    xlo, ylo, zlo = origin.tolist()
    if kind == "general":
        return "abc origin pp pp pp", [[*cell[k].tolist(), origin[k]] for k in range(3)]
    if kind == "triclinic":
        return "xy xz yz pp pp pp", [
            [xlo + min(0, xy, xz, xy + xz), xlo + lx + max(0, xy, xz, xy + xz), xy],
            [ylo + min(0, yz), ylo + ly + max(0, yz), xz],
            [zlo, zlo + lz, yz],
        ]
    return "pp pp pp", [[xlo, xlo + lx], [ylo, ylo + ly], [zlo, zlo + lz]]


def breathing(kind: str, n_frames: int = 12, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells [F, 3, 3] and origins [F, 3] of a cell that breathes about its centre, fractions [F, 6, 3] of a walk."""
    rng = np.random.default_rng(seed)
    scale = 1 + 0.05 * rng.standard_normal((n_frames, 1, 1)).cumsum(axis=0)
    cells = CELLS[kind] * scale
    origins = -0.5 * cells.sum(axis=1) + np.array([1.0, 2.0, 3.0])
    return cells, origins, rng.uniform(0, 1, (6, 3)) + rng.normal(0, 0.08, (n_frames, 6, 3)).cumsum(axis=0)


COLUMN_SETS = {
    "xu": "id element xu yu zu",
    "xsu": "id element zsu ysu xsu",
    "x ix": "id element x y z ix iy iz",
    "ix x": "iz id ix z y element iy x",
    "xs ix": "id element xs ys zs ix iy iz vx",
}


def column_values(
    fractions: np.ndarray, cell: np.ndarray, origin: np.ndarray, images: np.ndarray
) -> list[dict[str, object]]:
    """Every column LAMMPS knows for positions, of [N, 3] unwrapped fractions."""
    columns: dict[str, np.ndarray] = {}
    inside = fractions - images
    for k, axis in enumerate("xyz"):
        columns[axis + "su"] = fractions[:, k]
        columns[axis + "s"] = inside[:, k]
        columns[axis + "u"] = (fractions @ cell + origin)[:, k]
        columns[axis] = (inside @ cell + origin)[:, k]
        columns["i" + axis] = images[:, k].astype(int)
    columns["vx"] = np.zeros(len(fractions))
    return [
        {"id": i + 1, "element": ELEMENTS[i], **{name: values[i].item() for name, values in columns.items()}}
        for i in range(len(fractions))
    ]


def toroidal(cells: np.ndarray, origins: np.ndarray, fractions: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Displacements of von Buelow, Bullerjahn and Hummer, added up one after the other."""
    wrapped = np.einsum("fni,fij->fnj", fractions - images, cells) + origins[:, None]
    out = [wrapped[0] + images[0] @ cells[0]]
    for i in range(len(cells) - 1):
        out.append(out[-1] + wrapped[i + 1] - wrapped[i] + (images[i + 1] - images[i]) @ cells[i + 1])
    return np.array(out)


@pytest.mark.parametrize("columns", COLUMN_SETS)
@pytest.mark.parametrize("kind", CELLS)
def test_changing_cells_add_up_displacements(tmp_path: Path, kind: str, columns: str) -> None:
    cells, origins, fractions = breathing(kind)
    images = np.floor(fractions)
    parts = []
    for step, (cell, origin) in enumerate(zip(cells, origins, strict=True)):
        header, bounds = bounds_of(cell, origin, kind)
        rows = column_values(fractions[step], cell, origin, images[step])
        names = COLUMN_SETS[columns].split()
        parts.append(frame_text(step, rows, columns=names, bounds=bounds, header=header, digits=12))
    (tmp_path / "npt.dump").write_text("".join(parts))
    expected = toroidal(cells, origins, fractions, images)
    found = read_dump(tmp_path / "npt.dump")
    np.testing.assert_allclose(found.positions_A, expected, rtol=0, atol=UNWRAP_POSITION_A)
    np.testing.assert_allclose(found.cells_A, cells, rtol=0, atol=1e-12)
    # the images times the cell would be another thing
    naive = np.einsum("fni,fij->fnj", fractions, cells) + origins[:, None]
    assert np.abs(naive - expected).max() > 0.1
    # blocks go on where the one before ended
    blocks = list(iterate_dump(tmp_path / "npt.dump", frames_per_block=5))
    assert [block.n_frames for block in blocks] == [5, 5, 2]
    np.testing.assert_array_equal(np.concatenate([b.positions_A for b in blocks]), found.positions_A)


def test_an_atom_at_rest_in_a_breathing_cell_stays(tmp_path: Path) -> None:
    """Far from the first cell, images times the cell would shake it by their number."""
    rng = np.random.default_rng(0)
    parts = []
    for step in range(50):
        half = 5 + 0.05 * rng.standard_normal()
        row = {"id": 1, "element": "Li", "x": 1.0, "y": 2.0, "z": 3.0, "ix": 40, "iy": -7, "iz": 3}
        bounds = ((-half, half),) * 3
        parts.append(frame_text(step, [row], columns=[*row], bounds=bounds))
    (tmp_path / "rest.dump").write_text("".join(parts))
    moved = read_dump(tmp_path / "rest.dump").positions_A
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), rtol=0, atol=UNWRAP_POSITION_A)


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("columns", ["id element x y z", "id element xs ys zs"])
@pytest.mark.parametrize("kind", CELLS)
def test_unwrap_by_nearest_images(tmp_path: Path, kind: str, columns: str, fixed: bool) -> None:
    cells, origins, fractions = breathing(kind)
    if fixed:
        cells, origins = np.broadcast_to(cells[:1], cells.shape), np.broadcast_to(origins[:1], origins.shape)
    images = np.floor(fractions)
    parts = []
    for step, (cell, origin) in enumerate(zip(cells, origins, strict=True)):
        header, bounds = bounds_of(cell, origin, kind)
        rows = column_values(fractions[step], cell, origin, images[step])
        parts.append(frame_text(step, rows, columns=columns.split(), bounds=bounds, header=header, digits=12))
    path = tmp_path / "wrapped.dump"
    path.write_text("".join(parts))
    with pytest.raises(LpsmdError, match=r"are wrapped into the box .* ask for unwrapping by the nearest image"):
        read_dump(path)
    # the images of the first frame are not known: all start in the first cell
    expected = toroidal(cells, origins, fractions - images[0], images - images[0])
    found = read_dump(path, unwrap=True)
    np.testing.assert_allclose(found.positions_A, expected, rtol=0, atol=UNWRAP_POSITION_A)
    blocks = np.concatenate([b.positions_A for b in iterate_dump(path, unwrap=True, frames_per_block=1)])
    np.testing.assert_array_equal(blocks, found.positions_A)


def test_a_step_too_long_to_unwrap(tmp_path: Path) -> None:
    columns = ("id", "element", "x", "y", "z")
    places = [1.0, 4.2, 7.6]  # the second step is 3.4 of a cell of 10
    (tmp_path / "fast.dump").write_text(
        "".join(
            frame_text(10 * t, [{"id": 7, "element": "Li", "x": 1.0, "y": y, "z": 1.0}], columns=columns)
            for t, y in enumerate(places)
        )
    )
    with pytest.raises(
        LpsmdError,
        match=r"fast\.dump, frame 2 \(timestep 20\), line 30: atom id 7 moves 0\.34 of the cell along b in one step "
        r"\(3\.4 Angstrom\), at most a third is needed .*write frames more often",
    ):
        read_dump(tmp_path / "fast.dump", unwrap=True)


def test_walls_do_not_wrap(tmp_path: Path) -> None:
    columns = ("id", "element", "x", "y", "z")
    parts = [
        frame_text(t, [{"id": 1, "element": "Li", "x": x, "y": 1.0, "z": 1.0}], columns=columns, header="ff pp pp")
        for t, x in enumerate([1.0, 9.0])
    ]
    (tmp_path / "wall.dump").write_text("".join(parts))
    assert read_dump(tmp_path / "wall.dump", unwrap=True).positions_A[:, 0, 0].tolist() == [1.0, 9.0]


def test_repeated_frames_of_a_changing_cell(tmp_path: Path) -> None:
    cells, origins, fractions = breathing("triclinic")
    parts = []
    for step, (cell, origin) in enumerate(zip(cells, origins, strict=True)):
        header, bounds = bounds_of(cell, origin, "triclinic")
        rows = column_values(fractions[step], cell, origin, np.floor(fractions[step]))
        parts.append(frame_text(step, rows, columns=COLUMNS, bounds=bounds, header=header, digits=12))
    whole, first, second = tmp_path / "whole", tmp_path / "0", tmp_path / "1"
    whole.write_text("".join(parts))
    first.write_text("".join(parts[:8]))
    second.write_text("".join(parts[5:]))
    found = read_dump([first, second])
    assert found.repeated_frames == 3
    np.testing.assert_array_equal(found.positions_A, read_dump(whole).positions_A)
    blocks = list(iterate_dump([first, second], frames_per_block=2))
    assert sum(block.repeated_frames for block in blocks) == 3
    np.testing.assert_array_equal(np.concatenate([b.positions_A for b in blocks]), found.positions_A)
    second.write_text("".join(parts[5:]).replace("Li 1", "Li 2").replace("Li -", "Li -2"))
    with pytest.raises(LpsmdError, match=r"1, frame 0 \(timestep 5\).*was read before with other positions"):
        read_dump([first, second])


# ----- binary dumps ----------------------------------------------------------------------------------------


def binary_dump(positions: np.ndarray, columns: str = "id type xu yu zu", **options: Any) -> bytes:
    kinds = [1.0 + ["Li", "P", "S", "Cl"].index(e) for e in ELEMENTS]
    frames = []
    for step, frame in enumerate(positions):
        values = {"id": np.arange(1.0, 7.0), "type": np.array(kinds), "element": np.array(kinds)}
        values |= dict(zip(("xu", "yu", "zu"), frame.T, strict=True))
        rows = np.stack([values[name] for name in columns.split()], axis=1)
        frames.append(binary_frame(10 * step, rows, columns, **options))
    return b"".join(frames)


NAMES = ["Li", "P", "S", "Cl"]


@pytest.mark.parametrize("columns", ["id type xu yu zu", "zu yu xu id element"])
@pytest.mark.parametrize("blocks", [1, 3])
def test_binary(tmp_path: Path, positions: np.ndarray, columns: str, blocks: int) -> None:
    (tmp_path / "a.bin").write_bytes(binary_dump(positions, columns, n_blocks=blocks))
    found = read_dump(tmp_path / "a.bin", elements_of_types=NAMES)
    np.testing.assert_array_equal(found.positions_A, positions)
    assert list(found.elements) == ELEMENTS
    assert found.timesteps.tolist() == [0, 10, 20, 30, 40]
    only = read_dump(tmp_path / "a.bin", elements_of_types=NAMES, species="S", types=[3])
    np.testing.assert_allclose(only.positions_A, positions[:, 3:5], rtol=0, atol=BINARY_POSITION_A)
    with pytest.raises(LpsmdError, match=r"a binary dump holds no element names, only types: name the element of each"):
        read_dump(tmp_path / "a.bin")


def test_binary_cuts(tmp_path: Path, positions: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    data, path = binary_dump(positions[:3]), tmp_path / "cut.bin"
    whole = [len(binary_dump(positions[:n])) for n in range(1, 4)]
    for size in range(16, len(data)):
        path.write_bytes(data[:size])
        if size in whole:
            assert read_dump(path, elements_of_types=NAMES).n_frames == 1 + whole.index(size)
            continue
        with pytest.raises(LpsmdError, match=r"cut\.bin, frame \d.*: the file ends inside this frame"):
            read_dump(path, elements_of_types=NAMES)
    path.write_bytes(data[:-1])
    kept = read_dump(path, elements_of_types=NAMES, drop_truncated=True)
    assert (kept.n_frames, kept.truncated_frames) == (2, 1)
    assert "cut.bin, frame 2 (timestep 20): the file ends inside this frame" in caplog.text


def with_value(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def test_binary_refusals(tmp_path: Path, positions: np.ndarray) -> None:
    good, path = binary_dump(positions[:2]), tmp_path / "bad.bin"
    one = len(good) // 2

    def refused(data: bytes, message: str) -> None:
        path.write_bytes(data)
        with pytest.raises(LpsmdError, match=message):
            read_dump(path, elements_of_types=NAMES)

    nan = np.float64(np.nan).tobytes()
    refused(
        with_value(good, len(good) - 8, nan), r"bad\.bin, frame 1 \(timestep 10\): row 6: column zu holds 'nan', a fin"
    )
    refused(with_value(good, one - 40, np.float64(1.5).tobytes()), r"frame 0 .*row 6: column id holds 1\.50+, a whole")
    refused(with_value(good, 8, b"DUMPWASTED"), r"found 'DUMPWASTED' where DUMPCUSTOM is needed")
    refused(with_value(good, 18, b"\0\0\0\1"), r"written on a machine of another byte order")
    refused(with_value(good, 34, b"\xff" * 8), r"the number of atoms is -1, a positive number is needed")
    refused(with_value(good, one - 6 * 40 - 4, b"\x07\0\0\0"), r"number of values in a block is 7, a multiple of 5")
    refused(b"\0" * 8 + good[34:], r"names no columns, as LAMMPS wrote them before 2021")


# ----- truncated frames ------------------------------------------------------------------------------------


def test_every_cut_may_be_dropped(tmp_path: Path) -> None:
    text, path = good_text(), tmp_path / "cut.dump"
    first = len(good_text(1))
    expected = read_dump_of(path, text)
    for size in range(first, len(text), 7):
        path.write_text(text[:size])
        found = read_dump(path, drop_truncated=True)
        whole = size // first
        assert (found.n_frames, found.truncated_frames) == (whole, int(size % first > 0))
        np.testing.assert_array_equal(found.positions_A, expected[:whole])


def read_dump_of(path: Path, text: str) -> np.ndarray:
    path.write_text(text)
    return read_dump(path).positions_A


def test_a_chunk_that_was_cut_is_continued(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = good_text(6)
    size = len(text) // 6
    (tmp_path / "0").write_text(text[: 3 * size + 50])
    (tmp_path / "1").write_text(text[2 * size :])
    found = read_dump([tmp_path / "0", tmp_path / "1"], drop_truncated=True)
    assert found.timesteps.tolist() == [0, 10, 20, 30, 40, 50]
    assert (found.truncated_frames, found.repeated_frames) == (1, 1)
    assert re.search(
        r"0, frame 3 \(timestep 30\), line 50: the file ends inside .*; this frame is left out", caplog.text
    )
    with pytest.raises(LpsmdError, match=r"or ask for it to be left out \(drop_truncated=True"):
        read_dump([tmp_path / "0", tmp_path / "1"])


def test_nothing_but_a_truncated_frame(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(good_text(1)[:-20])
    with pytest.raises(LpsmdError, match=r"a: holds no whole frame"):
        read_dump(tmp_path / "a", drop_truncated=True)


# ----- compressed files and streams ------------------------------------------------------------------------

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip in two members": lambda data: gzip.compress(data[:999]) + gzip.compress(data[999:]),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "zstd in two frames": lambda data: b"".join(
        zstandard.ZstdCompressor().compress(p) for p in (data[:999], data[999:])
    ),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", PACK)
def test_compressed(tmp_path: Path, positions: np.ndarray, kind: str, threads: int) -> None:
    plain = write_dump(tmp_path / "a.dump", np.tile(positions, (40, 1, 1)), ELEMENTS)
    (tmp_path / "packed").write_bytes(PACK[kind](plain.read_bytes()))
    expected = read_dump(plain)
    np.testing.assert_array_equal(read_dump(tmp_path / "packed", threads=threads).positions_A, expected.positions_A)
    (tmp_path / "packed.bin").write_bytes(PACK[kind](binary_dump(positions)))
    found = read_dump(tmp_path / "packed.bin", elements_of_types=NAMES, threads=threads)
    np.testing.assert_array_equal(found.positions_A, positions)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_compressed_and_cut(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)  # incompressible, so that a cut takes whole frames away
    plain = write_dump(tmp_path / "a.dump", rng.normal(0, 9, (4000, 6, 3)), ELEMENTS)
    packed, path = PACK[kind](plain.read_bytes()), tmp_path / f"a.{kind}"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(LpsmdError, match=rf"a\.{kind}: the {kind} data are cut short .*or ask for the truncated frame"):
        read_dump(path)
    kept = read_dump(path, drop_truncated=True)
    assert 1000 < kept.n_frames < 3000
    np.testing.assert_array_equal(kept.positions_A, read_dump(plain).positions_A[: kept.n_frames])
    path.write_bytes(packed[:10] + b"\xff" * 50 + packed[60:])
    with pytest.raises(LpsmdError, match=rf"a\.{kind}: the {kind} data are damaged .*copy the file again"):
        read_dump(path)


class OnlyRead:
    """As small a stream as there is; hands out a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def read(self, size: int = -1, /) -> bytes:
        return self._stream.read(min(size, 100))


@pytest.mark.parametrize("kind", ["plain", "gzip", "zstd"])
def test_streams(positions: np.ndarray, tmp_path: Path, kind: str) -> None:
    data = write_dump(tmp_path / "a.dump", positions, ELEMENTS).read_bytes()
    data = data if kind == "plain" else PACK[kind](data)
    stream = io.BytesIO(data)
    streams: list[Any] = [stream, OnlyRead(data)]
    for source in streams:
        found = read_dump(source)
        np.testing.assert_allclose(found.positions_A, positions, rtol=0, atol=DUMP_POSITION_A)
    assert not stream.closed
    assert found.name == "stream"


def test_a_stream_that_fails() -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _target: Any, /) -> int:
            raise OSError("the disk is gone")

    with pytest.raises(LpsmdError, match=r"stream: cannot be read \(the disk is gone\)"):
        read_dump(Broken())


# ----- threads and blocks ----------------------------------------------------------------------------------


def outcome(paths: list[Path], most_frames: int, **options: Any) -> tuple[Any, ...]:
    """What a reader gives, in blocks put together, or its error."""
    try:
        reader = _core.DumpReader([(str(path), None) for path in paths], **options)
        blocks = []
        while True:
            blocks.append(reader.read(most_frames))
            if len(blocks[-1].timesteps) < most_frames:
                break
    except LpsmdError as refused:
        return (str(refused),)
    return (
        np.concatenate([b.timesteps for b in blocks]).tolist(),
        np.concatenate([b.positions for b in blocks]).tolist(),
        sum(b.repeated_frames for b in blocks),
        [message for b in blocks for message in b.truncated],
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_threads_portions_and_blocks_change_nothing(tmp_path: Path, data: st.DataObject) -> None:
    """Whole files and damaged ones: the same frames, or the same error at the same line."""
    preamble = data.draw(st.sampled_from(["", "ITEM: TIME\n0.5\n", "ITEM: UNITS\nmetal\nITEM: TIME\n1\n"]))
    shuffle = np.random.default_rng(data.draw(st.integers(0, 99)))
    frames = []
    for t in range(data.draw(st.integers(1, 30))):
        rows = rows_of(np.arange(18.0).reshape(6, 3) + t, ELEMENTS)
        if data.draw(st.booleans()):
            rows = [rows[i] for i in shuffle.permutation(6)]
        frames.append(frame_text(10 * t, rows, preamble=preamble))
    text = bytearray("".join(frames).encode())
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(text) - 1))
        until = min(len(text), at + data.draw(st.integers(0, 60)))
        text[at:until] = data.draw(st.sampled_from([b"", b"x", b"\n", b"nan", b"ITEM: TIMESTEP\n"]))
    seam = data.draw(st.integers(0, len(frames) - 1))
    first, second = tmp_path / "0.dump", tmp_path / "1.dump"
    first.write_bytes(bytes(text))
    second.write_text("".join(frames[seam:]))
    options = {"drop_truncated": data.draw(st.booleans()), "species": data.draw(st.sampled_from([[], ["Li"]]))}
    paths = [first, second]
    expected = outcome(paths, 10**6, threads=1, **options)
    portion = data.draw(st.sampled_from([1, 200, 300, 1000, 5000]))
    threads = data.draw(st.integers(1, 4))
    frames_per_block = data.draw(st.sampled_from([1, 2, 7, 10**6]))
    assert outcome(paths, frames_per_block, threads=threads, portion_bytes=portion, **options) == expected


def test_many_portions_on_threads(tmp_path: Path) -> None:
    """A few MB: threads do start."""
    rng = np.random.default_rng(8)
    expected = rng.normal(0, 20, (300, 400, 3))
    path = write_dump(tmp_path / "a.dump", expected, ["Li", "Cl"] * 200, rng=rng)
    assert path.stat().st_size > 4e6
    one, four = read_dump(path, threads=1), read_dump(path, threads=4)
    np.testing.assert_array_equal(one.positions_A, four.positions_A)
    np.testing.assert_allclose(one.positions_A, expected, rtol=0, atol=DUMP_POSITION_A)
    text = path.read_text().splitlines()
    text[250 * 409 + 100] = text[250 * 409 + 100] + "x"
    path.write_text("\n".join(text) + "\n")
    for threads in (1, 4):
        with pytest.raises(LpsmdError, match=rf"frame 250 \(timestep 2500\), line {250 * 409 + 101}: column zu holds"):
            read_dump(path, threads=threads)


def test_blocks_bound_memory(tmp_path: Path) -> None:
    positions = np.random.default_rng(8).normal(0, 20, (60, 6, 3))
    path = write_dump(tmp_path / "a.dump", positions, ELEMENTS)
    blocks = list(iterate_dump(path, frames_per_block=25))
    assert [block.n_frames for block in blocks] == [25, 25, 10]
    assert blocks[1].timesteps[0] == 250
    np.testing.assert_array_equal(blocks[2].ids, np.arange(1, 7))
    with pytest.raises(LpsmdError, match="frames_per_block is 0, a positive number is needed"):
        iterate_dump(path, frames_per_block=0)
    with pytest.raises(LpsmdError, match="no dump file given"):
        iterate_dump([])


def test_header_that_promises_too_much(tmp_path: Path, positions: np.ndarray) -> None:
    """Counts in a header reserve nothing."""
    (tmp_path / "a.dump").write_text(good_text().replace("ATOMS\n6", "ATOMS\n4000000000000000000"))
    with pytest.raises(LpsmdError, match=r"the next frame starts after 6 of 4000000000000000000 atom lines"):
        read_dump(tmp_path / "a.dump")
    data = binary_dump(positions[:1])
    (tmp_path / "a.bin").write_bytes(with_value(data, 34, (2**62).to_bytes(8, "little")))
    with pytest.raises(LpsmdError, match=r"found 6 rows of 4611686018427387904 atoms"):
        read_dump(tmp_path / "a.bin", elements_of_types=NAMES)


# ----- flips and seams -------------------------------------------------------------------------------------


def test_flips_of_a_skewed_cell(tmp_path: Path) -> None:
    """The same lattice in other vectors, all three columns of positions: nothing moves."""
    rng = np.random.default_rng(6)
    fractions = rng.uniform(-3, 3, (6, 3)) + rng.normal(0, 0.05, (3, 6, 3)).cumsum(axis=0)
    flips = np.array(
        [[[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[1, 0, 0], [-1, 1, 0], [0, 0, 1]], [[1, 0, 0], [-1, 1, 0], [1, -1, 1]]]
    )
    cells, expected = flips @ CELLS["triclinic"], fractions @ CELLS["triclinic"]
    texts: dict[str, list[str]] = {name: [] for name in ("xu yu zu", "xsu ysu zsu", "xs ys zs ix iy iz", "x y z")}
    for step, cell in enumerate(cells):
        header, bounds = bounds_of(cell, np.zeros(3), "triclinic")
        other = expected[step] @ np.linalg.inv(cell)
        rows = column_values(other, cell, np.zeros(3), np.floor(other))
        for columns, parts in texts.items():
            names = ["id", "element", *columns.split()]
            parts.append(frame_text(step, rows, columns=names, bounds=bounds, header=header, digits=12))
    for columns, parts in texts.items():
        (tmp_path / "flip.dump").write_text("".join(parts))
        found = read_dump(tmp_path / "flip.dump", unwrap=columns == "x y z").positions_A
        start = found[0] if columns == "x y z" else expected[0]
        np.testing.assert_allclose(found - start, expected - expected[0], rtol=0, atol=UNWRAP_POSITION_A)


def test_a_cell_that_changes_too_much(tmp_path: Path) -> None:
    rows = rows_of(np.zeros((1, 3)), ["Li"])
    text = frame_text(0, rows) + frame_text(1, rows, bounds=((0.0, 10.0), (0.0, 16.0), (0.0, 10.0)))
    (tmp_path / "a.dump").write_text(text)
    with pytest.raises(
        LpsmdError,
        match=r"a\.dump, frame 1 \(timestep 1\), line 20: the cell changes from \(10 0 0\), \(0 10 0\), \(0 0 10\) to "
        r"\(10 0 0\), \(0 16 0\), .* since the frame before; .* are needed to follow atoms: write frames more often",
    ):
        read_dump(tmp_path / "a.dump")
    # a wall may go anywhere: there are no images across it
    (tmp_path / "a.dump").write_text(text.replace("pp pp pp", "pp ss pp"))
    assert read_dump(tmp_path / "a.dump").n_frames == 2
    cells = np.array([10 * np.eye(3), 16 * np.eye(3)])
    with pytest.raises(LpsmdError, match=r"here, frame 1: the cell changes from"):
        _core.unwrap("here", np.zeros((2, 1, 3)), cells, (True, True, True), nearest=True)


def seam_files(folder: Path, *texts: str) -> list[Path]:
    paths = [folder / f"{n}.dump" for n in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def test_six_digits_at_a_seam(tmp_path: Path) -> None:
    """LAMMPS' own format: an atom that a restart puts to the other side of a box of 120 rounds otherwise."""
    columns, bounds = ("id", "element", "x", "y", "z", "ix", "iy", "iz"), ((0.0, 120.0),) * 3
    sides = [("119.999", 0), ("-0.000512345", 1)]
    frames = [
        frame_text(
            5,
            [{"id": 1, "element": "Li", "x": x, "y": 1, "z": 1, "ix": n, "iy": 0, "iz": 0}],
            columns=columns,
            bounds=bounds,
        )
        for x, n in sides
    ]
    assert read_dump(seam_files(tmp_path, *frames)).repeated_frames == 1
    frames[1] = frames[1].replace("-0.000512345", "-0.0039")
    with pytest.raises(LpsmdError, match=r"moved by 0\.0029.*or the dump has too few digits.*format float %\.8f"):
        read_dump(seam_files(tmp_path, *frames[::-1]))


def test_the_cell_at_a_seam(tmp_path: Path) -> None:
    rows = rows_of(np.arange(18.0).reshape(6, 3), ELEMENTS)
    first = good_text(4)
    wider = frame_text(30, rows, bounds=((0.0, 11.0),) * 3)
    walls = frame_text(40, rows, header="pp ff pp")
    with pytest.raises(
        LpsmdError,
        match=r"1\.dump, frame 0 \(timestep 30\).*in another cell \(component x of its vector a was 10\.0+ and is 11",
    ):
        read_dump(seam_files(tmp_path, first, wider))
    with pytest.raises(
        LpsmdError,
        match=r"1\.dump, frame 0 .*periodic in x, y, z is 'yes no yes', in the frames before it was 'yes yes yes'",
    ):
        read_dump(seam_files(tmp_path, first, walls))
    tilted = "xy xz yz pp pp pp"
    before = frame_text(0, rows, header=tilted, bounds=((0.0, 15.0, 5.0), (0.0, 10.0, 0.0), (0.0, 10.0, 0.0)))
    after = frame_text(0, rows, header=tilted, bounds=((-5.0, 10.0, -5.0), (0.0, 10.0, 0.0), (0.0, 10.0, 0.0)))
    assert read_dump(seam_files(tmp_path, before, after)).repeated_frames == 1


@pytest.mark.parametrize("frames_per_block", [10**6, 3])
def test_repeats_of_long_ago_are_checked(tmp_path: Path, frames_per_block: int) -> None:
    """More than the 64 MiB that are remembered whole, in a changing cell and in blocks."""
    n_atoms, n_frames = 30000, 100
    line = "".join(f"{i + 1} Li %s 2 3\n" for i in range(n_atoms))

    def frame(step: int, x: str, width: float) -> str:
        bounds = ((0.0, width),) * 3
        return frame_text(step, [], bounds=bounds).replace("ATOMS\n0", f"ATOMS\n{n_atoms}") + line.replace("%s", x)

    first = "".join(frame(step, "1.5", 50 + 0.001 * step) for step in range(n_frames))
    for x, fine in (("1.5", True), ("1.6", False)):
        paths = seam_files(tmp_path, first, frame(0, x, 50.0) + frame(n_frames, "1.5", 50.1))
        blocks = iterate_dump(paths, frames_per_block=frames_per_block)
        if fine:
            assert sum(block.repeated_frames for block in blocks) == 1
            continue
        with pytest.raises(LpsmdError, match=r"1\.dump, frame 0 \(timestep 0\).*read before with other positions"):
            list(blocks)


# ----- pipes, and streams that keep what they are given ----------------------------------------------------


@pytest.mark.parametrize("reader", [read_dump, read_trajectory])
@pytest.mark.parametrize("kind", ["plain", "gzip", "zstd"])
def test_a_pipe_is_opened_once(tmp_path: Path, positions: np.ndarray, kind: str, reader: Callable[..., Any]) -> None:
    data = write_dump(tmp_path / "a.dump", positions, ELEMENTS).read_bytes()
    data = data if kind == "plain" else PACK[kind](data)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("wb", buffering=0) as out:
            out.write(data[:2])  # fewer bytes than tell what the file is
            time.sleep(0.05)
            out.write(data[2:])

    writer = threading.Thread(target=write)
    writer.start()
    found = reader(pipe)
    writer.join()
    np.testing.assert_allclose(found.positions_A, positions, rtol=0, atol=DUMP_POSITION_A)


@pytest.mark.parametrize("fails", [False, True])
def test_a_stream_that_keeps_its_buffer(positions: np.ndarray, tmp_path: Path, *, fails: bool) -> None:
    data = write_dump(tmp_path / "a.dump", positions, ELEMENTS).read_bytes()
    kept: list[memoryview] = []

    class Keeps:
        def __init__(self) -> None:
            self._stream = io.BytesIO(data)

        def readinto(self, target: memoryview, /) -> int:
            kept.append(target)
            if fails:
                raise OSError("gone")
            return self._stream.readinto(target)

        def close(self) -> None:
            self._stream.close()

    reader = _core.DumpReader([("here", Keeps)])
    if fails:
        with pytest.raises(OSError, match="gone"):
            reader.read()
    else:
        assert len(reader.read().timesteps) == 5
    del reader
    for view in kept:
        with pytest.raises(ValueError, match="released memoryview"):
            bytes(view)


def test_a_stream_that_does_not_block() -> None:
    class Later(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, _target: Any, /) -> None:
            return None

    with pytest.raises(LpsmdError, match=r"stream: cannot be read \(it does not wait for its data"):
        read_dump(Later())


def test_padding_and_frames_to_be_skipped(tmp_path: Path, positions: np.ndarray) -> None:
    plain = write_dump(tmp_path / "a.dump", positions, ELEMENTS)
    data, expected = plain.read_bytes(), read_dump(plain).positions_A
    skipped = (0x184D2A5F).to_bytes(4, "little") + (4).to_bytes(4, "little") + b"abcd"
    zstd = PACK["zstd"]
    packed = [
        gzip.compress(data[:999]) + bytes(200_000) + gzip.compress(data[999:]) + bytes(200_000),
        skipped + zstd(data[:999]) + skipped + zstd(data[999:]) + skipped,
    ]
    for content in packed:
        (tmp_path / "packed").write_bytes(content)
        np.testing.assert_array_equal(read_dump(tmp_path / "packed").positions_A, expected)


@pytest.mark.parametrize(("n_atoms", "threads"), [(60_000, 16), (2_000, 10**5)])
def test_memory_of_reading_ahead(tmp_path: Path, n_atoms: int, threads: int) -> None:
    """Frames of several MB, and any number of threads: beyond the trajectory, what is stated and some frames."""
    lines = "".join(f"{i + 1} Li 11.12345678 2.12345678 3.12345678\n" for i in range(n_atoms))
    path = tmp_path / "a.dump"
    n_frames = 40 * 60_000 // n_atoms
    with path.open("w") as out:
        for step in range(n_frames):
            out.write(frame_text(step, []).replace("ATOMS\n0", f"ATOMS\n{n_atoms}") + lines)
    code = (
        "import resource, sys\n"
        "from lpsmd.analysis import read_dump\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak()\n"
        f"found = read_dump(sys.argv[1], threads={threads}, ids=[1])\n"
        "print(peak() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert float(done.stdout) < READ_AHEAD_MIB


# ----- selections, errors and readers at their edges -------------------------------------------------------


def test_empty_selections_are_refused(typed: Path) -> None:
    for what in ("species", "types", "ids"):
        with pytest.raises(LpsmdError, match=rf"{what} is empty, at least one .* is needed, or None for all"):
            read_dump(typed, **{what: []})
    with pytest.raises(LpsmdError, match=r"ids is \[1\.5\], whole numbers are needed"):
        read_dump(typed, ids=[1.5])
    options: dict[str, Any] = {"species": np.array(["P", "S"]), "types": np.int64(3)}
    assert read_dump(typed, **options).n_frames == 5
    assert read_dump(typed, **options).elements == ("S", "S")


def test_elements_that_contradict(typed: Path) -> None:
    for names in (["Na", "P", "S", "Cl"], ["Cl", "P", "S", "Li"]):
        with pytest.raises(
            LpsmdError, match=r"line 10: type 1 is 'Li' in column element and was named '\w+'; one element is needed"
        ):
            read_dump(typed, elements_of_types=names)


@pytest.mark.parametrize("order", ["<", ">"])
def test_byte_orders(tmp_path: Path, order: str) -> None:
    data = struct.pack(order + "q", -10) + b"DUMPCUSTOM" + struct.pack(order + "iiqq", 1, 2, 0, 9) + bytes(99)
    (tmp_path / "a.bin").write_bytes(data)
    message = "another byte order; convert it there" if order == ">" else "the box is empty in x"
    with pytest.raises(LpsmdError, match=rf"a\.bin, frame 0.*{message}"):
        read_dump(tmp_path / "a.bin", elements_of_types=NAMES)


def test_a_packed_dump_cut_between_frames(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    packer = zlib.compressobj(wbits=31)
    data = packer.compress(good_text().encode()) + packer.flush(zlib.Z_FULL_FLUSH)
    (tmp_path / "a.gz").write_bytes(data)
    found = read_dump(tmp_path / "a.gz", drop_truncated=True)
    assert (found.n_frames, found.truncated_frames) == (3, 0)
    assert re.search(r"a\.gz: the gzip data are cut short .*what came behind is lost", caplog.text)


def test_a_reader_that_failed_goes_no_further(tmp_path: Path) -> None:
    path = tmp_path / "a.dump"
    path.write_text(
        good_text(2) + good_text(1).replace("TIMESTEP\n0", "TIMESTEP\n5") + good_text(5)[len(good_text(4)) :]
    )
    reader = _core.DumpReader([(str(path), None)])
    with pytest.raises(LpsmdError, match="time goes backwards"):
        reader.read()
    with pytest.raises(LpsmdError, match=r"a\.dump: reading it failed before and cannot go on"):
        reader.read()


def test_a_reader_is_for_one_thread(tmp_path: Path) -> None:
    inside, leave = threading.Event(), threading.Event()

    class Slow(io.BytesIO):
        def readinto(self, target: Any, /) -> int:
            inside.set()
            leave.wait(10)
            return super().readinto(target)

    reader = _core.DumpReader([("slow", lambda: Slow(good_text().encode()))])
    other = threading.Thread(target=reader.read)
    other.start()
    inside.wait(10)
    with pytest.raises(LpsmdError, match=r"slow: is being read by another thread"):
        reader.read()
    leave.set()
    other.join()


def test_timesteps_whose_differences_are_no_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.dump").write_text(good_text().replace("TIMESTEP\n0", f"TIMESTEP\n{-(2**63)}"))
    with pytest.raises(LpsmdError, match=r"the timestep is -9223372036854775808, one between -2\^62 and 2\^62"):
        read_dump(tmp_path / "a.dump")
