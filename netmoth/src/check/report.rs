//! The answers as they are printed: a table for a person, a JSON object for a program.

use std::io::{self, Write};

use serde::Serialize;

use super::{Check, Status};

/// The JSON object.
#[derive(Serialize)]
struct Report<'a> {
    checks: &'a [Check],
    ok: usize,
    warn: usize,
    fail: usize,
}

/// A line for each answer, the remedy below it, and at the end how many are fine.
///
/// # Errors
/// Where `out` can't be written to.
pub fn table(mut out: impl Write, checks: &[Check], colour: bool) -> io::Result<()> {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in checks {
        let (word, start) = match check.status {
            Status::Ok => ("ok  ", "\x1b[32m"),
            Status::Warn => ("WARN", "\x1b[33m"),
            Status::Fail => ("FAIL", "\x1b[31m"),
        };
        let (start, end) = if colour { (start, "\x1b[0m") } else { ("", "") };
        writeln!(out, "{start}{word}{end}  {:<width$}  {}", check.name, check.found)?;
        if let Some(remedy) = &check.remedy {
            writeln!(out, "      {:width$}  -> {remedy}", "")?;
        }
    }
    let Report { ok, warn, fail, .. } = Report::of(checks);
    writeln!(out, "\n{} checks: {ok} ok, {warn} to look at, {fail} failed", checks.len())?;
    out.flush()
}

/// One object on one line: `checks`, each with `name`, `status` (ok, warn, fail), `found` and `remedy` (null where nothing is to
/// be done), and the numbers `ok`, `warn` and `fail`.
///
/// # Errors
/// Where `out` can't be written to.
pub fn json(mut out: impl Write, checks: &[Check]) -> io::Result<()> {
    serde_json::to_writer(&mut out, &Report::of(checks))?;
    writeln!(out)?;
    out.flush()
}

impl<'a> Report<'a> {
    fn of(checks: &'a [Check]) -> Self {
        let count = |status| checks.iter().filter(|check| check.status == status).count();
        Self { checks, ok: count(Status::Ok), warn: count(Status::Warn), fail: count(Status::Fail) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> [Check; 2] {
        [Check::ok("kernel", "Linux 6.12"), Check::fail("other programs", "one", "stop it")]
    }

    fn printed(colour: bool) -> String {
        let mut out = Vec::new();
        table(&mut out, &checks(), colour).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn answers_are_aligned_and_a_remedy_follows_its_answer() {
        let expected = "ok    kernel          Linux 6.12\nFAIL  other programs  one\n                      -> stop it\n\n\
                        2 checks: 1 ok, 0 to look at, 1 failed\n";
        assert_eq!(printed(false), expected);
    }

    #[test]
    fn colour_is_added_on_request_alone() {
        assert!(printed(true).contains("\x1b[31mFAIL\x1b[0m") && !printed(false).contains('\x1b'));
    }

    #[test]
    fn the_object_holds_the_answers_and_their_numbers() {
        let mut out = Vec::new();
        json(&mut out, &checks()).unwrap();
        let expected = r#"{"checks":[{"name":"kernel","status":"ok","found":"Linux 6.12","remedy":null},"#.to_owned()
            + r#"{"name":"other programs","status":"fail","found":"one","remedy":"stop it"}],"ok":1,"warn":0,"fail":1}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected + "\n");
    }
}
