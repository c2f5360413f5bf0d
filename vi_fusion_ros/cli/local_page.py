"""A page for the person at this machine alone: http.server on 127.0.0.1, no other package."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

_MOST_BYTES = 1_000_000
_TIMEOUT_S = 30.0


class Reply(NamedTuple):
    """What is answered to a request; after the last one serving ends."""

    status: int
    kind: str
    body: bytes
    last: bool = False


NO_SUCH_PAGE = Reply(404, "text/plain", b"no such page")


class LocalPage:
    """Answers requests until a reply is the last one, or interrupted; what it answers is its subclass's.

    Its address holds a secret, and requests that name another host are refused: other pages in the same browser, and
    other users of the machine, can neither read nor write here.

    Args:
        port: 0 takes a free one.

    Raises:
        ValueError: the port cannot be used.
    """

    def __init__(self, port: int) -> None:
        self._secret = secrets.token_urlsafe(12)
        self._making, self._ended, self._changed = 0, False, threading.Condition()
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, self))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(f"port {port} cannot be used ({reason}); expected a free one, or 0") from error
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://127.0.0.1:{self._server.server_port}/{self._secret}/"

    def serve(self) -> None:
        """Answer until the last reply is sent; replies that are being made then are waited for.

        A thread that is inside OpenCV when the interpreter ends would abort the process.
        """
        try:
            self._server.serve_forever(0.1)
        finally:
            self._server.server_close()
            with self._changed:
                self._ended = True
                self._changed.wait_for(lambda: not self._making)

    def end(self) -> None:
        """Stop serving, from one of its threads."""
        threading.Thread(target=self._server.shutdown).start()

    def get(self, path: str) -> Reply:
        """The reply for a path below the secret."""
        raise NotImplementedError

    def post(self, path: str, body: bytes) -> Reply:
        """The same for what the page sends."""
        raise NotImplementedError

    def reply(self, make: Callable[[], Reply]) -> Reply:
        """What ``make`` returns; once serving has ended, nothing is made any more."""
        with self._changed:
            if self._ended:
                return NO_SUCH_PAGE
            self._making += 1
        try:
            return make()
        finally:
            with self._changed:
                self._making -= 1
                self._changed.notify_all()

    def allowed(self, host: str, path: str) -> str | None:
        """The path below the secret, None where the request is not from our page."""
        port = self._server.server_port
        prefix = f"/{self._secret}/"
        ours = host in (f"127.0.0.1:{port}", f"localhost:{port}") and path.startswith(prefix)
        return path[len(prefix) :] if ours else None


class _Handler(BaseHTTPRequestHandler):
    timeout = _TIMEOUT_S

    def __init__(self, page: LocalPage, *args: Any) -> None:
        self._page = page
        super().__init__(*args)

    def do_GET(self) -> None:
        path = self._page.allowed(self.headers.get("Host", ""), self.path)
        self._send(NO_SUCH_PAGE if path is None else self._page.reply(partial(self._page.get, path)))

    def do_POST(self) -> None:
        path = self._page.allowed(self.headers.get("Host", ""), self.path)
        length = self.headers.get("Content-Length", "")
        if path is None:
            self._send(NO_SUCH_PAGE)
        elif not length.isdigit() or int(length) > _MOST_BYTES:
            self._send(Reply(413, "text/plain", b"too long"))
        else:
            body = self.rfile.read(int(length))
            reply = self._page.reply(partial(self._page.post, path, body))
            self._send(reply)
            if reply.last:
                self._page.end()

    def log_message(self, *args: Any) -> None:
        """Nothing: the terminal is for the sentences."""

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(reply.body)
