"""The service's processes, and single steps of its work."""

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from app import entrypoints
from app.cli.context import command_runtime

Watched = Annotated[
    bool, typer.Option("--watched", help="Start it again whenever it dies or hangs.")
]


def api(*, watched: Watched = False) -> None:
    """Serve the API."""
    if watched:
        _keep("api")
    else:
        entrypoints.serve()


def worker(*, watched: Watched = False) -> None:
    """Run a Celery worker."""
    if watched:
        _keep("worker")
    else:
        entrypoints.work()


def beat(*, watched: Watched = False) -> None:
    """Run Celery beat."""
    if watched:
        _keep("beat")
    else:
        entrypoints.beat()


def migrate() -> None:
    """Bring the database's schema to the newest version."""
    from app.postgres.schema import migrate as upgrade

    upgrade()


def collect(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False
) -> None:
    """Collect every ticker once, here and now, without Celery."""
    outcome = asyncio.run(_collect_once())
    print(json.dumps(outcome) if as_json else _in_words(outcome))
    if outcome["failed"]:
        raise typer.Exit(1)


def _keep(name: str) -> None:
    """Run a service as the child of this process, which watches it."""
    from app.core.exit_messages import final_message
    from app.core.settings import load_settings
    from app.supervisor.processes import CannotStart
    from app.supervisor.supervised import run_supervised

    try:
        run_supervised(load_settings(), name)
    except CannotStart as error:
        # its last words were handed on already
        sys.exit(final_message(str(error).partition(":\n")[0]))


async def _collect_once() -> dict[str, Any]:
    async with command_runtime(broker=True) as runtime:
        return asdict(await runtime.collector.collect(wait=True))


def _in_words(outcome: dict[str, Any]) -> str:
    lines = [f"{ticker}: stored" for ticker in outcome["stored"]]
    lines += [f"{ticker}: already there" for ticker in outcome["already"]]
    lines += [f"{ticker}: failed, {code}" for ticker, code in outcome["failed"].items()]
    return "\n".join(lines)
