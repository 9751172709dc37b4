#!/bin/sh
# Run once by the Postgres image, on an empty volume: the owner of the product's database, who is no superuser, as with
# a managed Postgres, and a database for Airflow, should that not use SQLite. `migrate` makes the other two roles.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set owner="$VOUCHER_OWNER_PASSWORD" --set airflow="$AIRFLOW_DATABASE_PASSWORD" <<'SQL'
CREATE ROLE voucher LOGIN CREATEROLE PASSWORD :'owner';
CREATE ROLE airflow LOGIN PASSWORD :'airflow';
CREATE DATABASE voucher OWNER voucher;
CREATE DATABASE airflow OWNER airflow;
REVOKE CREATE, TEMPORARY ON DATABASE voucher FROM PUBLIC;
REVOKE ALL ON DATABASE airflow FROM PUBLIC;
SQL
