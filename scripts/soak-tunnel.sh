#!/usr/bin/env bash
# Soaks the tunnel: transfers of random sizes in both directions for SECONDS, while the link between client and server
# is cut again and again. Every transfer must arrive whole, by its SHA-256, or be visibly reset. Prints what moved.
#
#     scripts/soak-tunnel.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
case $seconds in
    '' | *[!0-9]*)
        echo "usage: scripts/soak-tunnel.sh [SECONDS]" >&2
        exit 2
        ;;
esac
export PORTWRIGHT_SOAK_SECONDS=$seconds
exec cargo test --release --test it --quiet -- --nocapture transfers_over_a_link_that_is_cut
