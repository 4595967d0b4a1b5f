"""How a command ends that cannot do its work."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from labthings.exceptions import LabThingsError

EXIT_CODE = 3


@contextmanager
def reported(*, debug: bool = False) -> Iterator[None]:
    """Print an error of LabThings on stderr without a traceback, and end the command with exit code 3.

    :param debug: whether to print the traceback of what caused the error, if anything did.
    """
    try:
        yield
    except LabThingsError as error:
        report(error, debug=debug)
        raise typer.Exit(EXIT_CODE) from error


def report(error: Exception, *, debug: bool = False) -> None:
    """Print an error on stderr: with its traceback, unless it is one of LabThings.

    :param debug: whether to print the traceback of what caused an error of LabThings, if anything did.
    """
    if not isinstance(error, LabThingsError):
        typer.echo("".join(traceback.format_exception(error)), err=True)
        return
    if debug and error.__cause__ is not None:
        typer.echo("".join(traceback.format_exception(error.__cause__)), err=True)
    typer.echo(f"Error: {error}", err=True)
