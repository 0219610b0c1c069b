#!/bin/sh
# Makes what an installation keeps secret, once, in the folder SECRETS: an authority with a certificate for each server, the
# passwords of the database's roles, the secret from which ids follow, the key of personal data, and a key for callers.
# What is there stays: run again it adds what is missing, and certificates that end within 30 days are made anew.
# Needs openssl. Everything is readable by UID (65532: Regard's user) alone; the database's key by DATABASE_UID.
set -eu
umask 077
folder=${SECRETS:-/secrets}
uid=${UID_OF_REGARD:-65532}
database_uid=${UID_OF_DATABASE:-999}
days=${DAYS:-365}
cd "$folder"

random() { openssl rand -hex 32; }

# once NAME COMMAND…: the file appears with its content or not at all.
once() {
  [ -s "$1" ] && return 0
  file=$1
  shift
  "$@" >"$file.new"
  mv "$file.new" "$file"
}

once id-secret random
once master-key random
once postgres-password random
for role in customer feedback scoring; do
  once "password-$role" random
  once "password-$role-owner" random
done
once shop-key random

if [ ! -s ca.pem ]; then
  openssl ecparam -genkey -name prime256v1 -noout -out ca.key
  openssl req -x509 -new -key ca.key -sha256 -days 3650 -subj "/CN=authority of this installation" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" -out ca.pem
fi

# certificate NAME NAMES: for a server that is called by these names, and that is known to others by them.
certificate() {
  if [ -s "$1.pem" ] && openssl x509 -in "$1.pem" -noout -checkend 2592000 >/dev/null; then return 0; fi
  openssl ecparam -genkey -name prime256v1 -noout | openssl pkcs8 -topk8 -nocrypt -out "$1.key.new"
  openssl req -new -key "$1.key.new" -subj "/CN=$1" -out "$1.csr"
  printf 'subjectAltName=%s\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=critical,CA:FALSE\n' \
    "$2" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -sha256 -days "$days" -extfile "$1.ext" \
    -out "$1.pem.new" 2>/dev/null
  rm -f "$1.csr" "$1.ext"
  mv "$1.key.new" "$1.key"
  mv "$1.pem.new" "$1.pem"
}

# The URI tells the other services who calls: the role `service` may read the feeds and look up keys.
for name in customer feedback scoring; do
  certificate "$name" "DNS:$name,DNS:localhost,URI:regard://default/$name?role=service"
done
# Who makes tenants, keys and roles: `regard admin … --cert-file /secrets/operator.pem --cert-key-file /secrets/operator.key`.
certificate operator "URI:regard://default/operator?role=operator"
certificate database "DNS:database,DNS:localhost"

# Passwords of the database in the form that its clients look up: host, port, database, role, password.
: >pgpass.new
for role in customer feedback scoring; do
  printf '*:*:*:regard_%s:%s\n' "$role" "$(cat "password-$role")" >>pgpass.new
  printf '*:*:*:regard_%s_owner:%s\n' "$role" "$(cat "password-$role-owner")" >>pgpass.new
done
mv pgpass.new pgpass

if [ "$(id -u)" = 0 ]; then
  chown "$uid:$uid" ./*
  chown "$database_uid:$database_uid" database.key database.pem postgres-password
  chown 0:0 ca.key
fi
chmod 0400 ./*
chmod 0444 ca.pem ./*.pem
chmod 0711 .
