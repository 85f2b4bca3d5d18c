#!/usr/bin/env python3
"""Measures how much of a long path one stream through the tunnel fills, beside a connection without a tunnel.

Between client and server lies a path of its own with a delay and a rate, which all its connections share. `moved` is
the tunnel as it is, with a data connection for bulk; `session` is one that gets no data connection, so that credit
alone decides. The direct connection goes over the same path. Everything runs in a network namespace of its own. Needs
Linux and root (or user namespaces).

Usage: benches/far.py [--rtt MS] [--rate MBIT] [--seconds S] [--rounds N] [--program FILE]
"""

import argparse
import collections
import json
import pathlib
import socket
import statistics
import subprocess
import threading
import time

import peers

PIECE = 128 * 1024
# Data that waits for its turn before the path, beside what is on its way: a short queue.
QUEUE_S = 0.05


class Path:
    """A TCP proxy whose connections share a delay and, in each direction, a rate."""

    def __init__(self, upstream, delay_s, bytes_per_s, connections=None):
        self.upstream, self.delay_s, self.bytes_per_s = upstream, delay_s, bytes_per_s
        self.connections = connections
        self.lock, self.free_at = threading.Lock(), [0.0, 0.0]
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if self.connections == 0:
                near.close()
                continue
            if self.connections:
                self.connections -= 1
            far = socket.create_connection(("127.0.0.1", self.upstream))
            for way, (source, sink) in enumerate(((near, far), (far, near))):
                sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.carry(way, source, sink)

    def carry(self, way, source, sink):
        line, news = collections.deque(), threading.Condition()

        def read():
            while True:
                try:
                    data = source.recv(PIECE)
                except OSError:
                    data = b""
                now = time.monotonic()
                with self.lock:
                    self.free_at[way] = max(self.free_at[way], now) + len(data) / self.bytes_per_s
                    sent = self.free_at[way]
                with news:
                    line.append((sent + self.delay_s, data))
                    news.notify()
                if not data:
                    return
                time.sleep(max(0.0, sent - now - QUEUE_S))

        def write():
            while True:
                with news:
                    while not line:
                        news.wait()
                    due, data = line.popleft()
                time.sleep(max(0.0, due - time.monotonic()))
                try:
                    if not data:
                        sink.shutdown(socket.SHUT_WR)
                        return
                    sink.sendall(data)
                except OSError:
                    source.close()
                    return

        for work in (read, write):
            threading.Thread(target=work, daemon=True).start()

    def close(self):
        self.listener.close()


def tunnel(program, tls, moved, wishes):
    """A server, a path, and a client behind it; the one mapping leads to the target."""

    def begin(peer):
        api, control, public = peer.ports[0] + 1, peer.ports[0] + 2, peer.ports[0]
        config = peer.write(
            "config.yaml",
            f"port_range: {{ from: {public}, end: {public}, listen: 127.0.0.1 }}\n"
            f"tunnel: {{ enabled: true, listen_port: {control}, listen: 127.0.0.1, tls: {'auto' if tls else 'off'} }}\n"
            f"api: {{ listen_port: {api}, listen: 127.0.0.1 }}\n"
            f"database: {{ path: {peer.folder}/mappings.db }}\n",
        )
        key = {"PORTWRIGHT_API_API_KEY": peers.KEY}
        peer.run(program, "tunnel", "server", "--config", config, environment=key)
        peers.wait_for_port(api)
        token = peers.create_token(program, config, key)
        peer.path = Path(control, wishes.rtt / 2000, wishes.rate * 125_000, None if moved else 1)
        trust = ["--pin", token["pin"]] if tls else ["--insecure"]
        file = peer.write("token", token["token"])
        peer.run(program, "tunnel", "client", "--server", f"127.0.0.1:{peer.path.port}", "--token-file", file, *trust)
        peers.map_port(api, public, True)

    link = "tls" if tls else "plain"
    return peers.Peer(f"{link}-{'moved' if moved else 'session'}", 10000, begin)


def share(program, port, test, wishes):
    """What part of the path's rate one connection to `port` gets."""
    command = [program, "bench", f"127.0.0.1:{port}", "--json", "--test", test, "--connections", "1"]
    run = subprocess.run([*command, "--duration", str(wishes.seconds)], capture_output=True, check=True)
    row = json.loads(run.stdout)["tests"][0]
    return row["rate_bytes_per_s"] / (wishes.rate * 125_000)


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rtt", type=float, default=100, help="milliseconds there and back")
    words.add_argument("--rate", type=float, default=500, help="megabits a second in each direction")
    words.add_argument("--seconds", type=float, default=10)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--program", type=pathlib.Path)
    wishes = words.parse_args()
    peers.enter_namespace()
    peers.prepare_namespace()
    built = sorted(peers.ROOT.glob("target/*/release/portwright"))
    program = wishes.program.resolve() if wishes.program else built[0] if built else peers.fail("build with --release")
    target = subprocess.Popen([program, "bench", "serve", "--listen", f"127.0.0.1:{peers.TARGET}"], stdout=subprocess.DEVNULL)
    peers.wait_for_echo(peers.TARGET)
    kinds = [(tls, moved) for tls in (False, True) for moved in (True, False)]
    shares = collections.defaultdict(list)
    try:
        for _ in range(wishes.rounds):
            path = Path(peers.TARGET, wishes.rtt / 2000, wishes.rate * 125_000)
            for test in ("upload", "download"):
                shares["direct", test].append(share(program, path.port, test, wishes))
            path.close()
            for tls, moved in kinds:
                peer = tunnel(program, tls, moved, wishes)
                if peer.start():
                    for test in ("upload", "download"):
                        shares[peer.name, test].append(share(program, peer.ports[0], test, wishes))
                    peer.path.close()
                    peer.stop()
    finally:
        target.kill()
        target.wait()
    print(f"Share of a path of {wishes.rate:g} Mbit/s and {wishes.rtt:g} ms that one connection fills in {wishes.seconds:g} s")
    names = list(dict.fromkeys(name for name, _ in shares))
    cells = lambda name: [f"{statistics.median(shares[name, test]):.2f}" for test in ("upload", "download")]
    peers.print_table("median of the rounds", ["connection", "upload", "download"], [[name, *cells(name)] for name in names])


if __name__ == "__main__":
    main()
