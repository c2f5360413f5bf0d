"""A page on this machine alone, to click points that belong together: http.server on 127.0.0.1, no other package."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2

from vi_fusion_ros.cli.calibrate.inputs import Moment
from vi_fusion_ros.drawing import grey8

_PAGE = Path(__file__).with_name("point_page.html")
_MOST_BYTES = 1_000_000
_TIMEOUT_S = 30.0

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class PointServer:
    """Serves the page until its points are saved.

    Its address holds a secret, and requests that name another host are refused: other pages in the same browser, and
    other users of the machine, can neither read the images nor write the rig.

    Args:
        moments: the pairs to show.
        port: 0 takes a free one.
        solve: answers ``{"visible": …, "thermal": …, "pair": n}`` with what the page shows; raises ValueError, a
            sentence for the person who clicks.
        save: the same, and ends serving.
    """

    def __init__(self, moments: Sequence[Moment], port: int, solve: Answer, save: Answer) -> None:
        self._moments = moments
        self._answers = {"solve": solve, "save": save}
        self._lock = threading.Lock()
        self._secret = secrets.token_urlsafe(12)
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, self))
        except OSError as error:
            raise ValueError(f"port {port} cannot be used ({error.strerror}); expected a free one, or 0") from error
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://127.0.0.1:{self._server.server_port}/{self._secret}/"

    def serve(self) -> None:
        """Answer until the rig is saved."""
        try:
            self._server.serve_forever(0.1)
        finally:
            self._server.server_close()

    def get(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body for a path below the secret."""
        if path == "":
            return 200, "text/html; charset=utf-8", _PAGE.read_bytes()
        if path == "pairs":
            return 200, "application/json", json.dumps([moment.name for moment in self._moments]).encode()
        kind, _, rest = path.partition("/")
        number, _, camera = rest.partition("/")
        if kind == "image" and number.isdigit() and int(number) < len(self._moments) and camera in Moment._fields[1:]:
            _, data = cv2.imencode(".png", grey8(getattr(self._moments[int(number)], camera)))
            return 200, "image/png", data.tobytes()
        return 404, "text/plain", b"no such page"

    def post(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        """The same for what the page sends."""
        if path not in self._answers:
            return 404, "text/plain", b"no such page"
        try:
            with self._lock:
                answer = self._answers[path](json.loads(body))
        except (ValueError, OSError) as error:
            return 200, "application/json", json.dumps({"error": str(error)}).encode()
        return 200, "application/json", json.dumps(answer).encode()

    def allows(self, host: str, path: str) -> str | None:
        """The path below the secret, None where the request is not from our page."""
        port = self._server.server_port
        prefix = f"/{self._secret}/"
        ours = host in (f"127.0.0.1:{port}", f"localhost:{port}") and path.startswith(prefix)
        return path[len(prefix) :] if ours else None

    def end(self) -> None:
        """Stop serving, from one of its threads."""
        threading.Thread(target=self._server.shutdown).start()


class _Handler(BaseHTTPRequestHandler):
    timeout = _TIMEOUT_S

    def __init__(self, server: PointServer, *args: Any) -> None:
        self._points = server
        super().__init__(*args)

    def do_GET(self) -> None:
        path = self._points.allows(self.headers.get("Host", ""), self.path)
        self._send(*((404, "text/plain", b"no such page") if path is None else self._points.get(path)))

    def do_POST(self) -> None:
        path = self._points.allows(self.headers.get("Host", ""), self.path)
        length = self.headers.get("Content-Length", "")
        if path is None:
            self._send(404, "text/plain", b"no such page")
        elif not length.isdigit() or int(length) > _MOST_BYTES:
            self._send(413, "text/plain", b"too long")
        else:
            status, kind, data = self._points.post(path, self.rfile.read(int(length)))
            self._send(status, kind, data)
            if path == "save" and b'"error"' not in data:
                self._points.end()

    def log_message(self, *args: Any) -> None:
        """Nothing: the terminal is for the sentences."""

    def _send(self, status: int, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(data)
