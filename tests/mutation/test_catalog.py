"""The patches still apply, and the list in the documentation is theirs."""

import ast
from pathlib import Path

import pytest

from tests.mutation.catalog import LIST, PROJECT, Defect, apply, read_defects

DEFECTS = read_defects()
SEEN_ELSEWHERE = range(1, 24)
OF_LATER_PARTS = {16}
"""They can't exist yet: rollups that retention could drop come with a part of their own."""


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_patch_applies(defect: Defect) -> None:
    assert apply(defect.patch, PROJECT, "--check") == "", "renew it: docs/defects.md tells how"


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_defect_names_tests_that_exist(defect: Defect) -> None:
    assert defect.tests
    for test in defect.tests:
        path, _, name = test.partition("::")
        assert name in functions(PROJECT / path), test


def test_list_in_the_documentation_is_that_of_the_patches() -> None:
    rows = [line for line in LIST.read_text().splitlines() if line.startswith("| [")]
    assert rows == [defect.row for defect in DEFECTS]


def test_patches_are_named_after_their_numbers() -> None:
    for defect in DEFECTS:
        assert defect.name.startswith(f"{defect.number:02}-"), defect.name


def test_every_defect_seen_elsewhere_is_put_back_or_belongs_to_a_later_part() -> None:
    put_back = {defect.number for defect in DEFECTS}
    assert put_back & OF_LATER_PARTS == set()
    assert put_back | OF_LATER_PARTS >= set(SEEN_ELSEWHERE)
    page = LIST.read_text()
    assert all(f"\n- {number}: " in page for number in OF_LATER_PARTS)
