#!/bin/sh
# Installs a released portwright for this machine: fetches archive and checksums, compares, and moves one file into
# place. It never asks for rights: run it as root to install for everybody.
#
#   scripts/install.sh --from URL_OR_FOLDER [--to FOLDER] [--dry-run]
#
# --from     where the files of a release are: https://…, file://… or a folder
# --to       where the program goes; /usr/local/bin where that can be written, else ~/.local/bin
# --dry-run  fetches and compares, and installs nothing
#
# Exit codes: 0 done, 2 wrong arguments, 3 the checksum is wrong, 5 something is missing. Only 0 changes anything.
set -eu

die() {
    code=$1
    shift
    echo "error: $*" >&2
    exit "$code"
}

usage() {
    sed -n '2,12s/^# \{0,1\}//p' "$0"
}

# The name that releases have for this system and processor.
platform() {
    case "$(uname -s)-$(uname -m)" in
        Linux-x86_64 | Linux-amd64) echo linux-x86_64 ;;
        Linux-aarch64 | Linux-arm64) echo linux-aarch64 ;;
        Darwin-x86_64) echo macos-x86_64 ;;
        Darwin-arm64) echo macos-aarch64 ;;
        *) die 5 "there is no release for $(uname -s) on $(uname -m); build it with cargo" ;;
    esac
}

# fetch NAME: brings one file of the release into the temporary folder.
fetch() {
    case "$from" in
        https://* | http://127.0.0.1:* | http://localhost:*)
            if command -v curl >/dev/null 2>&1; then
                curl --fail --silent --show-error --location --output "$work/$1" "$from/$1"
            elif command -v wget >/dev/null 2>&1; then
                wget -q -O "$work/$1" "$from/$1"
            else
                die 5 "neither curl nor wget is here"
            fi
            ;;
        http://*) die 2 "plain http lets anyone on the way change the program; use https" ;;
        file://*) cp "${from#file://}/$1" "$work/$1" ;;
        *) cp "$from/$1" "$work/$1" ;;
    esac || die 5 "cannot fetch $from/$1"
}

digest() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum "$1" | cut -d ' ' -f 1
    elif command -v shasum >/dev/null 2>&1; then
        shasum -a 256 "$1" | cut -d ' ' -f 1
    else
        die 5 "neither sha256sum nor shasum is here, and what cannot be compared is not installed"
    fi
}

main() {
    from='' to='' dry_run=false
    while [ $# -gt 0 ]; do
        case "$1" in
            --from | --to)
                [ $# -ge 2 ] || die 2 "$1 needs a value"
                if [ "$1" = --from ]; then from=${2%/}; else to=$2; fi
                shift 2
                ;;
            --dry-run)
                dry_run=true
                shift
                ;;
            --help | -h)
                usage
                exit 0
                ;;
            *) die 2 "unknown argument $1; --help shows the known ones" ;;
        esac
    done
    [ -n "$from" ] || die 2 "name the release with --from"
    if [ -z "$to" ]; then
        if [ -w /usr/local/bin ]; then to=/usr/local/bin; else to=${HOME:?}/.local/bin; fi
    fi

    archive="portwright-$(platform).tar.gz"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM
    fetch SHA256SUMS
    fetch "$archive"
    wanted=$(awk -v name="$archive" '$2 == name || $2 == "*" name { print $1 }' "$work/SHA256SUMS")
    [ -n "$wanted" ] || die 3 "SHA256SUMS does not name $archive"
    found=$(digest "$work/$archive")
    [ "$wanted" = "$found" ] || die 3 "$archive is not what the release says: $found in place of $wanted"
    tar -xzf "$work/$archive" -C "$work" portwright/portwright || die 3 "$archive holds no program"
    program="$work/portwright/portwright"
    version=$("$program" --version) || die 5 "the program does not run on this machine"
    echo "$version"
    if $dry_run; then
        echo "dry run: would be installed as $to/portwright"
        exit 0
    fi

    mkdir -p "$to" 2>/dev/null || die 5 "$to cannot be made; name another folder with --to, or run this as root"
    # Beside its place and then renamed: whoever starts it meanwhile gets the old one or the new one.
    cp "$program" "$to/.portwright.new" 2>/dev/null || die 5 "$to cannot be written; name another with --to, or be root"
    chmod 755 "$to/.portwright.new"
    mv -f "$to/.portwright.new" "$to/portwright"
    echo "installed: $to/portwright"
    case ":$PATH:" in
        *":$to:"*) ;;
        *) echo "note: $to is not on the search path" ;;
    esac
}

# All of it is read before anything is done, also where it comes through a pipe that breaks.
main "$@"
