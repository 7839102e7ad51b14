//! Every limit of a look at the network. What a standard says is where it is used.

use std::time::Duration;

/// The longest wait for one connection, or one step of a conversation.
pub(super) const STEP: Duration = Duration::from_secs(3);
/// How long one name server may take, in the first round and in the second.
pub(super) const NAME_SERVER_ROUNDS: [Duration; 2] =
    [Duration::from_secs(1), Duration::from_secs(2)];
/// More name servers than resolv.conf(5) knows are not asked.
pub(super) const NAME_SERVERS: usize = 3;
/// Octets of a datagram of the DNS: no fragments on any usual network (RFC 9715).
pub(super) const DATAGRAM_OCTETS: u16 = 1232;
/// Records that are read of one answer.
pub(super) const RECORDS: usize = 200;
/// Aliases that are followed.
pub(super) const ALIASES: usize = 8;
/// Domains that are looked at; of more, the first.
pub(super) const DOMAINS: usize = 16;
/// MX hosts that are looked at.
pub(super) const HOSTS: usize = 8;
/// Addresses of one host that are visited.
pub(super) const ADDRESSES: usize = 4;
/// Octets of a line of SMTP (RFC 5321, section 4.5.3.1.5, allows 512).
pub(super) const SMTP_LINE_OCTETS: usize = 2_000;
/// Lines of one reply.
pub(super) const SMTP_REPLY_LINES: usize = 100;
/// Octets of an MTA-STS policy and what is before it (RFC 8461, section 3.2).
pub(super) const POLICY_OCTETS: u64 = 64 << 10;
/// Names of a certificate that are told.
pub(super) const NAMES_TOLD: usize = 5;
/// Letters of one finding.
pub(super) const WORDS: usize = 800;
