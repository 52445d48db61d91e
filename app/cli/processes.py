"""The commands that run a process of the service, and those that do one step of its work."""

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from app import entrypoints
from app.cli.command_runtime import command_runtime
from app.cli.exit_codes import ExitCode
from app.cli.options import JsonOption
from app.cli.tables import ResultTable, print_result

WatchedOption = Annotated[
    bool, typer.Option("--watched", help="Start it again whenever it dies or hangs.")
]


def api(*, watched: WatchedOption = False) -> None:
    """Serve the API."""
    _run_service("api", watched=watched)


def worker(*, watched: WatchedOption = False) -> None:
    """Run a Celery worker."""
    _run_service("worker", watched=watched)


def beat(*, watched: WatchedOption = False) -> None:
    """Run Celery beat."""
    _run_service("beat", watched=watched)


def migrate() -> None:
    """Bring the database's schema to the newest version."""
    from app.postgres.schema_version import migrate as upgrade

    upgrade()


def collect(*, as_json: JsonOption = False) -> None:
    """Collect every ticker once, here and now, without Celery."""
    result = asyncio.run(_collect_once())
    if as_json:
        print(json.dumps(result))
    else:
        rows = list(_result_rows(result))
        print_result([ResultTable(("ticker", "result"), rows)], "\n".join(map(": ".join, rows)))
    if result["failed"]:
        raise typer.Exit(ExitCode.FAILED)


def _run_service(name: str, *, watched: bool) -> None:
    """Run a service as this process, or as a supervised child of it."""
    if not watched:
        entrypoints.ENTRYPOINTS[name]()
        return
    from app.core.exit_messages import final_message
    from app.core.settings import load_settings
    from app.supervisor.child_process import CannotStart
    from app.supervisor.supervised_service import run_supervised

    try:
        run_supervised(load_settings(), name)
    except CannotStart as error:
        # its output was passed on already
        sys.exit(final_message(str(error).partition(":\n")[0]))


async def _collect_once() -> dict[str, Any]:
    async with command_runtime(broker=True) as runtime:
        return asdict(await runtime.collector.collect(wait=True))


def _result_rows(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((ticker, "stored") for ticker in result["stored"])
    yield from ((ticker, "already there") for ticker in result["already"])
    yield from ((ticker, f"failed, {code}") for ticker, code in result["failed"].items())
