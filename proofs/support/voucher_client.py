"""A client of `/voucher` on a raw socket, which distinguishes a lost request from a refused connection."""

import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

CUSTOMER = json.dumps({"country_code": "Peru", "segment_name": "frequent_segment", "total_orders": 3}).encode()
REQUEST = (
    b"POST /voucher HTTP/1.1\r\nHost: voucher\r\nContent-Type: application/json\r\n"
    b"Connection: %s\r\nContent-Length: %d\r\n\r\n" + CUSTOMER
)
SECONDS = 10  # until a client gives up


@dataclass(frozen=True)
class Proxied:
    """How a client reaches the service behind a proxy with TLS: a host name, a path prefix and a CA in PEM."""

    host: str
    prefix: str
    ca: str

    def request(self, plain: bytes) -> bytes:
        return plain.replace(b"POST /", f"POST {self.prefix}/".encode()).replace(
            b"Host: voucher", b"Host: " + self.host.encode()
        )

    def wrap(self, plain: socket.socket) -> socket.socket:
        return ssl.create_default_context(cadata=self.ca).wrap_socket(plain, server_hostname=self.host)


class NobodyThere(ConnectionError):
    """No connection could be made; nothing was sent."""


class Client:
    def __init__(
        self, address: tuple[str, int], amounts: Mapping[str, int], keep: bool, proxied: Proxied | None = None
    ) -> None:
        self._address, self._amounts, self._keep, self._proxied = address, amounts, keep, proxied
        request = REQUEST % (b"keep-alive" if keep else b"close", len(CUSTOMER))
        self._request = proxied.request(request) if proxied else request
        self._socket: socket.socket | None = None

    def ask(self) -> tuple[str, int | str]:
        """Return run and amount. Raise NobodyThere, or another OSError if the request is lost."""
        try:
            if self._socket is None:
                self._socket = self._connect()
            self._socket.sendall(self._request)
            head, body = self._receive(self._socket)
        except OSError:
            self.close()
            raise
        if not self._keep or b"connection: close" in head:
            self.close()
        try:
            return _header(head, b"voucher-run"), json.loads(body).get("voucher_amount", body.decode())
        except ValueError:  # the answer of a proxy
            return "", body.decode()

    @property
    def port(self) -> int:
        return self._socket.getsockname()[1] if self._socket else 0

    def close(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket = None

    def _connect(self) -> socket.socket:
        try:
            made = socket.create_connection(self._address, timeout=SECONDS)
        except OSError as error:
            raise NobodyThere from error
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._proxied.wrap(made) if self._proxied else made

    def _receive(self, connection: socket.socket) -> tuple[bytes, bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            data += _some(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        head = head.lower()
        while len(body) < int(_header(head, b"content-length")):
            body += _some(connection)
        return head, body


def _some(connection: socket.socket) -> bytes:
    found = connection.recv(65536)
    if not found:
        raise ConnectionAbortedError("closed without an answer")
    return found


def _header(head: bytes, name: bytes) -> str:
    lines = (line.partition(b": ") for line in head.split(b"\r\n"))
    return next((value.decode() for key, _, value in lines if key == name), "")
