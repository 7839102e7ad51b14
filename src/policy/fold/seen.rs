//! About how many addresses a scope saw in 24 hours: a HyperLogLog of 256 registers for each hour,
//! merged when the blast-radius cap asks. Within 7 %, and integers only.

use crate::ledger::{LedgerError, Rows};
use crate::mail::Timestamp;
use crate::policy::privacy::share_in;
use crate::policy::share::{REGISTERS, share_of};

const HOUR_MS: i64 = 3_600_000;
const HOURS: i64 = 24;

fn key(scope: &str, hour: i64) -> Vec<u8> {
    format!("g/s/{scope}/{hour:012}").into_bytes()
}

/// Remembers that an address was seen.
pub(crate) fn note(
    rows: &mut dyn Rows,
    scope: &str,
    address: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let hour = now.millis().div_euclid(HOUR_MS).max(0);
    let key = key(scope, hour);
    let stored = rows.get(&key)?;
    if stored.is_none() {
        // A new hour: what is older than a day goes.
        let prefix = format!("g/s/{scope}/").into_bytes();
        let oldest = self::key(scope, (hour - HOURS).max(0));
        for (old, _) in rows.scan(&prefix, &[], 2 * HOURS as usize)? {
            if old < oldest {
                rows.put(old, None);
            }
        }
    }
    let mut registers = stored.unwrap_or_default();
    registers.resize(REGISTERS, 0);
    // What is left of an erased address has the same share.
    let share = share_in(address).unwrap_or_else(|| share_of(address));
    let [place, rank] = share.to_be_bytes();
    let place = usize::from(place);
    if let Some(register) = registers.get_mut(place)
        && *register < rank
    {
        *register = rank;
        rows.put(key, Some(registers));
    }
    Ok(())
}

/// How many were seen in the last 24 hours.
pub(crate) fn estimate(rows: &dyn Rows, scope: &str, now: Timestamp) -> Result<u64, LedgerError> {
    let hour = now.millis().div_euclid(HOUR_MS).max(0);
    let oldest = key(scope, (hour - HOURS + 1).max(0));
    let newest = key(scope, hour);
    let mut merged = [0u8; REGISTERS];
    // Hours that saw nobody have no row; one scan finds the others.
    let prefix = format!("g/s/{scope}/").into_bytes();
    for (key, registers) in rows.scan(&prefix, &[], 2 * HOURS as usize)? {
        if key.len() != newest.len() || key < oldest || key > newest {
            continue;
        }
        for (all, one) in merged.iter_mut().zip(registers) {
            *all = (*all).max(one);
        }
    }
    // The raw estimate alpha * m^2 / sum(2^-M), in fixed point. It is too high for few addresses,
    // where the fixed cap decides anyway.
    let sum: u128 = merged.iter().map(|m| 1u128 << (64 - u32::from((*m).min(60)))).sum();
    let alpha_m2 = 7183 * (REGISTERS * REGISTERS) as u128 / 10_000;
    Ok(u64::try_from((alpha_m2 << 64) / sum.max(1)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::MemoryRows;

    #[test]
    fn counts_distinct_addresses_of_a_day_within_a_fifth() {
        let mut rows = MemoryRows::over(());
        for n in 0..40_000i64 {
            // Each address twice: the second time counts nothing.
            for _ in 0..2 {
                let now = Timestamp::from_millis(n % 24 * HOUR_MS);
                note(&mut rows, "news", &format!("u{n}@example.com"), now).expect("memory");
            }
        }
        let late = Timestamp::from_millis(23 * HOUR_MS);
        let seen = estimate(&rows, "news", late).expect("memory");
        assert!((32_000..48_000).contains(&seen), "{seen}");
        assert_eq!(rows.rows.len(), 24);
        let week = Timestamp::from_millis(170 * HOUR_MS);
        note(&mut rows, "news", "u1@example.com", week).expect("memory");
        assert_eq!(rows.rows.len(), 1);
        assert!(estimate(&rows, "news", week).expect("memory") < 300);
    }
}
