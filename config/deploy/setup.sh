#!/bin/sh
# Brings a bare Debian 12 or Ubuntu 24.04 to where Mouthpiece builds and runs.
#
#   config/deploy/setup.sh run     what `make run` wants
#   config/deploy/setup.sh test    and what `make test` wants
#
# Only what is missing is installed, and only then is root asked for: the second
# run takes a fraction of a second. Nothing outside apt, target/ and .venv/ changes.
set -eu
cd "$(dirname "$0")/../.."

RUST_WANTED=1.88
ONNXRUNTIME=1.31.1
# The wheels of that version on PyPI that hold the library: one an architecture.
SHA256_x86_64=5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
SHA256_aarch64=da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3

BUILD="build-essential libopencv-dev opencv-data clang libclang-dev pkg-config cmake nasm libasound2-dev
       libvpx-dev ca-certificates unzip python3 python3-pip python3-venv espeak-ng"
TEST="xvfb xauth x11-utils xdotool ffmpeg pulseaudio pulseaudio-utils
      libasound2-plugins"

say() { printf '%s\n' "setup: $*" >&2; }
die() { say "$*"; exit 1; }

case "${1:-run}" in
    run) packages=$BUILD ;;
    test) packages="$BUILD $TEST" ;;
    *) die "say 'run' or 'test', not '$1'" ;;
esac

# Runs a command as root: directly, or through sudo where we are not root.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "something is missing and neither root nor sudo is at hand to install it; ask an administrator for: $*"
    fi
}

# A Rust toolchain: first of all, since nothing else is worth waiting for without it.
need_cargo() {
    PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
    command -v cargo >/dev/null || die "there is no cargo here; install Rust $RUST_WANTED or newer with \
\"curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh\" (https://rustup.rs) and run make again"
    found=$(cargo --version | cut -d' ' -f2)
    oldest=$(printf '%s\n%s\n' "$found" "$RUST_WANTED" | sort -V | head -n 1)
    [ "$oldest" = "$RUST_WANTED" ] ||
        die "$(command -v cargo) is version $found, but Mouthpiece wants $RUST_WANTED or newer (the distribution's own \
is older); update it with \"rustup update stable\", or get rustup from https://rustup.rs and put ~/.cargo/bin first in PATH"
}

# The names among $packages that dpkg doesn't know as installed.
missing_packages() {
    # shellcheck disable=SC2086 # a list of words
    installed=" $(dpkg-query -W -f '${db:Status-Status}=${Package} ' $packages 2>/dev/null || true)"
    for name in $packages; do
        case "$installed" in *" installed=$name "*) ;; *) printf '%s ' "$name" ;; esac
    done
}

need_packages() {
    command -v dpkg-query >/dev/null ||
        die "this is neither Debian nor Ubuntu; install what stands for these packages yourself, then run cargo build --release: $packages"
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    say "installing $missing"
    apt="as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300"
    $apt update -qq || say "apt-get update had trouble; trying with the lists that are here"
    # shellcheck disable=SC2086 # lists of words
    $apt install -y -qq --no-install-recommends $missing </dev/null ||
        die "apt could not install what is missing; see its lines above, mend that, and run make again"
}

# A Chromium for the page's tests. Debian has one in a package. Ubuntu's package of that name is a
# shell for the snap, whose confinement keeps automation out, so there Playwright brings its own build.
need_chromium() {
    for browser in /usr/bin/chromium /usr/bin/google-chrome; do
        [ ! -x "$browser" ] || return 0
    done
    if . /etc/os-release && [ "${ID:-}" = debian ]; then
        packages=chromium
        need_packages
    elif [ ! -e .venv/chromium ]; then
        say "fetching Playwright's Chromium"
        as_root "$PWD/.venv/bin/python" -m playwright install-deps chromium &&
            .venv/bin/python -m playwright install chromium && touch .venv/chromium ||
            die "no Chromium could be had: Ubuntu's own is a snap, and Playwright's did not come; install Google Chrome or mend the network, and run make again"
    fi
}

# ONNX Runtime's library and its notices, out of the official wheel, beside the build.
need_onnxruntime() {
    library=target/onnxruntime/libonnxruntime.so.$ONNXRUNTIME
    [ ! -f "$library" ] || return 0
    machine=$(uname -m)
    case "$machine" in
        x86_64) sha256=$SHA256_x86_64 ;;
        aarch64) sha256=$SHA256_aarch64 ;;
        *) die "ONNX Runtime $ONNXRUNTIME comes for x86_64 and aarch64, but this machine is $machine; build it and lay it at $library" ;;
    esac
    say "fetching ONNX Runtime $ONNXRUNTIME"
    mkdir -p target
    work=$(mktemp -d target/onnxruntime.XXXXXX)
    trap 'rm -rf "$work"' EXIT
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 \
        --platform "manylinux_2_28_$machine" --dest "$work" "onnxruntime==$ONNXRUNTIME" ||
        die "PyPI did not give the wheel onnxruntime==$ONNXRUNTIME; see pip's lines above, mend the network, and run make again"
    printf '%s  %s\n' "$sha256" "$work"/onnxruntime-*.whl | sha256sum --check --quiet --strict - ||
        die "the wheel that came is not the one we know (SHA-256 $sha256); nothing of it was used"
    unzip -q -j "$work"/onnxruntime-*.whl "onnxruntime/capi/libonnxruntime.so.$ONNXRUNTIME" \
        onnxruntime/LICENSE onnxruntime/ThirdPartyNotices.txt -d "$work/onnxruntime"
    rm -rf target/onnxruntime
    mv "$work/onnxruntime" target/onnxruntime
    rm -rf "$work"
}

# The players of tests/system: a Python of their own, made anew when their list changes.
need_players() {
    cmp -s tests/system/requirements.txt .venv/requirements.txt && .venv/bin/python -c '' 2>/dev/null && return 0
    say "making .venv for the system tests"
    rm -rf .venv
    python3 -m venv .venv ||
        die "python3 could not make a virtual environment; see its lines above (on Debian and Ubuntu: apt-get install python3-venv)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r tests/system/requirements.txt ||
        die "PyPI did not give the system tests' packages; see pip's lines above, mend the network, and run make again"
    cp tests/system/requirements.txt .venv/requirements.txt
}

need_cargo
need_packages
need_onnxruntime
if [ "${1:-run}" = test ]; then
    need_players
    need_chromium
fi
