"""`lpsmd arrhenius`: activation energy from coefficients at several temperatures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lpsmd.cli._dumps import PLOTS, TABLES, check_out, write_out


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--at", "at_K", type=float, multiple=True, metavar="300", help="Temperature in K; may be repeated.")
@click.option("--include-all", is_flag=True, help="Fit points whatever their verdict.")
@click.option("--confidence", type=float, default=0.95, show_default=True, help="Of every interval.")
@click.option("--out", multiple=True, type=click.Path(path_type=Path), help="Result, .json or .csv; may be repeated.")
@click.option("--plot", type=click.Path(path_type=Path), help="D over 1/T with the error band: .png, .pdf, .svg.")
def arrhenius(
    results: tuple[Path, ...],
    at_K: tuple[float, ...],
    include_all: bool,
    confidence: float,
    out: tuple[Path, ...],
    plot: Path | None,
) -> None:
    r"""Activation energy and prefactor with their joint covariance, and D at other temperatures.

    RESULTS are JSON files of `lpsmd diffusion --temperature-K T --out FILE.json`. Points whose verdict is not
    `diffusive` are shown and left out, unless --include-all.

    \b
    Example:
      lpsmd arrhenius d500.json d600.json d700.json --at 300 --plot arrhenius.png --out arrhenius.json
    """
    from lpsmd.analysis import arrhenius_fit, arrhenius_to_dict, read_arrhenius_point, save_arrhenius_plot

    check_out("--out", out, TABLES)
    check_out("--plot", [plot], PLOTS)
    points = [read_arrhenius_point(path) for path in results]
    fit = arrhenius_fit(points, include_all=include_all, confidence=confidence)
    predictions = [fit.extrapolate(temperature_K) for temperature_K in at_K]
    click.echo(str(fit))
    for point in fit.left_out:
        click.echo(f"left out: {point.label} ({point.temperature_K:g} K): {point.verdict}")
    for prediction in predictions:
        click.echo(str(prediction))
    values = arrhenius_to_dict(fit)
    scalars = {name: value for name, value in values.items() if isinstance(value, (int, float, str)) or value is None}
    rows = [{**point, **scalars} for point in values["points"]]

    def everything() -> dict[str, Any]:
        shown = [
            {
                "temperature_K": prediction.temperature_K,
                "D_cm2_per_s": prediction.D_cm2_per_s,
                "low_cm2_per_s": prediction.low_cm2_per_s,
                "high_cm2_per_s": prediction.high_cm2_per_s,
                "text": str(prediction),
            }
            for prediction in predictions
        ]
        return {**values, "predictions": shown}

    write_out(out, values=everything, columns=list(rows[0]), rows=rows)
    if plot is not None:
        save_arrhenius_plot(plot, fit, at_K=at_K)
        click.echo(f"{plot} written", err=True)
