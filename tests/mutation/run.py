"""Puts known defects back, one by one, each into a copy of the code, and wants its tests red.

`make prove` runs it over all of them; `python -m tests.mutation.run 07 39-cursor` over those whose
names begin so.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.mutation.catalog import PROJECT, Defect, apply, read_defects

AT_ONCE = 2
GREEN_SECONDS = 600
RED_SECONDS = 120
GRACE_SECONDS = 30
LINES_SHOWN = 15
NOT_RUNNABLE = ("ImportError", "ModuleNotFoundError", "NameError", "SyntaxError")
"""Errors of code that never ran: a test that ends with one says nothing about the defect."""
PROVEN = "put back, test red"
TRIES = 3
"""A race shows itself at most tries, not at each."""


@dataclass(frozen=True, slots=True)
class Report:
    """What pytest did: its exit code, and each case's first words of failure, empty when green."""

    code: int | None
    cases: dict[str, str]
    output: Path

    @property
    def last_words(self) -> str:
        """Give the end of what pytest printed."""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-LINES_SHOWN:])

    def of(self, test: str) -> list[str]:
        """Give the words of a test's cases, one for each of its parameters."""
        return [words for case, words in self.cases.items() if case.partition("[")[0] == test]

    def is_green(self, test: str) -> bool:
        """Tell whether a test ran, and none of its cases failed."""
        words = self.of(test)
        return bool(words) and not any(words)


def main(arguments: Sequence[str]) -> int:
    """Prove the defects, print a line for each; give 1 if anything is off."""
    chosen = tuple(arguments) or ("",)
    defects = [defect for defect in read_defects() if defect.name.startswith(chosen)]
    if not defects:
        print(f"no defect begins with {' or '.join(chosen)}")  # noqa: T201  # a command line
        return 1
    with tempfile.TemporaryDirectory(prefix="prove-") as directory:
        whole = Path(directory) / "whole"
        _copy_project(whole)
        green = _run_without_defects(whole, {test for defect in defects for test in defect.tests})
        with ThreadPoolExecutor(AT_ONCE) as pool:
            verdicts = list(_print_each(defects, pool.map(partial(_prove, whole, green), defects)))
    proven = verdicts.count(PROVEN)
    print(f"{proven} of {len(verdicts)} defects: {PROVEN}")  # noqa: T201  # a command line
    return 0 if proven == len(verdicts) else 1


def _run_without_defects(whole: Path, tests: set[str]) -> Report:
    """Run every test on the code as it is; those that are not green then are run once more."""
    first = _run_tests(whole, tests)
    failed = {test for test in tests if not first.is_green(test)}
    if not failed:
        return first
    print(f"without any defect, tests fail:\n{first.last_words}")  # noqa: T201  # a command line
    second = _run_tests(whole, failed)
    return Report(second.code, first.cases | second.cases, second.output)


def _print_each(defects: Sequence[Defect], verdicts: Iterable[str]) -> Iterable[str]:
    """Print each line as soon as it is known, in the order of the list."""
    for defect, verdict in zip(defects, verdicts, strict=True):
        line = f"{defect.name}: {defect.words.rstrip('.')}: {verdict}"
        print(line, flush=True)  # noqa: T201  # same
        yield verdict


def _prove(whole: Path, green: Report, defect: Defect) -> str:
    """Put one defect back and say how its tests take it."""
    ill = [test for test in defect.tests if not green.is_green(test)]
    if ill:
        return f"NOT PROVEN: without the defect, not green: {', '.join(ill)}"
    tree = whole.with_name(defect.name)
    # with the bytecode of the green run, whose sources keep their times
    shutil.copytree(whole, tree)
    try:
        complaint = apply(defect.patch, tree)
        if complaint:
            return f"NOT PROVEN: the patch does not apply: {complaint}"
        return _judge_tries(tree, defect.tests)
    finally:
        shutil.rmtree(tree)


def _judge_tries(tree: Path, tests: Sequence[str]) -> str:
    """Run the tests until they are red, or not red at every try; return the last verdict."""
    verdict = ""
    for _ in range(TRIES):
        verdict = _judge(_run_tests(tree, tests, RED_SECONDS), tests)
        if verdict == PROVEN:
            break
    return verdict


def _judge(red: Report, tests: Iterable[str]) -> str:
    """Say whether every test failed, and by an assertion or error of code that ran."""
    if red.code is None:
        return f"NOT PROVEN: no end within {RED_SECONDS} s"
    if red.code != 1:
        return f"NOT PROVEN: pytest ended with {red.code}, not with failed tests"
    for test in tests:
        failures = [words for words in red.of(test) if words]
        if not red.of(test):
            return f"NOT PROVEN: put back, and not run to its end: {test}"
        if not failures:
            return f"NOT PROVEN: put back, and still green: {test}"
        unrunnable = [words for words in failures if words.startswith(NOT_RUNNABLE)]
        if unrunnable:
            return f"NOT PROVEN: the patch broke the code: {unrunnable[0]}"
    return PROVEN


def _copy_project(target: Path) -> None:
    """Copy what git knows or would take: no environment, no caches, no data."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607  # wherever git is
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).is_file():  # it may be deleted and not yet committed
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, target / name)


def _run_tests(tree: Path, tests: Iterable[str], seconds: float = GREEN_SECONDS) -> Report:
    """Run tests on a tree, whose `app` wins over any other, and read what became of each."""
    report, output = (tree.with_name(f"{tree.name}.{kind}") for kind in ("xml", "txt"))
    options = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", f"--junit-xml={report}"]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE_", "COV_"))}
    with output.open("wb") as stdout:
        pytest = subprocess.Popen(  # noqa: S603  # our own tests
            [sys.executable, "-m", "pytest", *options, *sorted(tests)],
            cwd=tree,
            env={**inherited, "PYTHONPATH": str(tree)},
            stdout=stdout,
            stderr=subprocess.STDOUT,
        )
    return Report(_wait(pytest, seconds), _read_cases(report), output)


def _wait(pytest: "subprocess.Popen[bytes]", seconds: float) -> int | None:
    """Wait for the end; after too long, bring it about and give None."""
    try:
        return pytest.wait(seconds)
    except subprocess.TimeoutExpired:
        pytest.send_signal(signal.SIGINT)  # so that fixtures end the servers that they started
    with suppress(subprocess.TimeoutExpired):
        pytest.wait(GRACE_SECONDS)
    pytest.kill()
    pytest.wait()
    return None


def _read_cases(report: Path) -> dict[str, str]:
    if not report.exists():
        return {}
    cases: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314  # pytest wrote it for us
        path = case.get("classname", "").replace(".", "/")
        failure = case.find("failure")
        words = "" if failure is None else failure.get("message") or "failed"
        others = [tag for tag in ("error", "skipped") if case.find(tag) is not None]
        # an error of a fixture, or a skip, is neither green nor red
        if failure is not None or not others:
            name = f"{path}.py::{case.get('name')}"
            cases[name] = cases.get(name) or words
    return cases


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
