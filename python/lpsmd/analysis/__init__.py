"""From dumps to a mean squared displacement, and from that to D with its interval and a verdict.

One replica is one trajectory: a dump file, or the successive files of its chunks. The whole way for
one model is one call::

    from lpsmd.analysis import (
        DiffusionOptions,
        FrameworkOptions,
        ModelResult,
        analyse_replicas,
        diffusion_to_dict,
        save_msd_plot,
        write_msd_csv,
    )

    analysis = analyse_replicas(
        [["replica_000/chunk.0.dump", "replica_000/chunk.1.dump"], ["replica_001/chunk.0.dump"]],
        species="Li",
        timestep_fs=2.0,
        drift="framework",  # "framework" | "com" | "none"
        options=DiffusionOptions(fit_start_fraction=0.1, fit_end_fraction=0.5),
        framework=FrameworkOptions(),  # P-S bonds and the MSD of P; None leaves the check out
    )
    print(analysis.diffusion)
    # D = (1.2 +- 0.5)e-5 cm^2/s (95 %, n = 2), fit 0.2-1.0 ps: too short to judge: ...

    results = [
        ModelResult(
            label="NequIP / PBE",
            architecture="nequip",
            functional="PBE",
            msds=analysis.msds,
            diffusion=analysis.diffusion,
        )
    ]
    json_ready = diffusion_to_dict(analysis.diffusion)  # plain dict: D, interval, window, verdict, reason
    write_msd_csv("msd.csv", results)  # columns MSD_CSV_COLUMNS, one row per model and lag
    save_msd_plot("msd.png", results, title="Li6PS5Cl, 900 K")

or step by step::

    trajectory = read_dump(["chunk.0.dump"], species=None)  # -> Trajectory; iterate_dump: in blocks
    trajectory = read_trajectory("XDATCAR", frame_interval_fs=100.0)  # the same from XTC, DCD, extended XYZ ...
    msd = mean_squared_displacement(trajectory, species="Li", timestep_fs=2.0)  # -> Msd
    check = check_framework(trajectory, timestep_fs=2.0)  # -> FrameworkCheck
    result = diffusion_coefficient([msd], DiffusionOptions(), frameworks=[check])  # -> Diffusion
    axes = plot_msd(results, ax=None)  # -> matplotlib Axes

A trajectory that does not fit into memory goes through `stream_mean_squared_displacement` block by block,
`collective_msd` is for the charge of several species, and `lpsmd.analysis.universe.MeanSquaredDisplacement` for
whatever MDAnalysis reads (it is not imported here, since MDAnalysis is slow to import).

`timestep_fs` is the integrator's step: dumps count steps, not time. Every error derives from
`lpsmd.errors.LpsmdError` and names the file and the frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lpsmd.analysis.arrhenius import (
    ArrheniusFit,
    ArrheniusPoint,
    ArrheniusPrediction,
    arrhenius_fit,
    arrhenius_point,
    arrhenius_to_dict,
    read_arrhenius_point,
)
from lpsmd.analysis.conductivity import (
    CollectiveDiffusion,
    Conductivity,
    collective_diffusion,
    conductivity,
    conductivity_per_D,
)
from lpsmd.analysis.covariance import brownian_covariance
from lpsmd.analysis.diffusion import (
    Diffusion,
    DiffusionOptions,
    ReplicaAnalysis,
    analyse_replica,
    analyse_replicas,
    diffusion_coefficient,
    diffusion_to_dict,
    window_scan,
)
from lpsmd.analysis.estimators import Estimator, FitData, SlopeFit, fit_slope
from lpsmd.analysis.formats import read_trajectory
from lpsmd.analysis.framework import FrameworkCheck, FrameworkOptions, check_framework
from lpsmd.analysis.motion import Motion, local_exponent
from lpsmd.analysis.msd import (
    CollectiveMsd,
    Msd,
    collective_msd,
    mean_squared_displacement,
    stream_mean_squared_displacement,
)
from lpsmd.analysis.planning import Plan, Precision, plan
from lpsmd.analysis.replicas import map_replicas, mean_over_replicas
from lpsmd.analysis.stopping import Action, Decision, StoppingRule, decide, decision_to_dict
from lpsmd.analysis.structures import VarianceComponents, variance_components
from lpsmd.analysis.summary import Summary, summarise, summary_lines, summary_row, summary_to_dict
from lpsmd.analysis.tables import MSD_COLUMNS, MSD_CSV_COLUMNS, ModelResult, msd_rows, write_csv, write_msd_csv
from lpsmd.analysis.tensor import DiffusionTensor, diffusion_tensor
from lpsmd.analysis.trajectory import Trajectory, iterate_dump, read_dump
from lpsmd.analysis.verdict import Remedy, Verdict

if TYPE_CHECKING:
    from lpsmd.analysis.plots import (
        plot_alpha2,
        plot_arrhenius,
        plot_exponent,
        plot_msd,
        plot_replicas,
        plot_window,
        save_arrhenius_plot,
        save_diffusion_plot,
        save_msd_plot,
    )

__all__ = [
    "MSD_COLUMNS",
    "MSD_CSV_COLUMNS",
    "Action",
    "ArrheniusFit",
    "ArrheniusPoint",
    "ArrheniusPrediction",
    "CollectiveDiffusion",
    "CollectiveMsd",
    "Conductivity",
    "Decision",
    "Diffusion",
    "DiffusionOptions",
    "DiffusionTensor",
    "Estimator",
    "FitData",
    "FrameworkCheck",
    "FrameworkOptions",
    "ModelResult",
    "Motion",
    "Msd",
    "Plan",
    "Precision",
    "Remedy",
    "ReplicaAnalysis",
    "SlopeFit",
    "StoppingRule",
    "Summary",
    "Trajectory",
    "VarianceComponents",
    "Verdict",
    "analyse_replica",
    "analyse_replicas",
    "arrhenius_fit",
    "arrhenius_point",
    "arrhenius_to_dict",
    "brownian_covariance",
    "check_framework",
    "collective_diffusion",
    "collective_msd",
    "conductivity",
    "conductivity_per_D",
    "decide",
    "decision_to_dict",
    "diffusion_coefficient",
    "diffusion_tensor",
    "diffusion_to_dict",
    "fit_slope",
    "iterate_dump",
    "local_exponent",
    "map_replicas",
    "mean_over_replicas",
    "mean_squared_displacement",
    "msd_rows",
    "plan",
    "plot_alpha2",
    "plot_arrhenius",
    "plot_exponent",
    "plot_msd",
    "plot_replicas",
    "plot_window",
    "read_arrhenius_point",
    "read_dump",
    "read_trajectory",
    "save_arrhenius_plot",
    "save_diffusion_plot",
    "save_msd_plot",
    "stream_mean_squared_displacement",
    "summarise",
    "summary_lines",
    "summary_row",
    "summary_to_dict",
    "variance_components",
    "window_scan",
    "write_csv",
    "write_msd_csv",
]


def __getattr__(name: str) -> Any:
    if name in __all__:  # all but the plots is here already; matplotlib is slow to import, and workers never draw
        from lpsmd.analysis import plots

        return getattr(plots, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
