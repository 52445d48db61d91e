"""The commands that run a process of the service, and those that do one step of its work."""

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from app import entrypoints
from app.cli.context import command_runtime

WatchedOption = Annotated[
    bool, typer.Option("--watched", help="Start it again whenever it dies or hangs.")
]


def api(*, watched: WatchedOption = False) -> None:
    """Serve the API."""
    if watched:
        _run_supervised("api")
    else:
        entrypoints.run_api()


def worker(*, watched: WatchedOption = False) -> None:
    """Run a Celery worker."""
    if watched:
        _run_supervised("worker")
    else:
        entrypoints.run_worker()


def beat(*, watched: WatchedOption = False) -> None:
    """Run Celery beat."""
    if watched:
        _run_supervised("beat")
    else:
        entrypoints.run_beat()


def migrate() -> None:
    """Bring the database's schema to the newest version."""
    from app.postgres.schema import migrate as upgrade

    upgrade()


def collect(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False
) -> None:
    """Collect every ticker once, here and now, without Celery."""
    result = asyncio.run(_collect_once())
    print(json.dumps(result) if as_json else _summary(result))
    if result["failed"]:
        raise typer.Exit(1)


def _run_supervised(name: str) -> None:
    """Run a service as a supervised child of this process."""
    from app.core.exit_messages import final_message
    from app.core.settings import load_settings
    from app.supervisor.processes import CannotStart
    from app.supervisor.supervised import run_supervised

    try:
        run_supervised(load_settings(), name)
    except CannotStart as error:
        # its output was passed on already
        sys.exit(final_message(str(error).partition(":\n")[0]))


async def _collect_once() -> dict[str, Any]:
    async with command_runtime(broker=True) as runtime:
        return asdict(await runtime.collector.collect(wait=True))


def _summary(result: dict[str, Any]) -> str:
    lines = [f"{ticker}: stored" for ticker in result["stored"]]
    lines += [f"{ticker}: already there" for ticker in result["already"]]
    lines += [f"{ticker}: failed, {code}" for ticker, code in result["failed"].items()]
    return "\n".join(lines)
