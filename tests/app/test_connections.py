"""The server's own sockets: counted, closed to newcomers, and ended when they stall."""

import socket
import sys
from collections.abc import Iterator

import pytest

from app import connections
from dev.processes import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its sockets")


@pytest.fixture(params=[("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)], ids=["IPv4", "IPv6"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    host, family = request.param
    with socket.create_server((host, 0), family=family) as listener:
        yield listener


def connect(listener: socket.socket, seconds: float = 5) -> socket.socket:
    return socket.create_connection(listener.getsockname()[:2], timeout=seconds)


def clients(listener: socket.socket) -> list[tuple[str, int]]:
    """The addresses of those who are connected to it, as `connections` finds them."""
    port = listener.getsockname()[1]
    return [found.getpeername()[:2] for found in connections.clients() if found.getsockname()[1] == port]


def test_clients_are_the_connections_that_were_accepted(listener: socket.socket) -> None:
    """Not the listening socket, nor a connection of this process to somewhere else."""
    assert clients(listener) == []
    with connect(listener) as client:
        accepted, _ = listener.accept()
        assert clients(listener) == [client.getsockname()[:2]]
        accepted.close()
        assert clients(listener) == []


def test_to_look_at_a_connection_leaves_it_open(listener: socket.socket) -> None:
    """What is looked at is a duplicate."""
    with connect(listener) as client:
        accepted, _ = listener.accept()
        with accepted:
            for _ in range(3):
                clients(listener)
                connections.end_stalled(60)
            accepted.sendall(b"still here")
            assert client.recv(100) == b"still here"


def test_newcomers_are_kept_out_and_nobody_else_is(listener: socket.socket) -> None:
    """Who waits to be accepted is; who comes later is told nothing, and is refused once the listener is closed."""
    with connect(listener) as before:
        connections.refuse_new()
        with pytest.raises(TimeoutError):
            connect(listener, seconds=0.3)
        accepted, _ = listener.accept()
        with accepted:
            before.sendall(b"a request")
            assert accepted.recv(100) == b"a request"
    address = listener.getsockname()[:2]
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)


def test_a_connection_on_which_nothing_happens_is_ended(listener: socket.socket) -> None:
    """One that is used stays; the other's client and server both learn of it at once."""
    with connect(listener) as stalled, connect(listener) as used:
        (first, _), (second, _) = listener.accept(), listener.accept()
        with first, second:

            def ended() -> bool:
                used.sendall(b"x")
                return connections.end_stalled(0.5) > 0

            assert until(ended, 10)
            assert (stalled.recv(1), first.recv(1)) == (b"", b"")
            assert second.recv(1) == b"x"


def test_a_reader_who_takes_nothing_has_stalled(listener: socket.socket) -> None:
    """However much is still to be sent to it: the kernel's attempts are no answer of its own."""
    with connect(listener):
        accepted, _ = listener.accept()
        with accepted:
            accepted.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    accepted.send(b"x" * 65536)
            assert until(lambda: connections.end_stalled(0.5) > 0, 10)
            with pytest.raises(BrokenPipeError):
                accepted.send(b"x")
