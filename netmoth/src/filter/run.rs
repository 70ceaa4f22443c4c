//! A classic program, run in user space: what tcpdump does with a file.

use super::Filter;
use super::compile::{CELLS, Operand, Step, op, step};

impl Filter {
    /// Whether a frame matches: `data` are the bytes that were captured, `wire_len` is what the frame had on the wire.
    ///
    /// As bpf(4) has it: a load from beyond the captured bytes and a division by zero end the program, and nothing matches.
    pub fn matches(&self, data: &[u8], wire_len: u32) -> bool {
        let mut machine = Machine { a: 0, x: 0, cells: [0; CELLS as usize], data, wire_len };
        let mut at = 0;
        while let Some(step) = self.program.get(at).and_then(step) {
            at += 1;
            match machine.take(step) {
                Next::On(by) => at += by as usize,
                Next::End(matches) => return matches,
            }
        }
        // Not reached: a checked program ends in a return.
        false
    }
}

struct Machine<'a> {
    a: u32,
    x: u32,
    cells: [u32; CELLS as usize],
    data: &'a [u8],
    wire_len: u32,
}

enum Next {
    /// Skip so many.
    On(u32),
    End(bool),
}

impl Machine<'_> {
    fn take(&mut self, step: Step) -> Next {
        let done = match step {
            Step::Load { size, at, relative } => {
                let at = if relative { self.x.checked_add(at) } else { Some(at) };
                at.and_then(|at| self.load(at, size)).map(|value| self.a = value)
            }
            Step::HeaderLength { at } => self.load(at, 1).map(|byte| self.x = (byte & 0x0f) << 2),
            Step::Compute { operation, operand } => self.compute(operation, operand).map(|value| self.a = value),
            Step::Set { x, to } => self.set(x, to),
            Step::Recall { x, cell } => self.set(x, self.cells[cell as usize]),
            Step::Length { x } => self.set(x, self.wire_len),
            Step::Remember { x, cell } => {
                self.cells[cell as usize] = if x { self.x } else { self.a };
                Some(())
            }
            Step::AToX => self.set(true, self.a),
            Step::XToA => self.set(false, self.x),
            Step::Jump { by } => return Next::On(by),
            Step::Branch { operation, operand, then, otherwise } => {
                return Next::On(if self.compare(operation, operand) { then } else { otherwise });
            }
            Step::Return(Operand::Constant(value)) => return Next::End(value != 0),
            Step::Return(Operand::Register) => return Next::End(self.a != 0),
        };
        done.map_or(Next::End(false), |()| Next::On(0))
    }

    fn set(&mut self, x: bool, to: u32) -> Option<()> {
        *(if x { &mut self.x } else { &mut self.a }) = to;
        Some(())
    }

    fn load(&self, at: u32, size: u32) -> Option<u32> {
        let (at, size) = (at as usize, size as usize);
        let bytes = self.data.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    fn operand(&self, operand: Operand) -> u32 {
        match operand {
            Operand::Constant(value) => value,
            Operand::Register => self.x,
        }
    }

    fn compute(&self, operation: u16, operand: Operand) -> Option<u32> {
        let (a, by) = (self.a, self.operand(operand));
        Some(match operation {
            op::ADD => a.wrapping_add(by),
            op::SUB => a.wrapping_sub(by),
            op::MUL => a.wrapping_mul(by),
            op::DIV => a.checked_div(by)?,
            op::MOD => a.checked_rem(by)?,
            op::OR => a | by,
            op::AND => a & by,
            op::XOR => a ^ by,
            // What is shifted out is gone, however far.
            op::LSH => a.checked_shl(by).unwrap_or(0),
            op::RSH => a.checked_shr(by).unwrap_or(0),
            op::NEG => a.wrapping_neg(),
            _ => return None,
        })
    }

    fn compare(&self, operation: u16, operand: Operand) -> bool {
        let (a, with) = (self.a, self.operand(operand));
        match operation {
            op::JEQ => a == with,
            op::JGT => a > with,
            op::JGE => a >= with,
            _ => a & with != 0,
        }
    }
}
