#!/bin/sh
# Restore a backup into the Postgres container: docker/restore.sh FILE
# Checks FILE first, then replaces the schema `voucher` in one transaction: readers see all of the backup or, if anything
# fails, what was there before. Afterwards `docker compose up -d --wait` migrates an older backup to this version.
set -eu
file=${1:?"usage: docker/restore.sh FILE"}
case $file in /*) ;; *) file=$PWD/$file ;; esac
cd "$(dirname "$0")/.."

refuse() {
    echo "error: $1; nothing was changed" >&2
    exit 1
}
in_postgres() { docker compose exec -T postgres "$@"; }

[ -f "$file" ] || refuse "there is no file $file"
[ -s "$file" ] || refuse "$file is empty"
server=$(in_postgres psql --username=postgres --tuples-only --no-align --command='SHOW server_version_num' < /dev/null) ||
    refuse "Postgres does not answer; start it by \`docker compose up -d --wait postgres\`"
list=$(in_postgres pg_restore --list < "$file") || refuse "$file is not a backup that this Postgres can read"
dumped=$(echo "$list" | sed -n 's/^; *Dumped from database version: \([0-9]*\).*/\1/p')
[ "${dumped:-0}" -le "$((server / 10000))" ] ||
    refuse "$file is of Postgres $dumped, and this is Postgres $((server / 10000)); restore it into version $dumped or newer"
in_postgres pg_restore --file=/dev/null < "$file" || refuse "$file is cut off or damaged"
revision=$(in_postgres pg_restore --data-only --table=alembic_version --file=- < "$file" | sed -n '/^COPY /{n;p;}')
[ -n "$revision" ] || refuse "$file has no tables of Voucher Select"
code=0
docker compose run --rm --no-deps -T --entrypoint grep migrate \
    -qrF "revision = \"$revision\"" /opt/voucher/pipeline/migrations/versions < /dev/null || code=$?
case $code in
    0) ;;
    1) refuse "$file is of a newer version of Voucher Select (tables $revision); check that version out and build it first" ;;
    *) refuse "the image of migrate does not start; build it by \`docker compose build\`" ;;
esac

echo "restoring $file; this waits while a step of a run is in progress" >&2
# COMMIT is sent only after the whole file was read. The lock is the one of runs: a step in progress finishes first.
restored=$(in_postgres sh -c '{
    echo "SET client_min_messages = warning; BEGIN; SELECT pg_advisory_xact_lock(0x766F7563686572);"
    echo "DROP SCHEMA IF EXISTS voucher CASCADE;"
    pg_restore --file=- && printf "%s\n" "COMMIT;" "\echo restored"
} | psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --output=/dev/null --username=postgres voucher' < "$file") || true
[ "$restored" = restored ] || refuse "$file could not be restored"
echo "restored $file; now run: docker compose up -d --wait"
