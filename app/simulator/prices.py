"""The price of an index: a pure function of its name and the UNIX second.

The recording is replayed forwards and backwards without end. Prices between two minute closes are
interpolated linearly. Everything is computed in integers, so every machine and every
restart agrees to the last digit.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from itertools import accumulate
from typing import Final

from app.simulator.recording import STEP_SECONDS, load

_DOLLARS: Final = frozenset({"usd", "usdc", "usdt", "usde", "usyc"})
_DAMPING: Final = 500  # of a dollar coin's price: 3 % of bitcoin become 0.006 %
_EXACT_SECONDS: Final = 60  # the longest step whose mean is taken over the rounded prices
_MEAN_SCALE: Final = 10**6


def index_price(name: str, unix_second: int) -> Decimal:
    """Return the price of an index at a second, with the decimals of that index."""
    index = curve(name)
    return Decimal(index.units(unix_second)).scaleb(-index.decimals)


def index_prices(name: str, unix_seconds: Sequence[int]) -> list[Decimal]:
    """Return the prices of an index at many seconds, in their order."""
    index = curve(name)
    units, exponent = index.units, -index.decimals
    return [Decimal(units(second)).scaleb(exponent) for second in unix_seconds]


def index_mean(name: str, start: int, seconds: int) -> Decimal:
    """Return the mean price from `start` on, to six decimals at least, without trailing zeros.

    Up to a minute it is the mean of the per-second prices as they are served. Above it is the mean
    of the same line before its rounding, which is within half of the last digit and costs nothing.
    """
    index = curve(name)
    scale: int = max(_MEAN_SCALE, 10**index.decimals)
    total, parts = index.mean(start, seconds)
    mean = (total * scale + parts // 2) // parts
    return Decimal(mean) / scale


@dataclass(frozen=True, slots=True)
class Line:
    """One recorded currency forth and back: closes in cents and the running sums under them."""

    closes: tuple[int, ...]
    sums: tuple[int, ...]
    period: int  # seconds after which it repeats

    def total(self, before: int) -> int:
        """Sum the line, times 60, over every second from the epoch to just before a second."""
        rounds, rest = divmod(before, self.period)
        minute, second = divmod(rest, STEP_SECONDS)
        part = _minute(self.closes[minute], self.closes[minute + 1], second)
        return rounds * self.sums[-1] + self.sums[minute] + part


@dataclass(frozen=True, slots=True)
class Curve:
    """The price of one index over time: (close * level + lift) / divisor, in exact integers."""

    line: Line
    level: int  # the price at the recording's start, in units of the last decimal
    decimals: int
    lift: int
    divisor: int

    def units(self, unix_second: int) -> int:
        """Return the price at a second in units of the last decimal, rounded half up."""
        minute, second = divmod(unix_second % self.line.period, STEP_SECONDS)
        closes = self.line.closes
        cents60 = closes[minute] * (STEP_SECONDS - second) + closes[minute + 1] * second
        return (cents60 * self.level + self.lift + self.divisor // 2) // self.divisor

    def text(self, unix_second: int) -> str:
        """Return the price at a second as a JSON number, every decimal written."""
        digits = f"{self.units(unix_second):0{self.decimals + 1}d}"
        return f"{digits[: -self.decimals]}.{digits[-self.decimals :]}"

    def mean(self, start: int, seconds: int) -> tuple[int, int]:
        """Return numerator and denominator of the mean price over `seconds` from `start` on."""
        parts = seconds * 10**self.decimals
        if seconds <= _EXACT_SECONDS:
            return sum(map(self.units, range(start, start + seconds))), parts
        total = self.line.total(start + seconds) - self.line.total(start)
        return total * self.level + self.lift * seconds, self.divisor * parts


@lru_cache(maxsize=8192)
def curve(name: str) -> Curve:
    """Return the curve of an index; whatever the name, it has one."""
    base, _, quote = name.partition("_")
    rng = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    line = _load_line(eth=base == "eth" or (base != "btc" and rng % 2 == 1))
    first = line.closes[0]
    level, decimals = _level(base, quote, rng, first)
    damping = _DAMPING if base in _DOLLARS and quote in _DOLLARS else 1
    # level * (1 + (close / first - 1) / damping), as one fraction with 60 times the close
    lift = level * (damping - 1) * first * STEP_SECONDS
    divisor = first * STEP_SECONDS * damping
    return Curve(line, level, decimals, lift, divisor)


@cache
def _load_line(*, eth: bool) -> Line:
    recording = load()
    forth = recording.eth_cents if eth else recording.btc_cents
    closes = forth + forth[-2::-1]
    sums = tuple(accumulate(map(_minute, closes, closes[1:]), initial=0))
    return Line(closes, sums, (len(closes) - 1) * STEP_SECONDS)


def _minute(left: int, right: int, seconds: int = STEP_SECONDS) -> int:
    """Sum 60 times the line from `left` to `right` over the first seconds of a minute."""
    rise = seconds * (seconds - 1) // 2
    return left * (STEP_SECONDS * seconds - rise) + right * rise


def _level(base: str, quote: str, rng: int, first: int) -> tuple[int, int]:
    """Return the price at the recording's start, in units of the last decimal, and the decimals."""
    if base in {"btc", "eth"} and quote in _DOLLARS:
        return (first if quote == "usd" else first * (9_990 + rng % 21) // 10_000), 2
    if base in _DOLLARS and quote in _DOLLARS:
        return 9_990 + rng % 21, 4
    return 100_000 + rng % 900_000, 2 + rng // 1_000_000 % 6
