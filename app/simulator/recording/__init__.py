"""The bundled recording: real minute closes of bitcoin and ether, in exact cents."""

import csv
import gzip
from dataclasses import dataclass
from functools import cache
from pathlib import Path

STEP_SECONDS = 60

_FILE = Path(__file__).with_name("closes.csv.gz")


@dataclass(frozen=True, slots=True)
class Recording:
    """Closes without a gap: the n-th belongs to the minute `start + n * STEP_SECONDS`."""

    start: int
    btc_cents: tuple[int, ...]
    eth_cents: tuple[int, ...]


@cache
def load() -> Recording:
    """Return the recording; it is read once per process."""
    with gzip.open(_FILE, "rt", encoding="ascii", newline="") as file:
        rows = list(csv.DictReader(file))
    return Recording(
        start=int(rows[0]["timestamp"]),
        btc_cents=tuple(_cents(row["btc"]) for row in rows),
        eth_cents=tuple(_cents(row["eth"]) for row in rows),
    )


def _cents(price: str) -> int:
    return int(price.replace(".", ""))  # every price in the file has two decimals
