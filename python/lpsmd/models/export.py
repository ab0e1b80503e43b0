"""From a trained checkpoint to a model file, for each architecture.

An exporter (`nequip`, `mace`, `deepmd`) turns a checkpoint into a `Network`: a program of the contract in
the wanted precision, what the passport says about it, and the package's own ASE calculator with the
same network in float64. What is common stands here: reference numbers, scripting, the check that the
file reproduces them, writing. It runs in the trainer's environment and needs no compiled part of lpsmd.
"""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lpsmd.models.contract import (
    DTYPES,
    FloatArray,
    IntArray,
    ModelFileError,
    Passport,
    Reference,
    load_model,
    quiet_torchscript,
    save_model,
)
from lpsmd.models.evaluate import (
    SelfTest,
    check_neighbor_counts,
    compare_with_reference,
    evaluate_graph,
    reference_frame,
    types_of,
)

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

log = logging.getLogger(__name__)

TRAINERS = {"nequip": "nequip", "mace": "mace-torch", "deepmd": "deepmd-kit"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A trained network, ready to be written.

    Attributes
    ----------
    program
        The scripted program of the contract, inner precision as wanted.
    calculator
        The trainer package's own ASE calculator around the same network in float64.
    source
        Which calculator that is, for the passport.
    type_names, cutoff_A, layers, local, pair_cutoff_A, max_neighbors
        As in `Passport`.
    """

    program: torch.jit.ScriptModule
    calculator: Calculator
    source: str
    type_names: Sequence[str]
    cutoff_A: float
    layers: int
    local: bool
    pair_cutoff_A: FloatArray | None = None
    max_neighbors: tuple[int, ...] | None = None
    packages: Mapping[str, str] = field(default_factory=dict)


def export_model(
    architecture: str,
    checkpoint: str | Path,
    output: str | Path,
    *,
    functional: str,
    reference: Atoms,
    dtype: str = "float32",
    training: Mapping[str, Any] | None = None,
    description: str = "",
) -> SelfTest:
    """Write a model file from a trained checkpoint, and check that it reproduces its reference.

    Parameters
    ----------
    architecture
        "nequip", "mace" or "deepmd".
    checkpoint
        What the trainer wrote: nequip's .ckpt, mace's .model, deepmd's .pt.
    output
        The model file.
    functional
        Exchange-correlation functional of the labels, for example "PBE".
    reference
        A frame for the self-test; its numbers are computed here, by the trainer's own calculator.
    dtype
        Inner precision of the program, "float32" or "float64", whatever the network was trained in.
    training
        Goes into the passport as it is (set hash, held-out errors, ...); package versions are added.

    Returns
    -------
    SelfTest
        How far the written program is from its reference numbers.

    Raises
    ------
    ModelFileError
        If the checkpoint cannot be exported, or the program does not reproduce the package's numbers.
    """
    checkpoint, output = Path(checkpoint), Path(output)
    network = load_network(architecture, checkpoint, dtype=dtype)
    types = types_of(reference, network.type_names)
    passport = Passport(
        architecture=architecture,
        type_names=tuple(network.type_names),
        cutoff_A=network.cutoff_A,
        pair_cutoff_A=network.pair_cutoff_A,
        layers=network.layers,
        local=network.local,
        max_neighbors=network.max_neighbors,
        dtype=dtype,
        functional=functional,
        description=description,
        training={"packages": dict(network.packages), **(training or {})},
        reference=reference_numbers(reference, types, network.calculator, source=network.source),
    )
    save_model(network.program, passport, output)
    result = check_without_core(output)
    if not result.passed:
        output.unlink()
        raise ModelFileError(
            f"{checkpoint}: the exported {dtype} program differs from {network.source} by "
            f"{result.energy_eV_per_atom:.2e} eV/atom and {result.force_eV_per_A:.2e} eV/Angstrom, needed at "
            f"most {result.tolerance.energy_eV_per_atom:.0e} and {result.tolerance.force_eV_per_A:.0e}; no "
            f"file was written: export with --dtype float64 to tell rounding from an error"
        )
    log.info(
        "%s: %.1f kB, forces within %.1e eV/Angstrom",
        output,
        output.stat().st_size / 1e3,
        result.force_eV_per_A,
    )
    return result


def load_network(architecture: str, checkpoint: Path, *, dtype: str) -> Network:
    """Read a checkpoint with its trainer's package."""
    if dtype not in DTYPES:
        raise ModelFileError(f"dtype: found {dtype!r}, needed one of {', '.join(DTYPES)}")
    if architecture not in TRAINERS:
        raise ModelFileError(f"architecture: found {architecture!r}, needed one of {', '.join(TRAINERS)}")
    if not checkpoint.is_file():
        raise ModelFileError(f"{checkpoint}: no such checkpoint")
    package = TRAINERS[architecture]
    try:
        # The distribution, not the module: a folder called mace, say of a training, also imports as one.
        version(package)
    except PackageNotFoundError as error:
        raise ModelFileError(
            f"exporting a {architecture} checkpoint needs the package {package}, which this Python does not "
            f"have; run `lpsmd export` in the environment that trained the model"
        ) from error
    exporter = importlib.import_module(f"lpsmd.models.{architecture}")
    network: Network = exporter.load(checkpoint, dtype=dtype)
    return network


def read_training_record(path: str | Path) -> dict[str, Any]:
    """The JSON object that goes into the passport's `training`.

    Raises
    ------
    ModelFileError
        If the file is missing or is no JSON object.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{path}: the training record cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise ModelFileError(f"{path}: the training record is a {type(record).__name__}, needed a JSON object")
    return record


def reference_numbers(atoms: Atoms, types: IntArray, calculator: Calculator, *, source: str) -> Reference:
    """Energy, forces and virial of a frame from an ASE calculator."""
    frame = atoms.copy()
    frame.calc = calculator
    return Reference(
        source=source,
        cell_A=np.asarray(frame.cell.array, dtype=np.float64),
        pbc=(bool(frame.pbc[0]), bool(frame.pbc[1]), bool(frame.pbc[2])),
        positions_A=np.asarray(frame.positions, dtype=np.float64),
        types=types,
        energy_eV=float(frame.get_potential_energy()),
        forces_eV_per_A=np.asarray(frame.get_forces(), dtype=np.float64),
        virial_eV=np.asarray(frame.get_stress(voigt=False), dtype=np.float64) * float(frame.get_volume()),
    )


def check_without_core(path: Path) -> SelfTest:
    """The self-test on a graph from ASE, for environments without the compiled part of lpsmd."""
    from ase.neighborlist import neighbor_list

    model = load_model(path)
    frame = reference_frame(model.passport)
    centres, neighbors, vectors = neighbor_list("ijD", frame, model.passport.cutoff_A)
    edge_index = np.stack([centres, neighbors]).astype(np.int64)
    check_neighbor_counts(model.passport, edge_index, model.passport.reference.types)
    found = evaluate_graph(
        model.program, edge_index=edge_index, edge_vectors_A=vectors, types=model.passport.reference.types
    )
    return compare_with_reference(found, model.passport)


def package_versions(*names: str) -> dict[str, str]:
    """Versions of installed distributions, for the passport."""
    return {name: version(name) for name in names}


def script(program: torch.nn.Module) -> torch.jit.ScriptModule:
    """Script a program whose submodules are scripted, or can be; parameters become constants to autograd."""
    for parameter in program.parameters():
        parameter.requires_grad_(False)
    with quiet_torchscript():
        scripted: torch.jit.ScriptModule = torch.jit.script(program.eval())
    return scripted
