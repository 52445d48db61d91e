"""Faults of TLS that PostgreSQL and Redis have in common."""

import ssl
from pathlib import Path
from typing import Final

REMEDIES_BY_VERIFY_CODE: Final = {
    9: "check the clocks of both machines",
    10: "renew it on the server",
    62: "write the host as the certificate names it",
    64: "write the host as the certificate names it",
}
"""By OpenSSL's codes: not valid yet, expired, for another host name, for another IP address."""


def certificate_remedy(error: ssl.SSLCertVerificationError, parameter: str) -> str:
    """Return what to do about a refused certificate; `parameter` names the authority's file."""
    trust = f"name the authority that signed it as ?{parameter}=/its/file.pem"
    return REMEDIES_BY_VERIFY_CODE.get(error.verify_code, trust)


def reason_of(error: ssl.SSLError) -> str:
    """Return OpenSSL's reason, or the message of an error that Python raised without one."""
    message = (type(error).__name__, *error.args)[-1]
    return str(getattr(error, "reason", None) or message)


def unreadable_reason(path: str | Path) -> str:
    """Return why a file can't be read; an empty text if it can."""
    try:
        Path(path).open("rb").close()
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""
