"""Make the parity data: tiny networks, their model files, and what their own packages say about one frame.

    PYTHONPATH=python <environment of the trainer>/bin/python tests/data/parity/make_references.py nequip
    PYTHONPATH=python <environment of the trainer>/bin/python tests/data/parity/make_references.py mace
    PYTHONPATH=python <environment of the trainer>/bin/python tests/data/parity/make_references.py deepmd

Each trains a network of a few hundred weights for some seconds on the demonstration DFT frames (so that
shifts, scales and statistics are real ones), exports it in both precisions, and writes

    {architecture}_{dtype}.pt  model files
    {architecture}.json        cell_A, positions_A, types, type_names, energy_eV, forces_eV_per_A,
                               virial_eV, atom_energies_eV, source

The numbers come from the package's own calculator in float64 (nequip: NequIPCalculator, mace: MACECalculator,
deepmd: DP). The frame has 52 atoms, is rattled and strained to a triclinic cell unlike those of
training, and shorter than twice the cutoff, so that images of one neighbour count apart.
nequip and mace were trained in float32, deepmd in float64: both ways of changing precision are met.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from lpsmd.models.evaluate import types_of
from lpsmd.models.export import export_model, load_network, reference_numbers

HERE = Path(__file__).resolve().parent
FRAMES = HERE.parents[2] / "data" / "li6ps5cl_dft" / "pbe.extxyz"
TYPE_NAMES = ["Li", "P", "S", "Cl"]
SHIFTS_EV = {"Li": -204.0, "P": -178.0, "S": -274.0, "Cl": -410.0}

NEQUIP_INPUT: dict[str, Any] = {
    "run": ["train"],
    "data": {
        "_target_": "nequip.data.datamodule.ASEDataModule",
        "seed": 1,
        "split_dataset": [{"file_path": "frames.extxyz", "train": 10, "val": 2}],
        "transforms": [
            {
                "_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper",
                "model_type_names": TYPE_NAMES,
            },
            {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": 5.0},
        ],
        "train_dataloader": {"_target_": "torch.utils.data.DataLoader", "batch_size": 2},
        "val_dataloader": {"_target_": "torch.utils.data.DataLoader", "batch_size": 2},
        "stats_manager": {"_target_": "nequip.data.CommonDataStatisticsManager", "type_names": TYPE_NAMES},
    },
    "trainer": {
        "_target_": "lightning.Trainer",
        "accelerator": "cpu",
        "max_epochs": 20,
        "enable_progress_bar": False,
        "logger": False,
        "callbacks": [{"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": "out", "save_last": True}],
    },
    "training_module": {
        "_target_": "nequip.train.EMALightningModule",
        "loss": {
            "_target_": "nequip.train.EnergyForceLoss",
            "per_atom_energy": True,
            "coeffs": {"total_energy": 1.0, "forces": 1.0},
        },
        "val_metrics": {"_target_": "nequip.train.EnergyForceMetrics", "coeffs": {"forces_rmse": 1.0}},
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01},
        "model": {
            "_target_": "nequip.model.NequIPGNNModel",
            "seed": 5,
            "model_dtype": "float32",
            "type_names": TYPE_NAMES,
            "r_max": 5.0,
            "num_bessels": 6,
            "l_max": 1,
            "parity": False,
            "num_layers": 2,
            "num_features": 4,
            "radial_mlp_depth": 1,
            "radial_mlp_width": 8,
            "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}",
            "per_type_energy_shifts": SHIFTS_EV,
            "per_type_energy_scales": 1.0,
        },
    },
}

MACE_INPUT = {
    "name": "tiny",
    "train_file": "frames.extxyz",
    "valid_fraction": "0.2",
    "E0s": "{3:-204.0,15:-178.0,16:-274.0,17:-410.0}",
    "model": "ScaleShiftMACE",
    "r_max": "5.0",
    "num_radial_basis": "6",
    "num_cutoff_basis": "5",
    "max_ell": "1",
    "correlation": "2",
    "num_channels": "4",
    "max_L": "1",
    "num_interactions": "2",
    "MLP_irreps": "4x0e",
    "radial_MLP": "[8,8]",
    "batch_size": "2",
    "max_num_epochs": "15",
    "default_dtype": "float32",
    "device": "cpu",
    "energy_key": "REF_energy",
    "forces_key": "REF_forces",
    "seed": "3",
    "lr": "0.02",
}

DEEPMD_INPUT: dict[str, Any] = {
    "model": {
        "type_map": TYPE_NAMES,
        "descriptor": {
            "type": "se_e2_a",
            "sel": [36, 10, 36, 12],
            "rcut_smth": 1.5,
            "rcut": 5.0,
            "neuron": [6, 12],
            "axis_neuron": 4,
            # Two-sided: one embedding network for each pair of types, the harder case for the program.
            "type_one_side": False,
            "seed": 1,
        },
        "fitting_net": {"neuron": [24, 24], "seed": 1},
    },
    "learning_rate": {"type": "exp", "start_lr": 0.005, "stop_lr": 1e-4, "decay_steps": 50},
    "loss": {
        "type": "ener",
        "start_pref_e": 0.02,
        "limit_pref_e": 1,
        "start_pref_f": 1000,
        "limit_pref_f": 1,
    },
    "training": {
        "training_data": {"systems": ["system"], "batch_size": 2},
        "numb_steps": 200,
        "seed": 1,
        "disp_freq": 100,
        "save_freq": 200,
    },
}


def training_frames() -> list[Atoms]:
    """Twelve frames of every kind."""
    frames = ase.io.read(FRAMES, index=":61")
    md = [frame for frame in frames if frame.info["kind"] == "md"]
    strained = [frame for frame in frames if frame.info["kind"] == "strain"]
    return [*frames[:3], *md[:6], *strained[:3]]


def parity_frame() -> Atoms:
    """A rattled and strained frame that no network has seen."""
    rng = np.random.default_rng(20)
    frame = training_frames()[1].copy()
    strain = 0.02 * rng.normal(size=(3, 3))
    frame.set_cell(frame.cell.array @ (np.eye(3) + 0.5 * (strain + strain.T)), scale_atoms=True)
    frame.positions += 0.05 * rng.normal(size=frame.positions.shape)
    frame.calc = None
    return frame


def train_nequip() -> Path:
    """A checkpoint of nequip-train."""
    ase.io.write("frames.extxyz", _with_labels(energy="energy", forces="forces"))
    Path("tiny.yaml").write_text(json.dumps(NEQUIP_INPUT))  # JSON is YAML
    _call("nequip-train", "-cp", str(Path.cwd()), "-cn", "tiny")
    return Path("out/last.ckpt")


def train_mace() -> Path:
    """A model of mace_run_train."""
    ase.io.write("frames.extxyz", _with_labels(energy="REF_energy", forces="REF_forces"))
    _call("mace_run_train", *(word for key, value in MACE_INPUT.items() for word in (f"--{key}", value)))
    return Path("tiny.model")


def train_deepmd() -> Path:
    """A checkpoint of dp --pt train."""
    from lpsmd.models.deepmd import import_deepmd

    frames = training_frames()
    folder = Path("system/set.000")
    folder.mkdir(parents=True)
    (folder.parent / "type.raw").write_text("\n".join(map(str, types_of(frames[0], TYPE_NAMES))))
    (folder.parent / "type_map.raw").write_text("\n".join(TYPE_NAMES))
    np.save(folder / "coord.npy", [frame.positions.ravel() for frame in frames])
    np.save(folder / "box.npy", [frame.cell.array.ravel() for frame in frames])
    np.save(folder / "energy.npy", [frame.get_potential_energy() for frame in frames])
    np.save(folder / "force.npy", [frame.get_forces().ravel() for frame in frames])
    Path("input.json").write_text(json.dumps(DEEPMD_INPUT))
    import_deepmd()
    from deepmd.main import main

    main(["--pt", "train", "input.json"])
    return Path("model.ckpt.pt")


def atom_energies(architecture: str, frame: Atoms, calculator: Any) -> list[float]:
    """Energies of the atoms from the package's own calculator."""
    if architecture == "deepmd":  # its ASE calculator gives none, the evaluator below it does
        types = types_of(frame, TYPE_NAMES)
        found = calculator.dp.eval(frame.positions.reshape(1, -1), frame.cell.array.reshape(1, -1), types, atomic=True)
        return np.asarray(found[3], dtype=np.float64).ravel().tolist()
    evaluated = frame.copy()
    evaluated.calc = calculator
    return np.asarray(evaluated.get_potential_energies(), dtype=np.float64).tolist()


def main() -> None:
    """Train, export, evaluate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("architecture", choices=["nequip", "mace", "deepmd"])
    architecture = parser.parse_args().architecture
    train = {"nequip": train_nequip, "mace": train_mace, "deepmd": train_deepmd}[architecture]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        checkpoint = train().resolve()
        for dtype in ("float32", "float64"):
            export_model(
                architecture,
                checkpoint,
                HERE / f"{architecture}_{dtype}.pt",
                functional="PBE",
                reference=training_frames()[0],
                dtype=dtype,
                description="tiny network for tests, of no physical use",
            )
        network = load_network(architecture, checkpoint, dtype="float64")
    frame = parity_frame()
    types = types_of(frame, network.type_names)
    numbers = reference_numbers(frame, types, network.calculator, source=network.source)
    record = {
        "source": numbers.source,
        "type_names": list(network.type_names),
        "types": numbers.types.tolist(),
        "cell_A": numbers.cell_A.tolist(),
        "positions_A": numbers.positions_A.tolist(),
        "energy_eV": numbers.energy_eV,
        "forces_eV_per_A": numbers.forces_eV_per_A.tolist(),
        "virial_eV": numbers.virial_eV.tolist(),
        "atom_energies_eV": atom_energies(architecture, frame, network.calculator),
    }
    (HERE / f"{architecture}.json").write_text(json.dumps(record) + "\n")


def _with_labels(*, energy: str, forces: str) -> list[Atoms]:
    """The training frames with their labels under the names that a trainer reads."""
    labelled = []
    for frame in training_frames():
        plain = Atoms(frame.symbols, positions=frame.positions, cell=frame.cell, pbc=True)
        if energy == "energy":
            from ase.calculators.singlepoint import SinglePointCalculator

            plain.calc = SinglePointCalculator(plain, energy=frame.get_potential_energy(), forces=frame.get_forces())
        else:
            plain.info[energy] = frame.get_potential_energy()
            plain.arrays[forces] = frame.get_forces()
        labelled.append(plain)
    return labelled


def _call(program: str, *arguments: str) -> None:
    """A program of the running environment."""
    subprocess.run([Path(sys.executable).with_name(program), *arguments], check=True)


if __name__ == "__main__":
    main()
