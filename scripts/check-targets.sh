#!/usr/bin/env bash
# Type-checks the targets that cannot be linked or run here: Windows with MSVC, macOS on Apple silicon and on Intel.
# C sources are not compiled: a stand-in for the compiler makes empty files, which is enough for a check.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
cat > "$tools/cc" <<'C'
#!/usr/bin/env bash
case " $* " in *" --version "*|*" -v "*) echo "clang version 19.0.0"; exit 0;; esac
while [ $# -gt 0 ]; do
    case $1 in
        -o) : > "$2"; shift;;
        -Fo*|/Fo*) : > "${1:3}";;
        -OUT:*|/OUT:*|-out:*|/out:*) : > "${1:5}";;
        *.a) [ -e "$1" ] || printf '!<arch>\n' > "$1";;
    esac
    shift
done
C
chmod +x "$tools/cc"
ln -s cc "$tools/clang-cl"
ln -s cc "$tools/llvm-lib"
export CC_x86_64_pc_windows_msvc=$tools/clang-cl AR_x86_64_pc_windows_msvc=$tools/llvm-lib
export CC_aarch64_apple_darwin=$tools/cc AR_aarch64_apple_darwin=$tools/cc
export CC_x86_64_apple_darwin=$tools/cc AR_x86_64_apple_darwin=$tools/cc SDKROOT=/nonexistent
for target in "${@:-x86_64-pc-windows-msvc aarch64-apple-darwin x86_64-apple-darwin}"; do
    for one in $target; do
        scripts/windows/setup.sh "$one"
        echo "checking $one"
        cargo +win check --quiet --lib --bins --target "$one"
    done
done
