#!/bin/sh
# Makes the databases and roles of Regard, once: for each service an owner, for migrations, a role that works in the owner's
# tables and owns nothing, and the role that it takes for work over all tenants. Needs psql; the server and the administrator stand in PGHOST, PGPORT, PGUSER and
# PGPASSWORD or PGPASSWORD_FILE; the passwords in the folder SECRETS (`roles` of secrets.sh).
set -eu
folder=${SECRETS:-/secrets}
if [ -n "${PGPASSWORD_FILE:-}" ]; then
  PGPASSWORD=$(cat "$PGPASSWORD_FILE")
  export PGPASSWORD
fi

sql() { psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 "$@"; }

# role NAME FILE OPTIONS: with the password of a file, which no process list shows.
role() {
  if [ -z "$(echo "SELECT 1 FROM pg_roles WHERE rolname = '$1'" | sql --dbname postgres)" ]; then
    echo "CREATE ROLE $1" | sql --dbname postgres
  fi
  echo "ALTER ROLE $1 LOGIN $3 PASSWORD '$(cat "$folder/$2")'" | sql --dbname postgres
}

for service in customer feedback scoring; do
  role "regard_${service}_owner" "password-$service-owner" "NOCREATEROLE NOCREATEDB NOSUPERUSER NOBYPASSRLS"
  role "regard_$service" "password-$service" "NOINHERIT NOCREATEROLE NOCREATEDB NOSUPERUSER NOBYPASSRLS"
  # Work over all tenants: a role of its own, which the service's takes for one transaction.
  if [ -z "$(echo "SELECT 1 FROM pg_roles WHERE rolname = 'regard_${service}_system'" | sql --dbname postgres)" ]; then
    echo "CREATE ROLE regard_${service}_system NOLOGIN" | sql --dbname postgres
  fi
  version=$(echo "SHOW server_version_num" | sql --dbname postgres)
  if [ "$version" -ge 160000 ]; then
    echo "GRANT regard_${service}_system TO regard_$service WITH INHERIT FALSE, SET TRUE" | sql --dbname postgres
  else
    echo "GRANT regard_${service}_system TO regard_$service" | sql --dbname postgres
  fi
  if [ -z "$(echo "SELECT 1 FROM pg_database WHERE datname = 'regard_$service'" | sql --dbname postgres)" ]; then
    echo "CREATE DATABASE regard_$service OWNER regard_${service}_owner" | sql --dbname postgres
  fi
  echo "REVOKE ALL ON DATABASE regard_$service FROM PUBLIC; GRANT CONNECT ON DATABASE regard_$service TO regard_$service" |
    sql --dbname postgres
  echo "REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT ALL ON SCHEMA public TO regard_${service}_owner" |
    sql --dbname "regard_$service"
done
