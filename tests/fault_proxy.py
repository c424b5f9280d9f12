"""A TCP proxy on loopback that breaks what it carries: resets, cuts after so many bytes, refusals, delays."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress

_CHUNK = 1 << 16
_RESET = struct.pack("ii", 1, 0)


class FaultProxy:
    """Carries connections to `host:port`. Safe to steer from any thread.

    `cut_after` resets the next connection whose client has sent that many bytes (once), `refuse` resets new connections
    as they come, `delay` holds every piece back for so many seconds.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._stopped = False
        self.cut_after: int | None = None
        self.refuse = False
        self.delay = 0.0
        self.cuts = 0

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return int(self._listener.getsockname()[1])

    def start(self) -> FaultProxy:
        """Begins to accept."""
        threading.Thread(target=self._accept, name="fault-proxy", daemon=True).start()
        return self

    def stop(self) -> None:
        """Ends all connections and listens no more."""
        self._stopped = True
        self._listener.close()
        self.reset_all()

    def reset_all(self) -> int:
        """Resets every open connection; returns how many there were."""
        with self._lock:
            pairs = list(self._pairs)
            self._pairs.clear()
        for pair in pairs:
            self._reset(pair)
        return len(pairs)

    def _accept(self) -> None:
        while not self._stopped:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuse:
                self._reset((client,))
                continue
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                self._reset((client,))
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = (client, server)
            with self._lock:
                self._pairs.add(pair)
            for here, there in (pair, pair[::-1]):
                threading.Thread(target=self._carry, args=(pair, here, there), daemon=True).start()

    def _carry(self, pair: tuple[socket.socket, socket.socket], here: socket.socket, there: socket.socket) -> None:
        sent = 0
        try:
            while piece := here.recv(_CHUNK):
                if self.delay:
                    time.sleep(self.delay)
                limit = self.cut_after
                if here is pair[0] and limit is not None and sent + len(piece) > limit:
                    there.sendall(piece[: max(0, limit - sent)])
                    self.cut_after = None
                    self.cuts += 1
                    self._drop(pair)
                    return
                there.sendall(piece)
                sent += len(piece)
        except OSError:
            self._drop(pair)
            return
        with suppress(OSError):
            there.shutdown(socket.SHUT_WR)
        if here is pair[1]:  # the server is done: nothing comes any more
            with self._lock:
                self._pairs.discard(pair)
            for end in pair:
                end.close()

    def _drop(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            self._pairs.discard(pair)
        self._reset(pair)

    def _reset(self, ends: tuple[socket.socket, ...]) -> None:
        for end in ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)  # close sends RST
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                end.close()
