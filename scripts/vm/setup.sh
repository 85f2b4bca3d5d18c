#!/usr/bin/env bash
# Makes what a virtual machine is started with, in target/vm: Debian's kernel, and a first file system that mounts the
# root of this machine. Installs QEMU and what unpacks a kernel. Needs root, Debian's packages and x86-64.
set -euo pipefail
cd "$(dirname "$0")/../.."
need=()
command -v qemu-system-x86_64 >/dev/null || need+=(qemu-system-x86)
command -v modprobe >/dev/null || need+=(kmod)
command -v cpio >/dev/null || need+=(cpio)
command -v mkfs.ext4 >/dev/null || need+=(e2fsprogs)
# What runs in the virtual machine is installed here, since its root is this machine's.
command -v rpc.nfsd >/dev/null || need+=(nfs-kernel-server)
if [ ${#need[@]} -gt 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}"
fi
mkdir -p target/vm
cd target/vm

newest() { apt-cache depends --important linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-\)/\1/p' | head -n 1; }
kernel=$(newest)
if [ -z "$kernel" ] || [ ! -e "$kernel" ]; then
    # What an old list names may be gone.
    apt-get update -qq
    kernel=$(newest)
    [ -n "$kernel" ] || { echo "apt knows no linux-image-amd64; the machine needs Debian's packages" >&2; exit 1; }
    rm -rf linux-image-* unpacked ./*.deb
    apt-get download -qq "$kernel" busybox-static
    mkdir unpacked
    for package in ./*.deb; do dpkg-deb -x "$package" unpacked; done
    rm ./*.deb
    mv unpacked "$kernel"
fi
version=${kernel#linux-image-}
depmod -b "$kernel" "$version"
cp "$kernel/boot/vmlinuz-$version" kernel

# The first file system: busybox, the modules that reach the root and the disk, in the order in which they load.
rm -rf first
mkdir -p first/bin first/modules first/new
cp "$kernel/bin/busybox" first/bin/
for module in virtio_pci virtio_blk 9pnet_virtio 9p overlay ext4 virtio_rng; do
    modprobe -d "$kernel" -S "$version" --show-depends "$module"
done | sed -n 's/^insmod //p' | awk '!seen[$0]++' | while read -r file; do
    cp "$file" first/modules/
    basename "$file"
done >first/modules/order
cp ../../scripts/vm/init first/init
(cd first && find . | cpio --quiet -o -H newc) | gzip -1 >initrd
echo "$kernel" >name
