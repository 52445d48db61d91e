"""Results: what was measured, the bound on it, and whether it is met."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Final

from benchmarks.scale import Scale

RATIO: Final = "×"  # noqa: RUF001  # what it is
MARKS: Final = {True: "yes", False: "NO", None: ""}


@dataclass(frozen=True, slots=True)
class Result:
    """A figure, at most one bound on it, and what it comes from; unbounded ones only inform."""

    name: str
    value: float
    unit: str
    detail: str = ""
    at_least: float | None = None
    at_most: float | None = None

    def is_met(self, slack: float) -> bool | None:
        """Tell whether the bound is met; slack loosens those on ratios only."""
        loosened = slack if self.unit == RATIO else 1.0
        if self.at_least is not None:
            return self.value >= self.at_least / loosened
        if self.at_most is not None:
            return self.value <= self.at_most * loosened
        return None

    @property
    def bound(self) -> str:
        """Write the bound."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return "" if self.at_most is None else f"≤ {self.at_most:g}"

    @property
    def shown(self) -> str:
        """Write the figure with three digits that mean something."""
        digits = 0 if abs(self.value) >= 100 or self.value == int(self.value) else 2  # noqa: PLR2004  # three digits
        return f"{self.value:,.{digits}f} {self.unit}".rstrip()


def rate(per_second: float) -> str:
    """Write a rate."""
    return f"{per_second:,.0f}/s" if per_second >= 100 else f"{per_second:,.1f}/s"  # noqa: PLR2004  # three digits


def seconds(taken: float) -> str:
    """Write a time in the unit that suits it."""
    return f"{taken:.2f} s" if taken >= 1 else f"{taken * 1000:.1f} ms"


def missed(results: Sequence[Result], scale: Scale) -> list[Result]:
    """Pick what does not meet its bound."""
    return [result for result in results if result.is_met(scale.slack) is False]


def table(results: Sequence[Result], scale: Scale) -> str:
    """Lay the results out for a terminal."""
    lines = [("measured", "result", "bound", "met", "from"), *_cells(results, scale)]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        "  ".join(
            [*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[4]]
        )
        for line in lines
    )


def markdown(results: Sequence[Result], scale: Scale) -> str:
    """Lay the results out for the documentation."""
    head = ["| measured | result | bound | met | from |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(f"| {' | '.join(line)} |" for line in _cells(results, scale))])


def plain(results: Sequence[Result], scale: Scale) -> list[dict[str, object]]:
    """Give the results as JSON takes them."""
    return [{**asdict(result), "met": result.is_met(scale.slack)} for result in results]


def middle(values: Sequence[float]) -> float:
    """Give the median."""
    return float(median(values))


def _cells(results: Sequence[Result], scale: Scale) -> list[tuple[str, str, str, str, str]]:
    return [
        (one.name, one.shown, one.bound, MARKS[one.is_met(scale.slack)], one.detail)
        for one in results
    ]
