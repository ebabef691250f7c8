#!/usr/bin/env bash
# Builds what is shipped: the program, its completions and manual pages, its bill of materials, and their checksums, in
# target/shipped/magistrate-VERSION-TARGET.tar.gz. The same sources and the same toolchain give the same bytes wherever
# the directory lies.
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
version=$("$built" --version | cut -d' ' -f2)
host=$(rustc -vV | sed -n 's/^host: //p')
name=magistrate-$version-$host
out=target/shipped/$name
rm -rf "$out"
mkdir -p "$out/completions" "$out/man"
install -m 0755 "$built" "$out/magistrate"
strip "$out/magistrate"
for shell in bash zsh fish; do "$built" completion "$shell" > "$out/completions/magistrate.$shell"; done
"$built" man --dir "$out/man" > /dev/null
python3 deploy/supply-chain/sbom.py "$host" > "$out/sbom.cdx.json"
cp LICENSE README.md CHANGELOG.md "$out/"
(cd "$out" && find . -type f ! -name SHA256SUMS | sort | xargs sha256sum > SHA256SUMS)
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C target/shipped -cf - "$name" \
  | gzip -n > "target/shipped/$name.tar.gz"
(cd target/shipped && sha256sum "$name.tar.gz")
