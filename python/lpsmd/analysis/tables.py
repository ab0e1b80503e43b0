"""Tables of MSDs: one row for each lag, and for each model of a study."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lpsmd.analysis.diffusion import Diffusion
from lpsmd.analysis.msd import Msd
from lpsmd.analysis.replicas import mean_over_replicas

#: Columns of a table of MSDs. Standard errors are over replicas, empty where there is one; what was not evaluated
#: is empty too: alpha2 is at log-spaced lags.
MSD_COLUMNS = (
    "time_ps",
    "msd_A2",
    "msd_stderr_A2",
    "msd_x_A2",
    "msd_y_A2",
    "msd_z_A2",
    "collective_A2",
    "collective_stderr_A2",
    "alpha2",
    "n_replicas",
    "n_atoms",
)
#: Columns of a study's msd.csv.
MSD_CSV_COLUMNS = ("model", *MSD_COLUMNS)

Cell = str | float | int


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelResult:
    """What a study found for one model, as tables and plots take it.

    Attributes
    ----------
    label
        How tables and legends call the model.
    msds
        One for each replica.
    diffusion
        The coefficient from these.
    architecture, functional
        Choose colour and line style of the plot; None where there is none to tell apart.
    """

    label: str
    msds: tuple[Msd, ...]
    diffusion: Diffusion
    architecture: str | None = None
    functional: str | None = None


def msd_rows(msds: Sequence[Msd], *, structures: Sequence[int] | None = None) -> Iterator[dict[str, Cell]]:
    """One row for each lag of an ensemble, keys as in `MSD_COLUMNS`; structures as in `mean_over_replicas`.

    Raises
    ------
    LpsmdError
        If the replicas differ in lags.
    """
    first = msds[0]
    mean, stderr = mean_over_replicas(msds, structures=structures)
    components, _ = mean_over_replicas(msds, "components_A2", structures=structures)
    collective, collective_stderr = None, None
    if all(msd.collective_A2 is not None for msd in msds):
        collective, collective_stderr = mean_over_replicas(msds, "collective_A2", structures=structures)
    alpha2 = dict(zip(first.alpha2_time_ps.tolist(), np.mean([msd.alpha2 for msd in msds], axis=0), strict=True))
    for lag, time_ps in enumerate(first.time_ps.tolist()):
        yield {
            "time_ps": _rounded(time_ps),
            "msd_A2": _rounded(mean[lag]),
            "msd_stderr_A2": "" if stderr is None else _rounded(stderr[lag]),
            "msd_x_A2": _rounded(components[lag, 0]),
            "msd_y_A2": _rounded(components[lag, 1]),
            "msd_z_A2": _rounded(components[lag, 2]),
            "collective_A2": "" if collective is None else _rounded(collective[lag]),
            "collective_stderr_A2": "" if collective_stderr is None else _rounded(collective_stderr[lag]),
            "alpha2": _rounded(alpha2[time_ps]) if math.isfinite(alpha2.get(time_ps, math.nan)) else "",
            "n_replicas": len(msds),
            "n_atoms": first.n_atoms,
        }


def write_msd_csv(path: str | os.PathLike[str], results: Sequence[ModelResult]) -> None:
    """Write the table of all models, in the order given."""
    rows = (
        {"model": result.label, **row}
        for result in results
        for row in msd_rows(result.msds, structures=result.diffusion.structures)
    )
    write_csv(path, MSD_CSV_COLUMNS, rows)


def write_csv(path: str | os.PathLike[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows under a line of column names."""
    with Path(path).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _rounded(value: float) -> float:
    """Ten digits: more than a dump holds, fewer than the noise of the last bits."""
    return float(f"{value:.10g}")
