//! The classic BPF program that picks a frame's worker: by the pair of its addresses, the same for both directions.
//!
//! It runs before the socket's own look at the frame, so a frame that comes in begins with its network header there, and
//! one that goes out with its link header. The kernel takes the answer modulo the number of sockets. A frame that ends
//! before its addresses, or has none, gives 0.

use libc::sock_filter;

use crate::capture::socket_filter::step;

const LOAD: u32 = libc::BPF_LD | libc::BPF_ABS;
const LOAD_AT_X: u32 = libc::BPF_LD | libc::BPF_IND;
const OUTGOING: u32 = 4;
/// Tags that are stepped over; the first one of a frame that comes in is not in it any more.
const TAGS: u32 = 4;

/// Scratch words.
const TYPE: u32 = 0;
const SUM: u32 = 1;
const SIDE: u32 = 2;

/// Places that are jumped to: 0 .. TAGS look at a type, the same from TAGGED on step over a tag.
const TAGGED: u32 = 10;
const COMES_IN: u32 = 20;
const V4: u32 = 21;
const V6: u32 = 22;
const END: u32 = 23;

/// The program. `key` makes the choice unlike that of the next start: nobody can plan for one worker.
pub(super) fn program(key: [u32; 5]) -> Vec<sock_filter> {
    let mut code = Code::default();
    code.plain(LOAD | libc::BPF_B, (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32);
    code.unless(OUTGOING, COMES_IN);
    code.plain(libc::BPF_LDX | libc::BPF_IMM, 14);
    code.plain(LOAD | libc::BPF_H, 12);
    code.go(0);
    code.mark(COMES_IN);
    code.plain(libc::BPF_LDX | libc::BPF_IMM, 0);
    code.plain(LOAD | libc::BPF_W, (libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL) as u32);
    for tag in 0..TAGS {
        code.mark(tag);
        [0x8100, 0x88a8, 0x9100].iter().for_each(|kind| code.when(*kind, TAGGED + tag));
        code.go(TAGS);
        code.mark(TAGGED + tag);
        code.plain(LOAD_AT_X | libc::BPF_H, 2);
        code.plain(libc::BPF_ST, TYPE);
        code.plain(libc::BPF_MISC | libc::BPF_TXA, 0);
        code.plain(libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K, 4);
        code.plain(libc::BPF_MISC | libc::BPF_TAX, 0);
        code.plain(libc::BPF_LD | libc::BPF_MEM, TYPE);
    }
    code.mark(TAGS);
    code.when(0x0800, V4);
    code.when(0x86dd, V6);
    code.plain(libc::BPF_RET | libc::BPF_K, 0);
    code.mark(V4);
    code.side(&[12], &key, true);
    code.side(&[16], &key, false);
    code.go(END);
    code.mark(V6);
    code.side(&[8, 12, 16, 20], &key, true);
    code.side(&[24, 28, 32, 36], &key, false);
    code.mark(END);
    code.plain(libc::BPF_LD | libc::BPF_MEM, SUM);
    code.fold(16);
    code.plain(libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K, key[4] | 1);
    code.fold(15);
    code.plain(libc::BPF_RET | libc::BPF_A, 0);
    code.finish()
}

/// Instructions with numbers for the places that are jumped to. All jumps go forward.
#[derive(Default)]
struct Code {
    steps: Vec<sock_filter>,
    /// Where each place is.
    marks: Vec<(u32, usize)>,
    /// Which steps jump where.
    jumps: Vec<(usize, u32)>,
}

impl Code {
    fn plain(&mut self, code: u32, k: u32) {
        self.steps.push(step(code, k));
    }

    fn mark(&mut self, place: u32) {
        self.marks.push((place, self.steps.len()));
    }

    fn go(&mut self, place: u32) {
        self.jumps.push((self.steps.len(), place));
        self.plain(libc::BPF_JMP | libc::BPF_JA, 0);
    }

    /// Jumps where the accumulator is `value`.
    fn when(&mut self, value: u32, place: u32) {
        self.steps.push(sock_filter { jf: 1, ..step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value) });
        self.go(place);
    }

    /// Jumps where it is not.
    fn unless(&mut self, value: u32, place: u32) {
        self.steps.push(sock_filter { jt: 1, ..step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value) });
        self.go(place);
    }

    /// Mixes the words of one address and adds them to the sum.
    fn side(&mut self, words: &[u32], key: &[u32; 5], first: bool) {
        for (at, (word, factor)) in words.iter().zip(key).enumerate() {
            if at > 0 {
                self.plain(libc::BPF_ST, SIDE);
            }
            self.plain(LOAD_AT_X | libc::BPF_W, *word);
            self.plain(libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K, factor | 1);
            self.fold(15);
            if at > 0 {
                // The offset register is needed for the sum, and comes back behind it.
                self.add_memory(SIDE);
            }
        }
        self.plain(libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K, key[0].rotate_left(7) | 1);
        self.fold(13);
        if !first {
            self.add_memory(SUM);
        }
        self.plain(libc::BPF_ST, SUM);
    }

    /// A += M[word], with X kept in a scratch word.
    fn add_memory(&mut self, word: u32) {
        const KEPT: u32 = 3;
        self.plain(libc::BPF_STX, KEPT);
        self.plain(libc::BPF_LDX | libc::BPF_MEM, word);
        self.plain(libc::BPF_ALU | libc::BPF_ADD | libc::BPF_X, 0);
        self.plain(libc::BPF_LDX | libc::BPF_MEM, KEPT);
    }

    /// A ^= A >> bits, with X kept.
    fn fold(&mut self, bits: u32) {
        const KEPT: u32 = 4;
        const HALF: u32 = 5;
        self.plain(libc::BPF_STX, KEPT);
        self.plain(libc::BPF_ST, HALF);
        self.plain(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, bits);
        self.plain(libc::BPF_LDX | libc::BPF_MEM, HALF);
        self.plain(libc::BPF_ALU | libc::BPF_XOR | libc::BPF_X, 0);
        self.plain(libc::BPF_LDX | libc::BPF_MEM, KEPT);
    }

    fn finish(mut self) -> Vec<sock_filter> {
        for (from, place) in self.jumps {
            if let Some((_, to)) = self.marks.iter().find(|(mark, _)| *mark == place) {
                self.steps[from].k = (to - from - 1) as u32;
            }
        }
        self.steps
    }
}

#[cfg(test)]
#[path = "fanout_tests.rs"]
mod tests;
