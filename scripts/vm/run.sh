#!/usr/bin/env bash
# Runs a command in a virtual machine, as root, in a copy of this machine's root that is thrown away; ends with its code.
#
#     scripts/vm/run.sh [--disk FILE] [--cut TEXT] COMMAND [ARGUMENT...]
#
# --disk is an image with ext4, mounted on /disk, which keeps what is written. --cut takes the power away within a second
# after a line that begins with TEXT, with all that is not on the disk, and ends with 0 then.
#
# QEMU computes every instruction, so that no hardware for virtual machines is needed: about ten times slower.
set -euo pipefail
vm=$(cd "$(dirname "$0")/../.." && pwd)/target/vm
disk=() cut=
while true; do
    case ${1:-} in
        --disk) disk=(-drive "file=$2,format=raw,if=virtio,cache=writeback"); shift 2 ;;
        --cut) cut=$2; shift 2 ;;
        *) break ;;
    esac
done
[ $# -gt 0 ] || { echo "run.sh: which command? See the head of this file." >&2; exit 2; }
[ -e "$vm/initrd" ] || { echo "run.sh: there is no virtual machine yet; scripts/vm/setup.sh makes it" >&2; exit 2; }
told=$(mktemp -d)
trap 'rm -rf "$told"' EXIT
printf 'cd %q\nexec%s\n' "$PWD" "$(printf ' %q' "$@")" >"$told/command"
ln -s "$vm/$(cat "$vm/name")" "$told/kernel"
mkfifo "$told/console"
share=security_model=none,readonly=on,multidevs=remap
qemu-system-x86_64 \
    -accel tcg,thread=multi -cpu max -smp 2 -m 2048 -nographic -no-reboot -nodefaults -serial stdio \
    -device virtio-rng-pci "${disk[@]}" \
    -virtfs "local,path=/,mount_tag=root,$share" -virtfs "local,path=$told,mount_tag=told,$share" \
    -kernel "$vm/kernel" -initrd "$vm/initrd" \
    -append "console=ttyS0 quiet panic=-1" </dev/null >"$told/console" 2>&1 &
qemu=$!
# The shell need not tell that it was killed.
disown "$qemu"
code=255 begun=
deadline=$((SECONDS + ${VM_SECONDS:-600}))
while [ "$SECONDS" -lt "$deadline" ] && IFS= read -r -t $((deadline - SECONDS)) line; do
    line=${line%$'\r'}
    case $line in
        *"vm: begins") begun=1 ;;
        "vm: ended with code "*) code=${line##* } begun= ;;
        # What comes before is the firmware's, and what comes after the kernel's.
        *) [ -z "$begun" ] || printf '%s\n' "$line" ;;
    esac
    if [ -n "$cut" ] && [[ $line == "$cut"* ]]; then
        cut=
        code=0
        (sleep "0.$RANDOM" && kill -KILL "$qemu") &
    fi
done <"$told/console"
kill -KILL "$qemu" 2>/dev/null || true
exit "$code"
