#!/usr/bin/env bash
# The kernels of AArch64 under qemu, with the dot products of NEON and without: the same tests and the same committed
# bits as on every other machine. Installs nothing; where something is missing it names it and leaves the tests out.
#
#   tests/tools/neon.sh
set -euo pipefail
cd "$(dirname "$0")/../.."

triple=aarch64-unknown-linux-gnu
libraries=/usr/aarch64-linux-gnu

missing=()
standard_library=$(rustc --print target-libdir --target "$triple")
compgen -G "$standard_library/libstd-*" >/dev/null ||
    missing+=("Rust's standard library for it (rustup target add $triple)")
command -v aarch64-linux-gnu-gcc >/dev/null || missing+=("aarch64-linux-gnu-gcc (Debian: gcc-aarch64-linux-gnu)")
[ -e "$libraries/lib/crt1.o" ] || missing+=("$libraries/lib/crt1.o (Debian: libc6-dev-arm64-cross)")
qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64) ||
    missing+=("qemu-aarch64-static (Debian: qemu-user-static)")
if [ "${#missing[@]}" != 0 ]; then
    printf 'missing: %s\n' "${missing[@]}"
    echo "NEON: not run"
    exit 0
fi

# These are only linked to; optimising them would take longer than all of the tests.
build=(--locked --target "$triple" --package neuro-expert-runtime --lib --config profile.dev.debug=false)
for package in neuro-model tokenizers daachorse fancy-regex regex-automata regex-syntax minijinja minijinja-contrib \
    serde_json curve25519-dalek ed25519-dalek; do
    build+=(--config "profile.dev.package.$package.opt-level=0")
done
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc

# cargo test on one processor, with the test program's arguments.
on() {
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$qemu -cpu $1 -L $libraries" \
        cargo test --quiet "${build[@]}" -- "${@:2}"
}

# The tests on one processor, which must have those instruction sets and no other. The suite of all engines stays out:
# most of it is the reference engine's f64, which takes minutes here and is the same everywhere.
tests() {
    local processor=$1 expected="instruction sets: $2" got
    got=$(on "$processor" --nocapture --exact kernels::instruction_set::tests::names_lead_back_and_the_current_one_is_available)
    if ! grep -qxF "$expected" <<<"$got"; then
        printf '%s\nqemu'\''s %s: expected "%s"\n' "$got" "$processor" "$expected" >&2
        exit 1
    fi
    echo "NEON: $processor, $expected"
    on "$processor" kernels engines::native --skip every_instruction_set_conforms
}

cargo test --no-run "${build[@]}"
tests max "scalar neon neon-dotprod"
tests cortex-a53 "scalar neon"
