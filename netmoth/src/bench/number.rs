//! Numbers as people write them: 3M, 64K, 1.5G.

/// Reads a whole number, which K, M or G multiplies by a thousand, a million or a thousand millions.
///
/// # Errors
/// A sentence for whoever wrote it.
pub fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no number; give one such as 500, 64K, 1.5M or 2G (K is 1,000)");
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1_000_u64),
        Some((at, 'm' | 'M')) => (&text[..at], 1_000_000),
        Some((at, 'g' | 'G')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(part) {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let too_large = || format!("{text:?} is too large");
    let scale = 10_u64.checked_pow(part.len() as u32).filter(|&scale| scale <= 1_000_000_000).ok_or_else(wrong)?;
    let part = part.parse::<u64>().map_err(|_| wrong())?.checked_mul(unit).ok_or_else(too_large)?;
    if part % scale != 0 {
        return Err(format!("{text:?} is no whole number"));
    }
    whole.checked_mul(unit).and_then(|number| number.checked_add(part / scale)).ok_or_else(too_large)
}

/// The same for numbers that 32 bits hold.
///
/// # Errors
/// A sentence for whoever wrote it.
pub fn parse_u32(text: &str) -> Result<u32, String> {
    u32::try_from(parse(text)?).map_err(|_| format!("{text:?} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_multiply() {
        for (text, number) in [
            ("0", 0),
            ("500", 500),
            ("64K", 64_000),
            ("64k", 64_000),
            ("1.5M", 1_500_000),
            ("2G", 2_000_000_000),
            ("3.0", 3),
        ] {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_is_right() {
        for text in ["", "K", "-1", "+1", "1e6", "1,000", "64KB", "1.M", ".5M", "µ", "1.2.3K"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(&format!("{text:?}")) && error.contains("64K"), "{error}");
        }
        assert!(parse("1.5").unwrap_err().contains("whole"));
        assert!(parse("99999999999999999999").is_err());
        assert!(parse("18446744073709551G").unwrap_err().contains("too large"));
        assert!(parse_u32("5G").unwrap_err().contains("too large"));
    }
}
