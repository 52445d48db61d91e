"""Repeated warnings: the first line, one a minute with the count, the last; no other line is held.

The minute is shortened, and every test waits for lines, never for a time.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TextIO

import pytest
import structlog

from app.core import log_throttle
from app.core.logs import configure_logs
from tests.waiting import until

QUIET_SECONDS = 0.3
ReadLines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def log_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """A file that this process logs to as JSON, with a minute of 0.3 s."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(log_throttle, "QUIET_SECONDS", QUIET_SECONDS)
    with (tmp_path / "log").open("w+", buffering=1) as file:
        configure_logs("info", "json", file)
        handler = root.handlers[0]
        yield file
        handler.close()
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture
def lines(log_file: TextIO) -> ReadLines:
    return lambda: [json.loads(line) for line in Path(log_file.name).read_text().splitlines()]


def has_more_lines_than(count: int, lines: ReadLines) -> Callable[[], Awaitable[bool]]:
    async def has_more() -> bool:
        return len(lines()) > count

    return has_more


async def test_outage_shows_its_first_line_then_counts_to_the_last(lines: ReadLines) -> None:
    log = structlog.get_logger("api")
    for number in range(100):
        detail = f"no answer after {number} s"
        log.warning("request_failed", code="database_unavailable", detail=detail, request_id=number)
    assert [line["detail"] for line in lines()] == ["no answer after 0 s"]
    await until(has_more_lines_than(1, lines))
    assert [line.get("repeated") for line in lines()] == [None, 99]
    assert lines()[1]["detail"] == "no answer after 99 s"


async def test_long_outage_shows_a_line_a_minute_that_accounts_for_each(lines: ReadLines) -> None:
    log, sent = structlog.get_logger("beat"), 0

    async def has_shown() -> bool:
        nonlocal sent
        log.warning("task_not_sent", task="collect")
        sent += 1
        return len(lines()) > 3

    await until(has_shown)
    logging.getLogger().handlers[0].write_suppressed()  # type: ignore[attr-defined]  # ours
    counts = [line.get("repeated", 1) for line in lines()]
    assert sum(int(str(number)) for number in counts) == sent


async def test_what_comes_again_after_a_quiet_minute_is_a_first_line(lines: ReadLines) -> None:
    log = structlog.get_logger("beat")
    log.warning("task_not_sent", task="collect")
    handler = logging.getLogger().handlers[0]
    group = next(iter(handler._groups.values()))  # type: ignore[attr-defined]  # ours
    group.shown_at -= QUIET_SECONDS
    log.warning("task_not_sent", task="collect")
    assert [line.get("repeated") for line in lines()] == [None, None]


def test_other_failures_are_not_suppressed(lines: ReadLines) -> None:
    log = structlog.get_logger("worker")
    log.warning("attempt_failed", code="exchange_timeout", ticker="btc_usd")
    log.warning("attempt_failed", code="exchange_timeout", ticker="eth_usd")
    log.warning("attempt_failed", code="exchange_unreachable", ticker="btc_usd")
    structlog.get_logger("other").warning(
        "attempt_failed", code="exchange_timeout", ticker="btc_usd"
    )
    assert len(lines()) == 4


def test_what_is_no_warning_is_never_suppressed(lines: ReadLines) -> None:
    for _ in range(3):
        structlog.get_logger("worker").info("prices_collected", stored=["btc_usd"])
    assert len(lines()) == 3


def test_defects_of_another_type_show_their_own_trace(lines: ReadLines) -> None:
    for error in (ValueError("x"), KeyError("x"), ValueError("x")):
        try:
            raise error
        except (ValueError, KeyError):
            structlog.get_logger("worker").exception("collection_broke")
    assert ["exception" in line for line in lines()] == [True, True]
    logging.getLogger().handlers[0].write_suppressed()  # type: ignore[attr-defined]  # ours
    assert lines()[2]["repeated"] == 1
    assert "exception" not in lines()[2]


def test_two_defects_in_two_places_are_two_groups(lines: ReadLines) -> None:
    log = structlog.get_logger("api")

    def one() -> None:
        raise KeyError("a")

    def other() -> None:
        raise KeyError("b")

    for broken in (one, other, one, other):
        try:
            broken()
        except KeyError as error:
            log.error("request_broke", exc_info=error)  # noqa: TRY400  # as the API does it
    assert len(lines()) == 2
    assert all("exception" in line for line in lines())


def test_defect_after_an_outage_is_no_repeat_of_it(lines: ReadLines) -> None:
    log = structlog.get_logger("api")
    for status in (503, 503, 500):
        log.warning("request_served", path="/api/v1/tickers", status=status)
    assert [line["status"] for line in lines()] == [503, 500]


def test_library_lines_are_counted_too(lines: ReadLines) -> None:
    for number in range(3):
        logging.getLogger("kombu").error("no broker at %s: try %s", "redis://host:1", number)
    logging.getLogger().handlers[0].write_suppressed()  # type: ignore[attr-defined]  # ours
    first, counted = (line["event"] for line in lines())
    assert first == "no broker at redis://host:1: try 0"
    assert counted == "no broker at redis://host:1: try 2 (repeated 2 times)"


def test_groups_beyond_the_limit_make_room_and_lose_nothing(lines: ReadLines) -> None:
    names = [chr(first) + chr(second) for first in range(97, 123) for second in range(103, 123)]
    log = structlog.get_logger("worker")
    for _ in range(2):
        log.warning("failed", kind="the first")
    for name in names[: log_throttle.MAX_GROUPS]:
        log.warning("failed", kind=f"k{name}")
    assert [line.get("repeated") for line in lines()].count(1) == 1


def test_suppressed_lines_are_written_when_the_process_ends() -> None:
    script = """
import structlog
from app.core.logs import configure_logs
configure_logs("info", "json")
for number in range(3):
    structlog.get_logger("x").warning("failed", number=number)
"""
    ended = subprocess.run(  # noqa: S603  # our own script
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert [json.loads(line).get("repeated") for line in ended.stdout.splitlines()] == [None, 2]


def test_forked_child_has_first_lines_of_its_own(
    lines: ReadLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The minute is a whole one here: a slow fork would else see the parent's count."""
    monkeypatch.setattr(log_throttle, "QUIET_SECONDS", 60)
    log = structlog.get_logger("worker")
    for _ in range(2):
        log.warning("failed", where="everywhere")
    child = os.fork()
    if child == 0:
        log.warning("failed", where="everywhere")
        os._exit(0)
    os.waitpid(child, 0)
    assert [line.get("repeated") for line in lines()] == [None, None]
