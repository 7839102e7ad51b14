#!/bin/sh
# secrets.sh: makes ./secrets for compose.yaml: the key of return paths, the tokens of an admin and of
# Prometheus, the password of Grafana. What is there is kept. The containers read the files as users
# of their own, so the files are readable and the folder is closed: on the host only you come in. When
# root runs this, the key belongs to bounced alone.
set -eu
cd "$(dirname "$0")"
umask 022
mkdir -p secrets
chmod 700 secrets
random() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
# Whole or not at all: an empty key would be refused, an empty token would be no token.
make() { [ -s "secrets/$1" ] || { random > "secrets/$1.new" && mv "secrets/$1.new" "secrets/$1"; }; }
for secret in verp.key admin.token prometheus.token grafana.password; do make "$secret"; done
hash() { printf %s "$(cat "secrets/$1")" | sha256sum | cut -d' ' -f1; }
[ -s secrets/tokens ] || printf 'admin %s admin\nread %s prometheus\n' "$(hash admin.token)" "$(hash prometheus.token)" > secrets/tokens
if [ "$(id -u)" = 0 ]; then
  chown 65532:65532 secrets/verp.key secrets/tokens
  chmod 600 secrets/verp.key secrets/tokens
fi
