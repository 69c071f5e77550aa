"""A web server of the tests, on the loopback; it is Python's own."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.authority import Signed


class Handler(SimpleHTTPRequestHandler):
    """Gives out a folder's files, and says nothing of it."""

    def log_message(self, format: str, *words: object) -> None:
        pass


@contextmanager
def web(folder: Path, signed: Signed | None = None, handler: type[Handler] = Handler) -> Iterator[int]:
    """Serve a folder; the port. With a certificate it is HTTPS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    if signed:
        both = folder.with_name("server.pem")
        both.write_text(signed.text + signed.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
