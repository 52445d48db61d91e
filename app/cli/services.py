"""The service's processes, and single steps of its work."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated, Any

import typer


def api() -> None:
    """Serve the API."""
    import uvicorn

    from app.core.settings import load_settings
    from app.runtime import require_servers

    settings = load_settings()
    asyncio.run(require_servers(settings, broker=False))
    uvicorn.run(
        "app.main:app",
        host=settings.api_host,
        port=settings.api_port,
        workers=settings.api_workers,
        log_config=None,
        access_log=False,
    )


def worker() -> None:
    """Run a Celery worker."""
    from app.celery_app import celery, settings

    celery.worker_main(
        [
            "--quiet",
            "worker",
            f"--loglevel={settings.log_level}",
            "--without-gossip",
            "--without-mingle",
        ]
    )


def beat() -> None:
    """Run Celery beat."""
    from app.celery_app import celery, settings

    celery.start(["--quiet", "beat", f"--loglevel={settings.log_level}"])


def migrate() -> None:
    """Bring the database's schema to the newest version."""
    from app.db.schema import migrate as upgrade

    upgrade()


def collect(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False
) -> None:
    """Collect every ticker once, here and now, without Celery."""
    outcome = asyncio.run(_collect_once())
    print(json.dumps(outcome) if as_json else _in_words(outcome))
    if outcome["failed"]:
        raise typer.Exit(1)


async def _collect_once() -> dict[str, Any]:
    from app.core.settings import load_settings
    from app.runtime import open_runtime, require_servers

    settings = load_settings()
    await require_servers(settings, broker=True)
    async with open_runtime(settings) as runtime:
        return asdict(await runtime.collector.collect(wait=True))


def _in_words(outcome: dict[str, Any]) -> str:
    lines = [f"{ticker}: stored" for ticker in outcome["stored"]]
    lines += [f"{ticker}: already there" for ticker in outcome["already"]]
    lines += [f"{ticker}: failed, {code}" for ticker, code in outcome["failed"].items()]
    return "\n".join(lines)
