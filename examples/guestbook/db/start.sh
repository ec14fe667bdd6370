#!/bin/sh
# Makes the database at the first start, then becomes the server.
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    password=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" >"$password"
    initdb --username="$POSTGRES_USER" --pwfile="$password" --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8
    rm "$password"
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    # The first server listens on its socket only, so that nobody connects before the database is there.
    pg_ctl --wait --options="-c listen_addresses= -k /tmp" start
    createdb --host=/tmp --username="$POSTGRES_USER" "$POSTGRES_DB" 2>/dev/null || true
    pg_ctl --wait --mode=fast stop
fi

exec postgres -c listen_addresses='*' -k /tmp "$@"
