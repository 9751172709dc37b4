"""A receiver of notices over HTTP, which keeps what it got and answers as it is told to. Used by tests and proofs."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DRIP, CLOSE = "drip", "close"  # send a byte of the head at a time, without end; close without an answer


@dataclass(frozen=True)
class Received:
    """One request. Header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class NoticeReceiver:
    """The running receiver. answers: the first of them answers the next request, and the last one all others."""

    url: str
    answers: list[int | str] = field(default_factory=lambda: [204])
    got: list[Received] = field(default_factory=list)
    on_request: Callable[[Received], None] = lambda _: None
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def notices(self) -> list[tuple[str, str]]:
        """The type and the run of each notice that it got, with repeats."""
        return [(each.json["type"], each.json["data"]["run_id"]) for each in self.got]

    def next_answer(self) -> int | str:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @classmethod
    @contextmanager
    def open(cls) -> Iterator["NoticeReceiver"]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.receiver = receiver = cls(f"http://127.0.0.1:{server.server_address[1]}/hook")  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.closing.set()
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        receiver: NoticeReceiver = self.server.receiver  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        received = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        receiver.got.append(received)
        receiver.on_request(received)
        answer = receiver.next_answer()
        if answer == DRIP:
            self._drip(receiver.closing)
        if isinstance(answer, int):
            self.send_response(answer)
            if 300 <= answer < 400:
                self.send_header("Location", f"{receiver.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
        self.close_connection = True

    def _drip(self, closing: threading.Event) -> None:
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nDrip: ")
            while not closing.wait(0.2):
                self.wfile.write(b".")
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        pass
