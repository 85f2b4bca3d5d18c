#!/usr/bin/env python3
"""Measures Portwright's tunnel beside every peer on the PATH, in one run, and prints each as a ratio to direct.

Peers: rathole, bore, frp (frps, frpc), OpenSSH (sshd, ssh; default cipher and aes128-gcm); socat and haproxy as one hop.
What is missing is left out. Everything runs in a network namespace of its own, over loopback, with reno: a congestion
control that paces, as bbr does, slows loopback and not the programs. Needs Linux and root (or user namespaces).

Each round runs every workload on every peer before the next workload, another peer first each time; all peers are
started anew in each round. A run during which other processes used more than 8% of the machine is repeated.

Usage: benches/peers.py [--rounds N] [--seconds S] [--only PEER,...] [--work NAME,...] [--idle N,...] [--json FILE]
                        [--program FILE]
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
INSIDE = "PORTWRIGHT_PEERS_INSIDE"
TARGET = 9000
KEY = "6f1c0a9be2d84c7790ab35de41f2876c"
TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE_S = 20
# A run that others disturbed by more than this share of the machine is repeated, at most so often.
DISTURBED = 0.08
ATTEMPTS = 3
# More processes than this are forks that share most of their memory.
FEW_PROCESSES = 6

# name, test, connections, bytes of a message, what its speed is, how that is written
WORK = [
    ("up1", "upload", 1, None, "rate_bytes_per_s"),
    ("dn1", "download", 1, None, "rate_bytes_per_s"),
    ("up10", "upload", 10, None, "rate_bytes_per_s"),
    ("dn10", "download", 10, None, "rate_bytes_per_s"),
    ("up100", "upload", 100, None, "rate_bytes_per_s"),
    ("dn100", "download", 100, None, "rate_bytes_per_s"),
    ("rr1k1", "ping-pong", 1, "1K", "rate_bytes_per_s"),
    ("rr1k100", "ping-pong", 100, "1K", "rate_bytes_per_s"),
    ("rr64k10", "ping-pong", 10, "64K", "rate_bytes_per_s"),
    ("rr512k1", "ping-pong", 1, "512K", "rate_bytes_per_s"),
    ("cr1", "connect", 1, None, "operations_per_s"),
    ("cr50", "connect", 50, None, "operations_per_s"),
]


def fail(text):
    sys.exit(f"peers: {text}")


# ---------------------------------------------------------------- processes


def children():
    """All processes by parent."""
    tree = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = pathlib.Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            tree.setdefault(int(fields[1]), []).append(int(entry))
    return tree


def family(roots):
    """The processes and everything that they started."""
    tree, found, todo = children(), [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(tree.get(pid, []))
    return found


def cpu_s(roots):
    """Seconds of CPU that the processes and their children, also those that ended, have used."""
    total = 0
    for pid in family(roots):
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(ticks) for ticks in fields[11:15])
    return total / TICKS


def memory_mib(roots):
    """Resident memory; of many processes each gets its share of what they have in common."""
    pids = family(roots)
    file, field = ("status", "VmRSS:") if len(pids) <= FEW_PROCESSES else ("smaps_rollup", "Pss:")
    total = 0
    for pid in pids:
        try:
            for line in pathlib.Path(f"/proc/{pid}/{file}").read_text().splitlines():
                if line.startswith(field):
                    total += int(line.split()[1])
        except OSError:
            continue
    return total / 1024


def machine_s():
    """Seconds that all CPUs together have worked for processes; interrupts belong to nobody."""
    user, nice, system = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:4]
    return (int(user) + int(nice) + int(system)) / TICKS


# ---------------------------------------------------------------- peers


class Peer:
    """Something that carries connections from its port to the target."""

    def __init__(self, name, port, begin):
        self.name, self.ports, self.begin = name, [port], begin
        self.processes, self.folder = [], None

    def pids(self):
        return [process.pid for process in self.processes]

    def start(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"peers-{self.name}-"))
        try:
            self.begin(self)
            for port in self.ports:
                wait_for_echo(port, self)
        except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
            print(f"peers: {self.name} is left out: {error}; {self.last_words()}", file=sys.stderr)
            self.stop()
            return False
        return True

    def run(self, *command, environment=None):
        log = open(self.folder / f"{len(self.processes)}.log", "wb")
        command = [str(word) for word in command]
        self.processes.append(
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=dict(os.environ, **(environment or {})),
                start_new_session=True,
            )
        )

    def write(self, name, text, mode=0o600):
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def last_words(self):
        words = [log.read_text(errors="replace").strip().splitlines()[-1:] for log in sorted(self.folder.glob("*.log"))]
        return "; ".join(line for lines in words for line in lines)

    def stop(self):
        for process in self.processes:
            for pid in family([process.pid]):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            process.wait()
        self.processes = []
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_for_echo(port, peer=None):
    """Waits until a byte comes back from the far end."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as stream:
                stream.sendall(b"c")
                if stream.recv(1) == b"c":
                    return
        except OSError:
            pass
        if peer and any(process.poll() is not None for process in peer.processes):
            raise ValueError(f"it ended: {peer.last_words()}")
        if time.monotonic() > deadline:
            raise ValueError(f"no echo on port {port} within {PATIENCE_S} s: {peer.last_words() if peer else ''}")
        time.sleep(0.05)


def wait_for_port(port):
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=2).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def portwright(program, name, base, tunnel, tls=False):
    """Ours: through the tunnel, in plain text or TLS, or as one hop without a tunnel."""

    def begin(peer):
        api, control = base, base + 1
        mode = "auto" if tls else "off"
        config = peer.write(
            "config.yaml",
            f"port_range: {{ from: {base}, end: {base + 90}, listen: 127.0.0.1 }}\n"
            f"tunnel: {{ enabled: {str(tunnel).lower()}, listen_port: {control}, listen: 127.0.0.1, tls: {mode} }}\n"
            f"api: {{ listen_port: {api}, listen: 127.0.0.1, rate_limit: 1000 }}\n"
            f"database: {{ path: {peer.folder}/mappings.db }}\n",
        )
        key = {"PORTWRIGHT_API_API_KEY": KEY}
        token = create_token(program, config, key) if tunnel else None
        peer.run(program, "tunnel", "server", "--config", config, environment=key)
        wait_for_port(api)
        if tunnel and not (token and (token.get("pin") or not tls)):
            # The certificate, and with it the pin, is made at the first start.
            token = create_token(program, config, key)
        if tunnel:
            file = peer.write("token", token["token"])
            trust = ["--pin", token["pin"]] if tls else ["--insecure"]
            peer.run(program, "tunnel", "client", "--server", f"127.0.0.1:{control}", "--token-file", file, *trust)
        for port in peer.ports:
            map_port(api, port, tunnel)

    peer = Peer(name, base + 10, begin)
    # A mapping has a limit of visitors, so that ten thousand need several.
    peer.ports = [base + 10 + at for at in range(4)]
    return peer


def create_token(program, config, key):
    command = [program, "tunnel", "token", "create", "--config", config, "--name", "bench", "--json"]
    run = subprocess.run(command, capture_output=True, env=dict(os.environ, **key), timeout=PATIENCE_S, check=False)
    if run.returncode != 0:
        return None
    return json.loads(run.stdout)["token"]


def map_port(api, port, tunnel):
    """Maps a port to the target; a client that has only just been started is waited for."""
    wish = {"source_port": port, "target_host": "127.0.0.1", "target_port": TARGET, "use_tunnel": tunnel}
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{api}/api/mapping/create"
    deadline = time.monotonic() + PATIENCE_S
    while True:
        request = urllib.request.Request(url, json.dumps(wish).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except urllib.error.HTTPError as error:
            answer = error.read().decode(errors="replace")
            if time.monotonic() > deadline:
                raise ValueError(answer) from error
        time.sleep(0.1)


def rathole(port):
    def begin(peer):
        service = f'[{{0}}.services.bench]\ntoken = "{KEY}"\n'
        server = peer.write(
            "server.toml",
            f'[server]\nbind_addr = "127.0.0.1:{port + 1}"\n'
            + service.format("server")
            + f'bind_addr = "127.0.0.1:{port}"\n',
        )
        client = peer.write(
            "client.toml",
            f'[client]\nremote_addr = "127.0.0.1:{port + 1}"\n'
            + service.format("client")
            + f'local_addr = "127.0.0.1:{TARGET}"\n',
        )
        peer.run("rathole", "--server", server)
        wait_for_port(port + 1)
        peer.run("rathole", "--client", client)

    return Peer("rathole", port, begin)


def bore(port):
    def begin(peer):
        peer.run("bore", "server", "--min-port", port, "--max-port", port + 9)
        wait_for_port(7835)
        peer.run("bore", "local", TARGET, "--to", "127.0.0.1", "--port", port)

    return Peer("bore", port, begin)


def frp(port):
    def begin(peer):
        server = peer.write("frps.toml", f'bindAddr = "127.0.0.1"\nbindPort = {port + 1}\n')
        client = peer.write(
            "frpc.toml",
            f'serverAddr = "127.0.0.1"\nserverPort = {port + 1}\n'
            f'[[proxies]]\nname = "bench"\ntype = "tcp"\nlocalPort = {TARGET}\nremotePort = {port}\n',
        )
        peer.run("frps", "-c", server)
        wait_for_port(port + 1)
        peer.run("frpc", "-c", client)

    return Peer("frp", port, begin)


def ssh(name, port, *options):
    def begin(peer):
        for key in ("host", "user"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", peer.folder / key], check=True, timeout=PATIENCE_S
            )
        os.makedirs("/run/sshd", exist_ok=True)
        config = peer.write(
            "sshd_config",
            f"Port {port + 1}\nListenAddress 127.0.0.1\nHostKey {peer.folder}/host\n"
            f"AuthorizedKeysFile {peer.folder}/user.pub\nStrictModes no\nUsePAM no\nPidFile none\n"
            "PermitRootLogin yes\nAllowTcpForwarding yes\nMaxSessions 1000\n",
        )
        peer.run(shutil.which("sshd"), "-D", "-e", "-f", config)
        wait_for_port(port + 1)
        quiet = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ExitOnForwardFailure=yes", "BatchMode=yes"]
        asked = [word for option in quiet for word in ("-o", option)]
        forward = f"127.0.0.1:{port}:127.0.0.1:{TARGET}"
        identity = ["-F", "none", "-i", peer.folder / "user", "-p", port + 1]
        peer.run("ssh", "-N", *asked, *identity, *options, "-R", forward, "127.0.0.1")

    return Peer(name, port, begin)


def socat(port):
    def begin(peer):
        listen = f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,nodelay,backlog=4096"
        peer.run("socat", "-b", "65536", listen, f"TCP:127.0.0.1:{TARGET},nodelay")

    return Peer("socat", port, begin)


def haproxy(port):
    def begin(peer):
        # It wants two files for each connection, and ends where it cannot have them.
        most = min(20_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 100)
        config = peer.write(
            "haproxy.cfg",
            f"global\n  maxconn {most}\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n"
            f"  timeout server 1h\n  maxconn {most}\nlisten bench\n  bind 127.0.0.1:{port} backlog 4096\n"
            f"  server target 127.0.0.1:{TARGET}\n",
        )
        peer.run("haproxy", "-db", "-f", config)

    return Peer("haproxy", port, begin)


def peers(program, only):
    """All that are there, ours first; ports lie below those that the system gives to outgoing connections."""
    have = lambda *tools: all(shutil.which(tool) for tool in tools)
    found = [
        (True, portwright(program, "portwright", 10000, tunnel=True)),
        (True, portwright(program, "portwright-tls", 10100, tunnel=True, tls=True)),
        (True, portwright(program, "portwright-hop", 10200, tunnel=False)),
        (have("rathole"), rathole(10300)),
        (have("bore"), bore(10400)),
        (have("frps", "frpc"), frp(10500)),
        (have("ssh", "sshd", "ssh-keygen"), ssh("ssh", 10600)),
        (have("ssh", "sshd", "ssh-keygen"), ssh("ssh-gcm", 10700, "-c", "aes128-gcm@openssh.com")),
        (have("haproxy"), haproxy(10800)),
        (have("socat"), socat(10900)),
    ]
    unknown = set(only) - {peer.name for _, peer in found} - {"direct"}
    if unknown:
        fail(f"no such peer: {', '.join(sorted(unknown))}")
    return [peer for there, peer in found if there and (not only or peer.name in only)]


# ---------------------------------------------------------------- measuring


class Runner:
    def __init__(self, program, seconds):
        self.program, self.seconds = program, seconds
        self.target = subprocess.Popen(
            [program, "bench", "serve", "--listen", f"127.0.0.1:{TARGET}"], stdout=subprocess.DEVNULL
        )
        wait_for_echo(TARGET)

    def bench(self, port, test, connections, size=None, seconds=None):
        command = [self.program, "bench", f"127.0.0.1:{port}", "--json", "--test", test]
        command += ["--connections", str(connections), "--duration", str(seconds or self.seconds)]
        return command + (["--size", size] if size else [])

    def once(self, port, pids, work):
        name, test, connections, size, speed = work
        cpu, all_cpu = cpu_s(pids), machine_s()
        known = cpu_s([*pids, self.target.pid])
        own = os.times()
        start = time.monotonic()
        # A run with errors ends with 6 and still prints its document.
        run = subprocess.run(self.bench(port, test, connections, size), capture_output=True, check=False)
        took = time.monotonic() - start
        later = os.times()
        generator = later.children_user + later.children_system - own.children_user - own.children_system
        cpu, ours = cpu_s(pids) - cpu, cpu_s([*pids, self.target.pid]) - known + generator
        others = max(0.0, machine_s() - all_cpu - ours) / (took * os.cpu_count())
        if run.returncode not in (0, 6):
            return {"error": run.stderr.decode().strip().splitlines()[:1], "others": others}
        row = json.loads(run.stdout)["tests"][0]
        latency = row["latency_us"] or {}
        carried, done = row["bytes"], row["operations"]
        return {
            "speed": row[speed],
            "p50_us": latency.get("p50"),
            "p99_us": latency.get("p99"),
            "mean_us": latency.get("mean"),
            "errors": row["errors"],
            "duration_s": row["duration_s"],
            "cpu_s_per_gb": cpu / carried * 1e9 if carried else None,
            "cpu_us_per_operation": cpu / done * 1e6 if done else None,
            "others": others,
        }

    def undisturbed(self, port, pids, work):
        """The quietest of a few attempts."""
        best = None
        for _ in range(ATTEMPTS):
            run = self.once(port, pids, work)
            if best is None or run["others"] < best["others"]:
                best = run
            if run["others"] <= DISTURBED:
                break
        return best

    def idle(self, peer, count):
        """The most memory while so many visitors do nothing."""
        shares = [count // len(peer.ports)] * len(peer.ports)
        shares[0] += count - sum(shares)
        if count <= 1000:
            shares, ports = [count], peer.ports[:1]
        else:
            ports = peer.ports
        runs = [
            subprocess.Popen(self.bench(port, "idle", share, seconds=4), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            for port, share in zip(ports, shares)
        ]
        most = 0.0
        deadline = time.monotonic() + 120
        while any(run.poll() is None for run in runs) and time.monotonic() < deadline:
            most = max(most, memory_mib(peer.pids()))
            time.sleep(0.1)
        alive = 0
        for run in runs:
            run.kill()
            out = run.communicate()[0]
            if run.returncode in (0, 6) and out:
                alive += json.loads(out)["tests"][0]["operations"]
        return {"mib": most, "alive": alive}


def measure(runner, found, work, rounds):
    """results[work][peer] = list of runs, one a round (None where the peer did not start)."""
    results = {one[0]: {} for one in work}
    began = time.monotonic()
    for round_ in range(rounds):
        running = [peer for peer in found if peer.start()]
        sides = [("direct", TARGET, [])] + [(peer.name, peer.ports[0], peer.pids()) for peer in running]
        for at, one in enumerate(work):
            turn = (round_ + at) % len(sides)
            for name, port, pids in sides[turn:] + sides[:turn]:
                tell(f"round {round_ + 1}/{rounds}, {one[0]}, {name}, {time.monotonic() - began:.0f} s")
                results[one[0]].setdefault(name, {})[round_] = runner.undisturbed(port, pids, one)
        for peer in running:
            peer.stop()
    tell("")
    return results


def measure_idle(runner, found, counts):
    memory = {}
    for peer in found:
        if not peer.start():
            continue
        row = {0: {"mib": memory_mib(peer.pids()), "alive": 0}}
        for count in counts:
            # A process for each connection is no way to hold ten thousand.
            if peer.name == "socat" and count > 1000:
                continue
            tell(f"{count} idle, {peer.name}")
            row[count] = runner.idle(peer, count)
        memory[peer.name] = row
        peer.stop()
    tell("")
    return memory


def tell(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


# ---------------------------------------------------------------- what is printed


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def ratios(results, name, peer):
    """The ratio to direct within each round, and of these the median."""
    direct, own = results[name].get("direct", {}), results[name].get(peer, {})
    pairs = [(own[at].get("speed"), direct[at].get("speed")) for at in own if at in direct]
    return median(mine / base for mine, base in pairs if mine and base)


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def print_table(title, columns, rows):
    print(f"\n### {title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def report(results, memory, work, names):
    def cell(one, peer):
        runs = results[one[0]].get(peer, {}).values()
        speed = median(run.get("speed") for run in runs)
        scale = 2**20 if one[4] == "rate_bytes_per_s" else 1
        text = number(speed / scale if speed is not None else None)
        ratio = ratios(results, one[0], peer)
        text += f" ({ratio:.2f})" if ratio is not None and peer != "direct" else ""
        errors = sum(run.get("errors", 0) for run in runs)
        text += "~" if any(run["others"] > DISTURBED for run in runs) else ""
        return text + (f" e{errors}" if errors else "")

    unit = lambda one: f"{one[0]} {'MiB/s' if one[4] == 'rate_bytes_per_s' else '/s'}"
    shown = ["direct", *names]
    print("median of the rounds; (x.xx) = median ratio to direct in the same round; ~ = others used more than")
    print(f"{DISTURBED:.0%} of the machine in some round; eN = errors over all rounds")
    print_table("Speed", ["workload", *shown], [[unit(one), *(cell(one, peer) for peer in shown)] for one in work])

    def of(field, only):
        rows = []
        for one in work:
            if only(one):
                values = [median(run.get(field) for run in results[one[0]].get(p, {}).values()) for p in shown]
                rows.append([one[0], *(number(value) for value in values)])
        return rows

    timed = lambda one: one[1] in ("ping-pong", "connect")
    print_table("Latency p50, us", ["workload", *shown], of("p50_us", timed))
    print_table("Latency p99, us", ["workload", *shown], of("p99_us", timed))
    print_table("CPU seconds of the peer for 10^9 bytes", ["workload", *shown], of("cpu_s_per_gb", lambda one: one[1] != "connect"))
    print_table("CPU us of the peer for a request", ["workload", *shown], of("cpu_us_per_operation", timed))
    ours = [name for name in names if name in ("portwright", "portwright-tls")]
    others = [name for name in names if name not in ours and name not in ("portwright-hop", "haproxy", "socat")]
    if ours and others:
        rows = []
        for one in work:
            best = max(others, key=lambda peer: ratios(results, one[0], peer) or 0)
            base = ratios(results, one[0], best)
            mine = [ratios(results, one[0], name) for name in ours]
            rows.append([one[0], *(number(value / base if value and base else None) for value in mine), best])
        print_table("Ours as a multiple of the best other tunnel", ["workload", *ours, "best other"], rows)
    if memory:
        counts = sorted({count for row in memory.values() for count in row})
        text = lambda row, count: "-" if count not in row else number(row[count]["mib"]) + (
            f" ({row[count]['alive']:,} alive)" if count else ""
        )
        rows = [[name, *(text(row, count) for count in counts)] for name, row in memory.items()]
        print_table("Resident MiB, server and client", ["peer", *(f"{count:,} idle" for count in counts)], rows)


# ---------------------------------------------------------------- the run


def arguments():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = lambda text: [name for name in text.split(",") if name]
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--seconds", type=float, default=2)
    words.add_argument("--only", type=names, default=[])
    words.add_argument("--work", type=names, default=[])
    words.add_argument("--idle", type=lambda text: [int(count) for count in names(text)], default=[1000, 10000])
    words.add_argument("--json", type=pathlib.Path)
    words.add_argument("--program", type=pathlib.Path)
    return words.parse_args()


def enter_namespace():
    """Runs this script again in a network namespace of its own."""
    if os.environ.get(INSIDE):
        return
    unshare = shutil.which("unshare") or fail("unshare is missing")
    flags = ["-n"] if os.geteuid() == 0 else ["-r", "-n"]
    os.execve(unshare, [unshare, *flags, sys.executable, *sys.argv], dict(os.environ, **{INSIDE: "1"}))


def prepare_namespace():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text("reno")
    pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("15000 65535")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main():
    wishes = arguments()
    enter_namespace()
    prepare_namespace()
    built = sorted(ROOT.glob("target/*/release/portwright"))
    program = wishes.program.resolve() if wishes.program else built[0] if built else fail("build with --release first")
    work = [one for one in WORK if not wishes.work or one[0] in wishes.work] or fail("no such workload")
    found = peers(program, wishes.only)
    runner = Runner(program, wishes.seconds)
    try:
        results = measure(runner, found, work, wishes.rounds)
        memory = measure_idle(runner, found, wishes.idle) if wishes.idle != [0] else {}
    finally:
        for peer in found:
            if peer.processes:
                peer.stop()
        runner.target.kill()
        runner.target.wait()
    names = [peer.name for peer in found if any(peer.name in results[one[0]] for one in work)]
    if wishes.json:
        summary = {
            one[0]: {name: {"ratio": ratios(results, one[0], name), "runs": list(runs.values())} for name, runs in results[one[0]].items()}
            for one in work
        }
        wishes.json.write_text(json.dumps({"workloads": summary, "memory": memory}, indent=2) + "\n")
    report(results, memory, work, names)


if __name__ == "__main__":
    main()
