"""`lpsmd init`: a study file to start from."""

from __future__ import annotations

from pathlib import Path

import click

PROTOCOLS = ("small", "demo", "reference", "select")
FILE_NAME = "study.toml"


@click.command()
@click.argument("target", metavar="[FOLDER or FILE]", default=".")
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    default="small",
    show_default=True,
    help="Which study to start from; see above.",
)
def init(target: str, protocol: str) -> None:
    r"""Write a study file with a comment beside every key.

    It runs as it is, with the models that ship with lpsmd; then put in your own structure and models.

    \b
    Protocols:
      small      one model, 3 temperatures, 16 replicas of 10 ps: a first study of your own
      demo       six models, 4 replicas of 2 ps of 52 atoms: what `lpsmd run demo` runs
      reference  the full protocol: 2x2x2 cells with disorder, 10 structures, three architectures
                 and two functionals, 300 replicas of 70 ps; with blocks for GPUs and Slurm
      select     short, hot dynamics from which `lpsmd select` picks frames that want labels

    \b
    Examples:
      lpsmd init                                study.toml in this folder
      lpsmd init my-study --protocol reference  my-study/study.toml; the folder is made
      lpsmd init 900K.toml                      that file
      lpsmd init - | less                       only look
    Then:
      lpsmd run study.toml

    A name that ends in .toml is a file, any other a folder, and - is the standard output. A file that exists is never
    overwritten: exit code 2, and nothing is written.
    """
    from lpsmd.study_file import PROTOCOLS as FILES

    text = FILES[protocol].read_text(encoding="utf-8")
    if target == "-":
        click.echo(text, nl=False)
        return
    file = Path(target) if target.endswith(".toml") else Path(target) / FILE_NAME
    _write_new(file, text)
    then = f"lpsmd select {file} -o FOLDER" if protocol == "select" else f"lpsmd run {file}"
    click.echo(f"{file}: the {protocol} protocol; edit it, then: {then}")
    if target in PROTOCOLS and target != protocol:
        click.echo(f"{target} is a folder here; that protocol is: lpsmd init --protocol {target}", err=True)


def _write_new(file: Path, text: str) -> None:
    """Write a file that is not there yet.

    Raises
    ------
    StudyError
        If it is there, or cannot be written.
    """
    from lpsmd.study import StudyError

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        found = error.filename if error.filename and Path(error.filename) != file else str(file)
        raise StudyError(
            f"{found}: exists, and nothing was overwritten; choose another name, such as `lpsmd init other.toml`, or "
            f"move it away first"
        ) from error
    except OSError as error:
        raise StudyError(f"cannot write {file}: {error.strerror}; choose another folder") from error
