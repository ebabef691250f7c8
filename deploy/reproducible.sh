#!/usr/bin/env bash
# Builds what is shipped twice, from clones of this commit at paths of different lengths, and compares the archives byte
# by byte. Takes two builds' time (a quarter of an hour of one core each with the `dist` profile); no test runs it.
#   deploy/reproducible.sh
#   PROFILE=dev deploy/reproducible.sh      a cheaper build, which shows as well that no path gets in
set -euo pipefail
cd "$(dirname "$0")/.."

here=$PWD
work=$(mktemp -d "${TMPDIR:-/tmp}/reproducible.XXXXXX")
trap 'rm -rf "$work"' EXIT
places=("$work/one" "$work/another/and/a/longer/path")
for place in "${places[@]}"; do
  git clone --quiet --no-hardlinks "$here" "$place"
  "$place/deploy/dist.sh"
done

archive=$(basename "${places[0]}"/target/shipped/*.tar.gz)
if ! cmp "${places[0]}/target/shipped/$archive" "${places[1]}/target/shipped/$archive"; then
  diff -rq "${places[0]}/target/shipped/${archive%.tar.gz}" "${places[1]}/target/shipped/${archive%.tar.gz}" || true
  exit 1
fi
if strings -a "${places[0]}/target/shipped/${archive%.tar.gz}/magistrate" | grep -F -e "$work" -e "${CARGO_HOME:-$HOME/.cargo}"; then
  echo "the program names paths of this machine" >&2
  exit 1
fi
echo "$archive: twice the same bytes"
