"""The command line, a module per group; `python -m app --help` lists the commands."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final

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
from app.cli.exit_codes import EPILOG
from app.core.errors import AppError

SHORT_NAME: Final = "prices"
"""The command's name where the project is installed; a shell completes only that one."""
COMMANDS: Final[Mapping[str, Mapping[str, Callable[..., None]]]] = {
    "Run the service": {
        "run": entrypoints.run_stack,
        "demo": entrypoints.run_demo,
        "api": processes.api,
        "worker": processes.worker,
        "beat": processes.beat,
        "migrate": processes.migrate,
        "exchange": exchange.exchange,
    },
    "Look at it": {
        "doctor": doctor.doctor,
        "healthcheck": healthcheck.healthcheck,
        "gaps": inspection.gaps,
        "report": inspection.report,
        "verify": verification.verify,
    },
    "Work on its prices": {
        "collect": processes.collect,
        "backfill": repair.backfill,
        "export": exports.export,
        "import": imports.import_,
        "forget": forget.forget,
    },
}
"""The commands by name, in the groups of `--help`."""

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=Path(sys.argv[0]).stem == SHORT_NAME,
    epilog=EPILOG,
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


for group, commands in COMMANDS.items():
    for name, function in commands.items():
        cli.command(name, rich_help_panel=group, epilog=EPILOG)(function)


def main() -> None:
    """Run a command; an error with a name ends it with one line."""
    try:
        cli()
    except AppError as error:
        from app.core.exit_messages import exit_message

        sys.exit(exit_message(error))
