"""What the commands that hold models against labelled frames share: options, progress, tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click

from lpsmd.cli._dumps import TABLES, check_out, write_out

Command = TypeVar("Command", bound=Callable[..., Any])

_ON_LABELS = (
    click.option(
        "--part",
        type=click.Choice(["train", "validation", "test"]),
        help="Of the split, the key part of the frames. [default: all frames, the model's own training among them]",
    ),
    click.option("--device", default="cpu", show_default=True, help="Where to run: cpu, cuda, cuda:1, ..."),
)
_RESULT = (
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
    click.option(
        "--out", multiple=True, type=click.Path(path_type=Path), help="Result, .json or .csv; may be repeated."
    ),
)


def on_labels(command: Command) -> Command:
    """Give a command the options of an evaluation on labelled frames."""
    return _with_options(command, (*_ON_LABELS, *_RESULT))


def with_result(command: Command) -> Command:
    """Give a command the options of what `show` shows."""
    return _with_options(command, _RESULT)


def _with_options(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    return reduce(lambda inner, option: option(inner), reversed(options), command)


@dataclass(frozen=True, kw_only=True)
class Table:
    """How a result is shown: header and number format of each key, what makes its rows, the line below."""

    columns: Mapping[str, tuple[str, Callable[[Any], str]]]
    rows: Callable[[Mapping[str, Any]], Iterator[dict[str, Any]]]
    below: str


@contextmanager
def evaluating(out: Sequence[Path]) -> Iterator[Callable[[int, int], None]]:
    """A bar over evaluations on a terminal; names of results that could not be written are refused before."""
    from rich.console import Console
    from rich.progress import Progress

    check_out("--out", out, TABLES)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("frames", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def which(found: Mapping[str, Any]) -> str:
    """Which frames a result is of, in words."""
    frames = f"{found['frames']} frames"
    groups = f" in {found['groups']} groups" if "groups" in found else ""
    return f"{frames}{groups} of {'all parts' if found['part'] is None else 'the part ' + found['part']}"


def show(table: Table, found: Mapping[str, Any], *, title: str, as_json: bool, out: Sequence[Path]) -> None:
    """Print a result and write it into files."""
    from rich.console import Console
    from rich.table import Table as RichTable

    rows = list(table.rows(found))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo(title)
        shown = RichTable(box=None, pad_edge=False)
        shown.add_column("of", no_wrap=True)
        for header, _ in table.columns.values():
            shown.add_column(header, justify="right", no_wrap=True)
        for row in rows:
            shown.add_row(row["of"], *(_cell(row.get(key), text) for key, (_, text) in table.columns.items()))
        Console().print(shown)
        click.echo(table.below)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    write_out(out, values=lambda: found, columns=columns, rows=[dict.fromkeys(columns) | row for row in rows])


def _cell(value: Any, text: Callable[[Any], str]) -> str:
    return "-" if value is None else text(value)


def _milli(value: float) -> str:
    return f"{1e3 * value:.1f}"


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if not isinstance(value, dict)}


def _error_rows(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"of": "all", **_flat(found)}
    for name, values in found["by_element"].items():
        yield {"of": name, **values}
    for formula, values in found.get("by_composition", {}).items():
        yield {"of": formula, **values}
    for key, region in found["by_region"].items():
        for value, values in region.items():
            yield {"of": f"{key} {value}", **values}


def _difference_rows(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    from lpsmd.models.accuracy import RESOLVED_R2

    for name, values in {"all": _flat(found), **found["by_element"]}.items():
        resolved = None if values["r2"] is None else values["r2"] >= RESOLVED_R2
        yield {"of": name, **values, "resolved": resolved}


def _model_rows(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for row in found["models"]:
        of_elements = [value for key, value in row.items() if key.endswith("_r2") and value is not None]
        yield {"of": Path(row["model"]).stem, **row, "least_r2": min(of_elements, default=None)}


ERRORS = Table(
    columns={
        "frames": ("frames", str),
        "force_rms_eV_per_A": ("forces", _milli),
        "zero_force_rms_eV_per_A": ("of zero", _milli),
        "energy_rms_eV_per_atom": ("energy", _milli),
        "energy_rms_after_constant_shift_eV_per_atom": ("shifted", _milli),
        "mean_energy_rms_eV_per_atom": ("of mean", _milli),
    },
    rows=_error_rows,
    below="rms errors of forces in meV/Angstrom, of energies in meV/atom",
)

DIFFERENCE = Table(
    columns={
        "difference_rms_eV_per_A": ("difference", _milli),
        "error_rms_eV_per_A": ("error", _milli),
        "scaled_error_rms_eV_per_A": ("scaled", _milli),
        "r2": ("R^2", "{:.4f}".format),
        "r2_error": ("+-", "{:.4f}".format),
        "resolved": ("resolved", lambda value: "yes" if value else "no"),
    },
    rows=_difference_rows,
    below="difference, error, and error of scaled forces of the first functional: rms in meV/Angstrom",
)


def of_models(found: Mapping[str, Any]) -> Table:
    """How the errors of several models are shown, a line each."""
    ending = "_force_rms_eV_per_A"
    names = dict.fromkeys(key.removesuffix(ending) for row in found["models"] for key in row if key.endswith(ending))
    elements = [name for name in names if name != "region"]
    _, _, value = found["region"].partition("=")
    return Table(
        columns={
            "force_rms_eV_per_A": ("F", _milli),
            **{f"{element}{ending}": (element, _milli) for element in elements},
            "energy_rms_eV_per_atom": ("E", _milli),
            f"region{ending}": (f"F {value}", _milli),
            "region_energy_rms_eV_per_atom": (f"E {value}", _milli),
            "r2": ("R^2", "{:.3f}".format),
            "least_r2": ("least", "{:.3f}".format),
        },
        rows=_model_rows,
        below=(
            f"F: rms errors of forces in meV/Angstrom, of all atoms and by element; E: of energies in meV/atom;\n"
            f"{value}: on frames with {found['region']}\n"
            f"R^2: of the difference from the parent's functional, of all atoms, and the least of an element"
        ),
    )
