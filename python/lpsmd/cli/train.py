"""`lpsmd train`: retrain the demonstration models."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("architecture", type=click.Choice(["nequip", "mace", "deepmd"]))
@click.option(
    "--functional",
    type=click.Choice(["PBE", "HSE06"]),
    required=True,
    help="Labels to train on. HSE06 starts from the weights of the PBE stage.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Model file to write.")
@click.option(
    "--workdir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("lpsmd_training"),
    show_default=True,
    help="Keeps environments, teacher frames and finished stages; run again to resume.",
)
@click.option(
    "--environment",
    type=click.Path(path_type=Path, file_okay=False),
    help="Virtual environment of the trainer; without it one is made in the work directory.",
)
@click.option(
    "--teacher-environment",
    type=click.Path(path_type=Path, file_okay=False),
    help="Virtual environment with chgnet; without it one is made in the work directory.",
)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    default="float32",
    show_default=True,
    help="Precision of training and of the model file.",
)
def train(
    architecture: str,
    functional: str,
    output: Path,
    workdir: Path,
    environment: Path | None,
    teacher_environment: Path | None,
    threads: int,
    dtype: str,
) -> None:
    """Retrain a demonstration model from the DFT frames that ship with lpsmd.

    Makes or reuses the trainer's environment, has CHGNet label frames for the pre-training, trains on them, on
    PBE and, if asked for, on HSE06, measures the held-out errors and writes the model file. About half an
    hour on one core, DP up to an hour.
    """
    from rich.console import Console
    from rich.progress import Progress

    from lpsmd.training.pipeline import train_model

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bars:
        tasks = {}

        def show(stage: str, fraction: float) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=1.0)
            bars.update(tasks[stage], completed=fraction)

        errors = train_model(
            architecture,
            functional=functional,
            output=output,
            workdir=workdir,
            environment=environment,
            teacher_environment=teacher_environment,
            threads=threads,
            dtype=dtype,
            on_progress=show,
        )
    click.echo(
        f"{output}: force rms error {1e3 * errors['force_rms_eV_per_A']:.0f} meV/Angstrom on {errors['frames']} "
        f"held-out frames (predicting zero: {1e3 * errors['zero_force_rms_eV_per_A']:.0f})"
    )
    for kind, found in errors["by_region"].get("kind", {}).items():
        click.echo(
            f"  {kind:<18} {1e3 * found['force_rms_eV_per_A']:5.0f} of "
            f"{1e3 * found['zero_force_rms_eV_per_A']:.0f} meV/Angstrom"
        )
