//! Instructions of eBPF, as the kernel reads them (linux/bpf.h, Documentation/bpf/standardization/instruction-set.rst).

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Insn {
    code: u8,
    /// Destination in the low half, source in the high one.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct R(pub(super) u8);

/// Bytes of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Byte = 0x10,
    Half = 0x08,
    Word = 0x00,
    Double = 0x18,
}

impl Size {
    pub(super) fn of(bytes: u32) -> Self {
        match bytes {
            1 => Self::Byte,
            2 => Self::Half,
            4 => Self::Word,
            _ => Self::Double,
        }
    }
}

const ALU64: u8 = 0x07;
const ALU32: u8 = 0x04;
const JMP: u8 = 0x05;
const JMP32: u8 = 0x06;
const LDX_MEM: u8 = 0x61;
const ST_MEM: u8 = 0x62;
const STX_MEM: u8 = 0x63;
const MOV: u8 = 0xb0;
const ADD: u8 = 0x00;
const SUB: u8 = 0x10;
const TO_BIG_ENDIAN: u8 = 0xdc;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const LOAD_DOUBLE: u8 = 0x18;
/// The constant is the descriptor of a map (BPF_PSEUDO_MAP_FD).
const MAP_DESCRIPTOR: u8 = 1;
/// The operand is a register.
const FROM_REGISTER: u8 = 0x08;

/// Comparisons that classic BPF has, too, and those that it lacks.
pub(super) const JA: u8 = 0x00;
pub(super) const JEQ: u8 = 0x10;
pub(super) const JGT: u8 = 0x20;
pub(super) const JNE: u8 = 0x50;
pub(super) const JLT: u8 = 0xa0;

impl Insn {
    const fn new(code: u8, to: R, from: R, offset: i16, immediate: i32) -> Self {
        Self { code, registers: to.0 | from.0 << 4, offset, immediate }
    }

    /// to = from, all 64 bits: pointers, too.
    pub(super) const fn copy(to: R, from: R) -> Self {
        Self::new(ALU64 | MOV | FROM_REGISTER, to, from, 0, 0)
    }

    /// to = from, the low half; the high one becomes 0.
    pub(super) const fn copy32(to: R, from: R) -> Self {
        Self::new(ALU32 | MOV | FROM_REGISTER, to, from, 0, 0)
    }

    /// to = value; the high half becomes 0.
    pub(super) const fn set(to: R, value: u32) -> Self {
        Self::new(ALU32 | MOV, to, R(0), 0, value as i32)
    }

    /// to = value, with its sign.
    pub(super) const fn set_signed(to: R, value: i32) -> Self {
        Self::new(ALU64 | MOV, to, R(0), 0, value)
    }

    /// to += value, all 64 bits.
    pub(super) const fn add(to: R, value: i32) -> Self {
        Self::new(ALU64 | ADD, to, R(0), 0, value)
    }

    /// to += from, all 64 bits.
    pub(super) const fn add_register(to: R, from: R) -> Self {
        Self::new(ALU64 | ADD | FROM_REGISTER, to, from, 0, 0)
    }

    /// to -= from, all 64 bits.
    pub(super) const fn subtract(to: R, from: R) -> Self {
        Self::new(ALU64 | SUB | FROM_REGISTER, to, from, 0, 0)
    }

    /// An operation of 32 bits, by its classic number, with a constant.
    pub(super) const fn compute(operation: u16, to: R, value: u32) -> Self {
        Self::new(ALU32 | operation as u8, to, R(0), 0, value as i32)
    }

    /// The same with a register.
    pub(super) const fn compute_register(operation: u16, to: R, from: R) -> Self {
        Self::new(ALU32 | operation as u8 | FROM_REGISTER, to, from, 0, 0)
    }

    /// to = the big-endian number of `bits` bits that its low bits hold.
    pub(super) const fn big_endian(to: R, bits: i32) -> Self {
        Self::new(TO_BIG_ENDIAN, to, R(0), 0, bits)
    }

    /// to = what stands at from + offset.
    pub(super) const fn load(size: Size, to: R, from: R, offset: i16) -> Self {
        Self::new(LDX_MEM | size as u8, to, from, offset, 0)
    }

    /// What stands at to + offset = from.
    pub(super) const fn store(size: Size, to: R, offset: i16, from: R) -> Self {
        Self::new(STX_MEM | size as u8, to, from, offset, 0)
    }

    /// What stands at to + offset = value.
    pub(super) const fn store_constant(size: Size, to: R, offset: i16, value: i32) -> Self {
        Self::new(ST_MEM | size as u8, to, R(0), offset, value)
    }

    /// r0 = the helper of this number; r1 to r5 are its arguments, and gone.
    pub(super) const fn call(helper: i32) -> Self {
        Self::new(CALL, R(0), R(0), 0, helper)
    }

    pub(super) const fn exit() -> Self {
        Self::new(EXIT, R(0), R(0), 0, 0)
    }

    /// to = a map, by its descriptor.
    pub(super) const fn map(to: R, descriptor: i32) -> [Self; 2] {
        [Self::new(LOAD_DOUBLE, to, R(MAP_DESCRIPTOR), 0, descriptor), Self::new(0, R(0), R(0), 0, 0)]
    }

    /// A jump; where to is filled in by [`Insn::to`].
    pub(super) const fn jump() -> Self {
        Self::new(JMP | JA, R(0), R(0), 0, 0)
    }

    /// A jump where the low halves compare so.
    pub(super) const fn jump_if(comparison: u8, left: R, right: u32) -> Self {
        Self::new(JMP32 | comparison, left, R(0), 0, right as i32)
    }

    pub(super) const fn jump_if_register(comparison: u8, left: R, right: R) -> Self {
        Self::new(JMP32 | comparison | FROM_REGISTER, left, right, 0, 0)
    }

    /// A jump where all 64 bits compare so: with pointers, and with what helpers return.
    pub(super) const fn jump_if_double(comparison: u8, left: R, right: i32) -> Self {
        Self::new(JMP | comparison, left, R(0), 0, right)
    }

    pub(super) const fn jump_if_double_register(comparison: u8, left: R, right: R) -> Self {
        Self::new(JMP | comparison | FROM_REGISTER, left, right, 0, 0)
    }

    /// The same jump over so many instructions.
    pub(super) const fn to(self, offset: i16) -> Self {
        Self { offset, ..self }
    }
}

const _: () = assert!(size_of::<Insn>() == 8);
