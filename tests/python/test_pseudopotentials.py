"""Pseudopotentials from CP2K's data file in the format that pw.x reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lpsmd.labels import LabelError
from lpsmd.labels import pseudopotentials as gth
from lpsmd.labels.recipe import SHIPPED_RECIPE, read_recipe
from support.labels import POTENTIALS

SULFUR = """\
S GTH-PBE-q6 (CP2K's data file, converted by lpsmd)
16 6 010100  zatom, zion, pspdat
10 11 1 0 2002 0  pspcod, pspxc, lmax, lloc, mmax, r2well
0.42011499303898 1 -5.97478038621959
2
0.36482480920276 2 13.14466044740433 -4.24182995427252
5.47617796846414
0.40947908948436 1 3.70086987060604
0.0
"""


def as_pw_reads(text: str) -> tuple[list[float], list[tuple[float, list[list[float]]]]]:
    """Local part and channels, as the Fortran of pw.x reads them: list-directed, each `read` from a new line."""
    lines = iter(text.splitlines()[2:])

    def read() -> list[float]:
        return [float(word) for word in re.split(r"[ ,]+", next(lines)) if re.match(r"[-+.0-9]", word)]

    lmax = int(read()[2])
    r_loc, n_local, *local = read()
    assert len(local) == n_local
    read()
    channels = []
    for l in range(lmax + 1):  # noqa: E741
        radius, n, *first = read()
        rows = [first] + [read() for _ in range(1, int(n))] if n else []
        assert [len(row) for row in rows] == list(range(int(n), 0, -1))
        if l > 0:
            assert [read() for _ in rows] == [[0.0] * len(row) for row in rows]
        channels.append((radius, rows))
    assert list(lines) == []
    return [r_loc, *local], channels


def test_sulfur_to_the_letter() -> None:
    assert gth.qe_text(gth.read_potential(POTENTIALS, element="S", name="GTH-PBE-q6")) == SULFUR


def test_three_projectors_and_three_channels() -> None:
    text = gth.qe_text(gth.read_potential(POTENTIALS, element="Ti", name="GTH-PBE-q4"))
    local, channels = as_pw_reads(text)
    assert local == [0.72849445069575]
    assert channels == [
        (
            0.53876219749444,
            [
                [1.79427386645362, -0.58036244719163, 0.86213743651012],
                [1.64506524494836, -2.31298147811530],
                [3.71228196294835],
            ],
        ),
        (0.78078513892929, [[0.99713629932609, -0.04672827160028], [0.32080049030590]]),
        (0.40814178518960, [[-4.75486526231710]]),
    ]


def test_without_projectors_one_empty_channel_is_written() -> None:
    local, channels = as_pw_reads(gth.qe_text(gth.read_potential(POTENTIALS, element="H", name="GTH-PBE-q1")))
    assert local == [0.20059317301776, -4.17806832477260, 0.72440924243368]
    assert [rows for _, rows in channels] == [[]]


def test_all_elements_of_the_shipped_recipe() -> None:
    recipe = read_recipe(SHIPPED_RECIPE)
    files = gth.pseudopotential_files(recipe.pseudopotentials, data_file=POTENTIALS)
    assert sorted(files) == ["Cl-q7.gth", "Li-q1.gth", "P-q5.gth", "S-q6.gth"]
    for text in files.values():
        as_pw_reads(text)


def test_a_name_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(LabelError, match=r"found no GTH-PBE-q2 for Li, it has GTH-PBE-q1, GTH-PBE-q3; change"):
        gth.read_potential(POTENTIALS, element="Li", name="GTH-PBE-q2")
    with pytest.raises(LabelError, match=r"found no GTH-PBE-q8 for Ar, nor any GTH-PBE-q"):
        gth.read_potential(POTENTIALS, element="Ar", name="GTH-PBE-q8")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            ("    2    4    0    0\n", "    2    3    0    0\n"),
            "found 5 valence electrons, needed as many as the name says",
        ),
        (("3.70086987060604\n", "\n"), "damaged: could not convert string to float"),
        (
            ("    0.36482480920276       2", "    0.36482480920276       4"),
            "damaged: could not convert string to float",
        ),
        (("    0.42011499303898       1", "    0.42011499303898     one"), "could not convert string to float: 'one'"),
    ],
)
def test_damaged_entries_are_refused(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    text = POTENTIALS.read_text()
    start = text.index("S  GTH-PBE")
    entry = text[start : text.index("Cl GTH")]
    assert change[0] in entry
    (tmp_path / "POTENTIAL_UZH").write_text(text.replace(entry, entry.replace(*change)))
    with pytest.raises(LabelError, match=re.escape(says)):
        gth.read_potential(tmp_path / "POTENTIAL_UZH", element="S", name="GTH-PBE-q6")


def test_more_projectors_than_pw_takes_are_refused(tmp_path: Path) -> None:
    entry = "X GTH-PBE-q1\n 1\n 0.4 0\n 3\n 0.5 0\n 0.5 0\n 0.5 3 1 2 3 4 5 6\n".replace("X", "Li")
    (tmp_path / "file").write_text(entry)
    with pytest.raises(
        LabelError, match=r"found 0 local coefficients and \[0, 0, 3\] projectors, pw.x takes at most 4"
    ):
        gth.read_potential(tmp_path / "file", element="Li", name="GTH-PBE-q1")


def test_the_data_file_is_looked_for_where_cp2k_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "POTENTIAL_UZH").write_text("")
    monkeypatch.setenv("CP2K_DATA_DIR", str(tmp_path))
    assert gth.find_data_file() == tmp_path / "POTENTIAL_UZH"
    monkeypatch.delenv("CP2K_DATA_DIR")
    monkeypatch.setattr(gth, "_FOLDERS", (tmp_path / "nowhere",))
    with pytest.raises(LabelError, match="apt install cp2k-data"):
        gth.find_data_file()
    with pytest.raises(LabelError, match="found no file of pseudopotentials, needed CP2K's POTENTIAL_UZH"):
        gth.find_data_file(tmp_path / "missing")
