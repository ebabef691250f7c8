#!/usr/bin/env bash
# Packs a program that is built: pack.sh PROGRAM DIRECTORY
# The archive holds the program, its completions and manual pages, its bill of materials, and the checksums of all that;
# times and owners are fixed, so that the same program gives the same bytes. SOURCE_DATE_EPOCH is the time.
set -euo pipefail

built=$(realpath "$1")
mkdir -p "$2"
shipped=$(realpath "$2")
cd "$(dirname "$0")/.."

export LC_ALL=C TZ=UTC
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
host=$(rustc -vV | sed -n 's/^host: //p')
name=magistrate-$("$built" --version | cut -d' ' -f2)-$host
out=$shipped/$name
rm -rf "$out"
mkdir -p "$out/completions" "$out/man" "$out/systemd"
strip -o "$out/magistrate" "$built"
for shell in bash zsh fish; do "$built" completion "$shell" > "$out/completions/magistrate.$shell"; done
"$built" man --dir "$out/man" > /dev/null
python3 deploy/supply-chain/sbom.py "$host" > "$out/sbom.cdx.json"
cp LICENSE README.md CHANGELOG.md "$out/"
cp deploy/systemd/* "$out/systemd/"
# Whatever the umask was, and whatever modes the files had here.
find "$out" -type d -exec chmod 0755 {} +
find "$out" -type f -exec chmod 0644 {} +
chmod 0755 "$out/magistrate"
(cd "$out" && find . -type f ! -name SHA256SUMS | sort | xargs sha256sum > SHA256SUMS)
chmod 0644 "$out/SHA256SUMS"
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$shipped" -cf - "$name" \
  | gzip -n > "$out.tar.gz"
(cd "$shipped" && sha256sum "$name.tar.gz")
