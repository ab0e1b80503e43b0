"""`lpsmd export-slurm`: a study as a batch script."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("export-slurm")
@click.argument("study", metavar="STUDY.toml")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder of the study; default: NAME-HASH."
)
def export_slurm(study: str, output: Path | None) -> None:
    r"""Write an sbatch script for a study, for sites where no driver process may run.

    The study needs a section [executor.slurm]. The script is an array of jobs; each runs a share of the replicas, as
    many at a time as the study's workers, and puts itself back into the queue when its time is over. Replicas are
    locked, so submitting it twice, or beside `lpsmd run`, does no harm.

    \b
      lpsmd export-slurm study.toml -o results
      sbatch results/replicas.sbatch
      lpsmd status results
      lpsmd run study.toml -o results --analyse-only
    """
    from lpsmd.ensemble.slurm_script import write_slurm_script
    from lpsmd.study_file import load_study

    parsed = load_study(study)
    script = write_slurm_script(parsed, parsed.results_folder(output))
    click.echo(f"sbatch {script}")
