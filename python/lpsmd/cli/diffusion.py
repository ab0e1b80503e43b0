"""`lpsmd diffusion`: D of any dumps, with its interval and a verdict."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from lpsmd.cli._dumps import PLOTS, TABLES, Dumps, check_out, dump_options, reading, write_out
from lpsmd.errors import LpsmdError

if TYPE_CHECKING:
    from lpsmd.analysis import Diffusion, FrameworkOptions, Msd


@click.command()
@dump_options
@click.option(
    "--fit",
    default="auto",
    show_default=True,
    metavar="auto|7:35|10%:50%",
    help="Fit window in ps or in per cent of the length; auto starts where the MSD is straight.",
)
@click.option(
    "--estimator",
    type=click.Choice(["brownian", "gls", "wls-ice", "bootstrap", "ols"]),
    default="brownian",
    show_default=True,
    help="See docs/estimators.md; ols is for comparison only.",
)
@click.option("--confidence", type=float, default=0.95, show_default=True, help="Of every interval.")
@click.option("--hop-distance-A", "hop_distance_A", type=float, default=2.9, show_default=True, help="Of one hop.")
@click.option(
    "--framework",
    default="auto",
    show_default=True,
    metavar="auto|none|P-S:4",
    help="Bonds that must hold: centre-neighbour:number; auto checks PS4 where P and S are there.",
)
@click.option("--temperature-K", "temperature_K", type=float, help="Of the runs: gives the conductivities.")
@click.option("--charge", "charge_e", type=float, default=1.0, show_default=True, help="Of an ion, in e.")
@click.option("--target-error", type=float, metavar="0.01", help="Say what this relative error would need.")
@click.option("--out", multiple=True, type=click.Path(path_type=Path), help="Result, .json or .csv; may be repeated.")
@click.option("--msd-out", type=click.Path(path_type=Path), help="Table of the MSD, .csv.")
@click.option("--plot", type=click.Path(path_type=Path), help="MSD, exponent, D(window), replicas: .png, .pdf, .svg.")
def diffusion(
    dumps: Dumps,
    species: str,
    timestep_fs: float | None,
    drift: str,
    processes: int | None,
    fit: str,
    estimator: str,
    confidence: float,
    hop_distance_A: float,
    framework: str,
    temperature_K: float | None,
    charge_e: float,
    target_error: float | None,
    out: tuple[Path, ...],
    msd_out: Path | None,
    plot: Path | None,
) -> None:
    r"""Diffusion coefficient of replicas, or of one trajectory, with its interval and a verdict.

    DUMPS are as for `lpsmd msd`: one file, or one folder of chunks, for each replica. The error comes from the spread
    of the replicas; a single trajectory is cut into blocks. A verdict stands beside every D: `diffusive`, `not yet
    diffusive`, `too few events`, `too short to judge`, `framework broken`.

    \b
    Examples:
      lpsmd diffusion 'runs/*/msd.dump' --timestep-fs 2 --temperature-K 500 --out d500.json --plot d500.png
      lpsmd diffusion 'runs/*/msd.dump' --timestep-fs 2 --fit 7:35 --target-error 0.01
      lpsmd diffusion run*.XDATCAR.gz --one-trajectory --frame-interval-fs 100 --framework none
      lpsmd arrhenius d500.json d600.json d700.json --at 300
    """
    from lpsmd.analysis import MSD_COLUMNS, ModelResult, analyse_replicas, msd_rows, save_diffusion_plot, write_csv
    from lpsmd.analysis.conductivity import check_conditions
    from lpsmd.analysis.summary import summarise, summary_lines, summary_row, summary_to_dict

    check_out("--out", out, TABLES)
    check_out("--msd-out", [msd_out], [".csv"])
    check_out("--plot", [plot], PLOTS)
    check_conditions(temperature_K=temperature_K, charge_e=charge_e)
    if target_error is not None and not target_error > 0.0:
        raise LpsmdError(f"--target-error {target_error:g}: a part of D is needed, as 0.01")
    options = _options(fit, estimator=estimator, confidence=confidence, hop_distance_A=hop_distance_A)
    with reading(len(dumps.replicas)) as on_replica:
        found = analyse_replicas(
            dumps.replicas,
            species=species,
            timestep_fs=timestep_fs,
            drift=drift,  # type: ignore[arg-type]
            options=options,
            framework=_framework(framework),
            read=dumps.read,
            processes=processes,
            on_replica=on_replica,
        )
    summary = summarise(
        found.msds,
        found.diffusion,
        temperature_K=temperature_K,
        charge_e=charge_e,
        target_relative_error=target_error,
    )
    for line in summary_lines(summary):
        click.echo(line)
    row = summary_row(summary)

    def values() -> dict[str, Any]:
        return {**summary_to_dict(summary), **_curves(found.msds, found.diffusion), "replicas": dumps.replicas}

    write_out(out, values=values, columns=list(row), rows=[row])
    if msd_out is not None:
        write_csv(msd_out, MSD_COLUMNS, msd_rows(found.msds, structures=found.diffusion.structures))
    if plot is not None:
        result = ModelResult(label=species, msds=found.msds, diffusion=found.diffusion)
        title = species if temperature_K is None else f"{species}, {temperature_K:g} K"
        save_diffusion_plot(plot, result, title=title)
        click.echo(f"{plot} written", err=True)


def _curves(msds: Sequence[Msd], found: Diffusion) -> dict[str, Any]:
    """What the plot shows beside the MSD: the local exponent over time, and D over the start of the window."""
    from lpsmd.analysis import local_exponent, mean_over_replicas, window_scan

    mean, _ = mean_over_replicas(msds, structures=found.structures)
    time_ps, exponent = local_exponent(msds[0].time_ps, mean)
    start_ps, D, stderr = window_scan(msds, found.options, structures=found.structures)
    return {
        "local_exponent": {"time_ps": time_ps.tolist(), "exponent": exponent.tolist()},
        "window_scan": {
            "fit_start_ps": start_ps.tolist(),
            "D_cm2_per_s": D.tolist(),
            "D_stderr_cm2_per_s": stderr.tolist() if len(msds) > 1 else None,
            "verdict": str(found.verdict),
        },
    }


def _options(fit: str, **others: Any) -> Any:
    """`DiffusionOptions` with the window that --fit asks for.

    Raises
    ------
    LpsmdError
        If it is none of the forms known.
    """
    from lpsmd.analysis import DiffusionOptions

    if fit == "auto":
        return DiffusionOptions(**others)
    numbers = re.fullmatch(r"([0-9.]+)(%?):([0-9.]+)(%?)", fit)
    if numbers is None or numbers[2] != numbers[4]:
        raise LpsmdError(f"--fit {fit}: a window is needed as 7:35 (ps), 10%:50% (of the length), or auto")
    try:
        start, end = float(numbers[1]), float(numbers[3])
    except ValueError as error:
        raise LpsmdError(f"--fit {fit}: two numbers are needed, as 7:35") from error
    if numbers[2]:
        return DiffusionOptions.fixed(start / 100.0, end / 100.0, **others)
    return DiffusionOptions(fit_ps=(start, end), **others)


def _framework(text: str) -> FrameworkOptions | Literal["auto"] | None:
    """What --framework asks for.

    Raises
    ------
    LpsmdError
        If it is none of the forms known.
    """
    from lpsmd.analysis import FrameworkOptions

    if text == "auto":
        return "auto"
    if text == "none":
        return None
    named = re.fullmatch(r"([A-Z][a-z]?)-([A-Z][a-z]?):([1-9]\d*)", text)
    if named is None:
        raise LpsmdError(f"--framework {text}: centre, neighbour and their number are needed, as P-S:4; or auto, none")
    return FrameworkOptions(species=named[1], bond=(named[1], named[2]), coordination=int(named[3]))
