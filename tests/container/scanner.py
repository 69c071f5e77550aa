"""Stands in for Rspamd where a test is about what is done with its answers: it says what the message asks it to say.

It answers POST /checkv2 on 127.0.0.1:11333, as Rspamd's normal worker does: `TEST: reject`, `TEST: soft reject` and
`TEST: spam` in a message are its verdict; every other message is clean.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 11333


class _Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        word = content.partition(b"TEST: ")[2].partition(b"\r\n")[0].decode()
        action = word if word in ("reject", "soft reject") else "no action"
        said = {"action": action, "score": 9.0 if word == "spam" else 0.5, "messages": {"smtp_message": f"TEST {word}"}}
        answer = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", PORT), _Answer).serve_forever()
