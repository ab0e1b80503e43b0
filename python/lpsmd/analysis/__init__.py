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

`timestep_fs` is the integrator's step: dumps count steps, not time. Every error derives from
`lpsmd.errors.LpsmdError` and names the file and the frame.
"""

from __future__ import annotations

from lpsmd.analysis.diffusion import (
    Diffusion,
    DiffusionOptions,
    FrameworkCheck,
    FrameworkOptions,
    ReplicaAnalysis,
    Verdict,
    analyse_replicas,
    check_framework,
    diffusion_coefficient,
    diffusion_to_dict,
)
from lpsmd.analysis.formats import read_trajectory
from lpsmd.analysis.msd import Msd, mean_squared_displacement
from lpsmd.analysis.plots import plot_msd, save_msd_plot
from lpsmd.analysis.tables import MSD_CSV_COLUMNS, ModelResult, msd_rows, write_msd_csv
from lpsmd.analysis.trajectory import Trajectory, iterate_dump, read_dump

__all__ = [
    "MSD_CSV_COLUMNS",
    "Diffusion",
    "DiffusionOptions",
    "FrameworkCheck",
    "FrameworkOptions",
    "ModelResult",
    "Msd",
    "ReplicaAnalysis",
    "Trajectory",
    "Verdict",
    "analyse_replicas",
    "check_framework",
    "diffusion_coefficient",
    "diffusion_to_dict",
    "iterate_dump",
    "mean_squared_displacement",
    "msd_rows",
    "plot_msd",
    "read_dump",
    "read_trajectory",
    "save_msd_plot",
    "write_msd_csv",
]
