"""Taking a port and giving it back: ours beside other pools, with several contenders, in one run.

    python3 benches/pool.py PORTWRIGHT POOL_LOAD [ROUNDS]

Each contender is a process that takes and gives back ROUNDS times without pause. Printed are the median and the 99th
percentile of one taking and giving back, all contenders together, and how many times longer than ours they are.

- portwright: the library, in a process that stays (`examples/pool_load.rs`); every port is bound in TCP and UDP
- portwright cli: `pool alloc` and `pool release`, two processes each time
- fcntl+json: a JSON file under fcntl.lockf in Python, in a process that stays; every port is bound in TCP
- flock+file: a text file under flock(1) in bash, two subshells each time; no port is bound
- portpicker: Google's, asking its port server, which binds in TCP and UDP; it has no giving back, so taking alone
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

FIRST, LAST = 20000, 29999
CONTENDERS = tuple(map(int, os.environ.get("CONTENDERS", "1 8 32 64").split()))

FCNTL = r"""
import fcntl, json, os, socket, sys, time
path, first, last, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])

def change(what):
    with open(path + ".lock", "w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        try:
            with open(path) as file:
                leases = json.load(file)
        except FileNotFoundError:
            leases = {}
        result = what(leases)
        with open(path + ".new", "w") as file:
            json.dump(leases, file)
        os.rename(path + ".new", path)
        return result

def take(leases):
    for port in range(first, last + 1):
        if str(port) in leases:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
        leases[str(port)] = {"pid": os.getpid(), "time": time.time()}
        return port

for _ in range(rounds):
    start = time.perf_counter()
    port = change(take)
    change(lambda leases: leases.pop(str(port)))
    print(int((time.perf_counter() - start) * 1e6))
"""

FLOCK = r"""
path=$1 first=$2 rounds=$4
for ((round = 0; round < rounds; round++)); do
    start=$EPOCHREALTIME
    port=$(
        exec 9>"$path.lock"
        flock 9
        touch "$path"
        port=$first
        while grep -qx "$port" "$path"; do port=$((port + 1)); done
        echo "$port" >>"$path"
        echo "$port"
    )
    (
        exec 9>"$path.lock"
        flock 9
        grep -vx "$port" "$path" >"$path.new"
        mv "$path.new" "$path"
    )
    end=$EPOCHREALTIME
    echo $((${end/./} - ${start/./}))
done
"""

CLI = r"""
import subprocess, sys, time
program, path, first, last, rounds = sys.argv[1:6]
for _ in range(int(rounds)):
    start = time.perf_counter()
    alloc = [program, "pool", "alloc", "--state", path, "--range", f"{first}-{last}"]
    port = subprocess.run(alloc, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
    subprocess.run([program, "pool", "release", "--state", path, port], stderr=subprocess.DEVNULL, check=True)
    print(int((time.perf_counter() - start) * 1e6))
"""

PORTPICKER = r"""
import sys, time
import portpicker
address, rounds = sys.argv[1], int(sys.argv[2])
for _ in range(rounds):
    start = time.perf_counter()
    if portpicker.get_port_from_port_server(address) is None:
        sys.exit("the port server has no port")
    print(int((time.perf_counter() - start) * 1e6))
"""


def measure(command, contenders):
    """Runs as many processes at once, and returns all times in microseconds, sorted."""
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(contenders)]
    times = []
    for process in running:
        text, _ = process.communicate()
        if process.returncode != 0:
            sys.exit(f"{command[0]} failed")
        times += [int(line) for line in text.split()]
    return sorted(times)


def port_server(folder):
    """Starts portpicker's server; None where portpicker is not installed."""
    program = shutil.which("portserver.py")
    if program is None:
        return None, None
    address = f"@pw-bench-{os.getpid()}"
    command = [sys.executable, program, f"--portserver_unix_socket_address={address}"]
    command.append(f"--portserver_static_pool={FIRST}-{LAST}")
    log = open(os.path.join(folder, "server.log"), "w")
    server = subprocess.Popen(command, stdout=log, stderr=log)
    deadline = time.time() + 10
    ask = [sys.executable, "-c", PORTPICKER, address, "1"]
    while subprocess.run(ask, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
        if time.time() > deadline:
            sys.exit("the port server does not answer")
    return server, address


def main():
    program, load = map(os.path.abspath, sys.argv[1:3])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 50
    print(f"{'':16}{'contenders':>10}{'p50 ms':>10}{'p99 ms':>10}{'x p50':>8}{'x p99':>8}")
    with tempfile.TemporaryDirectory() as folder:
        server, address = port_server(folder)
        try:
            for contenders in CONTENDERS:
                ends = [str(FIRST), str(LAST), str(rounds)]
                file = lambda name: os.path.join(folder, f"{name}-{contenders}")
                rows = [
                    ("portwright", [load, file("ours"), f"{FIRST}-{LAST}", str(rounds)]),
                    ("portwright cli", [sys.executable, "-c", CLI, program, file("cli"), *ends]),
                    ("fcntl+json", [sys.executable, "-c", FCNTL, file("fcntl"), *ends]),
                    ("flock+file", ["bash", "-c", FLOCK, "flock", file("flock"), *ends]),
                ]
                if address is not None:
                    rows.append(("portpicker", [sys.executable, "-c", PORTPICKER, address, str(rounds)]))
                ours = None
                for name, command in rows:
                    times = measure(command, contenders)
                    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
                    ours = ours or (p50, p99)
                    ratios = f"{p50 / ours[0]:8.1f}{p99 / ours[1]:8.1f}"
                    print(f"{name:16}{contenders:>10}{p50 / 1e3:10.2f}{p99 / 1e3:10.2f}{ratios}", flush=True)
        finally:
            if server is not None:
                server.terminate()
                server.wait()
    if address is None:
        print("portpicker is left out: `pip install portpicker` adds it")


main()
