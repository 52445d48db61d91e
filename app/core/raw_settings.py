"""Settings before validation: names and values in the environment and in `.env`."""

import os
from collections.abc import Mapping
from difflib import get_close_matches

from dotenv import dotenv_values

from app.core.settings import ENV_FILE, Settings

MIN_SIMILARITY = 0.85
"""Similarity, as difflib measures it, from which on a name is taken for a misspelled one."""


def misspelled_settings() -> dict[str, str]:
    """Map names in the environment and `.env` that nearly match a setting to that setting."""
    known = [name.upper() for name in Settings.model_fields]
    present = {name.upper() for name in (*os.environ, *_env_file())}
    matches = {
        name: get_close_matches(name, known, n=1, cutoff=MIN_SIMILARITY)
        for name in sorted(present.difference(known))
    }
    return {name: best[0] for name, best in matches.items() if best}


def raw_log_format() -> str:
    """Return LOG_FORMAT in lower case, even if another setting is invalid; empty if it is unset."""
    environment = {name.upper(): value for name, value in os.environ.items()}
    return (environment.get("LOG_FORMAT") or _env_file().get("LOG_FORMAT") or "").lower()


def colors_are_refused() -> bool:
    """Return whether NO_COLOR asks for output without colours (https://no-color.org)."""
    return bool(os.environ.get("NO_COLOR"))


def _env_file() -> Mapping[str, str | None]:
    """Read `.env`; return nothing if it can't be read, which `load_settings` reports."""
    try:
        return dotenv_values(ENV_FILE)
    except (OSError, UnicodeError):
        return {}
