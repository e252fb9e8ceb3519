"""A stand-in of the Hugging Face Hub on the loopback: data sets with files, as the real client asks for them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
Repositories = Mapping[str, Mapping[str, bytes]]  # files by path, by the name of the data set


def readme(configs: Mapping[str, Mapping[str, str]]) -> bytes:
    """A card that says which files are which split of which config."""
    listed = [
        {"config_name": name, "data_files": [{"split": split, "path": path} for split, path in files.items()]}
        for name, files in configs.items()
    ]
    return f"---\nconfigs: {json.dumps(listed)}\n---\n".encode()


class HubHandler(BaseHTTPRequestHandler):
    """Answers what huggingface_hub and datasets ask about data sets: their commit, their tree, and their files."""

    protocol_version = "HTTP/1.1"
    repositories: Repositories = {}
    gated: frozenset[str] = frozenset()

    def log_message(self, *_: Any) -> None:
        """Nothing: a test's output is its own."""

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer(with_body=True, body=body)

    def answer(self, with_body: bool, body: bytes = b"") -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        is_api = parts[:2] == ["api", "datasets"]
        name, rest = "/".join(parts[2:4] if is_api else parts[1:3]), parts[4:] if is_api else parts[3:]
        if name in self.gated:
            return self.refuse(403, "GatedRepo", with_body)
        if name not in self.repositories:
            return self.refuse(404, "RepoNotFound", with_body)
        if len(rest) > 1 and rest[1] not in ("main", COMMIT):
            return self.refuse(404, "RevisionNotFound", with_body)
        files = self.repositories[name]
        if not is_api:
            path = "/".join(rest[2:])
            if path not in files:
                return self.refuse(404, "EntryNotFound", with_body)
            return self.send(files[path], "application/octet-stream", with_body)
        return self.send(json.dumps(self.describe(name, files, rest, body)).encode(), "application/json", with_body)

    def describe(self, name: str, files: Mapping[str, bytes], rest: list[str], body: bytes) -> Any:
        """The answer of the API about a data set."""
        if rest[:1] == ["tree"]:
            folder = "/".join(rest[2:])
            return [entry(path, files) for path in files if path.startswith(f"{folder}/" if folder else "")]
        if rest[:1] == ["paths-info"]:
            asked = json.loads(body)["paths"] if body.startswith(b"{") else []
            return [entry(path, files) for path in files if path in asked]
        siblings = [{"rfilename": path} for path in files]
        return {"id": name, "sha": COMMIT, "private": False, "disabled": False, "gated": False, "tags": [], "downloads": 0,
                "likes": 0, "lastModified": "2026-01-01T00:00:00.000Z", "siblings": siblings}  # fmt: skip

    def refuse(self, status: int, code: str, with_body: bool) -> None:
        self.send(json.dumps({"error": code}).encode(), "application/json", with_body, status, {"X-Error-Code": code})

    def send(
        self, content: bytes, kind: str, with_body: bool, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        tag = hashlib.sha256(content).hexdigest()
        about = {"Content-Type": kind, "Content-Length": str(len(content)), "ETag": f'"{tag}"', "X-Repo-Commit": COMMIT}
        for key, value in {**about, **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)


def entry(path: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    oid = hashlib.sha1(files[path], usedforsecurity=False).hexdigest()
    return {"type": "file", "path": path, "size": len(files[path]), "oid": oid}


@contextmanager
def serve_hub(repositories: Repositories, gated: frozenset[str] = frozenset()) -> Iterator[str]:
    """The address of a Hub with these data sets, for as long as the `with` lasts."""
    handler = type("Handler", (HubHandler,), {"repositories": repositories, "gated": gated})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
