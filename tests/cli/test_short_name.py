"""The command's short name, and the completion that a shell offers for it."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from app.__main__ import main
from app.cli import SHORT_NAME
from tests.preloaded_python import PROJECT

PROGRAM = "from app.__main__ import main\nmain()\n"
"""What pip writes as the installed command."""


def _run(folder: Path, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run the command by its short name."""
    command = folder / SHORT_NAME
    command.write_text(PROGRAM)
    return subprocess.run(  # noqa: S603  # our own program
        [sys.executable, command, *words],
        env={"PYTHONPATH": str(PROJECT), "HOME": str(folder), **env},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_project_installs_the_command_by_its_short_name() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    module, _, name = project["scripts"][SHORT_NAME].partition(":")
    assert getattr(importlib.import_module(module), name) is main


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("he", {"healthcheck"}), ("ex", {"export", "exchange"}), ("gaps --t", {"--ticker", "--to"})],
)
def test_shell_completes_commands_and_options(
    typed: str, offered: set[str], tmp_path: Path
) -> None:
    words = f"{SHORT_NAME} {typed}"
    position = str(len(words.split()) - 1)
    env = {"_PRICES_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": position}
    assert set(_run(tmp_path, **env).stdout.split()) == offered


def test_completion_is_installed_for_a_shell(tmp_path: Path) -> None:
    ended = _run(tmp_path, "--install-completion", "bash", SHELL="/bin/bash")
    assert ended.returncode == 0
    assert "bash completion installed" in ended.stdout
    installed = tmp_path / ".bash_completions/prices.sh"
    assert f"complete -o default -F _prices_completion {SHORT_NAME}" in installed.read_text()


def test_completion_is_not_offered_for_a_name_that_no_shell_can_complete(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "app", "--help"],
        env={"PYTHONPATH": str(PROJECT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "completion" not in shown.stdout
    assert "--install-completion" in _run(tmp_path, "--help").stdout
