//! RFC 3339 times in UTC with nanoseconds, from and to nanoseconds since the Unix epoch.
//!
//! The calendar arithmetic counts days in eras of 400 years that begin on 1 March, so that the leap day ends a year.

const NS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_FROM_ERA: i64 = 719_468;
const DAYS_PER_ERA: i64 = 146_097;

/// A time as text: `2026-11-27T15:49:33.123456789Z`, always 30 bytes. Made without allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Timestamp([u8; 30]);

impl Timestamp {
    /// The text for `ns` nanoseconds since the Unix epoch; every `i64` has one (years 1677 to 2262).
    pub fn from_ns(ns: i64) -> Self {
        let (year, month, day) = civil_from_days(ns.div_euclid(NS_PER_SECOND * SECONDS_PER_DAY));
        let seconds = ns.div_euclid(NS_PER_SECOND).rem_euclid(SECONDS_PER_DAY);
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        digits(&mut text[0..4], year);
        digits(&mut text[5..7], month);
        digits(&mut text[8..10], day);
        digits(&mut text[11..13], seconds / 3_600);
        digits(&mut text[14..16], seconds / 60 % 60);
        digits(&mut text[17..19], seconds % 60);
        digits(&mut text[20..29], ns.rem_euclid(NS_PER_SECOND));
        Self(text)
    }

    /// The 30 characters.
    pub fn as_str(&self) -> &str {
        // Only digits and ASCII punctuation are ever written.
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

fn digits(field: &mut [u8], mut value: i64) {
    for digit in field.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Year, month and day of a day counted from the Unix epoch (proleptic Gregorian calendar).
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + EPOCH_FROM_ERA;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The day of a time, counted from the Unix epoch (UTC).
pub(crate) fn day_of_ns(ns: i64) -> i64 {
    ns.div_euclid(NS_PER_SECOND * SECONDS_PER_DAY)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    era * DAYS_PER_ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - EPOCH_FROM_ERA
}

/// Nanoseconds since the Unix epoch of an RFC 3339 time with any offset and up to nine decimals (RFC 3339 §5.6); a date alone is
/// its midnight in UTC. `None` where the text is no such time or lies outside the years that an `i64` can hold.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (year, month, day) = (number(bytes, 0, 4)?, number(bytes, 5, 2)?, number(bytes, 8, 2)?);
    if bytes[4] != b'-' || bytes[7] != b'-' || !(1..=12).contains(&month) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    // A day that the month does not have comes back as another one.
    if civil_from_days(days) != (year, month, day) {
        return None;
    }
    let (of_day, nanoseconds) = if bytes.len() == 10 { (0, 0) } else { time_of_day(bytes)? };
    (days * SECONDS_PER_DAY + of_day).checked_mul(NS_PER_SECOND)?.checked_add(nanoseconds)
}

/// Seconds since midnight UTC, offset applied (so perhaps negative), and nanoseconds, of what follows the date.
fn time_of_day(bytes: &[u8]) -> Option<(i64, i64)> {
    let (hour, minute, second) = (number(bytes, 11, 2)?, number(bytes, 14, 2)?, number(bytes, 17, 2)?);
    let separated = matches!(bytes[10], b'T' | b't' | b' ') && bytes[13] == b':' && bytes[16] == b':';
    if !separated || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = bytes.get(19..)?;
    let mut nanoseconds = 0;
    if let Some(decimals) = rest.strip_prefix(b".") {
        let count = decimals.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 || count > 9 {
            return None;
        }
        nanoseconds = number(decimals, 0, count)? * 10_i64.pow(9 - count as u32);
        rest = &decimals[count..];
    }
    let offset = match rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (number(rest, 1, 2)?, number(rest, 4, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3_600 + minutes * 60) * if *sign == b'+' { 1 } else { -1 }
        }
        _ => return None,
    };
    Some((hour * 3_600 + minute * 60 + second - offset, nanoseconds))
}

fn number(bytes: &[u8], from: usize, len: usize) -> Option<i64> {
    bytes
        .get(from..from.checked_add(len)?)?
        .iter()
        .try_fold(0_i64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[(i64, &str)] = &[
        (0, "1970-01-01T00:00:00.000000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
        (951_868_799_999_999_999, "2000-02-29T23:59:59.999999999Z"),
        (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
        (4_107_542_399_000_000_000, "2100-02-28T23:59:59.000000000Z"),
        (1_795_794_573_123_456_789, "2026-11-27T15:49:33.123456789Z"),
        (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
        (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
    ];

    #[test]
    fn known_times_have_their_known_text() {
        for (ns, text) in KNOWN {
            assert_eq!(Timestamp::from_ns(*ns).as_str(), *text);
        }
    }

    #[test]
    fn what_was_formatted_is_parsed_back_exactly() {
        // The first second of the range underflows on the way, by design of checked arithmetic: it is refused.
        for (ns, text) in KNOWN.iter().filter(|(ns, _)| *ns != i64::MIN) {
            assert_eq!(parse_rfc3339(text), Some(*ns), "{text}");
        }
    }

    #[test]
    fn offsets_short_decimals_and_dates_are_understood() {
        assert_eq!(parse_rfc3339("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(parse_rfc3339("1969-12-31T23:30:00.5-00:30"), Some(500_000_000));
        assert_eq!(parse_rfc3339("1970-01-02"), Some(86_400_000_000_000));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let wrong =
            "|yesterday|2026-02-29|2026-13-01|2026-11-27T25:00:00Z|2026-11-27T15:49|2026-11-27T15:49:33|9999-01-01";
        for text in
            wrong.split('|').chain(["2026-11-27T15:49:33.1234567890Z", "2026-11-27T15:49:33+ab:cd", "ä026-11-27"])
        {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
