#!/usr/bin/env bash
# A fleet of hosts that lease ports from one PostgreSQL and from one etcd, which this starts with their usual settings
# (every change is synced to the disk). That no port is leased twice is checked by psql and by python3, not by us.
#
#     scripts/bench-fleet.sh [HOSTS] [LEASES] [GROUPS] [AT_A_TIME]
set -euo pipefail
cd "$(dirname "$0")/.."
hosts=${1:-1000} leases=${2:-100} groups=${3:-10} at_a_time=${4:-32}
cargo build --quiet --release --example fleet_load
load=$(cargo build --quiet --release --example fleet_load --message-format json |
    sed -n 's/.*"executable":"\([^"]*fleet_load\)".*/\1/p')
folder=$(mktemp -d)
started=()
trap 'kill "${started[@]}" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# simulate URL CHECK: takes everything, has it checked, and gives it back.
simulate() {
    coproc LOAD { exec "$load" "$1" "$groups" "$hosts" "$leases" "$at_a_time"; }
    local line from=${LOAD[0]} to=${LOAD[1]} pid=$LOAD_PID
    read -r line <&"$from" && echo "  $line"
    $2
    echo >&"$to"
    read -r line <&"$from" && echo "  $line"
    wait "$pid"
}

bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
as=()
if [ "$(id -u)" = 0 ]; then as=(setpriv --reuid=postgres --regid=postgres --clear-groups); fi
mkdir "$folder/pg"
if [ "$(id -u)" = 0 ]; then chown postgres "$folder/pg"; chmod 755 "$folder"; fi
pg=$(port)
(cd / && LC_ALL=C "${as[@]}" "$bin/initdb" -A trust -U fleet "$folder/pg/data" >/dev/null)
(cd / && exec "${as[@]}" "$bin/postgres" -D "$folder/pg/data" -p "$pg" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories= >"$folder/pg.log" 2>&1) &
started+=($!)
ask() { "$bin/psql" -X -A -t -c "$1" "postgres://fleet@127.0.0.1:$pg/postgres"; }
until ask "SELECT 1" >/dev/null 2>&1; do :; done
check_postgres() {
    echo "  leases, distinct (group, WAN, port), groups: $(ask "SELECT count(*), count(DISTINCT (host_group, wan, port)),
        count(DISTINCT host_group) FROM portwright_pool.ports WHERE id IS NOT NULL AND expires > now()" | tr '|' ' ')"
    echo "  hosts with $leases leases: $(ask "SELECT count(*) FROM (SELECT host FROM portwright_pool.ports
        WHERE id IS NOT NULL GROUP BY host HAVING count(*) = $leases) AS full_hosts")"
    echo "  size: $(ask "SELECT pg_size_pretty(pg_total_relation_size('portwright_pool.ports'))")"
}
echo "PostgreSQL $("$bin/postgres" --version | awk '{print $3}'), $hosts hosts x $leases leases in $groups groups, $at_a_time at a time:"
simulate "postgres://fleet@127.0.0.1:$pg/postgres" check_postgres
kill "${started[0]}"

etcd=$(port) peer=$(port)
etcd --data-dir "$folder/etcd" --name one --listen-client-urls "http://127.0.0.1:$etcd" \
    --advertise-client-urls "http://127.0.0.1:$etcd" --listen-peer-urls "http://127.0.0.1:$peer" \
    --initial-advertise-peer-urls "http://127.0.0.1:$peer" --initial-cluster "one=http://127.0.0.1:$peer" \
    >"$folder/etcd.log" 2>&1 &
started+=($!)
until curl -sf -d '{"key": "AA=="}' "http://127.0.0.1:$etcd/v3/kv/range" >/dev/null; do :; done
check_etcd() { python3 - "$etcd" "$leases" <<'PY'
import base64, collections, json, sys, urllib.request

def ask(route, body):
    request = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/v3/{route}", json.dumps(body).encode())
    return json.load(urllib.request.urlopen(request))

leases, start = [], b"/portwright/1/"
while True:
    answer = ask("kv/range", {"key": base64.b64encode(start).decode(), "limit": "20000",
                              "range_end": base64.b64encode(b"/portwright/10").decode()})
    kvs = answer.get("kvs", [])
    for kv in kvs:
        key = base64.b64decode(kv["key"])
        _, _, _, group, kind, *rest = key.decode().split("/")
        if kind == "lease":
            leases.append((group, rest[1], rest[0], json.loads(base64.b64decode(kv["value"]))["host"]))
    if len(kvs) < 20000:
        break
    start = key + b"\0"
ports = {lease[:3] for lease in leases}
print(f"  leases, distinct (group, WAN, port), groups: {len(leases)} {len(ports)} {len({lease[0] for lease in leases})}")
full = collections.Counter(lease[3] for lease in leases)
print(f"  hosts with {sys.argv[2]} leases: {sum(count == int(sys.argv[2]) for count in full.values())}")
size = int(ask("maintenance/status", {})["dbSize"])
print(f"  size: {size / 1024 / 1024:.0f} MB")
PY
}
echo "etcd $(etcd --version | awk '/etcd Version/ {print $3}'), $hosts hosts x $leases leases in $groups groups, $at_a_time at a time:"
simulate "etcd://127.0.0.1:$etcd" check_etcd
