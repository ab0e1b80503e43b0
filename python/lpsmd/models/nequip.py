"""Export a NequIP checkpoint (nequip 0.19) to a model file.

The program is the network under nequip's ForceStressOutput, fed with edge vectors instead of
positions. nequip already adds its per-type shifts in float64, whatever the network's precision.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lpsmd.models.contract import FloatArray, ModelFileError, quiet_torchscript
from lpsmd.models.export import Network, package_versions


class NequIPProgram(torch.nn.Module):
    """The contract around nequip's energy network."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        edge_vectors: torch.Tensor,
        edge_index: torch.Tensor,
        atom_types: torch.Tensor,
        weights: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Evaluate the model; see `lpsmd.models.contract` for shapes and units."""
        vectors = edge_vectors.detach().requires_grad_(True)
        # nequip takes the number of atoms from the positions, and nothing else once edge vectors are there.
        data = {
            "pos": torch.zeros((atom_types.size(0), 3), dtype=torch.float64, device=edge_vectors.device),
            "edge_vectors": vectors,
            "edge_index": edge_index,
            "atom_types": atom_types,
        }
        energies = self.network(data)["atomic_energy"].view(-1)
        gradient = torch.autograd.grad([(energies * weights).sum()], [vectors])[0]
        assert gradient is not None
        return energies.detach(), gradient


def load(checkpoint: Path, *, dtype: str) -> Network:
    """Read a nequip checkpoint.

    Raises
    ------
    ModelFileError
        If it is no nequip checkpoint of one energy model.
    """
    from e3nn.util.jit import script
    from nequip.utils.compile import prepare_model_for_compile

    model = _model(checkpoint, dtype=dtype)
    sizes = model.metadata
    type_names = sizes["type_names"].split()
    layers = sum(name.endswith("_convnet") for name, _ in _energy_network(model, checkpoint).named_children())
    # Keep what describes the model before scripting replaces the modules.
    prepared = prepare_model_for_compile(model, torch.device("cpu"))
    program = NequIPProgram(_energy_network(prepared, checkpoint)).eval()
    with quiet_torchscript():
        scripted = script(program)
    packages = package_versions("nequip", "e3nn", "torch")
    return Network(
        program=scripted,
        calculator=_calculator(checkpoint),
        source=f"nequip {packages['nequip']} NequIPCalculator, float64",
        type_names=type_names,
        cutoff_A=float(sizes["r_max"]),
        pair_cutoff_A=_pair_cutoff(sizes.get("per_edge_type_cutoff"), len(type_names)),
        layers=layers,
        local=layers == 1,
        packages=packages,
    )


def _calculator(checkpoint: Path) -> Any:
    """Nequip's own ASE calculator around the network in float64, not compiled."""
    from nequip.integrations.ase import NequIPCalculator
    from nequip.integrations.utils import basic_transforms

    model = _model(checkpoint, dtype="float64").eval()
    names = model.metadata["type_names"].split()
    transforms = basic_transforms(model.metadata, float(model.metadata["r_max"]), names, {name: name for name in names})
    return NequIPCalculator(model=model, device="cpu", transforms=transforms)


def _model(checkpoint: Path, *, dtype: str) -> Any:
    """The trained GraphModel (moving-average weights where it has them), built in the wanted precision.

    It is built anew from its configuration, not converted, so that constants such as Clebsch-Gordan
    coefficients have the full precision.
    """
    import hydra  # type: ignore[import-not-found,unused-ignore]
    from nequip.model.utils import override_model_compile_mode
    from nequip.utils.global_state import set_global_state

    set_global_state(allow_tf32=False)
    try:
        hyper = torch.load(checkpoint, map_location="cpu", weights_only=False)["hyper_parameters"]
        module_name = hyper["info_dict"]["training_module"]["_target_"]
    except Exception as error:  # unpickling foreign files raises anything
        raise ModelFileError(
            f"{checkpoint}: no checkpoint of nequip-train ({type(error).__name__}); "
            f"give the .ckpt file that training wrote"
        ) from error
    training_module = hydra.utils.get_class(module_name)
    with override_model_compile_mode("eager"):
        lightning = training_module.load_from_checkpoint(
            checkpoint, weights_only=False, model=_with_dtype(hyper["model"], dtype, checkpoint)
        )
    models = lightning.evaluation_model
    if list(models) != ["sole_model"]:
        raise ModelFileError(f"{checkpoint}: found the models {', '.join(models)}, needed one model per checkpoint")
    return models["sole_model"]


def _with_dtype(config: Any, dtype: str, checkpoint: Path) -> Any:
    """The model's configuration with another precision; a start from another checkpoint becomes its model."""
    if not isinstance(config, dict):
        return config
    target = str(config.get("_target_", ""))
    if target.endswith("ModelFromPackage"):
        raise ModelFileError(
            f"{checkpoint}: the model starts from a nequip package ({config.get('package_path')}), which "
            f"keeps its own precision and cannot be rebuilt; start the training from a checkpoint"
        )
    if target.endswith("ModelFromCheckpoint"):
        start = Path(config["checkpoint_path"])
        if not start.is_file():
            raise ModelFileError(
                f"{checkpoint}: its training started from {start}, which is gone; put it back to export this model"
            )
        hyper = torch.load(start, map_location="cpu", weights_only=False)["hyper_parameters"]
        return _with_dtype(hyper["model"], dtype, start)
    changed = {key: _with_dtype(value, dtype, checkpoint) for key, value in config.items()}
    if "model_dtype" in changed:
        changed["model_dtype"] = dtype
    return changed


def _energy_network(model: Any, checkpoint: Path) -> torch.nn.Module:
    """The network that ends in atom energies, under the wrapper that differentiates it."""
    output = getattr(model, "model", None)
    if type(output).__name__ != "ForceStressOutput":
        raise ModelFileError(
            f"{checkpoint}: found the model {type(output).__name__}, needed an energy model that gives "
            f"forces (ForceStressOutput, as NequIPGNNModel builds)"
        )
    network: torch.nn.Module = output.func  # type: ignore[union-attr]
    if not any(name.endswith("_convnet") for name, _ in network.named_children()):
        names = ", ".join(name for name, _ in network.named_children())
        raise ModelFileError(
            f"{checkpoint}: found a network of {names}, needed the convolution layers of NequIP; "
            f"other models of the nequip framework cannot be exported"
        )
    return network


def _pair_cutoff(text: str | None, n_types: int) -> FloatArray | None:
    """The [T, T] cutoffs per edge type from nequip's metadata, made symmetric by their maximum.

    nequip allows a cutoff for centre-neighbour pairs that differs from neighbour-centre; the passport
    speaks of pairs, and the network ignores what lies beyond its own.
    """
    if text is None:
        return None
    matrix = np.array([float(word) for word in text.split()]).reshape(n_types, n_types)
    return np.asarray(np.maximum(matrix, matrix.T), dtype=np.float64)
