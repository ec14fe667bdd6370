#!/bin/sh
# Gives ketch an image named debian:bookworm-slim, made from Debian's packages with this machine's own apt
# configuration. Does nothing when there is one.
set -eu

ketch=${KETCH:-ketch}
image=debian:bookworm-slim
"$ketch" image inspect "$image" >/dev/null 2>&1 && exit 0

echo "making $image with mmdebstrap"
if [ -e /etc/apt/sources.list.d/debian.sources ]; then
    sources=/etc/apt/sources.list.d/debian.sources
else
    sources=/etc/apt/sources.list
fi
# As in the published image: no manuals, no translations, and dpkg told to leave them out later too.
mmdebstrap --quiet --mode=root --variant=minbase --format=tar \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --aptopt='Apt::Install-Recommends "false"' \
    bookworm - "$sources" |
    "$ketch" image import --change 'CMD ["bash"]' - "$image"
