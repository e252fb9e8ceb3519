"""A server on this machine: what the scripted servers of tests share."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class LocalHandler(BaseHTTPRequestHandler):
    """Answers with whole bodies, and says nothing on the screen."""

    def get(self) -> None:
        self.reply(501, b"")

    def post(self) -> None:
        self.reply(501, b"")

    def do_GET(self) -> None:
        self.get()

    def do_POST(self) -> None:
        self.post()

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def serve_locally(handler: type[LocalHandler]) -> AbstractContextManager[str]:
    """The address of a server with this handler."""
    return run_server(ThreadingHTTPServer(("127.0.0.1", 0), handler))


@contextmanager
def run_server(server: socketserver.TCPServer) -> Iterator[str]:
    """The address of a server that runs in a thread, and is closed afterwards."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
