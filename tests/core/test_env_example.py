"""`.env.example` and the settings say the same."""

import re
from pathlib import Path

import pytest
from dotenv import dotenv_values

from app.core.settings import Settings, load_settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"


def test_example_names_every_setting_once_and_nothing_else() -> None:
    names = re.findall(r"^([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE)
    assert sorted(names) == sorted(name.upper() for name in Settings.model_fields)


def test_example_states_the_defaults(empty_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = load_settings()
    for name, value in dotenv_values(EXAMPLE).items():
        monkeypatch.setenv(name, value or "")
    assert load_settings() == defaults
    assert not list(empty_dir.iterdir())


def test_example_describes_what_it_states() -> None:
    groups = EXAMPLE.read_text().split("\n\n")
    assert all(group.startswith("# ") for group in groups)
