"""Truth: what is answered while others write at full speed, with and without notifications."""

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks.consistency import Answer, Commit, Judgement, judge
from benchmarks.environment import TAIL, TIDE, Environment
from benchmarks.processes import Broken, process_environment, python
from benchmarks.results import Result
from benchmarks.writer import TIDE_ROWS, slot_of

READERS: Final = 2
"""Of each kind of answer."""
LATE_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 0.005
"""Between two answers of a reader, which shares its core with the writer."""
FEWEST_COMMITS: Final = 5
"""A second; fewer would prove nothing."""
CUT_EVERY_SECONDS: Final = 0.2
LEFT_SECONDS: Final = 60
PAGE_ROWS: Final = 1_000
_CUT: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
_EMPTY: Final = f"DELETE FROM prices WHERE ticker IN ('{TIDE}', '{TAIL}')"  # noqa: S608  # constants


def measure(environment: Environment) -> Iterator[Result]:
    """Check answers under writers: told of writes, and with the channel cut again and again."""
    for name, is_cut in (("told of writes", False), ("channel cut", True)):
        environment.sql.ask(_EMPTY)
        time.sleep(2 * LATE_SECONDS)  # what was there before may be answered for a second
        log = environment.directory / "commits.json"
        answers = asyncio.run(_check(environment, log, is_cut=is_cut))
        commits = [Commit(**json.loads(line)) for line in log.read_text().splitlines()]
        yield from _results(
            name, judge(answers, commits), len(commits), environment.scale.truth_seconds
        )


def _results(name: str, seen: Judgement, commits: int, seconds: int) -> Iterator[Result]:
    detail = f"{seen.answers:,} answers in {seconds} s, {commits:,} commits"
    if not seen.answers or commits < seconds * FEWEST_COMMITS:
        raise Broken(detail)
    lag = seen.worst_lag_seconds
    yield Result(f"{name}: most behind a commit", lag, "s", detail, at_most=LATE_SECONDS)
    yield Result(f"{name}: mixed answers", seen.mixed, "", at_most=0)
    yield Result(f"{name}: answers that never were true", seen.invented, "", at_most=0)


async def _check(environment: Environment, log: Path, *, is_cut: bool) -> Sequence[Answer]:
    """Read as long as the writer writes, and a little longer than an answer may be late."""
    answers: list[Answer] = []
    async with (
        aiohttp.ClientSession(environment.api.url) as session,
        _writing(environment, log) as writer,
    ):
        readers = [
            asyncio.create_task(read)
            for _ in range(READERS)
            for read in (
                _read(session, answers, _tide),
                _read(session, answers, _latest),
                _read(session, answers, _tail_page),
            )
        ]
        if is_cut:
            readers.append(asyncio.create_task(_cut_forever(environment)))
        _, complaint = await asyncio.wait_for(
            writer.communicate(), environment.scale.truth_seconds + LEFT_SECONDS
        )
        if writer.returncode:
            raise Broken(f"the writer failed: {complaint.decode(errors='replace')[-2000:]}")
        await asyncio.sleep(2 * LATE_SECONDS)
        for reader in readers:
            reader.cancel()
        for ended in await asyncio.gather(*readers, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
    return answers


@asynccontextmanager
async def _writing(
    environment: Environment, log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    command = python(
        "benchmarks.writer", environment.sql.url, str(log), str(environment.scale.truth_seconds)
    )
    process = await asyncio.create_subprocess_exec(
        *command, env=process_environment(), stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _read(session: aiohttp.ClientSession, answers: list[Answer], look: Any) -> None:  # noqa: ANN401  # one of the functions below
    while True:
        sent = time.monotonic()
        ticker, version, is_whole = await look(session)
        answers.append(Answer(ticker, version, sent, time.monotonic(), is_whole))
        await asyncio.sleep(PAUSE_SECONDS)


async def _tide(session: aiohttp.ClientSession) -> tuple[str, int, bool]:
    """Look at all rows of the ticker that is replaced as a whole."""
    items = await _items(session, TIDE, slot_of(0), slot_of(TIDE_ROWS))
    found = {item["price"] for item in items}
    is_whole = not items or (len(found) == 1 and len(items) == TIDE_ROWS)
    return TIDE, _version(max(found, default=0)), is_whole


async def _tail_page(session: aiohttp.ClientSession) -> tuple[str, int, bool]:
    """Look at the newest rows of the ticker that grows, which have no hole."""
    _, newest, _ = await _latest(session)
    first = max(1, newest - PAGE_ROWS)
    items = await _items(session, TAIL, slot_of(first), slot_of(newest + PAGE_ROWS))
    numbers = [item["price"] for item in items]
    stamps = [item["timestamp"] for item in items]
    expected = list(range(first, first + len(items)))
    is_whole = numbers == expected and stamps == list(map(slot_of, expected))
    return TAIL, first + len(items) - 1, is_whole


async def _latest(session: aiohttp.ClientSession) -> tuple[str, int, bool]:
    async with session.get("/api/v1/prices/latest", params={"ticker": TAIL}) as answer:
        found = await answer.json()
    if found.get("code") == "no_price_yet":
        return TAIL, 0, True
    version = _version(found["price"])
    return TAIL, version, found["timestamp"] == slot_of(version)


async def _items(session: aiohttp.ClientSession, ticker: str, first: int, last: int) -> Any:  # noqa: ANN401  # JSON
    query = f"ticker={ticker}&from_dt={first}&to_dt={last}&limit=10000"
    async with session.get(
        f"/api/v1/prices/period?{query}", skip_auto_headers=["Accept-Encoding"]
    ) as answer:
        return (await answer.json())["items"]


def _version(price: float) -> int:
    """Give the version that a price stands for; -1 for one that was rolled back."""
    return int(price) if price == int(price) else -1


async def _cut_forever(environment: Environment) -> None:
    """End every connection that listens, as soon as it is back."""
    while True:
        await asyncio.to_thread(environment.sql.ask, _CUT)
        await asyncio.sleep(CUT_EVERY_SECONDS)
