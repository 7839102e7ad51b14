//! The share of one address in the estimate of addresses seen (`fold/seen.rs`): 16 bits, which a
//! forgotten address leaves in its mark (`privacy.rs`).

use crate::policy::judge::row::hash;

/// Registers of an estimate.
pub(crate) const REGISTERS: usize = 256;

/// What an address adds to the estimate: its register and its rank.
pub(crate) fn share_of(address: &str) -> u16 {
    let hash = hash(&["seen", address]);
    let place = (hash % REGISTERS as u64) as u8;
    let rank = (hash / REGISTERS as u64).trailing_zeros().min(55) as u8 + 1;
    u16::from_be_bytes([place, rank])
}
