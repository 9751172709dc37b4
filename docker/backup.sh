#!/bin/sh
# Back up the published tables of the Postgres container: docker/backup.sh [FOLDER [KEEP]]
# Writes FOLDER/voucher-DATE.dump and deletes all but the newest KEEP files; without arguments, 14 in backups/.
#
# A dump is written to a temporary name, read back, and only then gets its own. If anything fails or is killed before,
# the exit code is not 0 and the earlier backups stay as they are.
set -eu
umask 077
folder=${1:-$(dirname "$0")/../backups} keep=${2:-14}
case $keep in '' | *[!0-9]* | 0) echo "error: KEEP is '$keep', but must be a number of at least 1" >&2 && exit 2 ;; esac
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cd "$(dirname "$0")/.."

find "$folder" -name '.partial.*' -mtime +0 -exec rm -f {} +  # left by a backup that was killed
partial=$(mktemp "$folder/.partial.XXXXXX")
trap 'rm -f "$partial"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

if ! docker compose exec -T postgres pg_dump --username=postgres --format=custom --schema=voucher voucher > "$partial" ||
    ! docker compose exec -T postgres pg_restore --file=/dev/null < "$partial"; then
    echo "error: no backup was made; the earlier ones in $folder are unchanged" >&2
    exit 1
fi
sync
file=$folder/voucher-$(date -u +%Y-%m-%dT%H-%M-%SZ).dump
mv "$partial" "$file"
echo "$file"

find "$folder" -name 'voucher-*.dump' | sort -r | tail -n "+$((keep + 1))" | while IFS= read -r old; do
    rm -f "$old"
done
