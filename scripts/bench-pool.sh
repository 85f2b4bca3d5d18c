#!/usr/bin/env bash
# Taking a port from a pool and giving it back, beside other pools, in one run (see benches/pool.py).
#
#     scripts/bench-pool.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release --bin portwright --example pool_load
folder=$(dirname "$(cargo build --quiet --release --bin portwright --message-format json |
    sed -n 's/.*"executable":"\([^"]*portwright\)".*/\1/p')")
exec python3 benches/pool.py "$folder/portwright" "$folder/examples/pool_load" "${1:-50}"
