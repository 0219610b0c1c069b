#!/bin/sh
# Makes what an installation keeps secret, once, in the folder SECRETS: in `kept` an authority, the passwords of the database's
# roles and of the cache, the secret from which ids follow, the key of personal data, and a key for callers; and beside it a
# folder for each process with copies of what it alone needs, and no more: a hole in one gives nothing of the others away.
# What is there stays: run again it adds what is missing, and certificates that end within 30 days are made anew.
# Needs openssl. What Regard's processes get is readable by UID_OF_REGARD (65532) alone; what database and cache get, by
# UID_OF_DATABASE and UID_OF_CACHE; `kept` and what makes the roles, by root.
set -eu
umask 077
folder=${SECRETS:-/secrets}
uid=${UID_OF_REGARD:-65532}
database_uid=${UID_OF_DATABASE:-999}
cache_uid=${UID_OF_CACHE:-999}
days=${DAYS:-365}
mkdir -p "$folder/kept"
cd "$folder/kept"

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
once password-cache random
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
# Who makes tenants, keys and roles.
certificate operator "URI:regard://default/operator?role=operator"
certificate database "DNS:database,DNS:localhost"
certificate cache "DNS:cache,DNS:localhost"

# Passwords of the database in the form that its clients look up: host, port, database, role, password.
login() { printf '*:*:*:%s:%s\n' "$1" "$(cat "$2")"; }
for role in customer feedback scoring; do
  login "regard_$role" "password-$role" >"pgpass-$role"
done
# The migrations are the owner's; the service's role is asked who it is.
for role in customer feedback scoring; do
  login "regard_${role}_owner" "password-$role-owner"
  login "regard_$role" "password-$role"
done >pgpass-owners
printf 'requirepass %s\n' "$(cat password-cache)" >redis.conf
printf 'rediss://:%s@cache:6379\n' "$(cat password-cache)" >redis-url

# give WHO UID FILE[=NAME]…: copies for one process; each is replaced as a whole.
give() {
  to=$folder/$1
  owner=$2
  shift 2
  mkdir -p "$to"
  for file in "$@"; do
    name=${file#*=}
    cp "${file%%=*}" "$to/$name.new"
    [ "$(id -u)" != 0 ] || chown "$owner:$owner" "$to/$name.new"
    case $name in *.pem) chmod 0444 "$to/$name.new" ;; *) chmod 0400 "$to/$name.new" ;; esac
    mv -f "$to/$name.new" "$to/$name"
  done
  chmod 0711 "$to"
}

for name in customer feedback; do
  give "$name" "$uid" ca.pem "$name.pem" "$name.key" id-secret master-key shop-key redis-url "pgpass-$name=pgpass"
done
# It holds no personal data.
give scoring "$uid" ca.pem scoring.pem scoring.key id-secret shop-key redis-url pgpass-scoring=pgpass
give migrate "$uid" ca.pem pgpass-owners=pgpass
give operator "$uid" ca.pem operator.pem operator.key
give database "$database_uid" database.pem database.key postgres-password
give cache "$cache_uid" ca.pem cache.pem cache.key redis.conf password-cache=password
give roles 0 ca.pem postgres-password \
  password-customer password-customer-owner password-feedback password-feedback-owner password-scoring password-scoring-owner
