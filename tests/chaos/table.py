"""The table at the end of the suite: what each scenario cost."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Self

from tests.chaos.truth import Findings

NEVER = "never"


@dataclass(frozen=True, slots=True)
class Line:
    """One scenario's figures; slots are counted for each ticker."""

    slots: int
    lost: int
    repaired: int
    unfillable: int
    seconds_to_whole: str

    @classmethod
    def of(cls, findings: Findings, seconds: float | None) -> Self:
        """Count what was found; a record that did not get whole has no seconds."""
        return cls(
            slots=len(findings.expected),
            lost=len(findings.lost),
            repaired=len(findings.repaired),
            unfillable=len(findings.unfillable),
            seconds_to_whole=NEVER if seconds is None else f"{seconds:.1f}",
        )

    def cells(self) -> tuple[str, ...]:
        """Give the figures as text, in the table's order."""
        return tuple(map(str, asdict(self).values()))


HEADER = ("scenario", "slots", "lost", "repaired", "unfillable", "seconds to whole")


def table(lines: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Lay out lines of cells, the first to the left and figures to the right."""
    rows = [HEADER, *sorted(lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for title, *figures in rows:
        cells = (cell.rjust(width) for cell, width in zip(figures, widths[1:], strict=True))
        yield "  ".join((title.ljust(widths[0]), *cells))
