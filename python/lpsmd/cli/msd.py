"""`lpsmd msd`: mean squared displacements of any dumps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lpsmd.cli._dumps import TABLES, Dumps, check_out, dump_options, reading, write_out
from lpsmd.errors import LpsmdError

if TYPE_CHECKING:
    from lpsmd.analysis import Msd


@click.command()
@dump_options
@click.option(
    "--max-lag",
    "max_lag_fraction",
    type=float,
    default=0.5,
    show_default=True,
    help="Longest lag, as a part of the trajectory.",
)
@click.option(
    "--stream-to-ps",
    "longest_lag_ps",
    type=float,
    help="For trajectories that do not fit into memory: log-spaced lags up to this one, from blocks of frames.",
)
@click.option(
    "--out", multiple=True, type=click.Path(path_type=Path), help="Table to write, .csv or .json; may be repeated."
)
def msd(
    dumps: Dumps,
    species: str,
    timestep_fs: float | None,
    drift: str,
    processes: int | None,
    max_lag_fraction: float,
    longest_lag_ps: float | None,
    out: tuple[Path, ...],
) -> None:
    r"""Mean squared displacement over all time origins, averaged over replicas.

    DUMPS are LAMMPS custom dumps (text or binary, plain, gzip or zstd), one for each replica; patterns in quotes are
    expanded, a folder is one replica with its dumps in order. XTC, TRR, DCD, H5MD, NetCDF, XDATCAR and extended XYZ
    are read too.

    \b
    Examples:
      lpsmd msd 'runs/*/msd.dump' --species Li --timestep-fs 2 --out msd.csv
      lpsmd msd chunk.*.dump.gz --one-trajectory --timestep-fs 2 --drift com
      lpsmd msd huge.dump --timestep-fs 1 --stream-to-ps 200 --out msd.csv
      lpsmd msd run1.XDATCAR run2.XDATCAR --one-trajectory --frame-interval-fs 100

    The table: time_ps, msd_A2 and its standard error over replicas msd_stderr_A2, components msd_x_A2 ..., the
    collective MSD per ion collective_A2, the non-Gaussian parameter alpha2 (at log-spaced lags).
    """
    from lpsmd.analysis import MSD_COLUMNS, map_replicas, mean_squared_displacement, msd_rows

    check_out("--out", out, TABLES)
    if longest_lag_ps is not None:
        msds = [_streamed(dumps, files, species, timestep_fs, drift, longest_lag_ps) for files in dumps.replicas]
    else:

        def work(files: list[str], threads: int) -> Msd:
            kept = species if drift == "none" else None
            return mean_squared_displacement(
                dumps.read(files, species=kept, threads=threads),
                species=species,
                timestep_fs=timestep_fs,
                drift=drift,  # type: ignore[arg-type]
                max_lag_fraction=max_lag_fraction,
                threads=threads,
            )

        with reading(len(dumps.replicas)) as on_replica:
            msds = map_replicas(work, dumps.replicas, processes=processes, on_replica=on_replica)
    rows = list(msd_rows(msds))
    _print_table(rows, species)

    def values() -> dict[str, Any]:
        columns = {name: [None if row[name] == "" else row[name] for row in rows] for name in MSD_COLUMNS}
        return {"species": species, "drift": drift, "replicas": dumps.replicas, **columns}

    write_out(out, values=values, columns=MSD_COLUMNS, rows=rows)


def _streamed(
    dumps: Dumps, files: list[str], species: str, timestep_fs: float | None, drift: str, longest_lag_ps: float
) -> Msd:
    from lpsmd.analysis import iterate_dump, stream_mean_squared_displacement

    options = {name: dumps.options[name] for name in ("elements_of_types", "unwrap", "drop_truncated")}
    if dumps.options["topology"] is not None or dumps.options["frame_interval_fs"] is not None:
        raise LpsmdError("--stream-to-ps reads LAMMPS dumps only; leave out --topology and --frame-interval-fs")
    return stream_mean_squared_displacement(
        iterate_dump(files, species=species if drift == "none" else None, **options),
        species=species,
        timestep_fs=timestep_fs,
        longest_lag_ps=longest_lag_ps,
        drift=drift,  # type: ignore[arg-type]
    )


def _print_table(rows: list[Any], species: str) -> None:
    """About six lags for each factor of ten, of those with an alpha2; the whole table is for a file."""
    click.echo(f"MSD of {species}, {rows[0]['n_replicas']} replica(s) of {rows[0]['n_atoms']} atoms")
    click.echo(f"{'time (ps)':>12} {'MSD (A^2)':>12} {'std. error':>12} {'collective':>12} {'alpha2':>8}")
    next_ps = 0.0
    for row in rows[1:]:
        if row["time_ps"] < next_ps or row["alpha2"] == "":
            continue
        next_ps = row["time_ps"] * math.pow(10.0, 1.0 / 6.0)
        cells = (row["msd_A2"], row["msd_stderr_A2"], row["collective_A2"])
        shown = " ".join(f"{'-' if cell == '' else format(cell, '.5g'):>12}" for cell in cells)
        click.echo(f"{row['time_ps']:>12.5g} {shown} {row['alpha2']:>8.3f}")
