"""The exchange as a process of its own, until it is told to end."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from app.simulator.options import ExchangeOptions
from app.simulator.server import Exchange

_BAD_OPTION: Final = 2


def run(options: ExchangeOptions) -> int:
    """Serve until SIGINT or SIGTERM and return the exit code."""
    if options.verbose:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        # Windows has no handlers of signals in an event loop
        with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(options))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"exchange: {error}\n")
        return _BAD_OPTION
    return 0


async def serve(options: ExchangeOptions) -> None:
    """Serve until the process is told to end, after one line that names the address."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Exchange(options) as exchange:
        sys.stdout.write(f"exchange listening on {exchange.url}\n")
        sys.stdout.flush()  # a parent reads the port from it
        await stop.wait()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory where it is installed: a slow exchange would flatter benchmarks."""
    try:
        import uvloop  # noqa: PLC0415  # it may be missing
    except ImportError:
        return None
    return uvloop.new_event_loop
