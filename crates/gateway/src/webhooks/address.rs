//! Which addresses are on the public internet (IANA's special-purpose registries), and which only look so: IPv4 inside
//! IPv6 is judged as IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a stranger's URL may lead there.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Whether a URL's host may be connected to as far as can be told without looking it up: a literal address must be
/// public; names are judged by their addresses.
pub(super) fn host_may_be_public(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse().map_or(true, is_public)
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !V4_SPECIAL.iter().any(|(network, bits)| {
        let mask = u32::MAX << (32 - u32::from(*bits));
        u32::from(ip) & mask == u32::from(Ipv4Addr::from(*network)) & mask
    })
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let [first, second, third, .., high, low] = segments;
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match segments {
        // Mapped, compatible and translated addresses (loopback and unspecified are among them as 0.0.0.x), and NAT64's
        // well-known prefix; its local prefixes (64:ff9b:1::/48) are the network's own business.
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => {
            is_public_v4(v4(high, low))
        }
        // 6to4 carries the IPv4 address of its gateway.
        [0x2002, ..] => is_public_v4(v4(second, third)),
        // Teredo, ORCHID, benchmarking, documentation.
        [0x2001, 0 | 0x2 | 0x10..=0x2f | 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        // ISATAP: an IPv4 address in the interface part.
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => is_public_v4(v4(high, low)) && is_global_unicast(first),
        _ => is_global_unicast(first),
    }
}

/// `2000::/3`; everything else (unique local, link local, multicast, discard, `64:ff9b:1::/48` …) is special.
fn is_global_unicast(first: u16) -> bool {
    first & 0xe000 == 0x2000
}

/// IPv4 networks that are not public, with their lengths.
const V4_SPECIAL: [([u8; 4], u8); 17] = [
    ([0, 0, 0, 0], 8),        // this network
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // carriers' shared addresses
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // a cloud's host
    ([169, 254, 0, 0], 16),   // link local, and clouds' metadata
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 31, 196, 0], 24),  // AS112
    ([192, 52, 193, 0], 24),  // AMT
    ([192, 88, 99, 0], 24),   // 6to4 relays
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarking
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 3),      // multicast, reserved, broadcast
];

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    #[test]
    fn public_addresses_pass() {
        for ip in
            ["93.184.216.34", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "223.255.255.255"]
        {
            assert!(public(ip), "{ip}");
        }
        for ip in ["2606:2800:220:1::1", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:0808:0808::1"] {
            assert!(public(ip), "{ip}");
        }
    }

    #[test]
    fn private_and_special_addresses_do_not() {
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.254",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!public(ip), "{ip}");
            assert!(!public(&format!("::ffff:{ip}")), "mapped {ip}");
            assert!(!public(&format!("::ffff:0:{ip}")), "translated {ip}");
            assert!(!public(&format!("::{ip}")), "compatible {ip}");
            assert!(!public(&format!("64:ff9b::{ip}")), "NAT64 {ip}");
            assert!(!public(&format!("2606::5efe:{ip}")), "ISATAP {ip}");
        }
        for ip in [
            "::",
            "::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "2002:0a00:0001::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
            "64:ff9b:1::1",
            "5f00::1",
            "4000::1",
        ] {
            assert!(!public(ip), "{ip}");
        }
    }
}
