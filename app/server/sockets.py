"""Find the TCP sockets of this process through the kernel, because granian does not expose them.

Used by `workers` and `shutdown`. Only Linux is supported; on other systems, no sockets are found.
"""

import fcntl
import os
import socket
import stat
import struct
import sys
import termios
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

import structlog

from app.server.inflight import InFlight

log = structlog.get_logger()

STALLED = 60.0  # seconds without a byte while the server waits for the client; granian has no such limit
SLOW = 120.0  # seconds for a body that arrives more slowly than MIN_RATE, however steadily: 4 MiB at 300 kbit/s
MIN_RATE = 35_000  # bytes per second
LISTENING = socket.SO_ACCEPTCONN if sys.platform == "linux" else 30
QUEUE_SECONDS = 0.5  # maximum wait for the server to accept the clients in the queue, which takes milliseconds
QUEUED = 24  # tcpi_unacked of struct tcp_info: for a listening socket, the number of clients in the queue
# IP_MINTTL and IPV6_MINHOPCOUNT, which Python does not define. With 255, the kernel drops all packets that do not
# arrive with the highest time to live. Clients send 64 or 128.
MIN_TTL = {socket.AF_INET: (socket.IPPROTO_IP, 21), socket.AF_INET6: (socket.IPPROTO_IPV6, 73)}
TCP_INFO_BYTES = 136
LAST_SENT, LAST_RECEIVED, RECEIVED = 44, 52, 128  # of struct tcp_info: how many milliseconds ago, and bytes in total


def ports() -> frozenset[int]:
    """Return the ports on which this process listens."""
    return frozenset(listener.getsockname()[1] for _, listener in _listeners())


def clients(ports: Collection[int]) -> Iterator[socket.socket]:
    """Yield a duplicate of each open connection on these ports. It is closed when the next one is yielded."""
    return (found for _, found in _sockets() if found.getsockname()[1] in ports and _has_peer(found))


def stop_listening() -> None:
    """Close the listening sockets. New clients get another worker or are refused, connected ones are still served.

    Another socket takes over the file descriptor of each one, because granian goes on using the descriptor. A client
    that connects between the last check of the queue and the close would be reset. To prevent that, the kernel drops
    the first packets of new clients: they retry after a second, and get another worker or are refused.
    """
    for number, duplicate in _listeners():
        with suppress(OSError):  # the kernel does not have this option
            duplicate.setsockopt(*MIN_TTL[duplicate.family], 255)
        duplicate.close()  # otherwise the socket would stay open
        with socket.create_server(("127.0.0.1", 0)) as unused, _borrowed(number) as listener:
            deadline = time.monotonic() + QUEUE_SECONDS
            while _queued(listener) and time.monotonic() < deadline:
                time.sleep(0.001)
            os.dup2(unused.fileno(), number, inheritable=False)


def watch(in_flight: InFlight, stalled: float = STALLED, slow: float = SLOW) -> None:
    """Start a thread that ends the connections of clients that stall or send a body too slowly."""

    def follow() -> None:
        now = False
        while True:
            time.sleep(stalled / 6)
            before, now = now, in_flight.longest() > stalled / 2
            try:
                ended = end_stalled(stalled, slow, waiting=before or now)
            except OSError as error:  # for example, no file descriptor is left
                log.warning("stalled connections cannot be ended", reason=error.strerror)
            else:
                if ended:
                    log.warning("stalled connections ended", connections=ended)

    threading.Thread(target=follow, name="stalled", daemon=True).start()


def end_stalled(stalled: float, slow: float, waiting: bool = False) -> int:
    """Close the connections of clients that keep the server waiting, and return their number.

    These are clients that have sent and received nothing for `stalled` seconds, and clients that have been sending for
    `slow` seconds without a response, at less than MIN_RATE. TCP cannot tell them from clients that wait for the
    server. So while there are any (`waiting`), only clients that do not read the response are disconnected.
    """
    ended = 0
    for client in clients(ports()):
        with suppress(OSError):  # the client has closed it
            info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
            sent, received = (struct.unpack_from("I", info, offset)[0] / 1000 for offset in (LAST_SENT, LAST_RECEIVED))
            (got,) = struct.unpack_from("Q", info, RECEIVED)
            too_slow = sent > slow and got < sent * MIN_RATE
            untaken = any(fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)))
            if (min(sent, received) > stalled or too_slow) and (untaken or not waiting):
                client.shutdown(socket.SHUT_RDWR)
                ended += 1
    return ended


@contextmanager
def _borrowed(number: int) -> Iterator[socket.socket]:
    """Yield the socket of a file descriptor without closing it."""
    found = socket.socket(fileno=number)
    try:
        yield found
    finally:
        found.detach()


def _queued(listener: socket.socket) -> int:
    """Return how many connections wait to be accepted. Closing the socket would reset them."""
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    return int(struct.unpack_from("I", info, QUEUED)[0])


def _listeners() -> Iterator[tuple[int, socket.socket]]:
    return ((number, found) for number, found in _sockets() if _listens(found))


def _has_peer(found: socket.socket) -> bool:
    """Return whether the socket is connected. Listening sockets and those bound by granian's main process are not."""
    try:
        return bool(found.getpeername())
    except OSError:
        return False


def _listens(found: socket.socket) -> bool:
    return bool(found.getsockopt(socket.SOL_SOCKET, LISTENING))


def _sockets() -> Iterator[tuple[int, socket.socket]]:
    """Yield each file descriptor and a duplicate of its socket. It is closed when the next one is yielded."""
    for number in map(int, os.listdir("/proc/self/fd") if sys.platform == "linux" else ()):  # noqa: PTH208
        with suppress(OSError):  # closed since it was listed
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as found:
                if found.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) == socket.IPPROTO_TCP:
                    yield number, found
