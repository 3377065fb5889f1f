#!/usr/bin/env bash
# The machine a table was made on. W = the folder the gateways write to.
set -u
w=${W:-.}
field() { sed -n "s/^$1[^:]*: *//p" "$2" | head -1; }
fsync_ms() { # one writer, 4 KiB, synchronous: what a commit costs before it is shared
  local out; out=$(LC_ALL=C dd if=/dev/zero of="$w/fsync.probe" bs=4k count=200 oflag=dsync 2>&1 | sed -n 's/.* copied, \([0-9.e-]*\) s.*/\1/p')
  rm -f "$w/fsync.probe"; awk -v s="$out" 'BEGIN { printf "%.2f", s * 1000 / 200 }'
}
echo "| fact | value |"
echo "|---|---|"
echo "| date | $(date -u '+%F %H:%M UTC') |"
echo "| cpu | $(nproc) cores, $(field 'model name' /proc/cpuinfo) |"
echo "| memory | $(awk '/MemTotal/ { printf "%.1f", $2 / 1048576 }' /proc/meminfo) GiB |"
echo "| kernel | $(uname -sr) |"
echo "| file system | $(stat -f -c %T "$w"), synchronous 4 KiB write $(fsync_ms) ms |"
echo "| rustc | $(rustc --version), profile ${PROFILE:-release} |"
echo "| kannel | $(dpkg-query -W -f '${Version}' kannel 2>/dev/null || echo none) |"
echo "| load before | $(cut -d' ' -f1-3 /proc/loadavg) |"
