#!/bin/sh
# Makes the root directory of the image: assemble.sh PROGRAM DIRECTORY
# The Dockerfile and the test that runs the program in such a directory both use this.
set -eu

program=$1
root=$2
user=65532

mkdir -p "$root/usr/bin" "$root/etc/ssl/certs" "$root/var/lib/magistrate" "$root/tmp" "$root/run"
install -m 0755 "$program" "$root/usr/bin/magistrate"

# What the program is linked to, the loader among it, at the paths where the loader looks.
ldd "$program" | awk '/=> \//{print $3} /^\t\/.*ld-/{print $1}' | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done

# Who may sign certificates of databases and receivers of telemetry.
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
fi

printf 'magistrate:x:%s:%s::/var/lib/magistrate:/nonexistent\n' "$user" "$user" > "$root/etc/passwd"
printf 'magistrate:x:%s:\n' "$user" > "$root/etc/group"
printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"
chown "$user:$user" "$root/var/lib/magistrate"
chmod 0750 "$root/var/lib/magistrate"
chmod 1777 "$root/tmp"
