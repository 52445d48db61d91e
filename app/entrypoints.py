"""The service's processes, as whoever keeps them starts them: with nothing loaded needlessly.

The command line itself takes 7 MB in each of them, and what Celery's own adds another 10.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final


@contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Let an import find no such package, unless it is loaded."""
    hides = package not in sys.modules
    if hides:
        sys.modules[package] = None  # type: ignore[assignment]  # that is how it is said
    try:
        yield
    finally:
        if hides:
            del sys.modules[package]


def serve() -> None:
    """Serve the API.

    Raises:
        AppError: it could not work.
    """
    _load_logs()
    import uvicorn

    from app.core.settings import load_settings
    from app.runtime import require_servers

    settings = load_settings()
    asyncio.run(require_servers(settings, broker=False))
    if settings.api_workers == 1:  # uvicorn itself opens the port of several
        _require_port(settings.api_host, settings.api_port)
    uvicorn.run(
        "app.main:app",
        host=settings.api_host,
        port=settings.api_port,
        workers=settings.api_workers,
        log_config=None,
        access_log=False,
    )


def _require_port(host: str, port: int) -> None:
    """Make sure that the API can listen.

    Raises:
        SettingsError: it can't.
    """
    from app.core.errors import SettingsError
    from app.supervisor.ports import listen_error

    if why := listen_error(port, host):
        raise SettingsError(f"API_PORT={port}: nothing can listen there on {host}: {why}")


def work() -> None:
    """Run a Celery worker."""
    _load_logs()
    from app.celery_app import celery, settings

    worker = celery.Worker(
        loglevel=settings.log_level, quiet=True, without_gossip=True, without_mingle=True
    )
    worker.start()
    sys.exit(worker.exitcode)


def beat() -> None:
    """Run Celery beat."""
    _load_logs()
    from app.celery_app import celery, settings

    celery.Beat(loglevel=settings.log_level, quiet=True).run()


def run() -> None:
    """Run everything here against the real exchange."""
    from app.embedded.commands import run as run_here

    run_here()


def demo() -> None:
    """Run everything here against a stand-in exchange."""
    from app.embedded.commands import demo as run_here

    run_here()


ROLES: Final[Mapping[str, Callable[[], None]]] = {
    "api": serve,
    "worker": work,
    "beat": beat,
    "run": run,
    "demo": demo,
}
_PORT: Final = "--port"
_INDEX: Final = "--index"
_INTERRUPTED: Final = 130


def start(role: str) -> None:
    """Run a process of the service; an error with a name ends it with one line."""
    from app.core.errors import AppError
    from app.core.exit_messages import exit_message

    try:
        ROLES[role]()
    except AppError as error:
        sys.exit(exit_message(error))
    except KeyboardInterrupt:  # before anything handles signals, or long after
        sys.exit(_INTERRUPTED)


def start_exchange(words: Sequence[str]) -> bool:
    """Run the stand-in exchange with the options that a supervisor gives it, to its end.

    Others, and what makes no sense, are the command line's: False.
    """
    options = list(zip(words[::2], words[1::2], strict=False))
    if len(words) % 2 or any(name not in {_PORT, _INDEX} for name, _ in options):
        return False
    from app.simulator import ExchangeOptions
    from app.simulator import run as run_exchange

    try:
        indices = tuple(value for name, value in options if name == _INDEX)
        wanted = ExchangeOptions(port=int(dict(options).get(_PORT, 0)), indices=indices)
    except ValueError:
        return False
    sys.exit(run_exchange(wanted))


def _load_logs() -> None:
    """Load structlog without rich, 7 MB for tracebacks that it is told not to draw."""
    with _hidden("rich"):
        import structlog  # noqa: F401
