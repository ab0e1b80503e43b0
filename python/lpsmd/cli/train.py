"""`lpsmd train`: models from one's own labelled frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("architecture", type=click.Choice(["nequip", "mace", "deepmd"]))
@click.option(
    "--functional",
    type=click.Choice(["PBE", "HSE06"]),
    required=True,
    help="Labels to train on. HSE06 starts from the PBE model of the same seed, trained first where it is not there.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    required=True,
    help="Of the first weights, the order of frames, and all that the trainer draws; stands in the passport.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder with pbe.extxyz and, for HSE06, hse06.extxyz, split by `lpsmd dataset split`.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Model file to write."
)
@click.option(
    "--size",
    type=click.Choice(["small", "medium", "large"]),
    help="Of the network: accuracy against cost. [default: small]",
)
@click.option(
    "--pretraining",
    type=click.Choice(["none", "sevennet"]),
    default="none",
    show_default=True,
    help="First train on frames that SevenNet makes and labels; for Li, P, S, Cl.",
)
@click.option(
    "--foundation",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="MACE model to start from (MACE-MP and kin), in place of random weights; its network is kept.",
)
@click.option(
    "--workdir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("lpsmd_training"),
    show_default=True,
    help="Keeps environments, teacher frames and stages; the same command goes on there.",
)
@click.option(
    "--environment",
    type=click.Path(path_type=Path, file_okay=False),
    help="Virtual environment of the trainer; without it one is made in the work directory.",
)
@click.option(
    "--teacher-environment",
    type=click.Path(path_type=Path, file_okay=False),
    help="Virtual environment with sevenn; without it one is made in the work directory, where frames are missing.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to train; auto takes a GPU where the trainer's torch sees one.",
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    default="float32",
    show_default=True,
    help="Precision of training and of the model file.",
)
@click.option(
    "--max-hours",
    type=click.FloatRange(min=0, min_open=True),
    help="End the training in this time, each stage with the best that it has by then; judging and export come after.",
)
@click.option(
    "--max-epochs",
    type=click.IntRange(min=1),
    help="Greatest length of each stage, where shorter than the schedule's; the learning rate falls over it.",
)
def train(output: Path, **options: Any) -> None:
    r"""Train a model on labelled frames, judge it on the test frames, write its model file.

    Each frame of the data has a part, which `lpsmd dataset split` gives it. Weights follow the part train, early
    stopping and the choice of the best epoch the part validation; the part test is looked at once, when all is done,
    and what is found stands in the passport. Beside MODEL.pt stands MODEL.training.csv with every epoch.

    Makes or reuses the trainer's environment. A finished stage is kept, a killed one goes on.

    \b
      lpsmd dataset split data
      lpsmd train nequip --functional PBE   --seed 1 --data data -o nequip_pbe_1.pt
      lpsmd train nequip --functional HSE06 --seed 1 --data data -o nequip_hse06_1.pt
      lpsmd train mace --functional PBE --seed 1 --data data --foundation mace-mp.model -o mace_pbe_1.pt
      lpsmd model show nequip_pbe_1.pt
    """
    from rich.console import Console

    from lpsmd.cli.run import log_to, stoppable
    from lpsmd.training.pipeline import train_model
    from lpsmd.training.plan import TrainingPlan
    from lpsmd.training.watching import watching

    console = Console(stderr=True)
    log_to(console)
    plan = TrainingPlan(output=output, **options)
    with stoppable(plan.workdir), watching(console) as watcher:
        record = train_model(plan, watcher=watcher)
    _print(plan.output, record)


def _print(output: Path, record: dict[str, Any]) -> None:
    """The errors on the test frames, and what is resolved of the difference from the parent's functional."""
    from lpsmd.cli import _accuracy

    held_out = record["held_out"]
    title = f"{output} on {_accuracy.which(held_out)}"
    _accuracy.show(_accuracy.ERRORS, held_out, title=title, as_json=False, out=())
    difference = record.get("functional_difference")
    if difference is not None:
        title = f"F_{difference['other']} - F_{difference['base']} on {_accuracy.which(difference)}"
        _accuracy.show(_accuracy.DIFFERENCE, difference, title=title, as_json=False, out=())
