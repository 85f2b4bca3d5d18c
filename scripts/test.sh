#!/usr/bin/env bash
# Runs every test: units, the house rules, and the real program against real files, sockets, terminals and engines.
# A test whose tool is missing (Docker, strace) says so and is skipped; under CI=true that is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${CI:-}" = true ]; then
    export PORTWRIGHT_REQUIRE_ALL=1
fi
exec cargo test --all-targets "$@"
