#!/bin/sh
# Create databases and roles, and set the passwords of .env. The Postgres image runs this on an empty volume. After a
# password has changed in .env, run it again with `docker compose exec`.
#
# The owner of the tables is not a superuser, as in a managed Postgres. The database `airflow` is for Airflow, which uses
# SQLite by default. `migrate` creates the roles of the pipeline and the API.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username postgres --dbname postgres \
    --set superuser="$POSTGRES_PASSWORD" --set owner="$VOUCHER_OWNER_PASSWORD" --set airflow="$AIRFLOW_DATABASE_PASSWORD" <<'SQL'
SELECT 'CREATE ROLE voucher LOGIN CREATEROLE' WHERE to_regrole('voucher') IS NULL \gexec
SELECT 'CREATE ROLE airflow LOGIN' WHERE to_regrole('airflow') IS NULL \gexec
ALTER ROLE postgres PASSWORD :'superuser';
ALTER ROLE voucher PASSWORD :'owner';
ALTER ROLE airflow PASSWORD :'airflow';
SELECT format('CREATE DATABASE %I OWNER %I', name, name) FROM unnest(ARRAY['voucher', 'airflow']) AS name
    WHERE name NOT IN (SELECT datname FROM pg_database) \gexec
REVOKE CREATE, TEMPORARY ON DATABASE voucher FROM PUBLIC;
REVOKE ALL ON DATABASE airflow FROM PUBLIC;
SQL
