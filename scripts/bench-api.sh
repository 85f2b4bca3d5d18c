#!/usr/bin/env bash
# Times the API of a server with many mappings: durable creates, the list, a start, and a scrape under load.
#
#     scripts/bench-api.sh [MAPPINGS] [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:-1000}
program=$(realpath "${2:-target/release/portwright}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
ulimit -n "$(ulimit -Hn)"
# A key and an instance of its own, so that no other server on this machine is taken for this one.
PORTWRIGHT_API_API_KEY=$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')
PORTWRIGHT_INSTANCE=$(od -An -tx1 -N8 /dev/urandom | tr -d ' \n')
export PORTWRIGHT_API_API_KEY PORTWRIGHT_INSTANCE
python3 - "$program" "$count" <<'PYTHON'
import http.client, json, os, socket, statistics, subprocess, sys, threading, time

program, count = sys.argv[1], int(sys.argv[2])
key, instance = os.environ["PORTWRIGHT_API_API_KEY"], os.environ["PORTWRIGHT_INSTANCE"]


def free_block(size):
    for first in range(21000, 32000, size):
        try:
            for port in range(first, first + size):
                socket.create_server(("127.0.0.1", port)).close()
            return first
        except OSError:
            continue
    sys.exit("no block of free ports below the ephemeral range")


control = free_block(count + 1)
first = control + 1
with open("config.yaml", "w") as config:
    config.write(f"""port_range: {{ from: {first}, end: {control + count}, listen: 127.0.0.1 }}
tunnel: {{ enabled: false }}
api: {{ listen_port: {control}, rate_limit: 1000000 }}
database: {{ path: mappings.db }}
""")


def start():
    began = time.perf_counter()
    log = open("server.log", "a")
    server = subprocess.Popen([program, "tunnel", "server", "--config", "config.yaml"], stdout=log, stderr=log)
    while True:
        try:
            with socket.create_connection(("127.0.0.1", control), 1) as stream:
                stream.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if instance.encode() in stream.recv(4096):
                    return server, time.perf_counter() - began
        except OSError:
            pass
        if server.poll() is not None:
            sys.exit(open("server.log").read())


def ask(connection, method, path, body=None):
    headers = {"Authorization": "Bearer " + key, "Content-Type": "application/json"}
    began = time.perf_counter()
    connection.request(method, path, body and json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    took = time.perf_counter() - began
    assert answer.status == 200, text
    return took, text


def show(what, times):
    times = sorted(1000 * took for took in times)
    p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
    print(f"{what}: median {statistics.median(times):.1f} ms, p99 {p99:.1f} ms, most {times[-1]:.1f} ms, {len(times)} times")


def scrape():
    # In a process of its own: the threads of this one would be part of the time.
    with open("header", "w") as header:
        header.write("Authorization: Bearer " + key)
    took = subprocess.check_output(["curl", "-sf", "-o", "/dev/null", "-H", "@header", "-w", "%{time_total}",
                                    f"http://127.0.0.1:{control}/metrics"])
    return float(took)


target = socket.create_server(("127.0.0.1", 0), backlog=4096)
server, _ = start()
try:
    api = http.client.HTTPConnection("127.0.0.1", control)
    creates = [ask(api, "POST", "/api/mapping/create", {"port": first + one, "target_host": "127.0.0.1",
               "target_port": target.getsockname()[1], "use_tunnel": False})[0] for one in range(count)]
    show("durable create", creates)
    show(f"list of {count}", [ask(api, "GET", "/api/mapping/list")[0] for _ in range(50)])
    api.close()
    server.kill()
    server.wait()
    starts = []
    for _ in range(5):
        server, took = start()
        starts.append(took)
        server.kill()
        server.wait()
    show(f"start with {count} mappings", starts)
    server, _ = start()
    held, stop = [], threading.Event()

    def accept():
        while not stop.is_set():
            visitor = target.accept()[0]
            # Those who come later leave at once; what is held here would pile up descriptors.
            held.append(visitor) if len(held) < 2000 else visitor.close()

    threading.Thread(target=accept, daemon=True).start()

    def churn():
        one = 0
        while not stop.is_set():
            try:
                socket.create_connection(("127.0.0.1", first + one % count), 5).close()
            except OSError:
                pass
            one += 1
            # As fast as the target here can take them; more would measure its backlog.
            time.sleep(0.005)

    visitors = [socket.create_connection(("127.0.0.1", first + one % count), 5) for one in range(2000)]
    api = http.client.HTTPConnection("127.0.0.1", control)
    while json.loads(ask(api, "GET", "/api/stats/connections?limit=1")[1])["data"]["total"] < len(visitors):
        time.sleep(0.05)
    threading.Thread(target=churn, daemon=True).start()
    show(f"scrape with {len(visitors)} visitors, others coming and going",
         [scrape() for _ in range(50)])
    stop.set()
finally:
    server.kill()
PYTHON
