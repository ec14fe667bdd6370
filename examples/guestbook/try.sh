#!/bin/sh
# What a user would type to see the guestbook work. Leaves nothing behind but images.
set -eu
cd "$(dirname "$0")"

KETCH=${KETCH:-ketch}
GUESTBOOK_PORT=${GUESTBOOK_PORT:-8080}
export KETCH GUESTBOOK_PORT
address=http://localhost:$GUESTBOOK_PORT/
entry="signed at $(date)"

run() {
    echo "\$ ketch $*"
    "$KETCH" "$@"
}

trap '"$KETCH" down -v >/dev/null 2>&1' EXIT

../base-image.sh
run up -d --build --wait
echo "\$ curl --data '$entry' $address"
curl --silent --show-error --fail --data "$entry" "$address"

run down
run up -d --wait
echo "\$ curl $address"
curl --silent --show-error --fail "$address" | tee /dev/stderr | grep --quiet --fixed-strings "$entry" 2>&1
echo "The entry survived. The guestbook answers at $address"

run ps
run logs --tail 5
run down -v
trap - EXIT
