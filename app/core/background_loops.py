"""Background loops that survive errors.

Every loop that lives as long as its process runs through here, because a task or thread that ends
with an exception ends silently, and its work would stop until the next start.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import structlog

from app.core.metrics import BACKGROUND_ERRORS, count

PAUSE_SECONDS: Final = 1.0
"""The pause after an error, so that a lasting one costs little."""

log = structlog.get_logger(__name__)


async def run_repeatedly(
    name: str, work: Callable[[], Awaitable[object]], *, while_: Callable[[], bool] = lambda: True
) -> None:
    """Repeat work as long as a condition holds; log and count its errors under `name`.

    Only the cancellation of the task that runs this stops it earlier. A cancellation that comes
    from an awaited object (someone else's, of something shared) counts as an error.
    """
    while while_():
        try:
            await work()
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                raise
            _report(name, error)
            await asyncio.sleep(PAUSE_SECONDS)


def run_repeatedly_in_thread(name: str, work: Callable[[], object]) -> None:
    """Repeat work in a daemon thread of its own for as long as the process lives."""
    threading.Thread(target=_run_in_thread, args=(name, work), name=name, daemon=True).start()


def _run_in_thread(name: str, work: Callable[[], object]) -> NoReturn:
    pause = threading.Event()
    while True:
        try:
            work()
        except Exception as error:  # noqa: BLE001  # logged below
            _report(name, error)
            pause.wait(PAUSE_SECONDS)


def _report(name: str, error: BaseException) -> None:
    log.error("background_work_broke", work=name, exc_info=error)
    count(BACKGROUND_ERRORS, name)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
