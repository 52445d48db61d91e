"""docs/reference.md names every route, parameter, command and option, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from app.cli import cli

PAGE = Path(__file__).resolve().parents[1] / "docs/reference.md"
ROW = re.compile(r"^\| `([^`]+)` \| (.*) \|$", re.MULTILINE)


def _documented(section: str) -> dict[str, set[str]]:
    """Read a table of the page: the names of each row, by its first column."""
    _, _, rest = PAGE.read_text().partition(f"\n## {section}\n")
    table, _, _ = rest.partition("\n## ")
    return {name: set(re.findall(r"`([^`]+)`", names)) for name, names in ROW.findall(table)}


@pytest.mark.usefixtures("servers")
def test_routes_and_parameters_are_those_of_the_service() -> None:
    from app.main import create_app  # noqa: PLC0415  # the environment must be set before

    operations = {
        f"{method.upper()} {path}": {p["name"] for p in operation.get("parameters", [])}
        for path, item in create_app().openapi()["paths"].items()
        for method, operation in item.items()
    }
    assert _documented("Routes") == operations


def test_commands_and_options_are_those_of_the_command_line() -> None:
    group: Any = typer.main.get_command(cli)
    commands = {
        name: {label for shown in command.params if not shown.hidden for label in _labels(shown)}
        for name, command in group.commands.items()
    }
    assert _documented("Commands") == commands


def _labels(parameter: Any) -> Iterator[str]:  # noqa: ANN401  # of Typer's own click
    """Yield the names of an option, or the name of an argument in capitals."""
    if parameter.param_type_name == "option":
        yield from (*parameter.opts, *parameter.secondary_opts)
    else:
        yield parameter.name.upper()
