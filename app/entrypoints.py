"""The service's processes, each started without modules that it does not need.

The command line takes 9 MB of a process's memory, and Celery's own takes another 10.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import Final

_INTERRUPTED: Final = 130


def run_api() -> None:
    """Serve the API until a signal ends it.

    Raises:
        AppError: a setting makes no sense, or a server is missing or outdated.
    """
    _import_structlog_without_rich()
    import uvicorn

    from app.core.settings import load_settings
    from app.runtime import require_servers

    settings = load_settings()
    # The application checks them, too, for plain uvicorn. But uvicorn adds lines of its own to a
    # failure there, and restarts a worker that fails forever.
    asyncio.run(require_servers(settings, broker=False))
    if settings.api_workers == 1:  # for several, uvicorn itself opens the port
        _require_free_port(settings.api_host, settings.api_port)
    uvicorn.run(
        "app.main:app",
        host=settings.api_host,
        port=settings.api_port,
        workers=settings.api_workers,
        log_config=None,
        access_log=False,
    )


def run_worker() -> None:
    """Run a Celery worker until a signal ends it."""
    _import_structlog_without_rich()
    from app.celery_app import celery, settings

    worker = celery.Worker(
        loglevel=settings.log_level, quiet=True, without_gossip=True, without_mingle=True
    )
    worker.start()
    sys.exit(worker.exitcode)


def run_beat() -> None:
    """Run Celery beat until a signal ends it."""
    _import_structlog_without_rich()
    from app.celery_app import celery, settings

    celery.Beat(loglevel=settings.log_level, quiet=True).run()


def run_stack() -> None:
    """Run everything here: PostgreSQL, Redis, API, worker and beat, on the real exchange."""
    from app.embedded import all_in_one

    all_in_one.run_or_exit(all_in_one.run)


def run_demo() -> None:
    """Run everything here against a stand-in exchange, with two days of history to look at."""
    from app.embedded import all_in_one

    all_in_one.run_or_exit(all_in_one.demo)


ENTRYPOINTS: Final[Mapping[str, Callable[[], None]]] = {
    "api": run_api,
    "worker": run_worker,
    "beat": run_beat,
    "run": run_stack,
    "demo": run_demo,
}


def start(name: str) -> None:
    """Run the entry point of this name; an AppError ends the process with one line."""
    from app.core.exit_messages import exiting_on_errors

    try:
        with exiting_on_errors():
            ENTRYPOINTS[name]()
    except KeyboardInterrupt:  # before signal handlers are installed, or after they are removed
        sys.exit(_INTERRUPTED)


def _require_free_port(host: str, port: int) -> None:
    """Make sure that the API can listen.

    Raises:
        SettingsError: it can't.
    """
    from app.core.errors import SettingsError
    from app.supervisor.ports import listen_error

    if reason := listen_error(port, host):
        raise SettingsError(f"API_PORT={port}: nothing can listen there on {host}: {reason}")


def _import_structlog_without_rich() -> None:
    """Import structlog while `rich` can't be found: 7 MB for tracebacks that we do not draw."""
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # which makes its import fail
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
