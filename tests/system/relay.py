# SPDX-License-Identifier: LGPL-2.1-or-later
"""A line between shipper and receiver that a test can hold up, byte by byte, in each direction."""

import contextlib
import select
import socket
import threading


class Gate:
    """How many bytes may still pass; None: all."""

    def __init__(self):
        self.left = None
        self.came = 0  # bytes, whether they passed or not
        self.changed = threading.Condition()

    def allow(self, left):
        with self.changed:
            self.left = left
            self.changed.notify_all()

    def open(self):
        self.allow(None)

    def shut(self):
        self.allow(0)

    def take(self, most, timeout):
        """How many of `most` bytes may pass; 0 where none could for `timeout` seconds."""
        with self.changed:
            self.changed.wait_for(lambda: self.left != 0, timeout)
            if self.left is None:
                return most
            taken = min(most, self.left)
            self.left -= taken
            return taken


def has_hung_up(connection):
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(0))


class Relay:
    """Listens at `path` and passes what comes on to `target`, both Unix sockets."""

    def __init__(self, test, path, target):
        self.path, self.target = path, target
        self.requests, self.answers = Gate(), Gate()
        self.connections, self.threads = [], []
        self.abandoned = set()
        self.gone = False
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(64)
        self._start(self._accept)
        test.addCleanup(self.close)

    @classmethod
    def between(cls, test, site):
        relay = cls(test, site.folder / "run" / "relay.sock", site.socket)
        site.write_site(receiver_url=f"unix:{relay.path}")
        return relay

    def close(self):
        # Wakes accept(2), which close() alone does not.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.abandoned.clear()
        self.cut()
        for thread in self.threads:
            thread.join()
        for connection in [self.listener, *self.connections]:
            connection.close()

    def _start(self, function, *arguments):
        self.threads.append(threading.Thread(target=function, args=arguments, daemon=True))
        self.threads[-1].start()

    def cut(self):
        """Ends what is connected, as a network does that is gone: nothing connects, as long as no request may pass."""
        self.gone = True
        for connection in self.connections:
            self._shut(connection)

    def _shut(self, connection):
        if connection not in self.abandoned:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def abandon(self):
        """Ends what is connected at the shipper's end only: the receiver's hears nothing any more, not even that."""
        self.abandoned.update(self.connections[1::2])
        self.cut()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                if self.gone and self.requests.left == 0:
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                self.connections += [client, server]
                try:
                    server.connect(str(self.target))
                except OSError:
                    client.shutdown(socket.SHUT_RDWR)
                    continue
                self._start(self._pass_on, client, server, self.requests)
                self._start(self._pass_on, server, client, self.answers)

    def _pass_on(self, source, sink, gate):
        with contextlib.suppress(OSError):
            while (block := source.recv(65536)) and self._deliver(block, source, sink, gate):
                pass
        for connection in (source, sink):
            self._shut(connection)

    @staticmethod
    def _deliver(block, source, sink, gate):
        """Whether all of it passed. Where the source went while it was held up, nothing that came behind may pass."""
        gate.came += len(block)
        while block:
            taken = gate.take(len(block), 0.05)
            if taken == 0 and has_hung_up(source):
                return False
            sink.sendall(block[:taken])
            block = block[taken:]
        return True
