//! What a filter costs a frame: `cargo test --release --lib filter::tests::cost -- --ignored --nocapture`, as root.

use super::kernel::{Kernel, is_root};
use crate::filter::{ETHERNET, Filter, ProgramKind};

const EXPRESSIONS: [&str; 6] = [
    "",
    "ip",
    "tcp and port 22",
    "port 80 or port 443",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "net 10.0.0.0/8 and not (host 10.1.2.3 or port 53 or port 123 or portrange 6000-7000)",
];

#[test]
#[ignore = "it measures"]
#[expect(clippy::print_stdout, reason = "it prints what it measures")]
fn nanoseconds_of_a_filter_in_the_kernel() {
    if !is_root() {
        return;
    }
    let mut frame = vec![0; 60];
    (frame[12], frame[14], frame[17], frame[23], frame[26], frame[30], frame[35], frame[37]) =
        (8, 0x45, 46, 6, 10, 10, 200, 22);
    for kind in [ProgramKind::Xdp, ProgramKind::SchedCls] {
        let kernel = Kernel::new(kind);
        let all: Vec<_> =
            EXPRESSIONS.iter().map(|text| kernel.load(&Filter::compile(text, ETHERNET).unwrap()).unwrap()).collect();
        let mut rounds = vec![Vec::new(); all.len()];
        for _ in 0..9 {
            all.iter().zip(&mut rounds).for_each(|(loaded, into)| into.push(loaded.run(&frame, 1_000_000).1));
        }
        for (text, mut round) in EXPRESSIONS.iter().zip(rounds) {
            round.sort_unstable();
            println!("{kind:?}: {:>4} ns  {text:?}", round[4]);
        }
    }
}
