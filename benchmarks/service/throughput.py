"""The requests per second that a server can answer, measured by wrk if it is installed, otherwise in Python."""

import re
import shutil
import socket
import subprocess
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from http.client import HTTPException, HTTPResponse
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

from dev.processes import StackError

CONNECTIONS = 16
WRK = shutil.which("wrk")
TOOL = f"wrk, {CONNECTIONS} connections" if WRK else f"a Python client, {CONNECTIONS} connections (no wrk here)"


def rate(url: str, bodies: Path, seconds: float, connections: int = CONNECTIONS) -> float:
    """POST the lines of the file `bodies` in turn. Return answers per second. Raise StackError if one is not 200."""
    return (_wrk if WRK else _python)(url, bodies, seconds, connections)


def _wrk(url: str, bodies: Path, seconds: float, connections: int) -> float:
    script = Path(__file__).with_name("post.lua")
    command = [str(WRK), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
    ended = subprocess.run([*command, "-s", script, url, "--", bodies], capture_output=True, text=True, check=False)
    rate = re.search(r"Requests/sec: +([\d.]+)", ended.stdout)
    if ended.returncode or not rate or re.search(r"Non-2xx|Socket errors", ended.stdout):
        raise StackError(f"wrk on {url} saw errors:\n{ended.stdout}{ended.stderr}")
    return float(rate[1])


def _python(url: str, bodies: Path, seconds: float, connections: int) -> float:
    """Send requests from threads in two processes. A single process would limit the measurement."""
    lines = bodies.read_bytes().splitlines()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        halves = [pool.submit(_threads, url, lines, seconds, max(1, connections // 2)) for _ in range(2)]
        return sum(half.result() for half in halves)


def _threads(url: str, lines: Sequence[bytes], seconds: float, connections: int) -> float:
    with ThreadPoolExecutor(connections) as pool:
        began = perf_counter()
        counts = list(pool.map(lambda _: _loop(url, lines, began + seconds), range(connections)))
        return sum(counts) / (perf_counter() - began)


def _loop(url: str, lines: Sequence[bytes], end: float) -> int:
    caller, count = Caller(url), 0
    while perf_counter() < end:
        caller.post(lines[count % len(lines)])
        count += 1
    return count


class Caller:
    """One connection, kept as long as the server keeps it.

    A request is sent in one piece: http.client sends the body after the headers, and a server that answers without
    reading the body closes the connection if the body is late.
    """

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._socket: socket.socket | None = None

    def post(self, body: bytes) -> tuple[str | None, bytes]:
        """Return the run and the body of the answer. Raise StackError if there is none or it is not 200."""
        try:
            answer, content = self._post(body)
        except (OSError, HTTPException) as error:
            raise StackError(f"{self._url.geturl()} gave no answer: {error!r}") from error
        if answer.status != 200:
            raise StackError(f"{self._url.geturl()} answered {answer.status} {content[:200]!r}")
        return answer.getheader("Voucher-Run"), content

    def _post(self, body: bytes) -> tuple[HTTPResponse, bytes]:
        if self._socket is None:
            self._socket = socket.create_connection((self._url.hostname, self._url.port), timeout=30)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = f"POST {self._url.path} HTTP/1.1\r\nHost: {self._url.netloc}\r\nContent-Type: application/json\r\n"
        self._socket.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = HTTPResponse(self._socket, method="POST")
        answer.begin()
        content = answer.read()
        if answer.will_close:
            self.close()
        return answer, content

    def close(self) -> None:
        if self._socket:
            self._socket.close()
        self._socket = None
