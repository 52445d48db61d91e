"""The root of the error tree."""

from typing import ClassVar


class AppError(Exception):
    """A named failure with an HTTP status, a stable code, and whether a retry may help."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False
