"""Checks whether the exchange can be reached, in a process that ends: it takes 50 MB."""

import asyncio

from app.core.errors import AppError
from app.core.settings import load_settings
from app.runtime import open_runtime

TIMEOUT_SECONDS = 5


async def connection_problem() -> str:
    """Request the exchange once; return why it can't be reached, else an empty string."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS), open_runtime(load_settings()) as runtime:
            await runtime.collector.unknown_tickers()
    except AppError as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {TIMEOUT_SECONDS} s"
    return ""


if __name__ == "__main__":
    print(asyncio.run(connection_problem()))
