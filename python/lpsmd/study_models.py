"""The models of a study: where their files are, and what their passports say."""

from __future__ import annotations

import itertools
import re
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lpsmd.errors import LpsmdError
from lpsmd.models.contract import ARCHITECTURES, Passport, read_passport
from lpsmd.models.told import finite
from lpsmd.study import R2, FunctionalDifference, ModelSpec, StudyError, file_sha256
from lpsmd.study_format import NAME_PATTERN, ModelGridSection, ModelSection, nearest

DEMO_FOLDER = Path(__file__).resolve().parent / "demo"

#: The key of a passport's `training` with the seed of the training, and the one that is True where the labels of the
#: training had a stress, False where they had none.
SEED_KEY = "seed"
STRESS_KEY = "stress_labels"
#: The key with what `lpsmd.models.accuracy.difference_of` found on held-out frames against the model that a training
#: started from, the one with the weights of that model, and the one with its own, of the last stage.
DIFFERENCE_KEY = "functional_difference"
PARENT_KEY = "parent"
STAGES_KEY = "stages"


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """A model that the study asks for; what is not None must agree with its passport.

    `where` is the part of the study file that asks, for messages.
    """

    where: str
    path: str
    label: str | None = None
    training_seed: int | None = None
    architecture: str | None = None
    functional: str | None = None


def shipped_models() -> tuple[str, ...]:
    """Names of the models that ship with lpsmd."""
    return tuple(sorted(file.stem for file in (DEMO_FOLDER / "models").glob("*.pt")))


def knows_stress(passport: Passport) -> bool:
    """True if the passport tells that the labels of the training had a stress.

    `training.stress_labels`, which `lpsmd export --stress-labels` and `lpsmd train` write, decides. Where it is not
    there, a held-out error of a stress or virial is the proof; without either the answer is no. Free text is never
    read: "no stress" has the word in it as well.
    """
    told = passport.training.get(STRESS_KEY)
    if isinstance(told, bool):
        return told
    held_out = passport.training.get("held_out")
    return isinstance(held_out, dict) and any("stress" in key or "virial" in key for key in held_out)


def training_seed(passport: Passport) -> int | None:
    """Seed of the training where the passport tells one (`training.seed`)."""
    told = passport.training.get(SEED_KEY)
    return told if isinstance(told, int) and not isinstance(told, bool) else None


def functional_difference(passport: Passport) -> FunctionalDifference | None:
    """What the passport tells of its functional against that of its parent, which is PBE where it does not tell."""
    told = passport.training.get(DIFFERENCE_KEY)
    if not isinstance(told, dict):
        return None
    by_element = told.get("by_element")
    rows = {R2.ALL: told, **(by_element if isinstance(by_element, dict) else {})}
    return FunctionalDifference(
        base=str(told.get("base", "PBE")),
        base_sha256=_weights_sha256(passport.training.get(PARENT_KEY)),
        r2=tuple(_r2(rows)),
    )


def _weights_sha256(told: object) -> str | None:
    found = told.get("weights_sha256") if isinstance(told, dict) else None
    return found if isinstance(found, str) else None


def _r2(rows: Mapping[str, Any]) -> Iterator[R2]:
    """Of those that have one: passports are free text."""
    for of, values in rows.items():
        value, error = (finite(values.get(key)) if isinstance(values, dict) else None for key in ("r2", "r2_error"))
        if value is not None:
            yield R2(of=of, value=value, error=error)


def resolve_models(
    sections: Sequence[ModelSection], grid: ModelGridSection | None, *, folder: Path
) -> tuple[ModelSpec, ...]:
    """Find and read every model of a study, those of the list first.

    Parameters
    ----------
    sections
        The list, [[models]].
    grid
        The grid, [model_grid].
    folder
        Of the study file; paths are relative to it.

    Raises
    ------
    StudyError
        With every fault on a line of its own.
    """
    if not sections and grid is None:
        raise StudyError("found neither [[models]] nor [model_grid], needed at least one model")
    wanted = [
        _Wanted(
            where=f"[[models]] number {number}",
            path=section.path,
            label=section.label,
            training_seed=section.training_seed,
        )
        for number, section in enumerate(sections, 1)
    ]
    faults: list[str] = []
    if grid is not None:
        found = list(_grid_faults(grid))
        faults += found
        wanted += [] if found else _cells(grid)
    models = _read_all(wanted, folder=folder, faults=faults)
    faults += _label_faults(models)
    if faults:
        raise StudyError("\n".join(faults))
    return tuple(models)


def _read_all(wanted: Sequence[_Wanted], *, folder: Path, faults: list[str]) -> list[ModelSpec]:
    """Read all models that can be read; append what is wrong with the others."""
    models: list[ModelSpec] = []
    missing: list[str] = []
    for want in wanted:
        try:
            path = _find(want, folder=folder)
            if want.architecture is not None and not path.is_file():
                missing.append(str(path))
            else:
                models.append(_read(want, path))
        except LpsmdError as error:
            faults.append(str(error))
    if missing:
        total = sum(want.architecture is not None for want in wanted)
        faults.append(
            f"[model_grid]: {len(missing)} of {total} model files are not there, in small letters neither: "
            f"{', '.join(missing)}; make them, or name the models that exist one by one in [[models]]"
        )
    return models


def _find(want: _Wanted, *, folder: Path) -> Path:
    """A bare name is a model that ships with lpsmd; all else is a path, relative to the study file.

    Functionals are written PBE and HSE06, names of files mostly in small letters: a grid finds these too.
    """
    name = want.path
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        path = folder / name
        small = path.with_name(path.name.lower())
        of_grid = want.architecture is not None
        return small if of_grid and small.is_file() and not path.is_file() else path
    for stem in (name, name.lower()):
        shipped = DEMO_FOLDER / "models" / f"{stem}.pt"
        if shipped.is_file():
            return shipped
    known = shipped_models()
    hint = nearest(name, known) if known else "none are installed"
    raise StudyError(
        f"{want.where}: no model named {name!r} ships with lpsmd; {hint}; "
        f'for a file of your own write its path, such as "./{name}.pt"'
    )


def _read(want: _Wanted, path: Path) -> ModelSpec:
    passport = read_passport(path)
    label = want.label or path.stem
    if not re.match(NAME_PATTERN, label):
        raise StudyError(
            f"{want.where}: the name of {path} makes no label: found {label!r}, needed letters, digits and . _ -; "
            f"give it one in [[models]], or rename the file"
        )
    told, stages = training_seed(passport), passport.training.get(STAGES_KEY)
    for what, asked, found in (
        ("architecture", want.architecture, passport.architecture),
        ("functional", want.functional, passport.functional),
        ("training_seed", want.training_seed, told),
    ):
        if asked is not None and found is not None and str(asked).lower() != str(found).lower():
            raise StudyError(
                f"{want.where}: {what}: the study says {asked}, but the passport of {path} says {found}; correct the "
                f"study, or put the right file there"
            )
    return ModelSpec(
        label=label,
        path=path,
        sha256=file_sha256(path),
        architecture=passport.architecture,
        functional=passport.functional,
        dtype=passport.dtype,
        type_names=passport.type_names,
        training_seed=want.training_seed if told is None else told,
        knows_stress=knows_stress(passport),
        weights_sha256=_weights_sha256(stages[-1]) if isinstance(stages, (list, tuple)) and stages else None,
        functional_difference=functional_difference(passport),
    )


def _label_faults(models: Sequence[ModelSpec]) -> Iterator[str]:
    for label, count in Counter(model.label for model in models).items():
        if count > 1:
            files = ", ".join(str(model.path) for model in models if model.label == label)
            yield (
                f"[[models]]: label {label!r} is used twice ({files}); give one of them another "
                f'label = "..." in [[models]], or name the files of [model_grid] apart'
            )


# --- the grid ------------------------------------------------------------------------------------


def _axes(grid: ModelGridSection) -> dict[str, Sequence[str | int]]:
    """The values of each placeholder; none for training seeds that were not given."""
    return {
        "architecture": grid.architectures,
        "functional": grid.functionals,
        "training_seed": grid.training_seeds or (),
    }


def _grid_faults(grid: ModelGridSection) -> Iterator[str]:
    axes = _axes(grid)
    for name in grid.architectures:
        if name not in ARCHITECTURES:
            yield f"[model_grid]: architectures: {name!r} is not a known one; {nearest(name, ARCHITECTURES)}"
    try:
        used = {name for _, name, _, _ in string.Formatter().parse(grid.path) if name is not None}
        unknown = sorted(used - set(axes))
        if not unknown:
            grid.path.format(architecture="nequip", functional="PBE", training_seed=1)
    except ValueError as error:
        yield f"[model_grid]: path: found {grid.path!r}, needed placeholders like {{architecture}} ({error})"
        return
    for name in unknown:
        yield f"[model_grid]: path: '{{{name}}}' is not a known placeholder; {nearest(name, list(axes))}"
    if "training_seed" in used and grid.training_seeds is None:
        yield "[model_grid]: path has {training_seed}, needed training_seeds = [...] with its values, or a path without"
    for name, values in axes.items():
        # With one value alone the name may stand in the path as it is.
        if name not in used and len(values) > 1:
            yield f"[model_grid]: path: found {grid.path!r} without {{{name}}}, but {name}s has {len(values)} values"


def _cells(grid: ModelGridSection) -> list[_Wanted]:
    """Every combination, training seeds innermost."""
    seeds: Sequence[int | None] = grid.training_seeds or (None,)
    return [
        _Wanted(
            where="[model_grid]",
            path=grid.path.format(architecture=architecture, functional=functional, training_seed=seed),
            architecture=architecture,
            functional=functional,
            training_seed=seed,
        )
        for architecture, functional, seed in itertools.product(grid.architectures, grid.functionals, seeds)
    ]
