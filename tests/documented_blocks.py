"""The fenced blocks of the documentation, as tests read them."""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PAGES = (
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    PROJECT / "app/simulator/README.md",
    *sorted((PROJECT / "docs").glob("*.md")),
)
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)$")
NOT_RUN = re.compile(r"^ *<!-- not run: (?P<reason>.+) -->$")
RUNNABLE = {"sh", "python", "js"}
MEMBER = re.compile(r'"(\w+)":')
EXAMPLE_DAY = dt.date(2026, 1, 16)
"""The day of the examples, which stands for yesterday: the demo has all of it."""
DAY = re.compile(r"2026-01-\d\d")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it is, its language, its text, and why it is not run."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str = ""

    def __str__(self) -> str:
        return f"{self.page.relative_to(PROJECT).as_posix()}:{self.line}"

    @property
    def is_run(self) -> bool:
        return self.language in RUNNABLE and not self.not_run

    def commands(self) -> Iterator["Command"]:
        """Yield the commands of a shell block, each with the output that is shown below it."""
        lines, shown = list[str](), list[str]()
        for line in self.text.splitlines():
            if line.startswith("#") and lines:
                shown.append(line)
                continue
            if shown or (lines and not lines[-1].endswith("\\")):
                yield Command("\n".join(lines), "\n".join(shown))
                lines, shown = [], []
            if line and not line.startswith("#"):
                lines.append(line)
        if lines:
            yield Command("\n".join(lines), "\n".join(shown))


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a shell block, and the output that its comments show."""

    text: str
    shown: str

    @property
    def members(self) -> set[str]:
        """The names of the JSON members that are shown."""
        _, _, comment = self.text.partition("  # ")
        return set(MEMBER.findall(comment + self.shown))


def read_blocks() -> list[Block]:
    """Read the fenced blocks of all pages."""
    return [block for page in PAGES for block in _blocks_of(page)]


def with_current_dates(text: str) -> str:
    """Move the days of the examples, so that they lie in the demo's history."""
    moved = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1) - EXAMPLE_DAY

    def move(day: re.Match[str]) -> str:
        return (dt.date.fromisoformat(day[0]) + moved).isoformat()

    return DAY.sub(move, text)


def _blocks_of(page: Path) -> Iterator[Block]:
    lines = page.read_text().splitlines()
    fences = [number for number, line in enumerate(lines) if FENCE.match(line)]
    for start, end in zip(fences[::2], fences[1::2], strict=True):
        opening = FENCE.match(lines[start])
        assert opening is not None
        text = "\n".join(line.removeprefix(opening["indent"]) for line in lines[start + 1 : end])
        reason = _reason_above(lines[:start])
        yield Block(page, start + 1, opening["language"], text, reason)


def _reason_above(lines: list[str]) -> str:
    """Return the reason in the comments that end these lines, empty without one."""
    comments = takewhile(lambda line: line.lstrip().startswith("<!--"), reversed(lines))
    return next((found["reason"] for line in comments if (found := NOT_RUN.match(line))), "")
