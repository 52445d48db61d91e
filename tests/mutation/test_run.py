"""What the proof takes for red: a test that ran and failed, and nothing else."""

from pathlib import Path

import pytest

from tests.mutation.run import PROVEN, Report, _judge, _run_tests, main

TESTS = """
import pytest

@pytest.fixture
def broken():
    raise OSError

def test_green(): pass
def test_red(): assert 1 == 2
def test_skipped(): pytest.skip()
def test_of_a_broken_fixture(broken): pass
def test_of_broken_code(): undefined
@pytest.mark.parametrize("n", [1, 2])
def test_red_for_one_of_two(n): assert n == 1
"""


def ids(*names: str) -> list[str]:
    return [f"tests/test_some.py::test_{name}" for name in names]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project with one file of tests."""
    file = tmp_path / "project" / "tests" / "test_some.py"
    file.parent.mkdir(parents=True)
    file.write_text(TESTS)
    return file.parents[1]


def test_only_a_test_that_ran_and_failed_is_red(tree: Path) -> None:
    red = ids("red", "red_for_one_of_two")
    others = ids("green", "skipped", "of_a_broken_fixture", "of_broken_code")
    report = _run_tests(tree, [*red, *others])
    assert [_judge(report, [test]) for test in red] == [PROVEN, PROVEN]
    assert [_judge(report, [*red, test]).split(": ")[1] for test in others] == [
        "put back, and still green",
        "put back, and not run to its end",
        "put back, and not run to its end",
        "the patch broke the code",
    ]
    assert [test for test in [*red, *others] if report.is_green(test)] == ids("green")


def test_code_that_can_not_be_imported_is_not_red(tree: Path) -> None:
    (tree / "tests" / "test_some.py").write_text("import no_such_module")
    report = _run_tests(tree, ids("green"))
    assert "not with failed tests" in _judge(report, ids("green"))
    assert "no_such_module" in report.last_words


def test_run_that_never_ends_is_not_red(tree: Path) -> None:
    (tree / "tests" / "test_some.py").write_text("import time\ndef test_green(): time.sleep(60)")
    report = _run_tests(tree, ids("green"), seconds=1.5)
    assert _judge(report, ids("green")).startswith("NOT PROVEN: no end within")


def test_name_of_no_defect_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-defect"]) == 1
    assert capsys.readouterr().out == "no defect begins with no-such-defect\n"


def test_no_run_is_no_proof(tmp_path: Path) -> None:
    assert _judge(Report(0, {}, tmp_path), ids("green")).startswith("NOT PROVEN")
