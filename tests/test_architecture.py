"""The rules of the house, held by machines."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
APP = PROJECT / "app"
MODULES = sorted(APP.rglob("*.py"))
MAX_MODULE = 300
VAGUE_NAMES = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "constants",
    "misc",
    "base_repository",
}
MAY_READ_THE_ENVIRONMENT = {"core/settings.py", "core/raw_settings.py"}
"""Everything else takes settings; these two rooms hand their own environment on to children."""
MAY_HAND_THE_ENVIRONMENT_ON = {"embedded", "supervisor"}


def lint_imports(directory: Path) -> "subprocess.CompletedProcess[str]":
    """Check the import contracts of a copy of the project, as `make check` does."""
    return subprocess.run(  # noqa: S603  # our own tool
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )


def test_import_contracts_are_kept() -> None:
    checked = lint_imports(PROJECT)
    assert checked.returncode == 0, checked.stdout
    assert " 0 broken" in checked.stdout


def test_no_module_is_longer_than_three_hundred_lines() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in MODULES}
    assert {path: n for path, n in lengths.items() if n > MAX_MODULE} == {}


def test_no_folder_or_module_has_a_name_that_says_nothing() -> None:
    named = {path for path in MODULES if {path.stem, *path.relative_to(APP).parts} & VAGUE_NAMES}
    assert named == set()


def test_only_settings_read_the_environment() -> None:
    readers = {path.relative_to(APP) for path in MODULES if _reads_environment(path)}
    outside = {path for path in readers if path.parts[0] not in MAY_HAND_THE_ENVIRONMENT_ON}
    assert {path.as_posix() for path in outside} <= MAY_READ_THE_ENVIRONMENT


def test_every_module_says_in_a_sentence_what_lives_there() -> None:
    for path in MODULES:
        words = ast.get_docstring(ast.parse(path.read_text()))
        if path.name != "__init__.py" or path.read_text().strip():
            assert words, path
            assert words.splitlines()[0].endswith((".", "?")), path


def test_repositories_never_commit() -> None:
    """Services own the transactions."""
    for path in (APP / "repositories").glob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        called = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        assert not called & {"commit", "rollback", "begin"}, path


def test_function_bodies_are_short() -> None:
    lengths = sorted(length for path in MODULES for length in _body_lengths(path))
    assert lengths[len(lengths) // 2] <= 6
    assert lengths[len(lengths) * 9 // 10] <= 20


def _reads_environment(path: Path) -> bool:
    tree = ast.parse(path.read_text())
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in {"environ", "getenv", "environb"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        for node in ast.walk(tree)
    )


def _body_lengths(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            has_words = ast.get_docstring(node) is not None
            body = node.body[1:] if has_words else node.body
            if body:
                yield (body[-1].end_lineno or 0) - body[0].lineno + 1
