//! Where in the text a key stands, and what the YAML reader's errors mean.

use super::Problem;
use super::schema::KEYS;

/// The line (from 1) of `key`, which may be `section.key`; keys inside comments and values don't count.
pub(super) fn line_of(text: &str, key: &str) -> Option<usize> {
    let (section, name) = key.rsplit_once('.').map_or((None, key), |(section, name)| (Some(section), name));
    let mut inside = section.is_none();
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let Some((found, _)) = trimmed.split_once(':') else { continue };
        if trimmed.starts_with('#') || trimmed.is_empty() {
            continue;
        }
        let found = found.trim().trim_matches(['"', '\'']);
        let nested = line.len() != trimmed.len();
        if !nested {
            inside = section.is_none_or(|section| section == found);
        }
        if inside && nested == section.is_some() && found == name {
            return Some(index + 1);
        }
    }
    None
}

/// A problem out of an error of the YAML reader.
pub(super) fn problem(text: &str, error: &serde_yaml::Error) -> Problem {
    let whole = error.to_string();
    // The reader appends the place; it is ours to say.
    let message = whole.split(" at line ").next().unwrap_or(&whole).to_owned();
    let (section, message) = split_path(&message);
    let line = error.location().map(|place| place.line());
    if let Some(unknown) = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) {
        let key = join(section, unknown);
        let message = match nearest(&key) {
            Some(known) => format!("unknown key; did you mean {known}?"),
            None => "unknown key; config_ebpf.yml lists all there are".into(),
        };
        return Problem { line: line_of(text, &key).or(line), key, message };
    }
    if let Some(double) = message.strip_prefix("duplicate field `").and_then(|rest| rest.split('`').next()) {
        let key = join(section, double);
        return Problem { line, key, message: "is given twice; keep one".into() };
    }
    if let Some(missing) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        let line = section.and_then(|section| line_of(text, section)).or(line);
        return Problem { line, key: join(section, missing), message: "is missing; add it".into() };
    }
    let key = section.unwrap_or("YAML").to_owned();
    Problem { line: line_of(text, &key).or(line), key, message: plain(message) }
}

/// `postgres.host: message` into path and message, where what stands before the colon is a key.
fn split_path(message: &str) -> (Option<&str>, &str) {
    match message.split_once(": ") {
        Some((path, rest)) if KEYS.contains(&path) => (Some(path), rest),
        // A list's element: queues[2].
        Some((path, rest)) if path.split_once('[').is_some_and(|(key, _)| KEYS.contains(&key)) => {
            (path.split_once('[').map(|(key, _)| key), rest)
        }
        _ => (None, message),
    }
}

fn join(section: Option<&str>, name: &str) -> String {
    section.map_or_else(|| name.to_owned(), |section| format!("{section}.{name}"))
}

const ADDRESS: &str = "an address and a port, as in 127.0.0.1:9470 or \"[::1]:9470\"";

/// serde's words for types in those of a person.
fn plain(message: &str) -> String {
    let types = [
        ("usize", "a number that is not negative"),
        ("u64", "a number of seconds or bytes"),
        ("u32", "a number"),
        ("u16", "a number up to 65,535"),
        ("socket address", ADDRESS),
    ];
    let mut text = message.replace("invalid type: ", "wrong type: found ").replace("invalid value: ", "wrong value: ");
    for (name, words) in types {
        text = text.replace(&format!("expected {name}"), &format!("expected {words}"));
    }
    text = text.replace("invalid socket address syntax", &format!("wrong value: expected {ADDRESS}"));
    text.replace("expected a boolean", "expected true or false").replace("unknown variant", "unknown value")
}

/// The known key that a misspelt one is nearest to, if it is near at all.
fn nearest(key: &str) -> Option<&'static str> {
    let (best, distance) = KEYS.iter().map(|known| (*known, distance(key, known))).min_by_key(|(_, d)| *d)?;
    (distance <= 1 + key.len() / 4).then_some(best)
}

/// Levenshtein distance, with a swap of neighbours as one step.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let step = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    step.min(rows[i - 2][j - 2] + 1)
                } else {
                    step
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_its_section_and_not_in_comments() {
        let text = "# udp: 5\nsensor: 'udp: no'\ntimeouts:\n  # udp: 7\n  udp: 9\nwriter: {}\n";
        assert_eq!(line_of(text, "timeouts.udp"), Some(5));
        assert_eq!(line_of(text, "udp"), None);
        assert_eq!(line_of(text, "writer"), Some(6));
        assert_eq!(line_of(text, "postgres.udp"), None);
    }

    #[test]
    fn a_misspelt_key_is_recognised_and_a_strange_one_is_not() {
        assert_eq!(nearest("max_core"), Some("max_cores"));
        assert_eq!(nearest("interfcae"), Some("interface"));
        assert_eq!(nearest("postgres.pasword"), Some("postgres.password"));
        assert_eq!(nearest("kafka_brokers"), None);
    }
}
