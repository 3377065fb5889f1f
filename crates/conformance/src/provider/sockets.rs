//! Which peers this process is connected to, asked of the kernel (Linux; elsewhere it sees nothing).

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Peers of this process's sockets that are not on loopback.
pub(super) fn foreign() -> Vec<SocketAddr> {
    let own = own_inodes();
    let tables = ["tcp", "tcp6", "udp", "udp6"].map(|name| fs::read_to_string(format!("/proc/self/net/{name}")));
    let rows = tables.iter().flatten().flat_map(|table| table.lines().skip(1)).filter_map(row);
    rows.filter(|(peer, inode)| own.contains(inode) && is_foreign(peer)).map(|(peer, _)| peer).collect()
}

fn is_foreign(peer: &SocketAddr) -> bool {
    let ip = peer.ip().to_canonical();
    !ip.is_loopback() && !ip.is_unspecified()
}

fn own_inodes() -> HashSet<String> {
    let links = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let inode = |link: fs::DirEntry| {
        let target = fs::read_link(link.path()).ok()?.to_string_lossy().into_owned();
        Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    links.filter_map(inode).collect()
}

/// The peer and the inode of a line of `/proc/net/tcp`.
fn row(line: &str) -> Option<(SocketAddr, String)> {
    let mut fields = line.split_whitespace();
    let peer = fields.nth(2)?;
    let inode = fields.nth(6)?;
    let (ip, port) = peer.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((SocketAddr::new(address(ip)?, port), inode.to_owned()))
}

/// Groups of four bytes in the machine's order.
fn address(hex: &str) -> Option<IpAddr> {
    let words = hex.as_bytes().chunks(8).map(|word| {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        Some(word.to_ne_bytes())
    });
    let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.concat();
    match bytes.len() {
        4 => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))),
        16 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let line = "   1: 0100007F:1F90 0A01A8C0:0050 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1";
        let (peer, inode) = row(line).unwrap();
        assert_eq!((peer.port(), inode.as_str()), (80, "4711"));
        if cfg!(target_endian = "little") {
            assert_eq!(peer.ip(), IpAddr::from([192, 168, 1, 10]));
        }
        assert!(is_foreign(&peer));
        assert_eq!(row("  sl  local_address rem_address"), None);
    }

    #[test]
    fn loopback_and_listeners_are_not_foreign() {
        for near in ["127.0.0.1:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "0.0.0.0:0", "[::]:0"] {
            assert!(!is_foreign(&near.parse().unwrap()), "{near}");
        }
        assert!(is_foreign(&"[2001:db8::1]:80".parse().unwrap()));
    }

    #[test]
    fn our_own_sockets_are_found() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let before = own_inodes().len();
        assert!(before > 0, "the listener is a socket");
        drop(listener);
    }
}
