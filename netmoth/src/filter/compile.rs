//! From an expression to a checked classic program.

use super::{Filter, FilterError};
use crate::libpcap::{Handle, Instruction};

/// Bytes of a frame that a filter looks at: those of the longest packet. A program returns it where a frame matches.
const SNAPSHOT: u32 = 262_144;

/// Cells of the scratch memory (BPF_MEMWORDS).
pub(super) const CELLS: u32 = 16;

/// Classes of instructions, the low three bits of their code (pcap/bpf.h).
pub(super) mod class {
    pub(crate) const LD: u16 = 0x00;
    pub(crate) const LDX: u16 = 0x01;
    pub(crate) const ST: u16 = 0x02;
    pub(crate) const STX: u16 = 0x03;
    pub(crate) const ALU: u16 = 0x04;
    pub(crate) const JMP: u16 = 0x05;
    pub(crate) const RET: u16 = 0x06;
    pub(crate) const MISC: u16 = 0x07;
}

/// Sizes and modes of loads.
pub(super) const W: u16 = 0x00;
pub(super) const H: u16 = 0x08;
pub(super) const B: u16 = 0x10;
pub(super) const IMM: u16 = 0x00;
pub(super) const ABS: u16 = 0x20;
pub(super) const IND: u16 = 0x40;
pub(super) const MEM: u16 = 0x60;
pub(super) const LEN: u16 = 0x80;
pub(super) const MSH: u16 = 0xa0;

/// Operations.
pub(super) mod op {
    pub(crate) const ADD: u16 = 0x00;
    pub(crate) const SUB: u16 = 0x10;
    pub(crate) const MUL: u16 = 0x20;
    pub(crate) const DIV: u16 = 0x30;
    pub(crate) const OR: u16 = 0x40;
    pub(crate) const AND: u16 = 0x50;
    pub(crate) const LSH: u16 = 0x60;
    pub(crate) const RSH: u16 = 0x70;
    pub(crate) const NEG: u16 = 0x80;
    pub(crate) const MOD: u16 = 0x90;
    pub(crate) const XOR: u16 = 0xa0;
    pub(crate) const JA: u16 = 0x00;
    pub(crate) const JEQ: u16 = 0x10;
    pub(crate) const JGT: u16 = 0x20;
    pub(crate) const JGE: u16 = 0x30;
    pub(crate) const JSET: u16 = 0x40;
}

/// The operand is X, not the constant; of a return, A.
pub(super) const X: u16 = 0x08;
pub(super) const RETURN_A: u16 = 0x10;
/// X becomes A's value, or A X's.
pub(super) const TAX: u16 = 0x00;
pub(super) const TXA: u16 = 0x80;

/// What an instruction does, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A = `size` bytes at k, or at X + k.
    Load { size: u32, at: u32, relative: bool },
    /// A or X = k.
    Set { x: bool, to: u32 },
    /// A or X = M[k].
    Recall { x: bool, cell: u32 },
    /// M[k] = A or X.
    Remember { x: bool, cell: u32 },
    /// A or X = length on the wire.
    Length { x: bool },
    /// X = 4 × the low half of the byte at k: the length of an IPv4 header.
    HeaderLength { at: u32 },
    /// A = A op k, or A op X.
    Compute { operation: u16, operand: Operand },
    /// On by `jt` or `jf`, by a comparison of A.
    Branch { operation: u16, operand: Operand, then: u32, otherwise: u32 },
    /// On by so many.
    Jump { by: u32 },
    /// The end: matches unless 0.
    Return(Operand),
    /// X = A.
    AToX,
    /// A = X.
    XToA,
}

/// What A is combined with; of a return, what is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// The constant.
    Constant(u32),
    /// The other register: X, or A of a return.
    Register,
}

impl Filter {
    /// Compiles an expression for frames of a link type, a DLT of pcap/dlt.h ([`super::ETHERNET`]). The empty one matches all.
    ///
    /// # Errors
    /// What libpcap has against it, in its words; or that there is no libpcap.
    pub fn compile(expression: &str, dlt: i32) -> Result<Self, FilterError> {
        Self::checked(Handle::dead(dlt, SNAPSHOT)?.compile(expression)?)
    }

    /// Compiles an expression for packets of a capture file: of a link type (a LINKTYPE of its header), written by a host of
    /// either byte order.
    ///
    /// # Errors
    /// As [`Filter::compile`].
    pub fn for_file(expression: &str, link_type: u16, big_endian: bool) -> Result<Self, FilterError> {
        Self::checked(Handle::saved(link_type, big_endian, SNAPSHOT)?.compile(expression)?)
    }

    /// The filter of a configuration, for Ethernet; none where the expression is empty.
    ///
    /// # Errors
    /// As [`Filter::compile`].
    pub fn of(expression: &str) -> Result<Option<Self>, FilterError> {
        let wanted = !expression.trim().is_empty();
        wanted.then(|| Self::compile(expression, super::ETHERNET)).transpose()
    }

    /// Whether an expression is one, for frames of any link layer: `wlan type mgt` is none for Ethernet.
    ///
    /// # Errors
    /// What libpcap has against it for Ethernet.
    pub fn is_one(expression: &str) -> Result<(), FilterError> {
        // DLT_IEEE802_11_RADIO, DLT_PPP, DLT_LINUX_SLL: each has words of its own.
        let others = [127, 9, 113];
        match Self::of(expression) {
            Err(error) if others.iter().all(|dlt| Self::compile(expression, *dlt).is_err()) => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes a program that was come by otherwise.
    ///
    /// # Errors
    /// Where it jumps, or reaches, out of its bounds, or has an instruction that there is none of.
    pub fn checked(program: Vec<Instruction>) -> Result<Self, FilterError> {
        // The kernel's own limit for classic programs (BPF_MAXINSNS).
        if program.is_empty() || program.len() > 4_096 {
            return Err(FilterError::Malformed("it has no instruction, or more than 4096"));
        }
        for (at, instruction) in program.iter().enumerate() {
            let left = (program.len() - at - 1) as u32;
            match step(instruction).ok_or(FilterError::Malformed("an instruction that there is none of"))? {
                Step::Branch { then, otherwise, .. } if then.max(otherwise) >= left => {
                    return Err(FilterError::Malformed("a jump behind its end"));
                }
                // protochain alone makes loops, of jumps back, which the kernel does not run for any tool.
                Step::Jump { by } if by >= left => {
                    return Err(FilterError::Malformed("a jump back or behind its end (protochain makes such)"));
                }
                Step::Return(_) | Step::Branch { .. } | Step::Jump { .. } => {}
                Step::Recall { cell, .. } | Step::Remember { cell, .. } if cell >= CELLS => {
                    return Err(FilterError::Malformed("a memory cell that there is none of"));
                }
                Step::Compute { operation: op::DIV | op::MOD, operand: Operand::Constant(0) } => {
                    return Err(FilterError::Malformed("a division by zero"));
                }
                _ if left == 0 => return Err(FilterError::Malformed("no return at its end")),
                _ => {}
            }
        }
        Ok(Self { program })
    }
}

/// Takes an instruction apart; `None` where there is none of this code.
pub(super) fn step(instruction: &Instruction) -> Option<Step> {
    let Instruction { code, jt, jf, k } = *instruction;
    let operand = if code & X == 0 { Operand::Constant(k) } else { Operand::Register };
    Some(match code & 0x07 {
        class::LD => match (code & 0xe0, code & 0x18) {
            (ABS, size) => Step::Load { size: bytes(size)?, at: k, relative: false },
            (IND, size) => Step::Load { size: bytes(size)?, at: k, relative: true },
            (IMM, W) => Step::Set { x: false, to: k },
            (MEM, W) => Step::Recall { x: false, cell: k },
            (LEN, W) => Step::Length { x: false },
            _ => return None,
        },
        class::LDX => match (code & 0xe0, code & 0x18) {
            (MSH, B) => Step::HeaderLength { at: k },
            (IMM, W) => Step::Set { x: true, to: k },
            (MEM, W) => Step::Recall { x: true, cell: k },
            (LEN, W) => Step::Length { x: true },
            _ => return None,
        },
        class::ST if code == class::ST => Step::Remember { x: false, cell: k },
        class::STX if code == class::STX => Step::Remember { x: true, cell: k },
        class::ALU => match code & 0xf0 {
            operation @ (op::ADD..=op::XOR) => Step::Compute { operation, operand },
            _ => return None,
        },
        class::JMP => match code & 0xf0 {
            op::JA if code & X == 0 => Step::Jump { by: k },
            operation @ (op::JEQ..=op::JSET) => {
                Step::Branch { operation, operand, then: jt.into(), otherwise: jf.into() }
            }
            _ => return None,
        },
        class::RET => match code & 0x18 {
            0 => Step::Return(Operand::Constant(k)),
            RETURN_A => Step::Return(Operand::Register),
            _ => return None,
        },
        class::MISC => match code & 0xf8 {
            TAX => Step::AToX,
            TXA => Step::XToA,
            _ => return None,
        },
        _ => return None,
    })
}

fn bytes(size: u16) -> Option<u32> {
    match size {
        W => Some(4),
        H => Some(2),
        B => Some(1),
        _ => None,
    }
}
