//! The Internet checksum (RFC 1071) of headers whose payload is zeros: zeros add nothing.

/// Adds words.
#[inline]
pub(crate) fn words(words: &[u16]) -> u32 {
    words.iter().map(|&word| u32::from(word)).sum()
}

/// Both halves of a number.
#[inline]
pub(crate) fn halves(number: u32) -> u32 {
    (number >> 16) + (number & 0xffff)
}

/// The checksum of a sum of 16-bit words.
#[inline]
pub(crate) fn finish(sum: u32) -> u16 {
    let folded = halves(halves(sum));
    !(folded as u16)
}
