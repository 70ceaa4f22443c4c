//! Checked reads in network order. A read past the end is `None`, never a panic.

/// Two bytes at `offset`.
#[inline(always)]
pub(super) fn be16(data: &[u8], offset: usize) -> Option<u16> {
    data.get(offset..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// Four bytes at `offset`.
#[inline(always)]
pub(super) fn be32(data: &[u8], offset: usize) -> Option<u32> {
    data.get(offset..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// The sixteen bytes of an address at `offset`.
#[inline(always)]
pub(super) fn address(data: &[u8], offset: usize) -> Option<[u8; 16]> {
    data.get(offset..)?.first_chunk().copied()
}
