"""Logs: one line an event, in either form, and no variables in them."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from app.core.logs import configure_logs, quiet_loggers


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """Restore the logging of the process after each test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    structlog.get_logger("ours").info("price_collected", ticker="btc_usd", text="a\nb")
    logging.getLogger("theirs").warning("said %s", "so")
    ours, theirs = map(json.loads, capsys.readouterr().out.splitlines())
    assert (ours["event"], ours["ticker"], ours["level"]) == ("price_collected", "btc_usd", "info")
    assert (theirs["event"], theirs["logger"]) == ("said so", "theirs")


def test_line_of_a_library_carries_the_time_at_which_it_was_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("info", "json")
    record = logging.LogRecord("theirs", logging.WARNING, "", 0, "is away", None, None)
    record.created = 1_700_000_000.25
    logging.getLogger().handle(record)
    assert json.loads(capsys.readouterr().out)["timestamp"] == "2023-11-14T22:13:20.250000Z"


def test_below_the_level_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("warning", "json")
    structlog.get_logger("ours").info("price_collected")
    assert capsys.readouterr().out == ""


def test_without_a_terminal_the_form_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info")
    structlog.get_logger("ours").info("price_collected")
    assert json.loads(capsys.readouterr().out)["event"] == "price_collected"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_exception_shows_its_trace_and_no_variable(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("info", "json" if log_format == "json" else "console")
    log_exception_with_local("hunter" + "2")
    shown = capsys.readouterr().out
    assert "ZeroDivisionError" in shown
    assert "hunter2" not in shown


def log_exception_with_local(password: str) -> None:
    try:
        assert len(password) / 0
    except ZeroDivisionError:
        structlog.get_logger("ours").exception("collection_broke")


@pytest.mark.parametrize(("level", "is_quiet"), [("info", True), ("debug", False)])
def test_hushed_library_speaks_of_trouble_alone(level: str, *, is_quiet: bool) -> None:
    library = logging.getLogger("theirs.talkative")
    library.setLevel(logging.NOTSET)
    configure_logs(level, "json")
    quiet_loggers("theirs.talkative")
    assert library.isEnabledFor(logging.INFO) is not is_quiet
    assert library.isEnabledFor(logging.WARNING)
