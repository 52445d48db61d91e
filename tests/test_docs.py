"""The documentation names everything that there is."""

import re
from pathlib import Path

import pytest

from app.cli import cli
from app.core.errors import AppError

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


def test_every_link_between_pages_leads_somewhere() -> None:
    pages = [PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []
