"""Model files against labelled frames: errors of one, and the difference of two functionals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase import Atoms

from lpsmd.dataset.frames import read_frames
from lpsmd.models.accuracy import (
    AccuracyError,
    EnergiesAndForces,
    OfBoth,
    can_subtract_forces,
    difference_of_functionals,
    errors_of,
)
from lpsmd.models.contract import ModelFileError, load_model, read_passport

if TYPE_CHECKING:
    import torch

#: Called with the number of evaluations that are done, and of all.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """One geometry with the labels of two functionals."""

    base: Atoms
    other: Atoms


def errors_of_model(
    model: str | Path,
    file: str | Path,
    *,
    part: str | None = None,
    device: str | torch.device = "cpu",
    on_frame: Progress | None = None,
) -> dict[str, Any]:
    """Errors of a model file on labelled frames: `lpsmd.models.accuracy.errors_of`, with the part.

    Raises
    ------
    AccuracyError, DatasetError, ModelFileError
        If no frame is of the part, or as `read_frames` and `predict`.
    """
    path = Path(file)
    frames = _of_part(path, read_frames(path, functional=read_passport(model).functional, named=False), part)
    found = predict(model, frames, device=device, on_frame=on_frame)
    return {"part": part, **errors_of(frames, found, _labels(frames))}


def difference_of_models(
    base: str | Path,
    other: str | Path,
    folder: str | Path,
    *,
    part: str | None = None,
    device: str | torch.device = "cpu",
    on_frame: Progress | None = None,
) -> dict[str, Any]:
    """What two model files resolve of F_other - F_base: `lpsmd.models.accuracy.difference_of`, with the part.

    Parameters
    ----------
    base, other
        Model files of two functionals.
    folder
        With a file for each functional, such as pbe.extxyz and hse06.extxyz. Frames that both have under one key
        `frame` are used, and their geometry must be the same.
    part
        Of the split; all frames without it. The factor of the second trivial prediction is fitted on the part "train",
        where there is one and another is asked for.
    device
        Where to evaluate.
    on_frame
        Called after each evaluation.

    Raises
    ------
    AccuracyError, DatasetError, ModelFileError
        If the functionals are one and the same, no frame has both labels or is of the part, a geometry has two, or as
        `read_frames` and `predict`.
    """
    functionals = [read_passport(model).functional for model in (base, other)]
    if functionals[0].lower() == functionals[1].lower():
        raise AccuracyError(f"{base} and {other}: found {functionals[0]} twice, needed models of two functionals")
    files = [Path(folder) / f"{functional.lower()}.extxyz" for functional in functionals]
    everything = _pairs(
        *(read_frames(file, functional=functional) for file, functional in zip(files, functionals, strict=True)),
        where=f"{files[0]} and {files[1].name}",
    )
    chosen = set(map(id, _of_part(Path(folder), [pair.base for pair in everything], part)))
    pairs = [pair for pair in everything if id(pair.base) in chosen]
    frames, others = [pair.base for pair in pairs], [pair.other for pair in pairs]
    total = 2 * len(frames)
    first = predict(base, frames, device=device, on_frame=on_frame and (lambda done, _: on_frame(done, total)))
    second = predict(
        other, frames, device=device, on_frame=on_frame and (lambda done, _: on_frame(len(frames) + done, total))
    )
    return {
        "base": functionals[0],
        "other": functionals[1],
        "part": part,
        **difference_of_functionals(
            frames,
            predicted=(first, second),
            labelled=(_labels(frames), _labels(others)),
            training=_training_labels(everything, part),
        ),
    }


def predict(
    model: str | Path,
    frames: Sequence[Atoms],
    *,
    device: str | torch.device = "cpu",
    on_frame: Progress | None = None,
) -> EnergiesAndForces:
    """Energies and forces of a model file on frames.

    Raises
    ------
    ModelFileError
        If the file is no good, or a frame has an element or a density that the model does not know.
    """
    from lpsmd.models.evaluate import evaluate

    loaded = load_model(model, device=device)
    energies, forces = [], []
    for number, atoms in enumerate(frames):
        try:
            found = evaluate(loaded, atoms, device=device)
        except ModelFileError as error:
            raise ModelFileError(f"{model}, frame {atoms.info.get('frame', number)}: {error}") from error
        energies.append(found.energy_eV)
        forces.append(found.forces_eV_per_A)
        if on_frame is not None:
            on_frame(number + 1, len(frames))
    return EnergiesAndForces(energies_eV=energies, forces_eV_per_A=forces)


def _labels(frames: Sequence[Atoms]) -> EnergiesAndForces:
    results: list[Mapping[str, Any]] = [atoms.calc.results for atoms in frames]
    return EnergiesAndForces(
        energies_eV=[float(of_one["energy"]) for of_one in results],
        forces_eV_per_A=[of_one["forces"] for of_one in results],
    )


def _of_part(where: Path, frames: Sequence[Atoms], part: str | None) -> list[Atoms]:
    found = [atoms for atoms in frames if part is None or atoms.info.get("part") == part]
    if found:
        return found
    parts = Counter(str(atoms.info["part"]) for atoms in frames if "part" in atoms.info)
    there = ", ".join(f"{count} of {name}" for name, count in sorted(parts.items())) or "none with the key part"
    raise AccuracyError(
        f"{where}: found no frame of the part {part} among {len(frames)} ({there}); ask for another part, or leave "
        f"--part away for all frames"
    )


def _pairs(base: Sequence[Atoms], other: Sequence[Atoms], *, where: str) -> list[_Pair]:
    """The geometries that have both labels, in the order of the base."""
    first, second = ({str(atoms.info["frame"]): atoms for atoms in frames} for frames in (base, other))
    pairs = [_Pair(base=first[name], other=second[name]) for name in first if name in second]
    if not pairs:
        raise AccuracyError(
            f"{where}: found no frame that both have, among {len(first)} and {len(second)}; needed the same "
            f"names under the key frame, as `lpsmd label` writes them"
        )
    for pair in pairs:
        if not can_subtract_forces(pair.base, pair.other):
            raise AccuracyError(
                f"{where}: frame {pair.base.info['frame']} has two geometries, needed one; label the same file with "
                f"both functionals"
            )
    return pairs


def _training_labels(pairs: Sequence[_Pair], part: str | None) -> OfBoth | None:
    """Labels of both functionals on training frames; None where these are judged too."""
    training = [pair for pair in pairs if pair.base.info.get("part") == "train"]
    if part in (None, "train") or not training:
        return None
    return _labels([pair.base for pair in training]), _labels([pair.other for pair in training])
