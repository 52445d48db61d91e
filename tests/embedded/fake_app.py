"""Stands in for `python -m app` in tests of the stack: records how it was called, then runs."""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class OkHandler(BaseHTTPRequestHandler):
    """Answers every request with 200."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main(command: str, *arguments: str) -> None:
    record = {"pid": os.getpid(), "arguments": arguments, "environment": dict(os.environ)}
    draft = Path(os.environ["FAKE_APP_DIR"], f"{command}.draft")
    draft.write_text(json.dumps(record))
    draft.replace(draft.with_suffix(".json"))  # whole when it appears
    if command == "migrate":
        sys.exit(os.environ.get("FAKE_MIGRATION_ERROR"))
    if command == "seed":
        return
    if command in {"worker", "beat"}:
        touch_heartbeat_forever(Path(os.environ["HEARTBEAT_FILE"]))
    port = os.environ["API_PORT"] if command == "api" else arguments[1]
    HTTPServer(("127.0.0.1", int(port)), OkHandler).serve_forever()


def touch_heartbeat_forever(heartbeat: Path) -> None:
    while True:
        heartbeat.touch()
        time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
