"""Settings that must be refused."""

import pytest

from app.core.errors import SettingsError
from app.core.settings import load_settings


def settings_error(**settings: object) -> str:
    """Load settings that must be refused, and return the one-line message."""
    with pytest.raises(SettingsError) as caught:
        load_settings(**settings)
    line = str(caught.value)
    assert "\n" not in line
    return line
