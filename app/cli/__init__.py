"""The command line, a module per group; `python -m app --help` lists the commands."""

import sys

import typer

from app.cli import exchange, healthcheck, local, services
from app.core.errors import AppError

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Records index prices of crypto exchanges every minute, and serves them over HTTP.",
)
for command in (
    local.run,
    local.demo,
    services.api,
    services.worker,
    services.beat,
    services.migrate,
    services.collect,
    exchange.exchange,
    healthcheck.healthcheck,
):
    cli.command()(command)


def main() -> None:
    """Run a command; an error with a name ends it with one line."""
    try:
        cli()
    except AppError as error:
        sys.exit(f"{error.code}: {error}")
