//! The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): the client that a load
//! balancer speaks for.
//!
//! Only connections from `proxy_from` come here, and each must begin with a header: one without is
//! closed, because its client would be counted as the proxy itself. `UNKNOWN` and `LOCAL` (health
//! checks) count as the proxy. Nothing after the header is read.

use std::io;
use std::net::SocketAddr;

use ppp::{HeaderResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::admission::Peer;
use super::limits;

/// The first octets of version 2, and of any header as many as the shortest one has.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Fixed part of a header of version 2; its last two octets are the length of the rest.
const FIXED: usize = 16;
/// Longest rest that is read: addresses, and the notes that proxies add.
const MAX_REST: usize = 2048;
/// Longest line of version 1 with its line end.
const MAX_LINE: usize = 107;

/// The client of a connection from `proxy`; None when no header came in time, or none that can be
/// read.
pub async fn client<S: AsyncRead + Unpin>(stream: &mut S, proxy: Peer) -> Option<Peer> {
    match timeout(limits::PROXY_HEADER, header(stream)).await {
        Ok(Ok(Some(client))) => Some(Peer::Ip(client)),
        Ok(Ok(None)) => Some(proxy),
        Ok(Err(why)) => {
            tracing::warn!(%proxy, %why, "closed: no PROXY header; see proxy_from");
            None
        }
        Err(_) => {
            tracing::warn!(%proxy, "closed: no PROXY header came in time; see proxy_from");
            None
        }
    }
}

/// Reads a header and not an octet more. None: the proxy speaks for itself.
async fn header<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<SocketAddr>> {
    let mut octets = vec![0; SIGNATURE.len()];
    stream.read_exact(&mut octets).await?;
    if octets == SIGNATURE {
        octets.resize(FIXED, 0);
        stream.read_exact(octets.get_mut(SIGNATURE.len()..).unwrap_or_default()).await?;
        let rest = match octets.as_slice() {
            [.., high, low] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => 0,
        };
        if rest > MAX_REST {
            return Err(io::Error::other("the header is too long"));
        }
        octets.resize(FIXED + rest, 0);
        stream.read_exact(octets.get_mut(FIXED..).unwrap_or_default()).await?;
    } else if octets.starts_with(b"PROXY ") {
        while !octets.ends_with(b"\r\n") {
            if octets.len() >= MAX_LINE {
                return Err(io::Error::other("the header is too long"));
            }
            octets.push(stream.read_u8().await?);
        }
    } else {
        return Err(io::Error::other("the connection does not begin with one"));
    }
    match HeaderResult::parse(&octets) {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Tcp4(a) => Some((a.source_address, a.source_port).into()),
            v1::Addresses::Tcp6(a) => Some((a.source_address, a.source_port).into()),
            v1::Addresses::Unknown => None,
        }),
        HeaderResult::V2(Ok(header)) => Ok(match (header.command, header.addresses) {
            (v2::Command::Local, _) => None,
            (_, v2::Addresses::IPv4(a)) => Some((a.source_address, a.source_port).into()),
            (_, v2::Addresses::IPv6(a)) => Some((a.source_address, a.source_port).into()),
            (_, v2::Addresses::Unix(_) | v2::Addresses::Unspecified) => None,
        }),
        HeaderResult::V1(Err(why)) => Err(io::Error::other(why.to_string())),
        HeaderResult::V2(Err(why)) => Err(io::Error::other(why.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [&SIGNATURE[..], &[0x20 | command, family], &length, rest].concat()
    }

    #[tokio::test]
    async fn headers_name_the_client_and_nothing_behind_them_is_read() {
        let v4 = [&[192, 0, 2, 7, 10, 0, 0, 1], &[0xb0, 0x0f, 0, 25][..]].concat();
        let mut v6 = [0u8; 36];
        v6[..16]
            .copy_from_slice(&"2001:db8::7".parse::<std::net::Ipv6Addr>().expect("one").octets());
        v6[32..34].copy_from_slice(&[0x12, 0x34]);
        let noted = [&v4[..], &[0x04, 0, 1, 0]].concat();
        for (octets, client) in [
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 25\r\n".to_vec(), Ok(Some("192.0.2.7:4711"))),
            (
                b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 25\r\n".to_vec(),
                Ok(Some("[2001:db8::7]:4711")),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), Ok(None)),
            (version_2(1, 0x11, &v4), Ok(Some("192.0.2.7:45071"))),
            (version_2(1, 0x11, &noted), Ok(Some("192.0.2.7:45071"))),
            (version_2(1, 0x21, &v6), Ok(Some("[2001:db8::7]:4660"))),
            (version_2(0, 0x00, &[]), Ok(None)),
            (b"EHLO client.example\r\n".to_vec(), Err(())),
            (b"PROXY TCP4 nonsense 10.0.0.1 4711 25\r\n".to_vec(), Err(())),
            ([b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat(), Err(())),
            (version_2(1, 0x11, &[0; 3000]), Err(())),
            (version_2(1, 0x11, &[1, 2]), Err(())),
            (b"PROXY TC".to_vec(), Err(())),
        ] {
            let shown = octets.escape_ascii().to_string();
            let all = [&octets[..], b"EHLO next"].concat();
            let mut stream = &all[..];
            // Without anything after it, the short ones end.
            let mut short = &octets[..];
            let read = match client {
                Err(()) => header(&mut short).await,
                Ok(_) => header(&mut stream).await,
            };
            let read = read.map(|client| client.map(|c| c.to_string())).map_err(|_| ());
            assert_eq!(read, client.map(|c| c.map(str::to_string)), "{shown}");
            if client.is_ok() {
                assert_eq!(stream, b"EHLO next", "{shown}");
            }
        }
    }
}
