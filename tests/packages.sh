#!/bin/sh
# Installs the Debian packages that `make test`, `make bench` or `make demo` needs. Says what it does; does nothing when all are here.
set -eu

case "$1" in
    # busybox: what test images are made of. A registry, and another client of it. The others look at the host from outside of ketch.
    test) wanted="busybox-static:busybox mmdebstrap:mmdebstrap iproute2:ip util-linux:nsenter curl:curl nftables:nft \
docker-registry:docker-registry skopeo:skopeo openssl:openssl" ;;
    # For the layers of images, and tar, which is compared with.
    bench) wanted="busybox-static:busybox mmdebstrap:mmdebstrap docker-registry:docker-registry skopeo:skopeo zstd:zstd" ;;
    demo) wanted="mmdebstrap:mmdebstrap curl:curl" ;;
    *) echo "usage: packages.sh test|bench|demo" >&2; exit 2 ;;
esac

PATH=$PATH:/usr/sbin:/sbin
missing=""
for pair in $wanted; do
    command -v "${pair#*:}" >/dev/null 2>&1 || missing="$missing ${pair%%:*}"
done
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "missing packages:$missing" >&2
    echo "hint: install them, or run this as root on Debian" >&2
    exit 1
fi
echo "installing:$missing"
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $missing >/dev/null
