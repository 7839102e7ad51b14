//! Which addresses may be connected to: those of the internet, and the private networks that the
//! configuration names. A name that leads to our own network would let whoever owns the name reach
//! what is not theirs, so the address is looked at, after the name was resolved, and connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Not of the internet (IANA's special-purpose registries), IPv4.
const SPECIAL_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// What of `2000::/3`, which is all of the internet's IPv6, is not of the internet all the same.
const SPECIAL_V6: &[(Ipv6Addr, u8)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Is it an address of the internet?
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => !SPECIAL_V4.iter().any(|(net, bits)| {
            let mask = u32::MAX << (32 - bits);
            v4.to_bits() & mask == net.to_bits()
        }),
        IpAddr::V6(v6) => {
            // An IPv4 address behind NAT64 (RFC 6052) is that address.
            if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = v6.segments() {
                let bits = (u32::from(high) << 16) | u32::from(low);
                return is_public(Ipv4Addr::from_bits(bits).into());
            }
            let within = |net: &Ipv6Addr, bits: u8| {
                let mask = u128::MAX << (128 - bits);
                v6.to_bits() & mask == net.to_bits()
            };
            v6.segments()[0] & 0xe000 == 0x2000
                && !SPECIAL_V6.iter().any(|(net, bits)| within(net, *bits))
        }
    }
}

/// May it be connected to? Plain text goes to networks that the configuration names, and nowhere
/// else.
pub fn may_connect(address: IpAddr, allowed: &[IpNet], encrypted: bool) -> bool {
    let address = address.to_canonical();
    allowed.iter().any(|net| net.contains(&address)) || (encrypted && is_public(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_internet_is_public() {
        for (address, public) in [
            ("8.8.8.8", true),
            ("172.15.255.255", true),
            ("172.16.0.0", false),
            ("172.31.255.255", false),
            ("172.32.0.0", true),
            ("10.1.2.3", false),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("169.254.169.254", false),
            ("192.168.0.1", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("198.19.0.1", false),
            ("192.0.2.7", false),
            ("2606:4700::1111", true),
            ("2a00:1450:4001::5", true),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("fc00::1", false),
            ("fd12:3456::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
            ("2001:db8::1", false),
            ("2001::1", false),
            ("2002:7f00:1::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("::127.0.0.1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::808:808", true),
            ("64:ff9b:1::808:808", false),
        ] {
            assert_eq!(is_public(address.parse().expect("an address")), public, "{address}");
        }
    }

    #[test]
    fn private_networks_are_named_and_plain_text_stays_in_them() {
        let allowed: Vec<IpNet> = vec!["10.1.0.0/16".parse().expect("a network")];
        for (address, encrypted, may) in [
            ("10.1.2.3", true, true),
            ("10.1.2.3", false, true),
            ("::ffff:10.1.2.3", false, true),
            ("10.2.0.1", true, false),
            ("127.0.0.1", true, false),
            ("8.8.8.8", true, true),
            ("8.8.8.8", false, false),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(may_connect(address, &allowed, encrypted), may, "{address} {encrypted}");
        }
    }
}
