"""The MSD table of a study: one row for each model and lag."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lpsmd.analysis.diffusion import Diffusion
from lpsmd.analysis.msd import Msd
from lpsmd.analysis.replicas import mean_over_replicas

#: Columns of msd.csv. Standard errors are over replicas, empty where there is one replica.
MSD_CSV_COLUMNS = (
    "model",
    "time_ps",
    "msd_A2",
    "msd_stderr_A2",
    "msd_x_A2",
    "msd_y_A2",
    "msd_z_A2",
    "n_replicas",
    "n_atoms",
)


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


def msd_rows(result: ModelResult) -> Iterator[dict[str, str | float | int]]:
    """Rows of msd.csv for one model, keys as in `MSD_CSV_COLUMNS`."""
    mean, stderr = mean_over_replicas(result.msds)
    components = np.mean([msd.components_A2 for msd in result.msds], axis=0)
    first = result.msds[0]
    for lag, time_ps in enumerate(first.time_ps):
        yield {
            "model": result.label,
            "time_ps": _rounded(time_ps),
            "msd_A2": _rounded(mean[lag]),
            "msd_stderr_A2": "" if stderr is None else _rounded(stderr[lag]),
            "msd_x_A2": _rounded(components[lag, 0]),
            "msd_y_A2": _rounded(components[lag, 1]),
            "msd_z_A2": _rounded(components[lag, 2]),
            "n_replicas": len(result.msds),
            "n_atoms": first.n_atoms,
        }


def write_msd_csv(path: str | os.PathLike[str], results: Sequence[ModelResult]) -> None:
    """Write the table of all models, in the order given."""
    with Path(path).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, MSD_CSV_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for result in results:
            writer.writerows(msd_rows(result))


def _rounded(value: np.float64) -> float:
    """Ten digits: more than a dump holds, fewer than the noise of the last bits."""
    return float(f"{value:.10g}")
