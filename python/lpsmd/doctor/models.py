"""The model files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lpsmd.doctor.check import AGAIN, MEND_PYTHON, Check, failure, install_missing, one_line
from lpsmd.doctor.machine import Machine


def check_models(machine: Machine) -> Iterator[Check]:
    """Each model file: passport, program, and its reference frame as `lpsmd model check` runs it."""
    shipped = {file.stem: str(file) for file in machine.shipped_models}
    # By the rule of pair_coeff: a file of that name, else a shipped model.
    todo = [model if Path(model).is_file() else shipped.get(model, model) for model in machine.models]
    todo = [str(Path(model).absolute()) for model in todo] or sorted(shipped.values())
    if not todo:
        found = f"none in {machine.package / 'demo' / 'models'}"
        yield failure("models", found, AGAIN)
    while todo:
        probe = machine.probe("models", *todo)
        answers = [answer for answer in probe.answers if "model" in answer]
        for answer in answers:
            yield _judge_model(answer, shipped=answer["model"] in shipped.values())
        todo = todo[len(answers) :]
        if not probe.answers:
            found = f"none evaluated: {one_line(probe.problem)}"
            yield failure("models", found, install_missing(probe.problem, MEND_PYTHON))
            return
        if todo:
            why = one_line(probe.problem) or "it gave no answer"
            name, crashed = f"model {Path(todo[0]).stem}", f"{todo[0]} stops its evaluation: {why}"
            remedy = "export this model again with `lpsmd export`, or give it more --timeout"
            yield failure(name, crashed, remedy)
            todo = todo[1:]


def _judge_model(answer: Mapping[str, Any], *, shipped: bool) -> Check:
    name, path = f"model {Path(answer['model']).stem}", answer["model"]
    again = AGAIN if shipped else "copy the file again, or export it again with `lpsmd export`"
    if "error" in answer:
        return failure(name, one_line(answer["error"]), again)
    differences = (
        f"forces {answer['force_eV_per_A']:.1e} eV/Angstrom (allowed {answer['allowed_eV_per_A']:.0e}), "
        f"energy {answer['energy_eV_per_atom']:.1e} eV/atom (allowed {answer['allowed_eV_per_atom']:.0e})"
    )
    if not answer["passed"]:
        found = f"{path} does not reproduce its reference frame: off by {differences}"
        return failure(name, found, f"run nothing with it: {again}")
    kind = f"{answer['architecture']}, {answer['functional']}, {answer['dtype']}"
    found, seconds = f"{kind}; from its reference: {differences}", answer["seconds"]
    return Check(name=name, status="ok", found=found, seconds=seconds)
