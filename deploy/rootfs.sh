#!/bin/sh
# Lays out the file system of the image: one binary, the shared objects it names, CA roots, a user. No shell, no libc tools.
#   deploy/rootfs.sh BINARY DIR
set -eu
binary=$1 root=$2
mkdir -p "$root/usr/bin" "$root/etc/ssl/certs" "$root/etc/gateway" "$root/var/lib/gateway/data" "$root/tmp"
chmod 1777 "$root/tmp"
install -m 0755 "$binary" "$root/usr/bin/gateway"
# ldd prints "name => /path (addr)" or "/path (addr)" for the loader itself; both are copied under their own path.
ldd "$binary" | awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^\//) print $i }' | sort -u | while read -r object; do
  mkdir -p "$root$(dirname "$object")"
  cp -L "$object" "$root$object"
done
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
echo 'gateway:x:65532:65532:gateway:/var/lib/gateway:/nonexistent' >"$root/etc/passwd"
echo 'gateway:x:65532:' >"$root/etc/group"
# Name look-ups go through files and DNS; glibc reads this file for the order.
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
