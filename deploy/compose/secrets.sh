#!/bin/sh
# Makes what docker-compose.yml reads from files: passwords, a certificate authority and a certificate for the nodes.
# secrets.sh [DIRECTORY]; what is there already is left alone.
set -eu

directory=${1:-$(dirname "$0")/secrets}
user=65532
umask 077
mkdir -p "$directory"

secret() {
  [ -s "$directory/$1" ] || openssl rand -hex 24 > "$directory/$1"
}

for name in postgres_password app_password admin_password auditor_password; do
  secret "$name"
done

if [ ! -s "$directory/ca.pem" ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=magistrate compose CA" \
    -keyout "$directory/ca.key" -out "$directory/ca.pem" 2>/dev/null
fi

if [ ! -s "$directory/tls_key" ]; then
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=magistrate" \
    -keyout "$directory/tls_key" -out "$directory/tls.csr" 2>/dev/null
  printf 'subjectAltName=DNS:magistrate-1,DNS:magistrate-2,DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n' \
    > "$directory/tls.ext"
  openssl x509 -req -in "$directory/tls.csr" -CA "$directory/ca.pem" -CAkey "$directory/ca.key" -CAcreateserial \
    -days 365 -extfile "$directory/tls.ext" -out "$directory/tls_certificate" 2>/dev/null
  rm -f "$directory/tls.csr" "$directory/tls.ext"
fi

# The containers' user must read its secrets, and compose mounts files with the owner they have here.
if [ "$(id -u)" = 0 ]; then
  chown "$user:$user" "$directory"/app_password "$directory"/admin_password "$directory"/auditor_password \
    "$directory"/tls_key "$directory"/tls_certificate "$directory"/postgres_password
else
  echo "run as root, or: sudo chown $user:$user $directory/*_password $directory/tls_*" >&2
fi
echo "secrets are in $directory; give ca.pem to callers"
