"""From complete replicas to what people read: a table, results.json, msd.csv and plots."""

from __future__ import annotations

import functools
import io
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lpsmd.across_conditions import ActivationEnergy, FunctionalComparison, activation_energies, compare_functionals
from lpsmd.ensemble import Ensemble, FailureKind, ReplicaOutcome
from lpsmd.ensemble.claim import versions
from lpsmd.ensemble.files import read_text, write_atomically
from lpsmd.ensemble.running import diffusion_options, give_buffers_back
from lpsmd.errors import LpsmdError
from lpsmd.study import Condition, ModelSpec, Study
from lpsmd.text import fixed_with_error

if TYPE_CHECKING:
    from rich.console import Console

    from lpsmd.analysis import Diffusion, Msd, Summary
    from lpsmd.analysis.tables import Cell

_GPA_PER_BAR = 1e-4
#: Failed replicas that are printed one by one.
_SHOWN = 5
#: Columns, where no terminal tells.
_WIDTH = 120


@dataclass(frozen=True, kw_only=True, eq=False)
class ConditionAnalysis:
    """What the replicas of a condition tell, the rows of msd.csv, and of each MSD its curve alone: there are many."""

    summary: Summary
    msd_rows: tuple[dict[str, Cell], ...]
    msds: tuple[Msd, ...]

    @property
    def diffusion(self) -> Diffusion:
        """D with its interval and verdict."""
        return self.summary.diffusion


@dataclass(frozen=True, kw_only=True, eq=False)
class ConditionReport:
    """One model at one temperature: its replicas, and D where enough of them are complete."""

    condition: Condition
    outcomes: tuple[ReplicaOutcome, ...]
    analysis: ConditionAnalysis | None

    @property
    def model(self) -> ModelSpec:
        """The model."""
        return self.condition.model

    @property
    def complete(self) -> tuple[ReplicaOutcome, ...]:
        """The replicas that D comes from."""
        return tuple(outcome for outcome in self.outcomes if outcome.complete)

    def mean(self, name: str) -> float | None:
        """Mean over the complete replicas of a field of `lpsmd.ensemble.Thermo`."""
        values = [getattr(outcome.thermo, name) for outcome in self.complete]
        return math.fsum(values) / len(values) if values else None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class StudyReport:
    """Everything that a study found; shown as the table of `print_report`."""

    study: Study
    ensemble: Ensemble
    conditions: tuple[ConditionReport, ...]
    comparisons: tuple[FunctionalComparison, ...]
    activation_energies: tuple[ActivationEnergy, ...]

    def label(self, entry: ConditionReport) -> str:
        """What an entry is called: by its model, and by its temperature where there are several."""
        return entry.model.label if len(self.study.temperatures_K) == 1 else entry.condition.name

    @property
    def short_of_replicas(self) -> tuple[ConditionReport, ...]:
        """What has fewer complete replicas than the study's minimum, and so no D."""
        return tuple(entry for entry in self.conditions if entry.analysis is None)

    def __repr__(self) -> str:
        """What `lpsmd run` prints, so that a notebook shows that and not every array."""
        from rich.console import Console

        text = io.StringIO()
        print_report(self, Console(file=text, width=_WIDTH))
        return text.getvalue().rstrip()


def analyse_study(study: Study, ensemble: Ensemble) -> StudyReport:
    """D of every model and temperature that has enough complete replicas, and what follows from several of them.

    Raises
    ------
    lpsmd.errors.LpsmdError
        If a trajectory cannot be used; the text names the file and the frame.
    """
    give_buffers_back()
    found = tuple(_analyse(study, ensemble, condition) for condition in study.conditions)
    diffusions = {entry.condition: entry.analysis.diffusion for entry in found if entry.analysis is not None}
    return StudyReport(
        study=study,
        ensemble=ensemble,
        conditions=found,
        comparisons=tuple(compare_functionals(study, diffusions)),
        activation_energies=tuple(activation_energies(study, diffusions)),
    )


def write_results(report: StudyReport) -> tuple[str, ...]:
    """Write results.json, msd.csv, msd.png, and for each model its plots into the study's folder; their names.

    Raises
    ------
    LpsmdError
        If the folder does not take them.
    """
    try:
        return tuple(_write_results(report))
    except OSError as error:
        raise LpsmdError(
            f"{report.ensemble.output}: results cannot be written there ({error.strerror or error}); make the folder "
            "writable, or analyse a copy of it"
        ) from error


def _write_results(report: StudyReport) -> Iterator[str]:
    from lpsmd.analysis import (
        MSD_CSV_COLUMNS,
        ModelResult,
        save_arrhenius_plot,
        save_diffusion_plot,
        save_msd_plot,
        write_csv,
    )

    output = report.ensemble.output
    write_atomically(output / "results.json", json.dumps(results(report), indent=2, allow_nan=False) + "\n")
    yield "results.json"
    rows = [
        ModelResult(
            label=report.label(entry),
            architecture=entry.model.architecture,
            functional=entry.model.functional,
            msds=entry.analysis.msds,
            diffusion=entry.analysis.diffusion,
        )
        for entry in report.conditions
        if entry.analysis is not None
    ]
    if not rows:
        return
    lines = (
        {"model": report.label(entry), **row}
        for entry in report.conditions
        if entry.analysis is not None
        for row in entry.analysis.msd_rows
    )
    write_csv(output / "msd.csv", MSD_CSV_COLUMNS, lines)
    yield "msd.csv"
    study = report.study
    title = f"{study.name}: {study.analysis.species} at {_temperatures(study)}"
    save_msd_plot(output / "msd.png", rows, title=title)
    yield "msd.png"
    for row in rows:
        save_diffusion_plot(output / f"diffusion_{row.label}.png", row, title=f"{row.label}, {title}")
    yield "diffusion_*.png"
    fits = {found.model.label: found.fit for found in report.activation_energies if found.fit is not None}
    for label, fit in fits.items():
        save_arrhenius_plot(output / f"arrhenius_{label}.png", fit, title=f"{label}, {study.name}")
    if fits:
        yield "arrhenius_*.png"


def results(report: StudyReport) -> dict[str, Any]:
    """Everything that a study found as JSON-ready values; units are in the names."""
    return {
        "study": report.study.to_dict(),
        "versions": {**versions(), "lammps": _lammps_version(report.ensemble)},
        "structures": [asdict(structure) for structure in report.ensemble.plan.structures],
        "models": [_entry_dict(report, entry) for entry in report.conditions],
        "comparisons": [entry.to_dict() for entry in report.comparisons],
        "comparison_error": "95 %; over the differences of structures where paired_structures is a number, else "
        "those of the two D combined in quadrature",
        "activation_energies": [entry.to_dict() for entry in report.activation_energies],
    }


def print_report(report: StudyReport, console: Console) -> None:
    """Print the table, the comparisons, and what went wrong."""
    from rich.table import Table

    say = functools.partial(console.print, markup=False, highlight=False, soft_wrap=True)
    study, structures = report.study, report.ensemble.plan.structures
    several = f", the first of {len(structures)} structures" if len(structures) > 1 else ""
    say(f"{study.analysis.species} in {structures[0].title}{several}")
    say(f"{_temperatures(study)}, replicas of {study.dynamics.production_ps:g} ps")
    # No lines between columns: the table then fits a terminal of 80 columns.
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for header in ("model", "functional"):
        table.add_column(header, no_wrap=True)
    for header in ("D (95 %)\n1e-5 cm²/s", "fit\nps"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("verdict", min_width=9)
    for header in ("T\nK", "P\nGPa", "ms/\nstep", "runs"):
        table.add_column(header, justify="right", no_wrap=True)
    for entry in report.conditions:
        table.add_row(*_row(report.label(entry), entry))
    console.print(table)
    for entry in report.conditions:
        if entry.analysis is not None:
            diffusion = entry.analysis.diffusion
            say(f"{report.label(entry)}: {diffusion.verdict}: {diffusion.reason}")
    _print_comparisons(report, say)
    for energy in report.activation_energies:
        say(str(energy))
    for line in _warnings(report):
        say(line, style="yellow")


def _print_comparisons(report: StudyReport, say: Callable[..., None]) -> None:
    """Each comparison, and once for a pair of models whether they resolve their functionals."""
    for _, entries in itertools.groupby(report.comparisons, key=lambda entry: (entry.base.model, entry.other.model)):
        for entry in entries:
            say(str(entry))
        say(f"  {entry.resolution}", style="yellow" if entry.resolution.resolved is False else None)


def _analyse(study: Study, ensemble: Ensemble, condition: Condition) -> ConditionReport:
    from lpsmd.analysis import analyse_replicas, msd_rows, summarise

    outcomes = ensemble.of(condition)
    complete = [outcome for outcome in outcomes if outcome.complete]
    if len(complete) < study.ensemble.minimum_replicas:
        return ConditionReport(condition=condition, outcomes=outcomes, analysis=None)
    try:
        found = analyse_replicas(
            [outcome.dumps for outcome in complete],
            species=study.analysis.species,
            timestep_fs=study.dynamics.timestep_fs,
            drift=study.analysis.drift,
            options=diffusion_options(study.analysis),
            structures=[outcome.replica.structure for outcome in complete],
        )
    except LpsmdError as error:
        raise LpsmdError(f"{error}; or run `lpsmd run`, which makes damaged chunks again") from error
    summary = summarise(
        found.msds, found.diffusion, temperature_K=condition.temperature_K, charge_e=study.analysis.charge_e
    )
    analysis = ConditionAnalysis(
        summary=summary,
        msd_rows=tuple(msd_rows(found.msds, structures=found.diffusion.structures)),
        msds=tuple(msd.curve(found.msds[0]) for msd in found.msds),
    )
    return ConditionReport(condition=condition, outcomes=outcomes, analysis=analysis)


def _d(entry: ConditionReport) -> tuple[float, float]:
    """D and its 95 % half-width in cm^2/s."""
    assert entry.analysis is not None
    diffusion = entry.analysis.diffusion
    # A study's minimum is two replicas, so there is always an interval.
    assert diffusion.D_half_interval_cm2_per_s is not None
    return diffusion.D_cm2_per_s, diffusion.D_half_interval_cm2_per_s


def _verdict(entry: ConditionReport) -> str:
    assert entry.analysis is not None
    return str(entry.analysis.diffusion.verdict)


def _row(label: str, entry: ConditionReport) -> list[str]:
    count = f"{len(entry.complete)}/{len(entry.outcomes)}"
    model = entry.model
    if entry.analysis is None:
        return [label, model.functional, "-", "-", "too few replicas", "-", "-", "-", count]
    d, error = _d(entry)
    diffusion = entry.analysis.diffusion
    temperature, pressure = entry.mean("mean_temperature_K"), entry.mean("mean_pressure_bar")
    assert temperature is not None
    assert pressure is not None
    return [
        label,
        model.functional,
        fixed_with_error(1e5 * d, 1e5 * error, least=2),
        f"{diffusion.fit_start_ps:g}-{diffusion.fit_end_ps:g}",
        _verdict(entry),
        f"{temperature:.0f}",
        f"{_GPA_PER_BAR * pressure:.2f}",
        f"{entry.mean('ms_per_step'):.1f}",
        count,
    ]


def _warnings(report: StudyReport) -> Iterator[str]:
    for entry in report.conditions:
        failed = [outcome for outcome in entry.outcomes if outcome.failure is not None]
        unfinished = len(entry.outcomes) - len(failed) - len(entry.complete)
        label, of_all = report.label(entry), f"of {len(entry.outcomes)} replicas"
        if unfinished:
            yield f"warning: {label}: {unfinished} {of_all} not run to their end; `lpsmd run` goes on with them"
        physical = Counter(str(o.failure.kind) for o in failed if o.failure and o.failure.kind.is_physical)
        if physical:
            kinds = ", ".join(f"{count} {kind}" for kind, count in physical.items())
            bias = "D is that of the survivors, and biased if those that failed moved otherwise; "
            yield (
                f"warning: {label}: {sum(physical.values())} {of_all} failed by their own motion ({kinds}): "
                f"{bias if entry.analysis else ''}the model does not hold here"
            )
        if len(failed) > sum(physical.values()):
            yield (
                f"warning: {label}: {len(failed) - sum(physical.values())} {of_all} failed for other reasons; one "
                "whose folder is removed is tried again"
            )
        for outcome in failed[:_SHOWN]:
            yield f"  replica {outcome.replica.index}: {outcome.reason} (see {outcome.replica.directory})"
        if len(failed) > _SHOWN:
            yield f"  and {len(failed) - _SHOWN} more, in results.json"
        if failed and failed[0].failure and failed[0].failure.kind is not FailureKind.FRAMEWORK:
            yield from (f"    | {line}" for line in failed[0].failure.tail.splitlines())


def _entry_dict(report: StudyReport, entry: ConditionReport) -> dict[str, Any]:
    pressure = entry.mean("mean_pressure_bar")
    return {
        "label": report.label(entry),
        "temperature_K": entry.condition.temperature_K,
        "file": str(entry.model.path),
        "sha256": entry.model.sha256,
        "architecture": entry.model.architecture,
        "functional": entry.model.functional,
        "training_seed": entry.model.training_seed,
        "dtype": entry.model.dtype,
        **_found(entry),
        "mean_temperature_K": entry.mean("mean_temperature_K"),
        "mean_pressure_GPa": None if pressure is None else _GPA_PER_BAR * pressure,
        "ms_per_step": entry.mean("ms_per_step"),
        "replicas_complete": len(entry.complete),
        "replicas": [_replica_dict(outcome) for outcome in entry.outcomes],
    }


def _found(entry: ConditionReport) -> dict[str, Any]:
    """D and what follows from it; None for each where there are too few replicas."""
    from lpsmd.analysis import summary_to_dict

    if entry.analysis is None:
        return {"diffusion": None, "tensor": None, "collective": None, "conductivity": None}
    values = summary_to_dict(entry.analysis.summary)
    del values["plan"]
    return values


def _replica_dict(outcome: ReplicaOutcome) -> dict[str, Any]:
    replica = outcome.replica
    return {
        "index": replica.index,
        "structure": replica.structure,
        "seed": replica.seed,
        "directory": str(replica.directory),
        "state": outcome.state,
        "reason": outcome.reason or None,
        "failures": [asdict(failure) for failure in outcome.status.failures],
        **(asdict(outcome.thermo) if outcome.complete and outcome.thermo is not None else {}),
    }


def _temperatures(study: Study) -> str:
    return ", ".join(f"{temperature_K:g}" for temperature_K in study.temperatures_K) + " K"


def _lammps_version(ensemble: Ensemble) -> str | None:
    """What the program that ran the replicas calls itself."""
    for outcome in ensemble.outcomes:
        if outcome.complete:
            restart_log = read_text(outcome.replica.file(1, "log"))
            found = re.search(r"LAMMPS = (.+)$", restart_log, re.MULTILINE)
            if found:
                return found.group(1)
    return None
