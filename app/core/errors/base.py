"""The root of the error tree."""

from typing import ClassVar


class AppError(Exception):
    """A failure with a name: an HTTP status, a stable code, and whether trying again may help."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False
