"""The commands `run` and `demo` where they can't start."""

import pytest

from tests.preloaded_python import run_python


@pytest.mark.parametrize("command", ["run", "demo"])
def test_data_dir_that_can_not_be_used_is_named_in_one_line(command: str) -> None:
    started = run_python("app", command, env={"DATA_DIR": "/dev/null/x", "PATH": ""})
    assert started.returncode == 1
    (line,) = started.stderr.splitlines()
    assert "DATA_DIR" in line
    assert "/dev/null/x" in line


def test_unknown_exchange_is_refused_before_anything_is_made() -> None:
    env = {"TICKERS": "kraken:btc_usd", "DATA_DIR": "/dev/null/x", "PATH": ""}
    started = run_python("app", "demo", env=env)
    assert started.returncode == 1
    assert "unknown exchange kraken" in started.stderr
