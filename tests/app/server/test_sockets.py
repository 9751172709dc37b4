"""The server's sockets: listing clients, closing listeners and ending stalled connections."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from app.server import sockets
from dev.processes import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its sockets")


@pytest.fixture(params=[("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)], ids=["IPv4", "IPv6"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    host, family = request.param
    with socket.create_server((host, 0), family=family) as listener:
        yield listener


def connect(listener: socket.socket, seconds: float = 5) -> socket.socket:
    return socket.create_connection(listener.getsockname()[:2], timeout=seconds)


def clients_of(port: int) -> list[tuple[str, int]]:
    return [found.getpeername()[:2] for found in sockets.clients({port})]


def test_newcomers_are_refused_and_nobody_else_is(listener: socket.socket) -> None:
    """New clients are refused, and accepted ones stay connected. This needs no privileges, as in a container."""
    address, family = listener.getsockname()[:2], listener.family
    with connect(listener):
        accepted, _ = listener.accept()
        with accepted:
            before = clients_of(address[1])
            sockets.stop_listening()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, timeout=5)
            assert clients_of(address[1]) == before != []
    with socket.create_server(address, family=family) as other:
        socket.create_connection(address, timeout=5).close()
        other.accept()[0].close()


def test_who_waits_to_be_accepted_is_not_reset(listener: socket.socket) -> None:
    """The listening socket is closed after the server has accepted the clients in its queue."""
    accepted: list[socket.socket] = []
    server = threading.Timer(0.1, lambda: accepted.append(listener.accept()[0]))
    with connect(listener) as waiting:
        server.start()
        sockets.stop_listening()
        server.join()
        with accepted[0]:
            waiting.sendall(b"a request")
            assert accepted[0].recv(100) == b"a request"


def test_nobody_who_connects_meanwhile_is_reset() -> None:
    """A client that connects during the closing is either accepted and served, or refused, but never reset."""
    outcomes: Counter[str] = Counter()

    def call(port: int, ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                    client.sendall(b"a request")
                    outcomes["served" if client.recv(100) else "closed"] += 1
            except ConnectionRefusedError:
                outcomes["refused"] += 1
                time.sleep(0.001)
            except ConnectionResetError:
                outcomes["reset"] += 1

    for _ in range(4):
        ended = threading.Event()
        with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
            port = listener.getsockname()[1]
            listener.settimeout(0.02)

            def serve(listener: socket.socket = listener, ended: threading.Event = ended) -> None:
                while not ended.is_set():
                    with contextlib.suppress(TimeoutError), listener.accept()[0] as client:
                        client.settimeout(5)
                        client.sendall(client.recv(100))

            threads = [threading.Thread(target=serve)]
            threads += [threading.Thread(target=call, args=(port, ended)) for _ in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(0.02)  # time for calls before the close
            sockets.stop_listening()
            time.sleep(0.02)  # and after it
            ended.set()
            for thread in threads:
                thread.join()
    assert outcomes["served"] and outcomes["refused"]
    assert set(outcomes) == {"served", "refused"}, outcomes


def test_newcomers_go_to_another_process_that_shares_the_port() -> None:
    """Another process that shares the port accepts all new clients, as when a worker is replaced."""
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as stopping:
        address = stopping.getsockname()
        program = (
            "import socket, sys;"
            f"other = socket.create_server({address}, backlog=100, reuse_port=True);"
            "print(flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", program]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout
            assert other.stdin
            other.stdout.readline()
            sockets.stop_listening()
            for _ in range(20):
                socket.create_connection(address, timeout=5).close()
            other.stdin.close()


def test_a_connection_on_which_nothing_happens_is_ended(listener: socket.socket) -> None:
    """The server ends an idle connection, which both sides notice at once, and keeps one that is in use."""
    with connect(listener) as stalled, connect(listener) as used:
        (first, _), (second, _) = listener.accept(), listener.accept()
        with first, second:

            def ended() -> bool:
                used.sendall(b"x")
                return sockets.end_stalled(0.5, 60) > 0

            assert until(ended, 10)
            assert (stalled.recv(1), first.recv(1)) == (b"", b"")
            assert second.recv(1) == b"x"


def test_a_reader_who_takes_nothing_has_stalled(listener: socket.socket) -> None:
    """A client that reads nothing is disconnected, even if data is left to send: the kernel's retries do not count."""
    with connect(listener):
        accepted, _ = listener.accept()
        with accepted:
            accepted.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    accepted.send(b"x" * 65536)
            assert until(lambda: sockets.end_stalled(0.5, 60) > 0, 10)
            with pytest.raises(BrokenPipeError):
                accepted.send(b"x")


def test_a_sender_that_comes_to_no_end_is_ended(listener: socket.socket) -> None:
    """A client that keeps sending a few bytes without a response is disconnected at the time limit."""
    with connect(listener) as dripping:
        accepted, _ = listener.accept()

        def ended() -> bool:
            dripping.sendall(b"x")
            accepted.recv(10)
            return sockets.end_stalled(60, 0.5) > 0

        with accepted:
            assert until(ended, 10, every=0.05)
            assert dripping.recv(1) == b""


def test_a_sender_of_much_is_not_ended(listener: socket.socket) -> None:
    """A client may send for longer than the time limit, if it sends fast enough: a large file over a slow line."""
    with connect(listener) as sending:
        accepted, _ = listener.accept()
        with accepted:
            began = time.monotonic()
            while time.monotonic() < began + 1:
                sending.sendall(b"x" * 10_000)
                accepted.recv(10_000, socket.MSG_WAITALL)
                time.sleep(0.02)
                assert sockets.end_stalled(60, 0.5) == 0


def test_who_is_kept_waiting_is_not_ended(listener: socket.socket) -> None:
    """While responses take long, waiting clients stay connected; only clients that do not read are disconnected."""
    with connect(listener) as waiting, connect(listener):
        (first, _), (second, _) = listener.accept(), listener.accept()
        with first, second:
            second.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    second.send(b"x" * 65536)
            assert until(lambda: sockets.end_stalled(0.5, 60, waiting=True) > 0, 10)
            first.sendall(b"an answer")
            assert waiting.recv(100) == b"an answer"
