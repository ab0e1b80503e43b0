"""What a user can do wrong in a LAMMPS input, and the text that says how to mend it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from lpsmd.models.contract import quiet_torchscript, read_passport
from support.models import lj_model
from support.simulation import TYPE_NAMES, run_lmp

CELL = [
    "atom_style atomic",
    "region box block 0 12 0 12 0 12",
    "create_box 4 box",
    "create_atoms 1 single 1 1 1",
    "create_atoms 2 single 4 4 4",
    "create_atoms 3 single 7 7 7",
    "create_atoms 4 single 10 10 10",
    "mass 1 6.94",
    "mass 2 30.974",
    "mass 3 32.06",
    "mass 4 35.45",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lj_model(tmp_path_factory.mktemp("models") / "lj.pt", TYPE_NAMES)


def message(folder: Path, *commands: str, units: str = "metal", **options: object) -> str:
    """Text of the run, its line breaks and LAMMPS' marks taken out; the run must fail and not crash."""
    done = run_lmp([f"units {units}", *CELL, *commands], folder, **options)  # type: ignore[arg-type]
    assert done.returncode > 0, f"expected a clean stop, got exit {done.returncode}:\n{done.stdout}"
    assert "ERROR" in done.stdout, done.stdout
    return re.sub(r"\s+", " ", done.stdout)


def use(model: Path | str, elements: str = "Li P S Cl") -> list[str]:
    return ["pair_style lpsmd", f"pair_coeff * * {model} {elements}", "run 0"]


def test_a_correct_input_runs(model: Path, tmp_path: Path) -> None:
    done = run_lmp(["units metal", *CELL, *use(model)], tmp_path)
    assert done.returncode == 0, done.stdout
    assert "reference frame reproduced to" in done.stdout


def test_wrong_element_order(model: Path, tmp_path: Path) -> None:
    text = message(tmp_path, *use(model, "Li S P Cl"))
    assert "maps atom type 2 to S (mass 32.06), but its mass is 30.97, that of P" in text
    assert "in the order of the atom types" in text


def test_unusual_masses_can_be_allowed(model: Path, tmp_path: Path) -> None:
    commands = ["units metal", *CELL, "mass 1 12.0", *use(model)]
    assert run_lmp(commands, tmp_path).returncode > 0
    commands[commands.index("pair_style lpsmd")] = "pair_style lpsmd masses ignore"
    assert run_lmp(commands, tmp_path).returncode == 0


def test_missing_type(model: Path, tmp_path: Path) -> None:
    assert "names 3 elements, this simulation has 4 atom types" in message(tmp_path, *use(model, "Li P S"))


def test_unknown_element_suggests_the_nearest(model: Path, tmp_path: Path) -> None:
    text = message(tmp_path, *use(model, "Li P S C"))
    assert "atom type 4 is 'C'" in text
    assert "did you mean 'Cl'? It knows: Li, P, S, Cl" in text


@pytest.mark.parametrize("units", ["real", "lj"])
def test_wrong_units(units: str, model: Path, tmp_path: Path) -> None:
    text = message(tmp_path, *use(model), units=units)
    assert f"needs units metal (its models are in eV and Angstrom), found units {units}" in text


def test_missing_file(tmp_path: Path) -> None:
    assert "nowhere.pt does not exist; give the path" in message(tmp_path, *use("nowhere.pt"))


def test_truncated_file(model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    assert "broken.pt is truncated or no TorchScript archive" in message(tmp_path, *use(broken))


def test_file_without_passport(tmp_path: Path) -> None:
    class Nothing(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with quiet_torchscript():
        torch.jit.save(torch.jit.script(Nothing()), str(tmp_path / "bare.pt"))
    text = message(tmp_path, *use(tmp_path / "bare.pt"))
    assert "bare.pt has no lpsmd passport; write it with `lpsmd export`" in text


def changed_passport(model: Path, target: Path, **changes: object) -> Path:
    passport = {**read_passport(model).to_dict(), **changes}
    with quiet_torchscript():
        torch.jit.save(torch.jit.load(str(model)), str(target), _extra_files={"lpsmd.json": json.dumps(passport)})
    return target


def test_another_schema(model: Path, tmp_path: Path) -> None:
    text = message(tmp_path, *use(changed_passport(model, tmp_path / "future.pt", schema=99)))
    assert "its passport has schema 99, this lpsmd reads schema 1" in text
    assert "Export the model again" in text


def test_a_model_that_does_not_reproduce_itself(model: Path, tmp_path: Path) -> None:
    reference = read_passport(model).to_dict()["reference"]
    reference["forces_eV_per_A"][0][0] += 1e-3
    text = message(tmp_path, *use(changed_passport(model, tmp_path / "wrong.pt", reference=reference)))
    assert "does not reproduce its own reference frame on cpu: forces differ by 0.001" in text


def test_too_many_neighbours(model: Path, tmp_path: Path) -> None:
    dense = changed_passport(model, tmp_path / "sel.pt", max_neighbors=[0, 20, 20, 20])
    text = message(tmp_path, *use(dense))
    assert "neighbours of type Li, the model has room for 0 (its sel)" in text


def test_unknown_option(model: Path, tmp_path: Path) -> None:
    text = message(tmp_path, "pair_style lpsmd devise cpu")
    assert "unknown option 'devise'; did you mean 'device'? Known: device, masses, elements" in text


def test_unknown_device(model: Path, tmp_path: Path) -> None:
    text = message(tmp_path, "pair_style lpsmd device gpu", *use(model)[1:])
    assert "device 'gpu' is unknown" in text
    assert "Known: auto, cpu, cuda" in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is present")
def test_absent_cuda(model: Path, tmp_path: Path) -> None:
    text = message(tmp_path, "pair_style lpsmd device cuda", *use(model)[1:])
    assert "sees no CUDA device: use 'device cpu'" in text


@pytest.fixture(scope="module")
def impostor(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Libraries that answer for LAMMPS or torch with another version, for LD_PRELOAD."""
    compiler = shutil.which("c++")
    assert compiler, "the build of lpsmd needed a C++ compiler, so there is one"
    folder = tmp_path_factory.mktemp("impostor")
    sources = {
        "lammps": 'extern "C" int lammps_version(void *) { return 20200303; }',
        "torch": 'extern "C" unsigned long aoti_torch_abi_version() { return 2ul << 56 | 11ul << 48; }',
    }
    libraries = {}
    for name, source in sources.items():
        (folder / f"{name}.cpp").write_text(source + "\n")
        libraries[name] = folder / f"{name}.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-o", str(libraries[name]), str(folder / f"{name}.cpp")], check=True
        )
    return libraries


def test_wrong_lammps_version(model: Path, tmp_path: Path, impostor: dict[str, Path]) -> None:
    text = message(tmp_path, *use(model), environment={"LD_PRELOAD": str(impostor["lammps"])})
    assert "was built for LAMMPS 20250722" in text
    assert "this is LAMMPS 20200303" in text


def test_wrong_torch_version(model: Path, tmp_path: Path, impostor: dict[str, Path]) -> None:
    text = message(tmp_path, *use(model), environment={"LD_PRELOAD": str(impostor["torch"])})
    assert "lpsmd was built for torch 2.13.0, but torch 2.11.0 was loaded" in text
