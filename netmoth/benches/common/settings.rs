//! How a benchmark is told what to do: by cargo, by arguments, by the environment.

use netmoth::bench::Format;

/// How to print; `None` where it is no time to measure: `cargo test --all-targets` runs benchmarks, too.
#[expect(clippy::print_stderr, reason = "a command line that is not understood is answered")]
pub(crate) fn asked() -> Option<Format> {
    if !std::env::args().any(|argument| argument == "--bench") {
        return None;
    }
    match Format::from_arguments() {
        Ok(format) => Some(format),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2)
        }
    }
}

/// A number out of the environment.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// The core of the sender, where there is one for the sensor (CPU 0), too.
pub(crate) fn sending_cpu() -> usize {
    let cpus = std::thread::available_parallelism().unwrap().get();
    assert!(cpus > 1, "the sender and the sensor need a core each");
    cpus - 1
}
