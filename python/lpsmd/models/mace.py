"""Export a MACE model (mace-torch 0.3, MACE and ScaleShiftMACE) to a model file.

The energies of isolated atoms leave the network and are added in float64, so that a float32 program
keeps its digits for the interaction.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lpsmd.models.contract import ModelFileError, quiet_torchscript
from lpsmd.models.export import Network, package_versions, script

_CLASSES = ("MACE", "ScaleShiftMACE")


class MACEProgram(torch.nn.Module):
    """The contract around a MACE network whose atomic energies have been set to zero."""

    if TYPE_CHECKING:  # TorchScript would evaluate annotations of the class body
        shifts: torch.Tensor
        one_hot: torch.Tensor

    def __init__(self, network: torch.nn.Module, *, atomic_energies_eV: torch.Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype
        self.register_buffer("shifts", atomic_energies_eV.to(torch.float64))
        self.register_buffer("one_hot", torch.eye(len(atomic_energies_eV), dtype=dtype))

    def forward(
        self,
        edge_vectors: torch.Tensor,
        edge_index: torch.Tensor,
        atom_types: torch.Tensor,
        weights: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Evaluate the model; see `lpsmd.models.contract` for shapes and units."""
        vectors = edge_vectors.detach().to(self.dtype).requires_grad_(True)
        n_atoms = atom_types.size(0)
        device = edge_vectors.device
        # MACE sends messages from row 0 to row 1 along r_1 - r_0; all atoms sit at the origin, so that
        # the shift alone is the vector.
        data = {
            "positions": torch.zeros((n_atoms, 3), dtype=self.dtype, device=device),
            "shifts": -vectors,
            "unit_shifts": torch.zeros_like(vectors),
            "cell": torch.zeros((3, 3), dtype=self.dtype, device=device),
            "edge_index": edge_index.flip(0),
            "node_attrs": self.one_hot[atom_types],
            "batch": torch.zeros(n_atoms, dtype=torch.long, device=device),
            "ptr": torch.zeros(2, dtype=torch.long, device=device),
            "head": torch.zeros(1, dtype=torch.long, device=device),
        }
        interaction = self.network(data, compute_force=False)["node_energy"]
        assert interaction is not None
        interaction = interaction.to(torch.float64)
        gradient = torch.autograd.grad([(interaction * weights).sum()], [vectors])[0]
        assert gradient is not None
        return interaction.detach() + self.shifts[atom_types], gradient.to(torch.float64)


def load(checkpoint: Path, *, dtype: str) -> Network:
    """Read a MACE .model file.

    Raises
    ------
    ModelFileError
        If it is no MACE energy model with one head.
    """
    from ase.data import chemical_symbols
    from e3nn.util import jit
    from mace.calculators import MACECalculator

    model = _model(checkpoint)
    precise = copy.deepcopy(model).double()
    with quiet_torchscript():
        calculator = MACECalculator(models=precise, device="cpu", default_dtype="float64")
    network, energies = _without_atomic_energies(model, dtype=dtype)
    layers = int(model.num_interactions)
    cutoff = float(precise.r_max)
    type_names = [chemical_symbols[int(number)] for number in model.atomic_numbers]
    with _default_dtype(getattr(torch, dtype)), quiet_torchscript():
        scripted = script(MACEProgram(jit.compile(network), atomic_energies_eV=energies, dtype=getattr(torch, dtype)))
    packages = package_versions("mace-torch", "e3nn", "torch")
    return Network(
        program=scripted,
        calculator=calculator,
        source=f"mace-torch {packages['mace-torch']} MACECalculator, float64",
        type_names=type_names,
        cutoff_A=cutoff,
        layers=layers,
        local=layers == 1,
        packages=packages,
    )


def _model(checkpoint: Path) -> Any:
    """The pickled network, if it is of a kind that the program can run."""
    try:
        model = torch.load(checkpoint, map_location="cpu", weights_only=False)
    except Exception as error:  # unpickling foreign files raises anything
        raise ModelFileError(
            f"{checkpoint}: no model of mace_run_train ({type(error).__name__}); give the .model "
            f"file that training wrote, in an environment with the e3nn version that wrote it"
        ) from error
    kind = type(model).__name__
    if kind not in _CLASSES:
        raise ModelFileError(
            f"{checkpoint}: found a {kind}, needed one of {', '.join(_CLASSES)} (the .model file of an energy model)"
        )
    heads = list(getattr(model, "heads", None) or ["Default"])
    if len(heads) != 1:
        raise ModelFileError(
            f"{checkpoint}: found the heads {', '.join(heads)}, needed one; select one with "
            f"mace_select_head and export that"
        )
    if hasattr(model, "joint_embedding"):
        raise ModelFileError(
            f"{checkpoint}: the model embeds more than elements (charge, spin, ...), for which the contract "
            f"has no input; needed a model of positions and elements alone"
        )
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.eval()


def _without_atomic_energies(model: Any, *, dtype: str) -> tuple[Any, torch.Tensor]:
    """A copy in the wanted precision with zero atomic energies, and those energies, [T] float64."""
    network = copy.deepcopy(model).to(getattr(torch, dtype))
    energies = model.atomic_energies_fn.atomic_energies.detach().double().view(-1).clone()
    network.atomic_energies_fn.atomic_energies.zero_()
    return network, energies


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Torch's default dtype for a while; MACE makes constants in it while it is scripted."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
