"""The documentation names everything that there is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from app.cli import cli
from app.core.errors import AppError
from tests.documented_blocks import RUNNABLE, read_blocks

PROJECT = Path(__file__).resolve().parents[1]
README = " ".join((PROJECT / "README.md").read_text().split())


def tree(root: type[AppError]) -> set[type[AppError]]:
    return {root}.union(*(tree(child) for child in root.__subclasses__()))


def test_every_error_code_is_documented_and_every_documented_one_exists() -> None:
    documented = set(re.findall(r"`([a-z_]+)`", (PROJECT / "docs/errors.md").read_text()))
    codes = {error.code for error in tree(AppError)} - {"exchange_error"}
    assert codes - documented == set()
    ours = {"route_not_found", "method_not_allowed", "type", "title", "status", "detail", "code"}
    assert documented - codes - ours - {"errors", "latest", "at", "max_age_seconds"} == set()


@pytest.mark.usefixtures("servers")
def test_every_route_is_in_the_readme() -> None:
    from app.main import create_app  # noqa: PLC0415  # the environment must be set before

    paths = create_app().openapi()["paths"]
    shortened = README.replace("`/filter`", "`/api/v1/prices/filter`")
    for name in ("/ready", "/collector"):
        shortened = shortened.replace(f"`{name}`", f"`/health{name}`")
    missing = [path for path in paths if path not in shortened]
    assert not missing


def test_every_command_is_in_the_documentation() -> None:
    pages = README + "".join(page.read_text() for page in (PROJECT / "docs").rglob("*.md"))
    names = [
        command.name or command.callback.__name__
        for command in cli.registered_commands
        if command.callback
    ]
    shown = {"run": "make run", "demo": "make demo", "migrate": "alembic upgrade head"}
    missing = [name for name in names if shown.get(name, f"python -m app {name}") not in pages]
    assert not missing


def test_every_decision_is_listed() -> None:
    listed = (PROJECT / "docs/adr/README.md").read_text()
    pages = [page.name for page in (PROJECT / "docs/adr").glob("0*.md")]
    assert pages
    assert [name for name in pages if name not in listed] == []


def test_no_page_holds_a_conflict() -> None:
    pages = [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]
    assert [
        page.name for page in pages if re.search(r"^(<{7}|>{7}) ", page.read_text(), re.MULTILINE)
    ] == []


PAGES = [
    *PROJECT.glob("*.md"),
    *(PROJECT / "docs").rglob("*.md"),
    PROJECT / "app/simulator/README.md",
]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(BLOCK.sub("", page.read_text()))
    texts = (re.sub(r"\]\([^)]*\)", "", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in texts}


def _links(page: Path) -> Iterator[tuple[Path, str]]:
    """Yield the target and the anchor of each link of a page to another one, or to itself."""
    for target, anchor in LINK.findall(page.read_text()):
        yield ((page.parent / target).resolve() if target else page), anchor


def test_every_link_between_pages_leads_somewhere() -> None:
    broken = [
        f"{page.name}: {target.name}#{anchor}"
        for page in PAGES
        for target, anchor in _links(page)
        if not target.exists() or (anchor and anchor not in _anchors(target))
    ]
    assert broken == []


def test_every_page_is_linked_from_another_one() -> None:
    linked = {target for page in PAGES for target, _ in _links(page) if target != page}
    assert {page.name for page in (PROJECT / "docs").glob("*.md")} - {
        page.name for page in linked
    } == set()


def test_every_file_that_a_page_names_exists() -> None:
    named = {
        f"{page.name}: {path}"
        for page in PAGES
        if page.name != "CHANGELOG.md"
        for path in re.findall(
            r"`((?:app|tests|docs|alembic|benchmarks)/[\w./-]+)`", page.read_text()
        )
        if not (PROJECT / path).exists() and not re.search("NAME|DATE|NN-|NNNN", path)
    }
    assert named == set()


def test_every_block_is_run_or_says_why_not() -> None:
    """tests/embedded/test_documented_examples.py runs them."""
    blocks = read_blocks()
    assert sum(block.is_run for block in blocks) > 20
    languages = {block.language for block in blocks} - RUNNABLE
    assert languages == {"", "bat", "html", "ini", "json", "sql", "yaml"}
    assert [str(block) for block in blocks if block.not_run and block.language in languages] == []


def test_every_block_of_data_can_be_parsed() -> None:
    for block in read_blocks():
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "yaml":
            YAML().load(block.text)
