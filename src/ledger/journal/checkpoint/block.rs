//! A block of a checkpoint: some rows in key order, compressed, with a CRC. In the file: length
//! (u32) and CRC32C (u32) of what follows, then the length of the rows (u32) and the rows in LZ4. A
//! row is key length (u16), value length (u16), key, value. All numbers are little-endian.

use std::io;

use super::format::damaged;

/// Octets of rows after which a block ends: one is read and unpacked to answer one question.
pub(super) const BLOCK: usize = 4096;

/// Longer rows in a block are damage: one row more than [`BLOCK`] at most.
const MAX_BLOCK: usize = BLOCK + 4 + 2 * u16::MAX as usize;

/// Octets in front of what the CRC covers.
pub(super) const HEAD: usize = 8;

/// Adds one row; false when it is too long.
#[must_use]
pub(super) fn push(rows: &mut Vec<u8>, key: &[u8], value: &[u8]) -> bool {
    let (Ok(key_length), Ok(value_length)) = (u16::try_from(key.len()), u16::try_from(value.len()))
    else {
        return false;
    };
    rows.extend_from_slice(&key_length.to_le_bytes());
    rows.extend_from_slice(&value_length.to_le_bytes());
    rows.extend_from_slice(key);
    rows.extend_from_slice(value);
    true
}

/// The block as it stands in the file.
pub(super) fn pack(rows: &[u8]) -> Vec<u8> {
    let packed = lz4_flex::block::compress_prepend_size(rows);
    let length = packed.len() as u32;
    let crc = crc32c::crc32c(&packed);
    [&length.to_le_bytes()[..], &crc.to_le_bytes()[..], &packed].concat()
}

/// The rows of a block as it stands in the file.
pub(super) fn unpack(block: &[u8], rows: &mut Vec<u8>) -> io::Result<()> {
    let wrong = || damaged("the CRC of a block is wrong");
    let (length, rest) = block.split_first_chunk::<4>().ok_or_else(wrong)?;
    let (crc, packed) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
    if u32::from_le_bytes(*length) as usize != packed.len()
        || u32::from_le_bytes(*crc) != crc32c::crc32c(packed)
    {
        return Err(wrong());
    }
    let (length, packed) = packed.split_first_chunk::<4>().ok_or_else(wrong)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_BLOCK {
        return Err(damaged("a block is too long"));
    }
    rows.resize(length, 0);
    match lz4_flex::block::decompress_into(packed, rows) {
        Ok(found) if found == length => Ok(()),
        _ => Err(damaged("a block cannot be unpacked")),
    }
}

/// Key and value of the row at the beginning, and what comes after it; None at the end, and when
/// it is cut.
pub(super) fn first(rows: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key, rest) = rows.split_first_chunk::<2>()?;
    let (value, rest) = rest.split_first_chunk::<2>()?;
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*key)))?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*value)))?;
    Some((key, value, rest))
}
