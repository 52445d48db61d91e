"""Whether the exchange can be reached, asked by a process that ends: asking takes 50 MB."""

import asyncio

from app.core.errors import AppError
from app.core.settings import load_settings
from app.runtime import open_runtime

MAX_QUESTION_SECONDS = 5


async def problem() -> str:
    """Ask the exchange once; say in a few words why it can't be asked, else nothing."""
    try:
        async with (
            asyncio.timeout(MAX_QUESTION_SECONDS),
            open_runtime(load_settings()) as runtime,
        ):
            await runtime.collector.unknown_tickers()
    except AppError as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {MAX_QUESTION_SECONDS} s"
    return ""


if __name__ == "__main__":
    print(asyncio.run(problem()))
