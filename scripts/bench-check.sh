#!/usr/bin/env bash
# Times `portwright check` and `portwright quick-start --dry-run` in a compose project of 20 published ports, `--help`,
# and says how large the executable is.
# Usage: scripts/bench-check.sh [executable]      (default: target/x86_64-unknown-linux-gnu/release/portwright)
# Environment: RUNS=15, LIMIT_MS=150 (check and dry run; 1 is the exit code when a median is above it), HELP_LIMIT_MS=30.
set -euo pipefail

cd "$(dirname "$0")/.."
program=$(realpath "${1:-target/x86_64-unknown-linux-gnu/release/portwright}")
command -v python3 >/dev/null || { echo "bench-check: python3 is missing" >&2; exit 5; }

exec python3 - "$program" <<'PYTHON'
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

RUNS = int(os.environ.get("RUNS", "15"))
LIMIT_MS = float(os.environ.get("LIMIT_MS", "150"))
HELP_LIMIT_MS = float(os.environ.get("HELP_LIMIT_MS", "30"))
PORTS = 20
FIRST = 23000
program = sys.argv[1]


def times_ms(command, folder, codes, environment):
    taken = []
    for _ in range(RUNS):
        start = time.perf_counter()
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
        taken.append((time.perf_counter() - start) * 1000)
        if run.returncode not in codes:
            sys.exit(f"bench-check: {' '.join(command)}: {run.stderr.decode()}")
    return sorted(taken)


with tempfile.TemporaryDirectory() as folder:
    services = "".join(
        f"  s{n}:\n    image: x\n    ports:\n      - \"${{S{n}_PORT:-{FIRST + n}}}:80\"\n" for n in range(PORTS)
    )
    pathlib.Path(folder, "compose.yaml").write_text("services:\n" + services)
    pathlib.Path(folder, ".env").write_text("".join(f"S{n}_PORT={FIRST + n}\n" for n in range(PORTS)))
    environment = dict(os.environ, HOME=folder, LANG="C.UTF-8")
    wanted = [
        ("check --json", LIMIT_MS, (0, 3)),
        ("quick-start --dry-run --yes --json", LIMIT_MS, (0,)),
        ("--help", HELP_LIMIT_MS, (0,)),
    ]
    print(f"{PORTS} ports; medians, least and most of {RUNS} runs; executable {os.path.getsize(program) / 1e6:.1f} MB")
    slow = False
    for line, limit, codes in wanted:
        taken = times_ms([program, *line.split()], folder, codes, environment)
        median = statistics.median(taken)
        slow |= median > limit
        print(f"{line:<36} {median:>7.1f} ms  ({taken[0]:.1f} to {taken[-1]:.1f}; limit {limit:.0f})", flush=True)
sys.exit(1 if slow else 0)
PYTHON
