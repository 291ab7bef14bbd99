"""A hub of one data set on this machine: what huggingface_hub and datasets ask of one, answered from a folder."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

SHA = "0123456789abcdef0123456789abcdef01234567"
NAME = "owner/name"


@contextmanager
def serve_hub(folder: Path) -> Iterator[str]:
    """The address of a hub whose only data set `owner/name` has the files of the folder, at one commit, `SHA`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            api, files = f"/api/datasets/{NAME}", f"/datasets/{NAME}/resolve/{SHA}/"
            if path.startswith(files) and (folder / path.removeprefix(files)).is_file():
                return self.answer((folder / path.removeprefix(files)).read_bytes())
            if path.startswith(files):
                return self.refuse("EntryNotFound")
            if path.startswith(f"{api}/tree/"):
                return self.answer(json.dumps([entry(name) for name in names()]).encode())
            if path in (api, f"{api}/revision/{SHA}", f"{api}/revision/v1"):
                siblings = [{"rfilename": name} for name in names()]
                return self.answer(json.dumps({"id": NAME, "sha": SHA, "siblings": siblings}).encode())
            return self.refuse("RevisionNotFound" if path.startswith(f"{api}/") else "RepoNotFound")

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:  # paths-info: which of these paths there are
            asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["paths"]
            self.answer(json.dumps([entry(name) for name in asked if (folder / name).is_file()]).encode())

        def answer(self, data: bytes) -> None:
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", SHA)
            self.finish_with(data)

        def refuse(self, code: str) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.finish_with(b"{}")

        def finish_with(self, data: bytes) -> None:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    def names() -> list[str]:
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    def entry(name: str) -> dict[str, object]:
        data = (folder / name).read_bytes()
        return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
