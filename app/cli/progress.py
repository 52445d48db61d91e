"""A progress bar, written to the standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

_STEPS = 1000


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float], None]]:
    """Draw a bar; yield a function that sets the part that is done, from 0 to 1."""
    with typer.progressbar(length=_STEPS, label=label, file=sys.stderr) as bar:
        yield lambda fraction: bar.update(round(_STEPS * fraction) - bar.pos)
        bar.update(_STEPS - bar.pos)
