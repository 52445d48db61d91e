"""The command line, a module per group; `python -m app --help` lists the commands."""

import sys
from typing import Annotated

import typer

from app import __version__, entrypoints
from app.cli import (
    doctor,
    exchange,
    exports,
    forget,
    healthcheck,
    imports,
    inspection,
    processes,
    repair,
    verification,
)
from app.core.errors import AppError

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Records index prices of crypto exchanges every minute, and serves them over HTTP.",
)


def _show_version(*, wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@cli.callback()
def _options(
    *,
    version: Annotated[  # its callback answers
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and end."
        ),
    ] = False,
) -> None:
    pass


cli.command("run")(entrypoints.run_stack)
cli.command("demo")(entrypoints.run_demo)
for command in (
    processes.api,
    processes.worker,
    processes.beat,
    processes.migrate,
    processes.collect,
    repair.backfill,
    inspection.gaps,
    inspection.report,
    verification.verify,
    exports.export,
    forget.forget,
    doctor.doctor,
    exchange.exchange,
    healthcheck.healthcheck,
):
    cli.command()(command)
cli.command("import")(imports.import_)  # a keyword of Python


def main() -> None:
    """Run a command; an error with a name ends it with one line."""
    try:
        cli()
    except AppError as error:
        from app.core.exit_messages import exit_message

        sys.exit(exit_message(error))
