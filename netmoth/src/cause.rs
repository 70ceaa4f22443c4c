//! What the system said, in words.

use std::fmt;
use std::io;

/// An error of the system inside a message of ours: its words without the number, which helps nobody at a terminal.
#[derive(Debug)]
pub struct Cause(pub io::Error);

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

impl std::error::Error for Cause {}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.0.to_string();
        f.write_str(words.split(" (os error").next().unwrap_or(&words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_left_out_and_other_words_stay() {
        assert_eq!(Cause(io::Error::from_raw_os_error(libc::ENOENT)).to_string(), "No such file or directory");
        assert_eq!(Cause(io::Error::other("odd")).to_string(), "odd");
    }
}
