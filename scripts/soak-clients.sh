#!/usr/bin/env bash
# Kills a server that many clients are connected to, starts it again, and prints how soon all of them are back, what that
# costs the server, and how many good handshakes were refused meanwhile. Every client is a process, about 5 MB each.
#
#     scripts/soak-clients.sh [CLIENTS] [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:-500}
program=$(realpath "${2:-target/release/portwright}")
folder=$(mktemp -d)
server=
clients=()
trap 'kill -9 $server "${clients[@]}" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
ulimit -n "$(ulimit -Hn)"
export PORTWRIGHT_API_API_KEY=6f1c0a9be2d84c7790ab35de41f2876c
cat >config.yaml <<'YAML'
port_range: { from: 21000, end: 21010, listen: 127.0.0.1 }
tunnel: { enabled: true, listen: 127.0.0.1, listen_port: 20999 }
api: { listen_port: 20998 }
database: { path: mappings.db }
YAML
code=$("$program" tunnel token create --config config.yaml --name fleet --json | sed -n 's/.*"join_code": *"\([^"]*\)".*/\1/p')
connected() { curl -s http://127.0.0.1:20998/health | sed -n 's/.*"clients": *\([0-9]*\).*/\1/p'; }
wait_for_all() {
    local began=$EPOCHREALTIME
    while [ "$(connected || true)" != "$count" ]; do
        [ "$(bc <<<"$EPOCHREALTIME - $began < 120")" = 1 ] || { echo "only $(connected) of $count" >&2; exit 1; }
        sleep 0.1
    done
    bc <<<"$EPOCHREALTIME - $began"
}
processor_seconds() { awk '{ print ($14 + $15) / 100 }' "/proc/$server/stat"; }
serve() {
    "$program" tunnel server --config config.yaml >>server.out 2>>server.log &
    server=$!
    disown
}
serve
for ((one = 0; one < count; one++)); do
    "$program" tunnel client --join "$code" --name "c$one" >/dev/null 2>>clients.log &
    clients+=($!)
    disown
done
echo "all $count connected after $(wait_for_all) s"
kill -9 "$server"
while kill -0 "$server" 2>/dev/null; do sleep 0.01; done
serve
echo "all $count back after $(wait_for_all) s, server's processor time $(processor_seconds) s"
before=$(processor_seconds)
sleep 10
echo "10 s later: $(bc <<<"$(processor_seconds) - $before") s of processor time, $(awk '/VmRSS/ { print $2 }' "/proc/$server/status") KiB"
echo "lines of the server about refusals: $(grep -c refused server.log || true)"
echo "failed attempts of all clients: $(grep -c 'trying again' clients.log || true)"
