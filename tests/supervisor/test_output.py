"""What the terminal shows, and that it never holds anybody up."""

import json
import os
import select
import time
from collections.abc import Iterator

import pytest

from app.supervisor.output import JsonOutput, TerminalOutput


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe()
    yield read_end, write_end
    for descriptor in (read_end, write_end):
        os.close(descriptor)


@pytest.fixture
def tty() -> Iterator[tuple[int, int]]:
    reading, writing = os.openpty()
    yield reading, writing
    for descriptor in (reading, writing):
        os.close(descriptor)


def test_lines_stand_behind_their_names(pipe: tuple[int, int]) -> None:
    with TerminalOutput(pipe[1]) as terminal:
        terminal.write_message("starting")
        terminal.write_line("api", "hello")
        terminal.write_line("exchange", "listening")

    assert not terminal.is_interactive
    assert os.read(pipe[0], 1000).decode().splitlines() == [
        "starting",
        "api      │ hello",
        "exchange │ listening",
    ]


def test_a_terminal_shows_colours_unless_it_is_asked_not_to(
    tty: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    with TerminalOutput(tty[1]) as terminal:
        terminal.write_line("api", "hello")
    assert terminal.is_interactive
    assert os.read(tty[0], 1000).decode() == "\x1b[36mapi      │ \x1b[0mhello\r\n"

    monkeypatch.setenv("NO_COLOR", "1")
    with TerminalOutput(tty[1]) as terminal:
        terminal.write_line("api", "hello")
    assert os.read(tty[0], 1000).decode() == "api      │ hello\r\n"


def test_json_terminal_writes_nothing_but_events(pipe: tuple[int, int]) -> None:
    with JsonOutput(pipe[1]) as terminal:
        terminal.write_message("  starting")
        terminal.write_line("worker", "")
        terminal.write_line("worker", "worker: Warm shutdown (MainProcess)")
        terminal.write_line("worker", "[1, 2]")
        terminal.write_line("api", '{"event": "hello", "level": "warning", "timestamp": "then"}')

    assert terminal.hides_secrets
    lines = [json.loads(line) for line in os.read(pipe[0], 4000).decode().splitlines()]
    assert [(line["service"], line["event"], line["level"]) for line in lines] == [
        ("supervisor", "starting", "info"),
        ("worker", "worker: Warm shutdown (MainProcess)", "info"),
        ("worker", "[1, 2]", "info"),
        ("api", "hello", "warning"),
    ]
    assert all(line["timestamp"] for line in lines)


def test_a_reader_that_stops_holds_nobody_up(pipe: tuple[int, int]) -> None:
    began = time.monotonic()

    with TerminalOutput(pipe[1]) as terminal:
        for _ in range(20_000):
            terminal.write_line("api", "x" * 100)

    assert time.monotonic() - began < 5
    while select.select([pipe[0]], [], [], 0.5)[0]:  # let the writer end before its pipe does
        os.read(pipe[0], 1 << 20)


def test_a_reader_that_is_gone_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)

    with TerminalOutput(write_end) as terminal:
        terminal.write_line("api", "hello")
        terminal.write_line("api", "is anybody there?")

    os.close(write_end)
