"""What a mutation run reports: which survivors are listed, and which listed ones are killed."""

import ast

import pytest

from tests.mutation.survivors import (
    LIST,
    PROJECT,
    Mutant,
    parse_mutant,
    read_list,
    read_statuses,
    report,
)

NAME = "app.domain.slots.x_floor_slot__mutmut_3"
DIFF = """# app.domain.slots.x_floor_slot__mutmut_3: survived
--- app/domain/slots.py
+++ app/domain/slots.py
@@ -1,3 +1,3 @@
 def floor_slot(timestamp_us: int, interval_seconds: int) -> Slot:
-    return Slot(timestamp_us | 1)
+    return Slot(timestamp_us | 2)
"""
MUTANT = Mutant("slots.floor_slot", "return Slot(timestamp_us | 2)")
ROW = r"| `slots.floor_slot` | `return Slot(timestamp_us \| 2)` | It is never odd. |"
COUNTS = {"killed": 7, "survived": 1, "no tests": 3, "timeout": 2}


def test_mutant_is_known_by_its_function_and_its_changed_lines() -> None:
    assert parse_mutant(NAME, DIFF) == MUTANT
    method = "app.domain.prices.xǁTickerKeyǁparse__mutmut_1"
    assert parse_mutant(method, "").function == "prices.TickerKey.parse"
    assert parse_mutant("app.domain.gaps.x__starting_by__mutmut_12", "").function == (
        "gaps._starting_by"
    )


def test_results_and_the_list_are_read_as_they_are_written() -> None:
    output = f"    {NAME}: survived\n    {NAME[:-1]}4: no tests\n"
    assert read_statuses(output) == {NAME: "survived", f"{NAME[:-1]}4": "no tests"}
    assert read_list(f"# Title\n\n| function | changed to | why |\n|---|---|---|\n{ROW}\n") == [
        MUTANT
    ]


def test_survivor_that_is_not_listed_is_shown_with_its_diff_and_fails_the_run() -> None:
    text, code = report(COUNTS, {NAME: DIFF}, [])
    assert text.startswith(DIFF.rstrip())
    assert text.endswith("7 killed, 1 survived, 0 of them listed, 3 without a test, 2 timeouts")
    assert code == 1


def test_survivor_that_is_listed_is_only_counted() -> None:
    assert report(COUNTS, {NAME: DIFF}, [MUTANT]) == (
        "7 killed, 1 survived, 1 of them listed, 3 without a test, 2 timeouts",
        0,
    )


def test_listed_mutant_that_is_killed_is_named() -> None:
    text, code = report({"killed": 8}, {}, [MUTANT])
    assert text.splitlines() == [
        "listed, but killed: slots.floor_slot: return Slot(timestamp_us | 2)",
        "8 killed, 0 survived, 0 of them listed, 0 without a test, 0 timeouts",
    ]
    assert code == 0


@pytest.mark.parametrize("mutant", read_list(LIST.read_text()), ids=lambda one: one.function)
def test_listed_function_exists(mutant: Mutant) -> None:
    module, _, name = mutant.function.partition(".")
    tree = ast.parse((PROJECT / "app" / "domain" / f"{module}.py").read_text())
    functions = {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}
    assert name.rpartition(".")[2] in functions
