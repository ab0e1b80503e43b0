"""Torch as a Python module, and the devices that it computes on."""

from __future__ import annotations

from pathlib import Path

from lpsmd.doctor.check import Check, failure, note, ok, one_line, warning
from lpsmd.doctor.machine import Machine
from lpsmd.doctor.packages import pinned


def check_torch(machine: Machine) -> Check:
    """Torch as a Python module: the version that the plugin was built for."""
    name, facts, needed = "torch", machine.torch_probe.facts, machine.built_for.get("torch")
    install = f"pip install {pinned('torch', needed)}"
    if "version" not in facts:
        found = f"cannot be imported: {one_line(machine.torch_probe.problem)}"
        return failure(name, found, install)
    kind = f"CUDA {facts['cuda']} build" if facts["cuda"] else "CPU build"
    threads = f"{facts['threads']} thread{'s' if facts['threads'] > 1 else ''} in Python"
    found = f"{facts['version']}, {kind}, {threads}, in {Path(facts['file']).parent}"
    # What follows the + names the build, not the version.
    if needed and facts["version"].partition("+")[0] != needed:
        found += f"; the plugin was built for {needed}"
        return failure(name, found, f"{install}, or install lpsmd again beside it")
    return ok(name, found)


# Of NVIDIA's kernel driver: there wherever it is loaded, whatever torch is installed.
_DRIVER = Path("/proc/driver/nvidia/version")


def check_cuda(machine: Machine) -> Check:
    """Devices that torch can use. None is no fault."""
    name, facts, problem = "CUDA", machine.torch_probe.facts, machine.torch_probe.problem
    if "version" not in facts:
        return note(name, "not known, since torch does not load")
    if problem:
        return failure(
            name,
            f"torch {'sees a device but does not compute on it' if facts.get('available') else 'looks for devices'}: "
            f"{one_line(problem)}",
            "compare nvidia-smi with the CUDA of this torch; until then use `pair_style lpsmd device cpu`",
        )
    if facts["devices"]:
        return ok(name, f"{len(facts['devices'])} visible: {', '.join(facts['devices'])}")
    if facts["cuda"]:
        why = one_line("; ".join(facts["complaints"])) or "no driver or no device"
        if "CUDA_VISIBLE_DEVICES" in machine.environment:
            why += f"; CUDA_VISIBLE_DEVICES is '{machine.environment['CUDA_VISIBLE_DEVICES']}'"
        return warning(
            name,
            f"torch is a CUDA {facts['cuda']} build but sees no device ({why}); models run on the CPU",
            "see whether nvidia-smi shows a device; without one a CPU build of torch saves some GB",
        )
    if _DRIVER.exists():
        return note(
            name,
            "none, though NVIDIA's driver is loaded: this torch is a CPU build; models run on the CPU",
            f"for the GPU install the CUDA build of {pinned('torch', machine.built_for.get('torch'))}",
        )
    return note(name, "none; models run on the CPU")
