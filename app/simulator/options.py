"""The options of a simulated exchange."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.simulator.chart import validate_chart_step
from app.simulator.clock_and_delay import JitteredMilliseconds, validate_delay
from app.simulator.fault_kinds import parse
from app.simulator.indices import NAME


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """The options of an exchange; refuses what makes no sense with a ValueError of one line."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: a free one
    indices: tuple[str, ...] = ()  # names beside the recorded ones
    any_index: bool = False
    testnet: bool = False
    seed: int | None = None
    faults: tuple[Mapping[str, Any], ...] = ()
    clock: JitteredMilliseconds = field(default_factory=JitteredMilliseconds)
    delay: JitteredMilliseconds = field(default_factory=JitteredMilliseconds)
    chart_steps: Mapping[str, int] = field(default_factory=dict)
    rate_limit: float | None = None  # requests a second
    burst: int = 100
    tls_cert: Path | None = None
    tls_key: Path | None = None
    verbose: bool = False

    def __post_init__(self) -> None:
        """Check every option that a type doesn't check."""
        _require(0 <= self.port < 2**16, f"port: {self.port} is not from 0 to 65535")
        for name in self.indices:
            _require(NAME.fullmatch(name), f"index: {name!r} does not match {NAME.pattern}")
        _require(self.rate_limit is None or self.rate_limit > 0, "rate-limit: must be above 0")
        _require(self.burst > 0, "burst: must be above 0")
        _require(bool(self.tls_cert) == bool(self.tls_key), "tls-cert and tls-key go together")
        validate_delay(self.delay)
        for span, step in self.chart_steps.items():
            validate_chart_step(span, step)
        for fault in self.faults:
            parse(fault)


def _require(truth: object, message: str) -> None:
    if not truth:
        raise ValueError(message)
