"""How commands end and what they say of themselves: one line, in the form of LOG_FORMAT."""

import json
import subprocess
from pathlib import Path

import pytest

from app import __version__
from tests.preloaded_python import PROJECT, run_python


def run(*words: str, folder: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in an empty folder, with no other setting than these."""
    only = {"PATH": "", "PYTHONPATH": str(PROJECT), **env}
    return run_python("app", *words, env=only, cwd=folder)


def test_version_is_printed_alone(tmp_path: Path) -> None:
    ended = run("--version", folder=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        (["api"], {}),
        (["worker"], {}),
        (["beat"], {}),
        (["migrate"], {}),
        (["gaps"], {}),
        (["api"], {"API_PORT": "many"}),
        (["run"], {"DATA_DIR": "/dev/null/x"}),
    ],
)
def test_last_line_of_a_command_that_can_not_work_is_json_where_logs_are(
    words: list[str], setting: dict[str, str], tmp_path: Path
) -> None:
    plain = run(*words, folder=tmp_path, **setting)
    as_json = run(*words, folder=tmp_path, LOG_FORMAT="json", **setting)
    (words_shown,) = plain.stderr.splitlines()
    (line,) = as_json.stderr.splitlines()
    assert plain.returncode == as_json.returncode == 1
    assert json.loads(line)["detail"] == words_shown
    assert json.loads(line)["event"] == "process_ended"


def test_format_may_be_stated_in_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_FORMAT=JSON\n")
    assert json.loads(run("api", folder=tmp_path).stderr)["code"] == "servers_unknown"
