"""The names of the indices that Deribit was recorded to serve, and those added by hand."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

NAME: Final = re.compile(r"[a-z0-9-]{1,64}_[a-z0-9]{1,32}")

_FILE = Path(__file__).with_name("indices.txt")


@dataclass(frozen=True)
class Indices:
    """The lists of names that the exchange publishes, and which names it answers for.

    `priced` is the recorded answer of get_index_price_names, `spot` and `derivative` together that
    of get_supported_index_names. The split in two follows the order of the recording (its first
    block is alphabetical) and is a guess.
    """

    priced: tuple[str, ...]
    spot: tuple[str, ...]
    derivative: tuple[str, ...]
    any_name: bool = False

    @cached_property
    def _served(self) -> frozenset[str]:
        return frozenset((*self.priced, *self.spot, *self.derivative))

    def __contains__(self, name: str) -> bool:
        """Say whether an index is served."""
        return name in self._served or (self.any_name and NAME.fullmatch(name) is not None)


def load_indices(extra: Collection[str], *, any_name: bool) -> Indices:
    """Return the recorded lists with further names in each of them."""
    sections = _read_sections()
    priced, spot, derivative = (sections[title] for title in ("priced", "spot", "derivative"))
    new = [name for name in extra if name not in spot]
    return Indices(
        tuple(dict.fromkeys((*priced, *extra))),
        spot,
        tuple(dict.fromkeys((*derivative, *new))),
        any_name,
    )


@cache
def _read_sections() -> dict[str, tuple[str, ...]]:
    blocks = (block.partition("]") for block in _FILE.read_text("ascii").split("[")[1:])
    return {title: tuple(names.split()) for title, _, names in blocks}
