"""Work that goes on beside everything else, and that no error ends.

Every loop that lives as long as its process runs through here: a task or a thread that ends by an
exception ends unseen, and what it was for stands still until the next start.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import structlog

from app.core.metrics import BACKGROUND_ERRORS, count

PAUSE_SECONDS: Final = 1.0
"""How long work rests after an error, so that one that stays costs little."""

log = structlog.get_logger(__name__)


def _always() -> bool:
    return True


async def keep_running(
    name: str, work: Callable[[], Awaitable[object]], *, while_: Callable[[], bool] = _always
) -> None:
    """Do work again and again, as long as a condition holds; an error is logged and counted.

    Only cancelling the task that runs this ends it earlier; a cancellation that comes from what
    is awaited (someone else's, of something shared) is an error like any other.
    """
    while while_():
        try:
            await work()
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            await _rest_after_error(name, error)
        except Exception as error:  # noqa: BLE001  # logged below
            await _rest_after_error(name, error)


def keep_running_in_thread(name: str, work: Callable[[], object]) -> None:
    """Do work again and again in a thread of its own, as long as the process lives."""
    threading.Thread(target=_work_on, args=(name, work), name=name, daemon=True).start()


async def _rest_after_error(name: str, error: BaseException) -> None:
    _note_error(name, error)
    await asyncio.sleep(PAUSE_SECONDS)


def _work_on(name: str, work: Callable[[], object]) -> NoReturn:
    nap = threading.Event()
    while True:
        try:
            work()
        except Exception as error:  # noqa: BLE001  # logged below
            _note_error(name, error)
            nap.wait(PAUSE_SECONDS)


def _note_error(name: str, error: BaseException) -> None:
    log.error("background_work_broke", work=name, exc_info=error)
    count(BACKGROUND_ERRORS, name)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
