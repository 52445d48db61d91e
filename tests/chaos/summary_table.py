"""The table of results that is printed at the end of the suite."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Self

from tests.chaos.oracle import AuditResult

NEVER = "never"


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """The figures of one scenario; slots are counted per ticker."""

    slots: int
    lost: int
    repaired: int
    unfillable: int
    seconds_to_recovery: str

    @classmethod
    def from_result(cls, result: AuditResult, seconds: float | None) -> Self:
        """Count the slots of an audit; `seconds` is None if the service did not recover."""
        return cls(
            slots=len(result.expected),
            lost=len(result.lost),
            repaired=len(result.repaired),
            unfillable=len(result.unfillable),
            seconds_to_recovery=NEVER if seconds is None else f"{seconds:.1f}",
        )

    def cells(self) -> tuple[str, ...]:
        """Return the figures as text, in the order of the columns."""
        return tuple(map(str, asdict(self).values()))


HEADER = ("scenario", "slots", "lost", "repaired", "unfillable", "seconds to whole")


def format_table(lines: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Format rows as aligned columns: the title to the left, figures to the right."""
    rows = [HEADER, *sorted(lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for title, *figures in rows:
        cells = (cell.rjust(width) for cell, width in zip(figures, widths[1:], strict=True))
        yield "  ".join((title.ljust(widths[0]), *cells))
