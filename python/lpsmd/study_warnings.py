"""What is right in form, but gives other numbers than its user may expect."""

from __future__ import annotations

import math
from collections.abc import Iterator

from lpsmd.resolution import pairs, resolution_of
from lpsmd.study import GeneratedStructure, StructureFile, Study

# Conventional cells up to which independent structures may coincide by chance, and are compared.
_FEW_CELLS = 1
_MOST_COMPARED = 64
_ANIONS_PER_CELL = 4

# A thermostat or barostat this fast, in timesteps, no longer moves smoothly.
_FEWEST_STEPS = 10


def study_warnings(study: Study) -> tuple[str, ...]:
    """What a user of this study should know before reading its D, one sentence each; none of it stops a run.

    Each names the section and the key by which it can be changed.
    """
    return (
        *_pressure(study),
        *_thermostat(study),
        *_microcanonical(study),
        *_times(study),
        *_structures(study),
        *_framework(study),
        *_functionals(study),
    )


def _pressure(study: Study) -> Iterator[str]:
    dynamics = study.dynamics
    if dynamics.ensemble != "npt":
        return
    blind = [model.label for model in study.models if not model.knows_stress]
    if blind:
        yield (
            f'[dynamics] ensemble = "npt": the passports of {", ".join(blind)} tell of no stress among the labels of '
            f"the training; the pressure of such a model, and so the volume and D, can be far off: compare the mean "
            f'volume with a measured one, or keep the cell with "nvt"'
        )


def _thermostat(study: Study) -> Iterator[str]:
    dynamics = study.dynamics
    if dynamics.ensemble == "nve":
        return
    if dynamics.thermostat == "langevin":
        yield (
            f'[dynamics] thermostat = "langevin": friction and random forces in the production slow the ions, the more '
            f"the shorter damping_ps, now {dynamics.damping_ps:g} ps, and D depends on it: compare with a longer "
            f'damping_ps, or take "nose-hoover"'
        )
    if 1000.0 * dynamics.damping_ps < _FEWEST_STEPS * dynamics.timestep_fs:
        yield (
            f"[dynamics] damping_ps = {dynamics.damping_ps:g}: shorter than {_FEWEST_STEPS} timesteps; the thermostat "
            f"may be unstable and governs the dynamics: 0.1 ps is usual"
        )


def _microcanonical(study: Study) -> Iterator[str]:
    if study.dynamics.ensemble != "nve":
        return
    yield (
        '[dynamics] ensemble = "nve": nothing holds the temperature in the production; each replica keeps the energy '
        "that the equilibration left it, so that its mean temperature differs from the one asked for: read it before D"
    )
    single = [model.label for model in study.models if model.dtype == "float32"]
    if single:
        yield (
            f'[dynamics] ensemble = "nve": {", ".join(single)} compute in float32, and the total energy may drift over '
            f"a long production: look at etotal in the logs, or export with --dtype float64"
        )


def _times(study: Study) -> Iterator[str]:
    dynamics = study.dynamics
    if dynamics.equilibration_ps == 0.0:
        yield (
            "[dynamics] equilibration_ps = 0: the production starts with the atoms on the sites of the structure, "
            "which is no equilibrium at any temperature"
        )
    slowest = max(dynamics.damping_ps, dynamics.timestep_fs * _FEWEST_STEPS / 1000.0)
    if dynamics.ensemble == "npt" and dynamics.barostat_damping_ps < slowest:
        yield (
            f"[dynamics] barostat_damping_ps = {dynamics.barostat_damping_ps:g}: shorter than {slowest:g} ps, so that "
            f"the cell follows every vibration; ten times damping_ps is usual"
        )


def _structures(study: Study) -> Iterator[str]:
    structure, replicas = study.structure, study.ensemble.replicas
    if not isinstance(structure, GeneratedStructure):
        return
    sites = _ANIONS_PER_CELL * math.prod(structure.supercell)
    used = round(structure.inversion * sites) / sites
    if abs(used - structure.inversion) > 1e-9:
        yield (
            f"[structure] inversion = {structure.inversion:g}: rounded to whole sites it is {used:g} of the {sites} "
            f"sites; a larger supercell comes closer"
        )
    if structure.count > replicas:
        yield (
            f"[structure] count = {structure.count}: more structures than the {replicas} replicas, so that "
            f"{structure.count - replicas} are not used"
        )
    elif replicas % structure.count and study.ensemble.target_relative_error is None:
        yield (
            f"[structure] count = {structure.count}: {replicas} replicas are no multiple of it, so that some "
            f"structures ({replicas % structure.count} of {structure.count}) have a replica more than the others"
        )
    same = _coinciding(structure)
    if same:
        yield (
            f"[structure] count = {structure.count}: numbers {same[0]} and {same[1]} are the same cell, as one cell "
            f"has few ways to place its Li; take another seed, a larger supercell or a smaller count"
        )


def _framework(study: Study) -> Iterator[str]:
    dumped, structure = study.dynamics.dump_species, study.structure
    if dumped is None or not study.ensemble.stop_on_broken_framework:
        return
    if isinstance(structure, StructureFile) and not structure.file.is_file():  # that of a study that was begun
        return
    from lpsmd.analysis.framework import framework_for

    held = framework_for(structure.elements)
    if held is not None and framework_for(dumped) is None:
        yield (
            f"[dynamics] dump_species = {list(dumped)}: nothing tells whether a {'-'.join(held.bond)} bond breaks, and "
            f"stop_on_broken_framework does nothing: write {' and '.join(held.bond)} as well"
        )


def _functionals(study: Study) -> Iterator[str]:
    for base, other in pairs(study):
        found = resolution_of(base, other, species=study.analysis.species)
        if found.resolved is False:
            yield (
                f"[[models]] {base.label} and {other.label}: {found}; what sets their D apart may be errors of "
                f"the models, not the functional: train them on more labels of both"
            )


def _coinciding(structure: GeneratedStructure) -> tuple[int, int] | None:
    """Numbers of two structures that have the same atoms on the same sites; None if all differ.

    Ordered anions leave the Li to tell structures apart; beyond one conventional cell chance does not repeat them.
    """
    if math.prod(structure.supercell) > _FEW_CELLS:
        return None
    seen: dict[object, int] = {}
    for index in range(min(structure.count, _MOST_COMPARED)):
        cell = structure.build(index)
        sites = zip(cell.types.tolist(), cell.positions_A.round(6).tolist(), strict=True)
        first = seen.setdefault(frozenset((kind, *position) for kind, position in sites), index)
        if first != index:
            return first, index
    return None
