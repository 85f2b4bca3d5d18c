#!/usr/bin/env bash
# Runs in a virtual machine what only a machine of its own can show (tests/it/vm): pools on real NFS and 9p, a clock
# that is really set, and power that goes away at any moment. Installs what it needs; without Debian's packages it fails
# unless SKIP_VM=1 says that the suite may be missing.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "${SKIP_VM:-}" = 1 ]; then
    echo "Virtual machine suite NOT run (SKIP_VM=1)" >&2
    exit 0
fi
scripts/vm/setup.sh
it=$(cargo test --quiet --no-run --test it --message-format json |
    sed -n 's/.*"executable":"\([^"]*\/it-[^"]*\)".*/\1/p')
inside=(env PORTWRIGHT_VM=1 PORTWRIGHT_REQUIRE_ALL=1)

echo "Disks of other machines, and a clock that is set"
scripts/vm/run.sh "${inside[@]}" PORTWRIGHT_CLOCK=1 "$it" --test-threads=1 vm::disks:: really_set

disk=target/vm/disk
rm -f "$disk"
truncate -s 256M "$disk"
mkfs.ext4 -q "$disk"
kept=0
for cut in $(seq "${POWER_CUTS:-3}"); do
    echo "Power goes away, time $cut"
    scripts/vm/run.sh --disk "$disk" --cut "kept $((kept + 3 + RANDOM % 10))" \
        "${inside[@]}" PORTWRIGHT_VM_POWER=before "PORTWRIGHT_VM_KEPT=$kept" \
        "$it" --nocapture --exact vm::power::works_until_the_power_goes | tee target/vm/said
    kept=$(sed -n 's/^kept //p' target/vm/said | tail -n 1)
    scripts/vm/run.sh --disk "$disk" "${inside[@]}" PORTWRIGHT_VM_POWER=after "PORTWRIGHT_VM_KEPT=$kept" \
        "$it" --exact vm::power::when_power_has_gone_what_was_acknowledged_is_there_and_no_file_is_half_new
done
echo "After each of ${POWER_CUTS:-3} cuts: $kept acknowledged mappings there, files whole, ports free"
