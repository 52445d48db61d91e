"""What is said of settings that make no sense."""

import pytest

from app.core.errors import SettingsError
from app.core.settings import load_settings


def complaint(**settings: object) -> str:
    """Load what must be refused, and give the one line that says why."""
    with pytest.raises(SettingsError) as caught:
        load_settings(**settings)
    line = str(caught.value)
    assert "\n" not in line
    return line
