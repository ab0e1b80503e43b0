"""`lpsmd export`, and `lpsmd model` with show, check, errors, difference and table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lpsmd.cli._accuracy import on_labels, with_result

if TYPE_CHECKING:
    from ase import Atoms

    from lpsmd.models.contract import Passport


#: Greatest width of a column where several stand side by side.
_CELL = 16


@click.command()
@click.argument("architecture", type=click.Choice(["nequip", "mace", "deepmd"]))
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Model file to write.")
@click.option("--functional", required=True, help="Exchange-correlation functional of the labels, for example PBE.")
@click.option(
    "--reference",
    required=True,
    type=click.Path(path_type=Path),
    help="Frame for the self-test (extxyz or anything ASE reads; the first frame of the file).",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    default="float32",
    show_default=True,
    help="Inner precision of the program.",
)
@click.option(
    "--training-record",
    type=click.Path(path_type=Path),
    help="JSON object for the passport: set hash, held-out errors, ...",
)
@click.option(
    "--training-seed", type=click.IntRange(min=0), help="Seed of the training; studies tell models apart by it."
)
@click.option(
    "--stress-labels/--no-stress-labels",
    default=None,
    help="Whether the labels had a stress; without one, constant-pressure runs come with a warning.",
)
@click.option("--description", default="", help="Free text for the passport.")
def export(
    architecture: str,
    checkpoint: Path,
    output: Path,
    functional: str,
    reference: Path,
    dtype: str,
    training_record: Path | None,
    training_seed: int | None,
    stress_labels: bool | None,
    description: str,
) -> None:
    """Write a model file from a trained CHECKPOINT. Runs in the environment of the trainer."""
    from lpsmd.models.export import export_model, read_training_record

    training = {} if training_record is None else read_training_record(training_record)
    told = {"seed": training_seed, "stress_labels": stress_labels}
    training.update({key: value for key, value in told.items() if value is not None})
    result = export_model(
        architecture,
        checkpoint,
        output,
        functional=functional,
        reference=_first_frame(reference),
        dtype=dtype,
        training=training,
        description=description,
    )
    click.echo(
        f"{output}: {output.stat().st_size / 1e3:.0f} kB, reproduces its reference within "
        f"{result.force_eV_per_A:.1e} eV/Angstrom and {result.energy_eV_per_atom:.1e} eV/atom"
    )


@click.group()
def model() -> None:
    """Look at model files, and hold them against labels."""


@model.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the whole passport as JSON.")
def show(file: Path, as_json: bool) -> None:
    """Print the passport of a model FILE."""
    from lpsmd.models.contract import read_passport

    passport = read_passport(file)
    click.echo(json.dumps(passport.to_dict(), indent=2) if as_json else _describe(file, passport))


@model.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--device", default="cpu", show_default=True, help="Where to run: cpu, cuda, cuda:1, ...")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def check(file: Path, device: str, as_json: bool) -> None:
    """Run the reference frame of a model FILE; exit code 0 if it passes, 1 if not."""
    from lpsmd.models.evaluate import self_test

    result = self_test(file, device=device)
    limit = result.tolerance
    rows = [
        ("energy", result.energy_eV_per_atom, limit.energy_eV_per_atom, "eV/atom"),
        ("forces", result.force_eV_per_A, limit.force_eV_per_A, "eV/Angstrom"),
        ("virial", result.virial_eV_per_atom, limit.energy_eV_per_atom, "eV/atom"),
    ]
    if as_json:
        click.echo(
            json.dumps(
                {
                    "passed": result.passed,
                    "differences": {
                        name: {"largest": found, "allowed": allowed, "unit": unit}
                        for name, found, allowed, unit in rows
                    },
                },
                indent=2,
            )
        )
    else:
        for name, found, allowed, unit in rows:
            click.echo(f"  {name}  largest difference {found:.2e}, allowed {allowed:.0e} {unit}")
        click.echo(f"{file}: {'pass' if result.passed else 'FAIL'}")
    raise SystemExit(0 if result.passed else 1)


@model.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("frames", type=click.Path(path_type=Path))
@on_labels
def errors(file: Path, frames: Path, part: str | None, device: str, as_json: bool, out: tuple[Path, ...]) -> None:
    r"""Errors of a model FILE on labelled FRAMES, by element and region (temperature, disorder, volume).

    FRAMES has energies and forces of the model's functional, as `lpsmd label` and `lpsmd dataset import` write them.
    Beside the rms error of the forces stands that of predicting no force, beside that of the energies the one that is
    left after the best constant shift of each composition, and that of predicting its mean.

    \b
      lpsmd model errors nequip_pbe.pt labels/pbe.extxyz
      lpsmd model errors nequip_pbe.pt set/pbe.extxyz --part test --out errors.csv
    """
    from lpsmd.cli import _accuracy
    from lpsmd.models.labelled import errors_of_model

    with _accuracy.evaluating(out) as on_frame:
        found = errors_of_model(file, frames, part=part, device=device, on_frame=on_frame)
    title = f"{file} on {frames}, {_accuracy.which(found)}"
    _accuracy.show(_accuracy.ERRORS, found, title=title, as_json=as_json, out=out)


@model.command()
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@on_labels
def difference(
    base: Path, other: Path, folder: Path, part: str | None, device: str, as_json: bool, out: tuple[Path, ...]
) -> None:
    r"""What two models resolve of the difference of two functionals, such as F_HSE06 - F_PBE.

    BASE and OTHER are model files of two functionals, FOLDER has pbe.extxyz and hse06.extxyz with the same frames.
    Beside the rms error of the predicted difference stands that of predicting none, which is the difference itself,
    and, with --part, that of scaling the forces of BASE by one factor that fits the part train. R^2 is what the models
    explain of the squared difference, with its standard error over starts of dynamics; below 0.5 the functional is not
    resolved.

    \b
      lpsmd model difference nequip_pbe.pt nequip_hse06.pt set --part test
    """
    from lpsmd.cli import _accuracy
    from lpsmd.models.labelled import difference_of_models

    with _accuracy.evaluating(out) as on_frame:
        found = difference_of_models(base, other, folder, part=part, device=device, on_frame=on_frame)
    title = f"F_{found['other']} - F_{found['base']} of {base} and {other} on {folder}, {_accuracy.which(found)}"
    _accuracy.show(_accuracy.DIFFERENCE, found, title=title, as_json=as_json, out=out)


@model.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--region",
    default="temperature_K=900",
    show_default=True,
    metavar="KEY=VALUE",
    help="Held-out frames to tell apart: kind, temperature_K, inversion or volume_strain.",
)
@with_result
def table(files: tuple[Path, ...], region: str, as_json: bool, out: tuple[Path, ...]) -> None:
    r"""Errors of model FILES side by side, as their passports tell them.

    Nothing is evaluated: they are the errors on the held-out frames of each training (`lpsmd train`). For other frames,
    in extended XYZ, there is `lpsmd model errors`.

    \b
      lpsmd model table models/*.pt
      lpsmd model table models/*.pt --region kind=md --out errors.csv
    """
    from lpsmd.cli import _accuracy
    from lpsmd.cli._dumps import TABLES, check_out
    from lpsmd.models.contract import read_passport
    from lpsmd.models.told import told_errors

    check_out("--out", out, TABLES)
    found = {"region": region, "models": told_errors({file: read_passport(file) for file in files}, region)}
    title = f"{len(found['models'])} models: errors on held-out frames, from their passports"
    _accuracy.show(_accuracy.of_models(found), found, title=title, as_json=as_json, out=out)


def _first_frame(path: Path) -> Atoms:
    """The first frame of a structure file."""
    import ase.io

    from lpsmd.models.contract import ModelFileError

    try:
        frame = ase.io.read(path, index=0)
    except Exception as error:  # ASE's readers raise anything
        raise ModelFileError(f"{path}: the reference frame cannot be read: {error}") from error
    if isinstance(frame, list):
        raise ModelFileError(f"{path}: found {len(frame)} frames, needed one")
    return frame


def _describe(file: Path, passport: Passport) -> str:
    """The passport as a reader wants it; the whole of it is in --json."""
    frame = passport.reference
    reach = "its own neighbours only" if passport.local else f"{passport.layers} message-passing layers"
    lines = [
        (str(file), passport.architecture),
        ("elements", " ".join(passport.type_names)),
        ("functional", passport.functional),
        ("cutoff", f"{passport.cutoff_A:g} Angstrom; an atom's energy sees {reach}"),
        ("precision", passport.dtype),
    ]
    if passport.pair_cutoff_A is not None:
        rows = "; ".join(" ".join(f"{length:g}" for length in row) for row in passport.pair_cutoff_A)
        lines.append(("pair cutoffs", rows + " Angstrom"))
    if passport.max_neighbors is not None:
        pairs = zip(passport.type_names, passport.max_neighbors, strict=True)
        lines.append(("at most", " ".join(f"{name} {limit}" for name, limit in pairs) + " neighbours"))
    lines.append(("reference", f"{len(frame.types)} atoms, {frame.energy_eV:.6f} eV, {frame.source}"))
    if passport.description:
        lines.append(("description", passport.description))
    lines += _flatten("training", passport.training)
    width = max(len(key) for key, _ in lines)
    return "\n".join(f"{key:<{width}}  {value}" for key, value in lines)


def _flatten(prefix: str, value: Any) -> list[tuple[str, str]]:
    """Nested JSON as dotted keys."""
    if isinstance(value, Mapping):
        return [row for key, inner in value.items() for row in _flatten(f"{prefix}.{key}", inner)]
    if isinstance(value, (list, tuple)) and value and all(isinstance(entry, Mapping) for entry in value):
        return _side_by_side(prefix, value)
    return [(prefix, _cell(value))]


def _side_by_side(prefix: str, entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """A row for each key, a column for each entry; of long values, such as hashes, the beginning."""
    rows = {
        key: [_cell(entry[key])[:_CELL] if key in entry else "-" for entry in entries]
        for key in dict.fromkeys(key for entry in entries for key in entry)
    }
    widths = [max(map(len, column)) for column in zip(*rows.values(), strict=True)]
    return [
        (f"{prefix}.{key}", "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
        for key, row in rows.items()
    ]


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
