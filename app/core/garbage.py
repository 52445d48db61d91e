"""Python's collector of cycles, kept out of the way of what must be quick."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

THRESHOLDS: Final = (50_000, 20, 100)
"""How many new objects start a look at them, and how many such looks one at older ones."""


def tune_gc() -> None:
    """Leave what was loaded so far alone for good, and look at the rest seldom.

    A process that serves has some hundred thousand objects for good; looking through them took a
    seventh of a tick of a thousand tickers, and the newest ones were looked at 120 times in it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


@contextmanager
def tuned_gc() -> Iterator[None]:
    """Do so until the block ends: a look at all objects stops every request for 100 ms and more."""
    thresholds = gc.get_threshold()
    tune_gc()
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
