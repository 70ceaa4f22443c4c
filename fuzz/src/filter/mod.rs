//! Any bytes as an expression of tcpdump's language and frames: what libpcap compiles says the same in user space, in XDP and
//! at traffic control, or is refused with a reason.
//!
//! Without the rights to load programs, the expression is compiled and run in user space alone.

mod expression;

use netmoth::filter::trial::Trial;
use netmoth::filter::{ETHERNET, Filter, FilterError, ProgramKind};

use expression::{Choices, expression};

/// Longest expression: the parser of libpcap recurses.
const LONGEST: usize = 2_000;

/// Shortest frame that any kernel tries a program on, whatever the frame says it is: with the headers of Ethernet and IPv6.
const SHORTEST: usize = 14 + 40;

thread_local! {
    /// Places to try programs in; none where this process may not.
    static TRIALS: Vec<Trial> =
        [ProgramKind::Xdp, ProgramKind::SchedCls].into_iter().filter_map(|kind| Trial::new(kind).ok()).collect();
}

/// Compiles the expression that the input stands for, loads it, and runs it on what is left of the input.
pub fn filter(input: &[u8]) {
    let mut choices = Choices::of(input);
    let text = expression(&mut choices, 4);
    if text.len() > LONGEST {
        return;
    }
    let frame = frame(choices.rest());
    let filter = match Filter::compile(&text, ETHERNET) {
        Ok(filter) => filter,
        // libpcap has its reasons; what it compiled must be a program that can be run, but for loops, which it makes for protochain
        // alone.
        Err(FilterError::Libpcap(error)) => return assert!(!error.to_string().is_empty(), "{text}"),
        Err(error) => panic!("{text}: {error}"),
    };
    let length = frame.len() as u32;
    let lengths = [SHORTEST, SHORTEST + 8, frame.len()].map(|length| length.min(frame.len()));
    TRIALS.with(|trials| {
        for trial in trials {
            let loaded = trial.load(&filter).unwrap_or_else(|error| panic!("{text}: {error}"));
            for length in lengths {
                let frame = &frame[..length];
                let said = loaded.matches(frame).unwrap_or_else(|error| panic!("{text}, {length} bytes: {error}"));
                assert_eq!(said, filter.matches(frame, length as u32), "{text}: {frame:02x?}");
            }
        }
    });
    // A frame of a capture file may be cut anywhere.
    for cut in 0..frame.len() {
        std::hint::black_box(filter.matches(&frame[..cut], length));
    }
}

/// As long as the kernel wants one at least.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = bytes.to_vec();
    frame.resize(frame.len().max(SHORTEST), 0);
    frame
}
