#!/bin/sh
# Makes the pictures of the live page, from real runs: needs Chromium. From the top of the repository:
#   docs/pictures/make.sh [target/release/tidegate]
set -eu
tidegate=${1:-target/release/tidegate}
folder=$(dirname "$0")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# picture NAME PRESET SECONDS WIDTH,HEIGHT QUERY: the page when the preset has run for so long, and
# three seconds of it.
picture() {
    "$tidegate" demo --no-open --preset "$2" >"$scratch/address" &
    program=$!
    sleep "$3"
    url=$(sed -n 's/^the page: //p' "$scratch/address")
    chromium --headless --no-sandbox --disable-gpu --user-data-dir="$scratch/browser" \
        --virtual-time-budget=20000 --hide-scrollbars --window-size="$4" \
        --screenshot="$folder/$1.png" "$url&frames=60&$5" >/dev/null 2>&1
    kill "$program"
    wait "$program" 2>/dev/null || true
}

picture live blocked 3 1100,700 ''
picture bytes slow 3 760,250 'only=bytes'
picture door blocked 3 1000,240 'only=doors'
