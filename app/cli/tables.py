"""Results of commands: tables on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

_STYLES: Final = {
    "ok": "green",
    "stored": "green",
    "failing": "bold red",
    "failed": "bold red",
    "skipped": "yellow",
}
"""By the first word of a cell."""


class ResultTable(NamedTuple):
    """A table; without the names of its columns it has no header. `numbers` are aligned right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    numbers: Collection[str] = ()


def print_result(tables: Iterable[ResultTable], plain: str) -> None:
    """Print tables if the output is a terminal, else the plain text."""
    if sys.stdout.isatty():
        for table in tables:
            _draw(table)
    elif plain:
        print(plain)


def _draw(table: ResultTable) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(
        box=box.SIMPLE_HEAD,
        title=Text(table.title, "bold") if table.title else None,
        title_justify="left",
        show_header=any(table.columns),
    )
    for column in table.columns:
        is_number = column in table.numbers
        drawn.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(cell, _STYLES.get(cell.partition(",")[0], "")) for cell in row))
    Console(highlight=False).print(drawn)
