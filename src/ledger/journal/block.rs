//! A compressed block, as it is in checkpoints and packed segments: length (u32) and CRC32C (u32)
//! of what follows, then the length unpacked (u32) and the octets in LZ4. All numbers are
//! little-endian.

/// Octets in front of what the CRC covers.
pub(super) const HEAD: usize = 8;

/// The block as it is in the file.
pub(super) fn pack(octets: &[u8]) -> Vec<u8> {
    let packed = lz4_flex::block::compress_prepend_size(octets);
    let length = packed.len() as u32;
    let crc = crc32c::crc32c(&packed);
    [&length.to_le_bytes()[..], &crc.to_le_bytes()[..], &packed].concat()
}

/// What a block holds, at most `most` octets of it; an error says what is wrong with it.
pub(super) fn unpack(block: &[u8], most: usize, into: &mut Vec<u8>) -> Result<(), &'static str> {
    const WRONG: &str = "the CRC of a block is wrong";
    let (length, rest) = block.split_first_chunk::<4>().ok_or(WRONG)?;
    let (crc, packed) = rest.split_first_chunk::<4>().ok_or(WRONG)?;
    if u32::from_le_bytes(*length) as usize != packed.len()
        || u32::from_le_bytes(*crc) != crc32c::crc32c(packed)
    {
        return Err(WRONG);
    }
    let (length, packed) = packed.split_first_chunk::<4>().ok_or(WRONG)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > most {
        return Err("a block is too long");
    }
    into.resize(length, 0);
    match lz4_flex::block::decompress_into(packed, into) {
        Ok(found) if found == length => Ok(()),
        _ => Err("a block cannot be unpacked"),
    }
}
