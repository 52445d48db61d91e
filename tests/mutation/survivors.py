"""Runs mutmut over the domain, and compares the mutants that survive with those in the list.

`make mutants` runs it; docs/mutants.md holds the list and says why each of them may survive.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[2]
LIST = PROJECT / "docs" / "mutants.md"
ROW = re.compile(r"^\| `(?P<function>[\w.]+)` \| `(?P<change>.+)` \| .+ \|$", re.MULTILINE)
RESULT = re.compile(r"^ *(?P<name>\S+__mutmut_\d+): (?P<status>.+)$", re.MULTILINE)
KILLED, TIMEOUT, NO_TESTS, UNCHECKED = "killed", "timeout", "no tests", "not checked"
LINES_SHOWN = 30


class Mutant(NamedTuple):
    """A changed function, and its changed lines; a number would change with the function."""

    function: str
    change: str


def main() -> int:
    """Run mutmut and print what survives; return 1 if something does that is not listed."""
    shutil.rmtree(PROJECT / "mutants", ignore_errors=True)  # mutmut keeps results of changed tests
    if failure := _run():
        print(failure)  # noqa: T201  # a command line
        return 1
    statuses = read_statuses(_mutmut("results", "--all", "true"))
    counts = Counter(statuses.values())
    if not statuses or counts[UNCHECKED]:
        print(f"mutmut ended early: {counts[UNCHECKED]} mutants are not checked")  # noqa: T201  # same
        return 1
    survivors = [
        name for name, status in statuses.items() if status not in {KILLED, TIMEOUT, NO_TESTS}
    ]
    diffs = {name: _mutmut("show", name) for name in survivors}
    text, code = report(counts, diffs, read_list(LIST.read_text()))
    print(text)  # noqa: T201  # same
    return code


def report(
    counts: Mapping[str, int], diffs: Mapping[str, str], listed: Collection[Mutant]
) -> tuple[str, int]:
    """Return what to print of the survivors' diffs, and the exit code."""
    survivors = {name: parse_mutant(name, diff) for name, diff in diffs.items()}
    unlisted = [name for name, mutant in survivors.items() if mutant not in listed]
    killed = [mutant for mutant in listed if mutant not in survivors.values()]
    lines = [diffs[name].rstrip() for name in unlisted]
    lines += [f"listed, but killed: {one.function}: {one.change}" for one in killed]
    lines.append(
        f"{counts.get(KILLED, 0)} killed, {len(survivors)} survived, "
        f"{len(survivors) - len(unlisted)} of them listed, "
        f"{counts.get(NO_TESTS, 0)} without a test, {counts.get(TIMEOUT, 0)} timeouts"
    )
    return "\n".join(lines), int(bool(unlisted))


def read_list(page: str) -> list[Mutant]:
    """Read the table of the documentation."""
    return [
        Mutant(row["function"], row["change"].replace(r"\|", "|")) for row in ROW.finditer(page)
    ]


def read_statuses(output: str) -> dict[str, str]:
    """Read the status of each mutant as mutmut prints it."""
    return {row["name"]: row["status"].strip() for row in RESULT.finditer(output)}


def parse_mutant(name: str, diff: str) -> Mutant:
    """Parse mutmut's name, such as `app.domain.slots.x_floor_slot__mutmut_3`, and its diff."""
    path = name.removeprefix("app.domain.").rpartition("__mutmut_")[0]
    module, _, function = path.rpartition(".")
    changed = [line for line in diff.splitlines() if not line.startswith(("+++", "---"))]
    added = [line[1:].strip() for line in changed if line.startswith("+")]
    # a function begins with `x_`, a method with `xǁ`, which parts its class from its name, too
    return Mutant(f"{module}.{function[2:].replace('ǁ', '.')}", " ".join(added))


def _run() -> str:
    """Run all mutants; return the end of the output if mutmut fails."""
    with tempfile.TemporaryFile("w+") as output:
        code = subprocess.call(
            [sys.executable, "-m", "mutmut", "run"], cwd=PROJECT, stdout=output, stderr=output
        )
        output.seek(0)
        return "\n".join(output.read().splitlines()[-LINES_SHOWN:]) if code else ""


def _mutmut(*arguments: str) -> str:
    return subprocess.run(  # noqa: S603  # a tool of ours
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
