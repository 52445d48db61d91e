"""Run the benchmarks: `python -m benchmarks [--short] [--only NAME]… [--publish]`."""

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks import (
    bulk,
    candles,
    concurrency,
    footprint,
    imports,
    reads,
    sizes,
    staleness,
    streams,
    ticks,
)
from benchmarks.environment import Environment, start_environment
from benchmarks.machine import LOAD_CORE, describe, pinned
from benchmarks.processes import PROJECT, Broken
from benchmarks.results import Result, markdown, missed, plain, table
from benchmarks.scale import LONG, SHORT, Scale

Measure = Callable[[Environment], Iterator[Result]]

EVERYTHING: Final[Mapping[str, Measure]] = {
    "reads": reads.measure,
    "concurrency": concurrency.measure,
    "streams": streams.measure,
    "sizes": sizes.measure,
    "bulk": bulk.measure,
    "candles": candles.measure,
    "imports": imports.measure,
    "ticks": ticks.measure,
    "staleness": staleness.measure,
}
APART: Final[Mapping[str, Callable[[], Iterator[Result]]]] = {"footprint": footprint.measure}
"""What starts its own servers, and is measured while no others run."""
IN_SHORT: Final = ("reads", "bulk", "candles", "staleness")
NEEDED: Final = ("wrk", "victoria-metrics")
PAGE: Final = PROJECT / "docs/performance.md"
FIGURES: Final = PROJECT / "docs/performance.json"
MARKS: Final = ("<!-- results -->", "<!-- end of results -->")


def main() -> None:
    """Measure, print the table, and end with 1 if a bound is missed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))  # servers end too
    wanted = _arguments()
    scale = SHORT if wanted.short else LONG
    names = wanted.only or _names(scale)
    absent = [name for name in NEEDED if shutil.which(name) is None]
    if absent and EVERYTHING.keys() & names:
        sys.exit(f"needed: apt-get install {' '.join(absent)}")
    start = time.monotonic()
    try:
        results = _measure(scale, names, start)
    except (Broken, TimeoutError) as broken:
        sys.exit(f"broken: {broken}")
    print(table(results, scale))
    told = _told(results, scale, time.monotonic() - start)
    if wanted.json:
        wanted.json.write_text(told)
    if wanted.publish:
        _publish(told, results, scale)
    if late := missed(results, scale):
        sys.exit(f"missed: {', '.join(result.name for result in late)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="what shows a collapse")
    parser.add_argument("--only", action="append", choices=[*APART, *EVERYTHING], help="repeatable")
    parser.add_argument("--json", type=Path, help="write the results here too")
    parser.add_argument("--publish", action="store_true", help="write them into docs/")
    return parser.parse_args()


def _names(scale: Scale) -> Sequence[str]:
    return [*APART, *EVERYTHING] if scale.is_long else IN_SHORT


def _measure(scale: Scale, names: Sequence[str], start: float) -> list[Result]:
    def tell(words: str) -> None:
        print(f"{time.monotonic() - start:6.1f} s  {words}", file=sys.stderr, flush=True)

    results: list[Result] = []

    def note(name: str, measured: Iterator[Result]) -> None:
        tell(f"measuring {name}")
        for result in measured:
            tell(f"  {result.name}: {result.shown} {result.bound} ({result.detail})")
            results.append(result)

    for name in (name for name in names if name in APART):
        note(name, APART[name]())
    if not EVERYTHING.keys() & names:
        return results
    with pinned(LOAD_CORE), start_environment(scale, tell) as environment:
        for name in (name for name in names if name in EVERYTHING):
            note(name, EVERYTHING[name](environment))
        results.append(Result("memory of the API at the end", environment.api.megabytes, "MB"))
    return results


def _told(results: Sequence[Result], scale: Scale, lasted: float) -> str:
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "scale": scale.name,
        "lasted_seconds": round(lasted),
        "load_average": os.getloadavg()[0],
        "machine": describe(),
        "results": plain(results, scale),
    }
    return json.dumps(about, indent=2, ensure_ascii=False) + "\n"


def _publish(told: str, results: Sequence[Result], scale: Scale) -> None:
    """Write the figures beside the page about them, and their table into it."""
    FIGURES.write_text(told)
    about = json.loads(told)
    machine = ", ".join(f"{name} {value}" for name, value in about["machine"].items())
    head, _, rest = PAGE.read_text().partition(MARKS[0])
    _, _, tail = rest.partition(MARKS[1])
    dated = f"Measured on {about['date']}: {machine}."
    middle = "\n".join((MARKS[0], dated, "", markdown(results, scale), MARKS[1]))
    PAGE.write_text(head + middle + tail)


if __name__ == "__main__":
    main()
