"""What is stated, whether it makes sense or not: in the environment and in `.env`."""

import os
from collections.abc import Iterable
from difflib import get_close_matches

from dotenv import dotenv_values

from app.core.settings import ENV_FILE, Settings

NEARLY_THE_SAME = 0.85
"""Similarity, as difflib measures it, from which on a name is taken for a misspelled one."""


def misspelled_settings() -> dict[str, str]:
    """Find names in the environment and `.env` that are nearly a setting's; give the setting's."""
    known = [name.upper() for name in Settings.model_fields]
    stated = {name.upper() for name in (*os.environ, *_names_in_file())}
    near = {
        name: get_close_matches(name, known, n=1, cutoff=NEARLY_THE_SAME)
        for name in sorted(stated.difference(known))
    }
    return {name: meant[0] for name, meant in near.items() if meant}


def _names_in_file() -> Iterable[str]:
    """Name what `.env` states; nothing where it can't be read, which is told elsewhere."""
    try:
        return dotenv_values(ENV_FILE)
    except (OSError, UnicodeError):
        return ()


def stated_log_format() -> str:
    """Give LOG_FORMAT as stated, even where another setting makes no sense; empty if it is not."""
    stated = {name.upper(): value for name, value in os.environ.items()}
    try:
        form = stated.get("LOG_FORMAT") or dotenv_values(ENV_FILE).get("LOG_FORMAT") or ""
    except (OSError, UnicodeError):
        return ""
    return form.lower()
