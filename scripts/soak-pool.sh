#!/usr/bin/env bash
# 64 processes take three ports in a row, use them and give them back, and some are killed meanwhile. The history that
# each writes down is then judged by scripts/judge-leases.py, which knows nothing of our code, for a port that two had at
# once, and the pool for one that was lost.
#
#     scripts/soak-pool.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
PORTWRIGHT_LEASE_ROUNDS=${1:-1000} exec cargo test --config profile.dev.package.portwright.opt-level=3 --test it -- \
    --nocapture pool::storm::sixty_four
