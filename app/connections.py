"""The server's TCP sockets in this process, found with the kernel: granian keeps them to itself. Used by `server`
and `leaving`.

Linux alone tells so much; elsewhere there are none to be found.
"""

import ctypes
import os
import socket
import stat
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import structlog

log = structlog.get_logger()

STALLED = 60.0  # seconds without a byte, in the midst of a request or an answer; granian has no limit of its own
LISTENING = socket.SO_ACCEPTCONN if sys.platform == "linux" else 30
ATTACH_FILTER = 26  # SO_ATTACH_FILTER of socket(7), which Python has no name for
TCP_INFO_BYTES, LAST_SENT, LAST_RECEIVED = 60, 44, 52  # of struct tcp_info: how many milliseconds ago
# Classic BPF over a TCP header: a packet with SYN and without ACK is dropped, every other one passes.
ONLY_WHO_IS_HERE = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFF))
)


def clients() -> Iterator[socket.socket]:
    """A duplicate, closed after its turn, of each connection that was accepted and is still held."""
    ports = {listener.getsockname()[1] for listener in _listeners()}
    return (found for found in _sockets() if not _listens(found) and found.getsockname()[1] in ports)


def refuse_new() -> None:
    """Let no one else in. Who has connected, or is about to, is still served; who comes is told nothing.

    A client's system tries again a second later: by then another worker has the port, or nobody has. Closing the
    listening socket instead would break the connections that wait in its queue.
    """
    code = ctypes.create_string_buffer(ONLY_WHO_IS_HERE)
    program = struct.pack("HL", len(ONLY_WHO_IS_HERE) // 8, ctypes.addressof(code))
    for listener in _listeners():
        listener.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, program)


def watch(seconds: float = STALLED) -> None:
    """From now on, end whoever stalls: a thread."""

    def look() -> None:
        while True:
            time.sleep(seconds / 6)
            if ended := end_stalled(seconds):
                log.warning("stalled connections ended", connections=ended)

    threading.Thread(target=look, name="stalled", daemon=True).start()


def end_stalled(seconds: float) -> int:
    """End the connections on which nothing has come in or gone out for so long; how many there were."""
    ended = 0
    for client in clients():
        with suppress(OSError):  # its client was faster
            info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
            quiet = min(struct.unpack_from("I", info, offset)[0] for offset in (LAST_SENT, LAST_RECEIVED))
            if quiet > seconds * 1000:
                client.shutdown(socket.SHUT_RDWR)
                ended += 1
    return ended


def _listeners() -> Iterator[socket.socket]:
    return (found for found in _sockets() if _listens(found))


def _listens(found: socket.socket) -> bool:
    return bool(found.getsockopt(socket.SOL_SOCKET, LISTENING))


def _sockets() -> Iterator[socket.socket]:
    for number in map(int, os.listdir("/proc/self/fd") if sys.platform == "linux" else ()):  # noqa: PTH208
        with suppress(OSError):  # closed since it was listed
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as found:
                if found.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) == socket.IPPROTO_TCP:
                    yield found
