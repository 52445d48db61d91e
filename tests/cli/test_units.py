"""The systemd units of docs/deployment.md, run as systemd would."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest

from app.cli import cli
from tests.processes import PROJECT

GUIDE = (PROJECT / "docs/deployment.md").read_text()
PYTHON = "/opt/prices/.venv/bin/python"


def service_section(name: str) -> configparser.SectionProxy:
    """Give the service section of a unit file in the guide."""
    found = re.search(
        rf"```ini\n(# /etc/systemd/system/{re.escape(name)}\n.*?)```", GUIDE, re.DOTALL
    )
    assert found
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # configparser's documented way
    parser.read_string(found[1])
    return parser["Service"]


def expanded(value: str, instance: str) -> str:
    """Replace what systemd replaces: specifiers and doubled signs."""
    value = re.sub(r"%(.)", lambda sign: {"i": instance, "%": "%"}[sign[1]], value)
    return value.replace("$$", "$")


@pytest.mark.parametrize(
    ("instance", "command"),
    [("api", "api"), ("worker", "worker"), ("worker-2", "worker"), ("beat", "beat")],
)
def test_template_starts_the_command_that_its_name_begins_with(
    instance: str, command: str, tmp_path: Path
) -> None:
    python_command = tmp_path / "python"
    python_command.write_text('#!/bin/sh\necho "$@"\n')
    python_command.chmod(0o755)
    line = expanded(service_section("prices@.service")["ExecStart"], instance).replace(
        PYTHON, str(python_command)
    )
    shown = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)  # noqa: S602  # as systemd splits it
    assert shown.stdout == f"-m app {command} --watched\n"
    assert command in {
        known.callback.__name__ for known in cli.registered_commands if known.callback
    }


def test_each_instance_has_a_heartbeat_in_a_folder_of_its_own() -> None:
    service = service_section("prices@.service")
    folder = expanded(service["RuntimeDirectory"], "worker-2")
    assert f"HEARTBEAT_FILE=/run/{folder}/heartbeat" in expanded(service["Environment"], "worker-2")
    assert f"HEARTBEAT_FILE=/run/{folder}/heartbeat" in GUIDE


def test_migration_runs_before_the_services() -> None:
    assert service_section("prices-migrate.service")["ExecStart"] == f"{PYTHON} -m app migrate"
