"""What schemathesis can't read in the document: values that only an answer can make right."""

from typing import Any

import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response

BEYOND_SCHEMAS = {"as_of", "cursor", "from_dt", "manifest", "max_gap_seconds"}


@schemathesis.hook
def filter_failure(
    context: object, failure: Failure, case: schemathesis.Case[Any], response: Response
) -> bool:
    """Let what no schema can rule out be refused.

    An invented cursor, a reversed range, a moment to come, and parameters that need or exclude one
    another. The UDF protocol refuses in the body, with status 200.
    """
    del context, case
    if failure.title == "Schema-violating request accepted":
        return not response.content.startswith(b'{"s":"error"')
    if failure.title != "Schema-valid request rejected" or response.status_code != 422:
        return True
    refused = {error["parameter"] for error in response.json()["errors"]}
    return not refused <= BEYOND_SCHEMAS
