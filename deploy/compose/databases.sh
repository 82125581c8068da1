#!/bin/sh
# The databases and roles of compose.yaml, with the passwords that secrets.sh has made.
set -eu
sql() { psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --dbname postgres "$@"; }

for service in order_intake installer mailer api; do
    sql --set "service=$service" --file /deploy/postgresql/service.sql
done
for role in owner staff order_intake installer mailer api; do
    sql --set "role=sitecrew_$role" <<'SQL'
\set password `cat /secrets/passwords/:role`
ALTER ROLE :"role" PASSWORD :'password';
SQL
done
