#!/usr/bin/env bash
# Times `portwright scan --json` beside `ss -tulnp` and `lsof -i` in one run, with 10, 10,000 and 50,000 sockets open.
# Usage: scripts/bench-scan.sh [command ...]      (default: target/x86_64-unknown-linux-gnu/release/portwright scan --json)
# Environment: SIZES="10 10000 50000", KINDS="listen connected time-wait", RUNS=7. Needs root (names of all owners), python3, ss, lsof.
set -euo pipefail

cd "$(dirname "$0")/.."
if [ $# -eq 0 ]; then
    set -- target/x86_64-unknown-linux-gnu/release/portwright scan --json
fi
for tool in python3 ss lsof; do
    command -v "$tool" >/dev/null || { echo "bench-scan: $tool is missing" >&2; exit 5; }
done

exec python3 - "$@" <<'PYTHON'
import os
import statistics
import subprocess
import sys
import time

SIZES = [int(size) for size in os.environ.get("SIZES", "10 10000 50000").split()]
KINDS = os.environ.get("KINDS", "listen connected time-wait").split()
RUNS = int(os.environ.get("RUNS", "7"))
# Below the usual hard limit of 20,000 open files, and below the 28,000 ephemeral ports of one address.
MOST_PER_PROCESS = 18_000

HOLDER = r"""
import resource, signal, socket, sys
kind, count, address = sys.argv[1], int(sys.argv[2]), sys.argv[3]
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
kept = []
def listener():
    one = socket.socket()
    one.bind((address, 0))
    one.listen(64)
    kept.append(one)
    return one
if kind == "listen":
    while len(kept) < count:
        listener()
elif kind == "time-wait":
    # The side that closes first keeps the port for a minute; it answers nobody and has no owner.
    server = listener()
    for _ in range(count):
        one = socket.create_connection(server.getsockname())
        other = server.accept()[0]
        one.close()
        other.close()
else:
    server = listener()
    while len(kept) < count:
        kept.append(socket.create_connection(server.getsockname()))
        kept.append(server.accept()[0])
print("ready", flush=True)
signal.pause()
"""


def hold(kind, count):
    holders = []
    while count > 0:
        share = min(count, MOST_PER_PROCESS)
        address = f"127.0.1.{len(holders) + 1}"
        command = [sys.executable, "-c", HOLDER, kind, str(share), address]
        holders.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        count -= share
    for holder in holders:
        if holder.stdout.readline() != "ready\n":
            sys.exit("bench-scan: a holder could not open its sockets")
    return holders


def medians_ms(commands):
    """The median of each command, and the least and the most of the first."""
    times = [[] for _ in commands]
    # In turns, so that whatever else the machine does falls on all of them alike.
    for _ in range(RUNS):
        for command, taken in zip(commands, times):
            start = time.perf_counter()
            # lsof exits with 1 when something could not be listed.
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            taken.append((time.perf_counter() - start) * 1000)
    return [statistics.median(taken) for taken in times], min(times[0]), max(times[0])


ours = sys.argv[1:]
if subprocess.run(ours, stdout=subprocess.DEVNULL, check=False).returncode != 0:
    sys.exit(f"bench-scan: {' '.join(ours)} does not work")
print(f"{'sockets':>18} {'ours ms':>9} {'ss ms':>9} {'lsof ms':>9} {'ss/ours':>8} {'lsof/ours':>9}   ours from, to (medians of {RUNS})")
slower = False
for kind in KINDS:
    for size in SIZES:
        holders = hold(kind, size)
        try:
            (mine, ss, lsof), least, most = medians_ms([ours, ["ss", "-tulnp"], ["lsof", "-i"]])
        finally:
            for holder in holders:
                holder.kill()
                holder.wait()
        slower |= mine > min(ss, lsof)
        print(f"{size:>8} {kind:<9} {mine:>9.1f} {ss:>9.1f} {lsof:>9.1f} {ss / mine:>8.1f} {lsof / mine:>9.1f}   {least:.1f}, {most:.1f}", flush=True)
sys.exit(1 if slower else 0)
PYTHON
