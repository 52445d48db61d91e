"""Plays `python -m app` for the tests of the stack: writes down how it was called, then behaves."""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Yes(BaseHTTPRequestHandler):
    """Answers 200 to whatever is asked."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main(command: str, *arguments: str) -> None:
    record = {"pid": os.getpid(), "arguments": arguments, "environment": dict(os.environ)}
    draft = Path(os.environ["PLAY"], f"{command}.draft")
    draft.write_text(json.dumps(record))
    draft.replace(draft.with_suffix(".json"))  # whole when it appears
    if command == "migrate":
        sys.exit(os.environ.get("PLAY_MIGRATION"))
    if command == "seed":
        return
    if command in {"worker", "beat"}:
        show_life(Path(os.environ["HEARTBEAT_FILE"]))
    port = os.environ["API_PORT"] if command == "api" else arguments[1]
    HTTPServer(("127.0.0.1", int(port)), Yes).serve_forever()


def show_life(heartbeat: Path) -> None:
    while True:
        heartbeat.touch()
        time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
