#!/usr/bin/env bash
# Makes the files of a release: archives, packages, a parts list (SBOM) and checksums.
#
#   scripts/release.sh [--out FOLDER] [--binary FILE]
#
# --out     where the files go; release/ beside the sources
# --binary  takes this program for Linux in place of building one, and builds for no other system
#
# Linux on x86-64 is always made. Windows is made where the target and MinGW are installed, macOS where its targets
# are; what is left out is said. The same commit gives the same archives.
set -euo pipefail
cd "$(dirname "$0")/.."

out=release
binary=''
while [ $# -gt 0 ]; do
    case "$1" in
        --out) out=$2; shift 2 ;;
        --binary) binary=$2; shift 2 ;;
        *) echo "error: unknown argument $1" >&2; exit 2 ;;
    esac
done

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
linux=x86_64-unknown-linux-gnu
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
made=()

say() { echo "$*" >&2; }

# pack_tree FOLDER FILE: a tar.gz with nothing of this machine in it.
pack_tree() {
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C "$(dirname "$1")" \
        -cf - "$(basename "$1")" | gzip -9n >"$2"
}

# texts FOLDER PROGRAM: licence, readme, pages and completions; PROGRAM must run here.
texts() {
    mkdir -p "$1/man" "$1/completions"
    cp LICENSE-MIT README.md CHANGELOG.md "$1/"
    LANG=C.UTF-8 "$2" --quiet man --to "$1/man"
    local shell
    for shell in bash zsh fish powershell; do
        LANG=C.UTF-8 "$2" completions "$shell" >"$1/completions/portwright.$shell"
    done
}

archive_unix() { # TARGET PROGRAM NAME
    local folder=$work/$1/portwright
    mkdir -p "$folder"
    cp "$2" "$folder/portwright"
    chmod 755 "$folder/portwright"
    texts "$folder" "$native"
    pack_tree "$folder" "$out/$3.tar.gz"
    made+=("$3.tar.gz")
}

parts_list() { # TARGET NAME
    scripts/sbom.py "$1" >"$out/$2.cdx.json"
    made+=("$2.cdx.json")
}

# The tree that both packages install.
system_tree() {
    local root=$1 page
    install -D -m 755 "$native" "$root/usr/bin/portwright"
    texts "$work/texts" "$native"
    for page in "$work"/texts/man/*.1; do
        install -D -m 644 "$page" "$root/usr/share/man/man1/$(basename "$page")"
        gzip -9n "$root/usr/share/man/man1/$(basename "$page")"
    done
    install -D -m 644 "$work/texts/completions/portwright.bash" "$root/usr/share/bash-completion/completions/portwright"
    install -D -m 644 "$work/texts/completions/portwright.zsh" "$root/usr/share/zsh/vendor-completions/_portwright"
    install -D -m 644 "$work/texts/completions/portwright.fish" \
        "$root/usr/share/fish/vendor_completions.d/portwright.fish"
    install -D -m 644 LICENSE-MIT "$root/usr/share/doc/portwright/copyright"
    install -D -m 644 README.md "$root/usr/share/doc/portwright/README.md"
    find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
}

summary="Brings a containerised service up on a machine that nobody prepared"

deb() {
    if ! command -v dpkg-deb >/dev/null; then
        say "left out: the deb, because dpkg-deb is not here"
        return
    fi
    local root=$work/deb name=portwright_${version}_amd64.deb
    system_tree "$root"
    mkdir -p "$root/DEBIAN"
    cat >"$root/DEBIAN/control" <<END
Package: portwright
Version: $version
Architecture: amd64
Maintainer: The Portwright developers <portwright@localhost>
Section: net
Priority: optional
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f 1)
Description: $summary
 It looks at the machine, finds what is in the way (above all: ports), shows a
 plan, changes the project's own files and nothing else, launches, and proves
 that what it launched answers.
END
    find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group -Zxz --build "$root" "$out/$name" >/dev/null
    made+=("$name")
}

rpm_package() {
    if ! command -v rpmbuild >/dev/null; then
        say "left out: the rpm, because rpmbuild is not here"
        return
    fi
    local root=$work/rpm-tree name=portwright-$version-1.x86_64.rpm
    system_tree "$root"
    mkdir -p "$root/usr/share/zsh/site-functions"
    mv "$root/usr/share/zsh/vendor-completions/_portwright" "$root/usr/share/zsh/site-functions/_portwright"
    rmdir "$root/usr/share/zsh/vendor-completions"
    cat >"$work/portwright.spec" <<END
Name: portwright
Version: $version
Release: 1
Summary: $summary
License: MIT
AutoReqProv: no
%define _build_id_links none
%define _buildhost localhost
%define use_source_date_epoch_as_buildtime 1
%define clamp_mtime_to_source_date_epoch 1
%description
It looks at the machine, finds what is in the way (above all: ports), shows a plan, changes the project's own files and
nothing else, launches, and proves that what it launched answers.
%install
mkdir -p %{buildroot}
cp -a $root/. %{buildroot}/
%files
$(cd "$root" && find . \( -type f -o -type l \) | sed 's/^\.//' | sort)
END
    rpmbuild -bb --quiet --target x86_64 --define "_topdir $work/rpmbuild" --define "__os_install_post %{nil}" \
        "$work/portwright.spec" >&2
    cp "$work/rpmbuild/RPMS/x86_64/$name" "$out/$name"
    made+=("$name")
}

has_target() { # TARGET [TOOLCHAIN]
    [ -d "$(rustc ${2:+"$2"} --print sysroot 2>/dev/null)/lib/rustlib/$1/lib" ]
}

build() { # TARGET [TOOLCHAIN]
    cargo ${2:+"$2"} build --release --locked --quiet --target "$1"
}

native=$binary
if [ -z "$native" ]; then
    build "$linux"
    native=target/$linux/release/portwright
fi
native=$(realpath "$native")
archive_unix "$linux" "$native" portwright-linux-x86_64
parts_list "$linux" portwright-linux-x86_64
deb
rpm_package

windows=x86_64-pc-windows-gnu
# Debian's compiler, as scripts/windows/setup.sh installs it, where the usual one does not have the target.
toolchain=''
has_target "$windows" || toolchain=+win
if [ -z "$binary" ] && has_target "$windows" "$toolchain" && command -v x86_64-w64-mingw32-gcc >/dev/null; then
    CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc build "$windows" "$toolchain"
    folder=$work/$windows/portwright
    mkdir -p "$folder"
    cp "target/$windows/release/portwright.exe" "$folder/"
    texts "$folder" "$native"
    (cd "$work/$windows" && find portwright -exec touch --date="@$SOURCE_DATE_EPOCH" {} + &&
        python3 -m zipfile -c "$out/portwright-windows-x86_64.zip" portwright)
    made+=(portwright-windows-x86_64.zip)
    parts_list "$windows" portwright-windows-x86_64
else
    say "left out: Windows, which needs the target $windows and MinGW"
fi

for processor in x86_64 aarch64; do
    target=$processor-apple-darwin
    if [ -z "$binary" ] && has_target "$target"; then
        build "$target"
        archive_unix "$target" "target/$target/release/portwright" "portwright-macos-$processor"
        parts_list "$target" "portwright-macos-$processor"
    else
        say "left out: macOS on $processor, which needs the target $target and Apple's linker"
    fi
done

cp scripts/install.sh "$out/install.sh"
made+=(install.sh)
(cd "$out" && sha256sum "${made[@]}" >SHA256SUMS)
printf '%s\n' "${made[@]}" SHA256SUMS
