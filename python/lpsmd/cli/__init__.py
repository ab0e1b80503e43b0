"""The command `lpsmd`.

Subcommands live in modules of this package and are imported when they are called, so that `lpsmd --help` answers
at once.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from lpsmd import __version__
from lpsmd.errors import LpsmdError

# command: (module, what it does); the function has the command's name.
_COMMANDS = {
    "init": ("lpsmd.cli.init", "Write a study file to start from."),
    "run": ("lpsmd.cli.run", "Run a study: replicas in LAMMPS, then D with its error."),
    "status": ("lpsmd.cli.status", "How a study stands, also while it runs."),
    "export-slurm": ("lpsmd.cli.export_slurm", "A study as an sbatch script."),
    "work": ("lpsmd.cli.work", "A share of the replicas of a study, without a driver."),
    "msd": ("lpsmd.cli.msd", "Mean squared displacement of any dumps."),
    "diffusion": ("lpsmd.cli.diffusion", "Diffusion coefficient of any dumps, with its error and a verdict."),
    "arrhenius": ("lpsmd.cli.arrhenius", "Activation energy from coefficients at several temperatures."),
    "structure": ("lpsmd.cli.structure", "Write starting structures."),
    "export": ("lpsmd.cli.model", "Turn a trained NequIP, MACE or DP network into a model file."),
    "model": ("lpsmd.cli.model", "Show or check a model file, hold models against labels."),
    "doctor": ("lpsmd.cli.doctor", "Check the installation; says what mends it."),
    "train": ("lpsmd.cli.train", "Train a model on labelled frames: NequIP, MACE or DP."),
    "select": ("lpsmd.cli.select", "Pick frames worth a label: dynamics, committee, diversity."),
    "label": ("lpsmd.cli.label", "Label frames with PBE and HSE06 through Quantum ESPRESSO."),
    "dataset": ("lpsmd.cli.dataset", "Check, join, split and show labelled frames from anywhere."),
}


def _keep_lines(command: click.Command) -> click.Command:
    """Turn the backslash and b of raw docstrings into the mark by which click keeps a paragraph's lines."""
    command.help = command.help and command.help.replace("\\b\n", "\b\n")
    for inner in getattr(command, "commands", {}).values():
        _keep_lines(inner)
    return command


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(_COMMANDS[cmd_name][0]), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return _keep_lines(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LpsmdError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(2)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lpsmd")
def main() -> None:
    r"""Diffusion coefficients of ions in solids, with errors one can defend.

    \b
    A first study with models that ship with lpsmd:
      lpsmd run demo
    A study of your own:
      lpsmd init study.toml
      lpsmd run study.toml
    Dumps that you have:
      lpsmd diffusion 'runs/*/msd.dump' --species Li --timestep-fs 2
    Your own model:
      lpsmd export nequip best.ckpt -o model.pt --functional PBE --reference frame.extxyz
      lpsmd model check model.pt
    Something does not run:
      lpsmd doctor
    """


_keep_lines(main)
