#!/usr/bin/env bash
# Builds what is shipped into target/shipped/magistrate-VERSION-TARGET.tar.gz (see pack.sh). The same sources and the same
# toolchain give the same bytes wherever the directory lies.
set -euo pipefail
cd "$(dirname "$0")/.."

export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
profile=${PROFILE:-dist}
registry=${CARGO_HOME:-$HOME/.cargo}
# What the environment may ask for otherwise would end up elsewhere, or in other bytes.
unset CARGO_TARGET_DIR CARGO_BUILD_TARGET
export CARGO_INCREMENTAL=0 LC_ALL=C TZ=UTC
export RUSTFLAGS="--remap-path-prefix=$PWD=/build --remap-path-prefix=$registry=/cargo ${RUSTFLAGS:-}"
export CFLAGS="-ffile-prefix-map=$PWD=/build -ffile-prefix-map=$registry=/cargo ${CFLAGS:-}"

cargo build --locked --profile "$profile" --package magistrate-server --bin magistrate
built=target/$profile/magistrate
[ "$profile" != dev ] || built=target/debug/magistrate
deploy/pack.sh "$built" target/shipped
