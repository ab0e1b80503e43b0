r"""Export a Deep Potential checkpoint (deepmd-kit 3, descriptor se_e2_a) to a model file.

The program evaluates the embedding network once for each edge. The package instead pads every
neighbour list to `sel` and evaluates the network on the padding too; the padded rows are constants,

.. math:: A_i = \frac{1}{\sum_t s_t} \Big[ \sum_{j} R_{ij} \otimes G_{t_j}(R_{ij,0})
          + \sum_t (s_t - n_{it}) \, P_{t_i} \otimes G_t(P_{t_i,0}) \Big],
          \qquad P = -\bar{R} / \sigma_R,

so they are computed once here and counted, :math:`n_{it}` being the neighbours of type t and
:math:`s_t` sel. The numbers are the package's own (DOI 10.48550/arXiv.1805.09003 for the descriptor).
A neighbour beyond sel would be cut by the package and not by this program: callers check the counts
against the passport's max_neighbors and stop.
"""

from __future__ import annotations

import copy
import sys
import tempfile
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lpsmd.models.contract import ModelFileError, quiet_torchscript
from lpsmd.models.export import Network, package_versions, script

_ACTIVATIONS: dict[str, type[torch.nn.Module]] = {
    "tanh": torch.nn.Tanh,
    "relu": torch.nn.ReLU,
    "relu6": torch.nn.ReLU6,
    "softplus": torch.nn.Softplus,
    "sigmoid": torch.nn.Sigmoid,
    "silu": torch.nn.SiLU,
    "linear": torch.nn.Identity,
    "none": torch.nn.Identity,
}


class Layer(torch.nn.Module):
    """One layer of deepmd's networks: activation, optional time step, a skip connection where sizes allow."""

    if TYPE_CHECKING:  # TorchScript would evaluate annotations of the class body
        weight: torch.Tensor
        bias: torch.Tensor
        step: torch.Tensor

    def __init__(self, layer: Any, *, dtype: torch.dtype) -> None:
        super().__init__()
        n_in, n_out = layer.matrix.shape
        bias = torch.zeros(n_out) if layer.bias is None else layer.bias.detach()
        step = torch.ones(n_out) if layer.idt is None else layer.idt.detach()
        self.register_buffer("weight", layer.matrix.detach().t().contiguous().to(dtype))
        self.register_buffer("bias", bias.to(dtype))
        self.register_buffer("step", step.to(dtype))
        self.has_step = layer.idt is not None
        self.activate = _activation(layer.activate_name)
        self.copies = {n_in: 1, 2 * n_in: 2}.get(n_out, 0) if layer.resnet else 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, n_in] -> [B, n_out]."""
        y: torch.Tensor = self.activate(torch.nn.functional.linear(x, self.weight, self.bias))
        if self.has_step:
            y = y * self.step
        if self.copies == 1:
            y = y + x
        elif self.copies == 2:
            y = y + torch.cat([x, x], dim=1)
        return y


class DeepPotProgram(torch.nn.Module):
    """The contract for the descriptor se_e2_a with one fitting network per type."""

    if TYPE_CHECKING:
        inverse_scale: torch.Tensor
        offset: torch.Tensor
        sel: torch.Tensor
        padding: torch.Tensor
        shifts: torch.Tensor

    def __init__(self, atomic_model: Any, *, dtype: torch.dtype) -> None:
        super().__init__()
        block, fitting = atomic_model.descriptor.sea, atomic_model.fitting_net
        self.dtype = dtype
        self.n_types: int = block.ntypes
        self.one_side: bool = bool(block.type_one_side)
        self.r_inner, self.r_cut = float(block.rcut_smth), float(block.rcut)
        self.protection = float(block.env_protection)
        self.n_padded = float(sum(block.sel))
        self.width: int = block.filter_neuron[-1]
        self.axis: int = block.axis_neuron
        mean, scale = block.mean[:, 0, :].double(), block.stddev[:, 0, :].double()
        self.register_buffer("inverse_scale", (1.0 / scale).to(dtype))
        self.register_buffer("offset", (mean / scale).to(dtype))
        self.register_buffer("sel", torch.tensor(block.sel, dtype=dtype))
        self.embeddings = torch.nn.ModuleList(_network(net, dtype) for net in block.filter_layers.networks)
        self.fittings = torch.nn.ModuleList(_network(net, dtype) for net in fitting.filter_layers.networks)
        self.register_buffer("padding", self._padding().to(dtype))
        shifts = atomic_model.out_bias[0].double() + fitting.bias_atom_e.double()
        self.register_buffer("shifts", shifts.view(-1).clone())

    def _padding(self) -> torch.Tensor:
        """What one absent neighbour adds to the descriptor: [T centre, T neighbour, 4 * width]."""
        rows = []
        for centre in range(self.n_types):
            absent = -self.offset[centre]
            for neighbor in range(self.n_types):
                net = self.embeddings[neighbor if self.one_side else neighbor * self.n_types + centre]
                rows.append(torch.outer(absent, net(absent[:1].view(1, 1)).view(-1)).reshape(-1))
        return torch.stack(rows).view(self.n_types, self.n_types, -1)

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
        if n_atoms == 0:
            return torch.zeros_like(weights), torch.zeros_like(edge_vectors)
        centres, neighbor_types = edge_index[0], atom_types[edge_index[1]]
        centre_types = atom_types[centres]

        # Environment rows R [E, 4], shifted and scaled by the statistics of the centre's type.
        r = (vectors * vectors).sum(dim=1, keepdim=True).sqrt()
        u = ((r - self.r_inner) / (self.r_cut - self.r_inner)).clamp(0.0, 1.0)
        switch = u * u * u * (u * (15.0 - 6.0 * u) - 10.0) + 1.0
        inverse = 1.0 / (r + self.protection)
        radial = inverse * switch
        rows = torch.cat([radial, vectors * (radial * inverse)], dim=1)
        rows = rows * self.inverse_scale[centre_types] - self.offset[centre_types]

        # Embeddings G [E, width], edges grouped by the network that they need.
        kinds = neighbor_types if self.one_side else neighbor_types * self.n_types + centre_types
        order = torch.argsort(kinds, stable=True)
        sizes: list[int] = torch.bincount(kinds, minlength=len(self.embeddings)).tolist()
        pieces = rows[:, :1][order].split_with_sizes(sizes)
        parts = [torch.zeros((0, self.width), dtype=self.dtype, device=vectors.device)]
        for number, net in enumerate(self.embeddings):
            if sizes[number] > 0:
                parts.append(net(pieces[number]))
        embedded = torch.cat(parts)

        # One block of slots for each centre: centres ascend, so an edge's slot is its place behind the first.
        degrees = torch.bincount(centres, minlength=n_atoms)
        longest = int(degrees.max())
        first = degrees.cumsum(0) - degrees
        slots = (
            torch.arange(centres.size(0), device=centres.device)
            + (torch.arange(n_atoms, device=centres.device) * longest - first)[centres]
        )
        n_slots = n_atoms * longest
        rows = torch.zeros((n_slots, 4), dtype=self.dtype, device=vectors.device).index_copy(0, slots, rows)
        embedded = torch.zeros((n_slots, self.width), dtype=self.dtype, device=vectors.device).index_copy(
            0, slots[order], embedded
        )
        present = torch.bincount(centres * self.n_types + neighbor_types, minlength=n_atoms * self.n_types)
        absent = self.sel - present.view(n_atoms, self.n_types).to(self.dtype)
        padding = torch.bmm(absent.unsqueeze(1), self.padding[atom_types])
        moments = torch.bmm(rows.view(n_atoms, longest, 4).transpose(1, 2), embedded.view(n_atoms, longest, self.width))
        moments = (moments + padding.view(n_atoms, 4, self.width)) / self.n_padded
        descriptor = torch.bmm(moments.transpose(1, 2), moments[:, :, : self.axis]).reshape(n_atoms, -1)

        energies = torch.zeros(n_atoms, dtype=self.dtype, device=vectors.device)
        for kind, net in enumerate(self.fittings):
            chosen = torch.nonzero(atom_types == kind).view(-1)
            if chosen.size(0) > 0:
                energies = energies.index_copy(0, chosen, net(descriptor[chosen]).view(-1))
        interaction = energies.to(torch.float64)
        gradient = torch.autograd.grad([(interaction * weights).sum()], [vectors])[0]
        assert gradient is not None
        return interaction.detach() + self.shifts[atom_types], gradient.to(torch.float64)


def load(checkpoint: Path, *, dtype: str) -> Network:
    """Read a checkpoint of `dp --pt train`.

    Raises
    ------
    ModelFileError
        If it is no checkpoint of deepmd-kit, or a model other than se_e2_a with an energy fitting.
    """
    import_deepmd()
    from deepmd.calculator import DP
    from deepmd.pt.model.model import get_model
    from deepmd.pt.train.wrapper import ModelWrapper

    state = _float64_state(checkpoint)
    wrapper = ModelWrapper(get_model(copy.deepcopy(state["_extra_state"]["model_params"])))
    wrapper.load_state_dict(state)
    atomic_model = wrapper.model["Default"].atomic_model.eval()
    _refuse_what_the_program_lacks(atomic_model, checkpoint)
    program = DeepPotProgram(atomic_model, dtype=getattr(torch, dtype))
    with tempfile.TemporaryDirectory() as folder, quiet_torchscript():
        precise = Path(folder) / "float64.pt"
        torch.save({"model": state}, precise)
        calculator = DP(precise)
    packages = package_versions("deepmd-kit", "torch")
    return Network(
        program=script(program),
        calculator=calculator,
        source=f"deepmd-kit {packages['deepmd-kit']} DP calculator, float64",
        type_names=list(atomic_model.type_map),
        cutoff_A=program.r_cut,
        layers=1,
        local=True,
        max_neighbors=tuple(int(limit) for limit in atomic_model.descriptor.get_sel()),
        packages=packages,
    )


def import_deepmd() -> None:
    """Import deepmd's torch backend without its library of custom operators.

    The wheel's library is built for another torch and asks for an mpich that need not be there; neither
    training nor export of an uncompressed se_e2_a model uses it, and it must not get into a model file.
    """
    name = "deepmd.pt.cxx_op"
    if name not in sys.modules:
        without = types.ModuleType(name)
        without.ENABLE_CUSTOMIZED_OP = False  # type: ignore[attr-defined]
        sys.modules[name] = without
    import deepmd.pt  # noqa: F401


def _float64_state(checkpoint: Path) -> dict[str, Any]:
    """The checkpoint's weights and model definition, both turned to float64."""
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        state = dict(state.get("model", state))
        params = copy.deepcopy(state["_extra_state"]["model_params"])
    except Exception as error:  # unpickling foreign files raises anything
        raise ModelFileError(
            f"{checkpoint}: no checkpoint of `dp --pt train` ({type(error).__name__}); give the "
            f".pt file that training wrote (not a frozen .pth)"
        ) from error
    if "model_dict" in params:
        raise ModelFileError(
            f"{checkpoint}: found a multi-task model ({', '.join(params['model_dict'])}), needed one task; "
            f"split it with `dp --pt freeze --head` or train one task"
        )
    kind = params.get("descriptor", {}).get("type")
    if params.get("type", "standard") != "standard" or kind not in ("se_e2_a", "se_a"):
        raise ModelFileError(
            f"{checkpoint}: found the model {params.get('type', 'standard')} with descriptor {kind}, needed "
            f"a standard energy model with descriptor se_e2_a; other descriptors cannot be exported"
        )
    params["descriptor"]["precision"] = "float64"
    params.setdefault("fitting_net", {})["precision"] = "float64"
    doubled = {
        key: value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for key, value in state.items()
    }
    doubled["_extra_state"] = {**state["_extra_state"], "model_params": params}
    return doubled


def _refuse_what_the_program_lacks(atomic_model: Any, checkpoint: Path) -> None:
    """Options of se_e2_a and its fitting that the program does not know: name them and stop."""
    block, fitting = atomic_model.descriptor.sea, atomic_model.fitting_net
    uniform = bool((block.mean == block.mean[:, :1]).all() and (block.stddev == block.stddev[:, :1]).all())
    found = {
        "a fitting other than energy": type(fitting).__name__ != "EnergyFittingNet",
        "exclude_types in the descriptor": bool(block.exclude_types),
        "pair_exclude_types": bool(atomic_model.pair_exclude_types),
        "atom_exclude_types": bool(atomic_model.atom_exclude_types),
        "numb_fparam": fitting.numb_fparam > 0,
        "numb_aparam": fitting.numb_aparam > 0,
        "dim_case_embd": fitting.dim_case_embd > 0,
        "atom_ener": fitting.remove_vaccum_contribution is not None,
        "one fitting network for all types": bool(fitting.mixed_types),
        "compression": bool(block.compress),
        "statistics that differ between neighbours of one type": not uniform,
    }
    unknown = [name for name, present in found.items() if present]
    if unknown:
        raise ModelFileError(
            f"{checkpoint}: found {', '.join(unknown)}, needed a plain se_e2_a energy model; train without it to export"
        )


def _network(net: Any, dtype: torch.dtype) -> torch.nn.Sequential:
    return torch.nn.Sequential(*(Layer(layer, dtype=dtype) for layer in net.layers))


def _activation(name: str | None) -> torch.nn.Module:
    key = (name or "linear").lower()
    if key in ("gelu", "gelu_tf"):
        return torch.nn.GELU(approximate="tanh")
    if key not in _ACTIVATIONS:
        raise ModelFileError(
            f"activation_function: found {name!r}, needed one of {', '.join([*_ACTIVATIONS, 'gelu'])}; "
            f"train with one of these to export"
        )
    return _ACTIVATIONS[key]()
