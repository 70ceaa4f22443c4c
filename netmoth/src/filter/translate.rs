//! From classic BPF to eBPF, for a program that is called with a frame: by XDP, or by traffic control.
//!
//! A and X live in registers that calls leave alone, the memory cells on the stack, all of it 0 at the start, as classic BPF
//! wants it. A load from a fixed place in an XDP frame reads it in place. Every other load asks the kernel for the bytes: a
//! verifier that grants CAP_BPF alone allows no variable offsets in packets. The end is a tail call, to the one who takes the
//! frame or to the one who lets it pass; where there is nobody, it passes.
//!
//! At traffic control a VLAN tag may have left the frame for its metadata. libpcap's program reads plain offsets: so the loads
//! see the tag where it was.

use super::compile::{CELLS, Operand, Step, op, step};
use super::ebpf::{Insn, JEQ, JGT, JLT, JNE, R, Size};
use super::{Filter, FilterError, ProgramKind};
use netmoth_shared::{STAGE_MATCHED, STAGE_UNMATCHED};

/// Results of helpers, and its arguments.
const R0: R = R(0);
const R1: R = R(1);
const R2: R = R(2);
const R3: R = R(3);
const R4: R = R(4);
/// The context.
const CTX: R = R(6);
const A: R = R(7);
const X: R = R(8);
/// XDP: where the frame begins. Traffic control: bytes of the tag that is not in it, 4 or 0.
const FRAME: R = R(9);
const TAG: R = R(9);
/// The top of the stack, below which everything is.
const STACK: R = R(10);

/// Places on the stack: the cells, what a load has brought, and the start of a frame whose tag is put back.
const CELL: i16 = -4 * CELLS as i16;
const BROUGHT: i16 = CELL - 8;
const START: i16 = BROUGHT - 24;

/// Helpers by number (linux/bpf.h).
const TAIL_CALL: i32 = 12;
const SKB_LOAD_BYTES: i32 = 26;
const XDP_GET_BUFF_LEN: i32 = 188;
const XDP_LOAD_BYTES: i32 = 189;

/// Offsets in `struct xdp_md`.
const XDP_DATA: i16 = 0;
const XDP_DATA_END: i16 = 4;
/// And in `struct __sk_buff`.
const SKB_LEN: i16 = 0;
const SKB_VLAN_PRESENT: i16 = 20;
const SKB_VLAN_TCI: i16 = 24;
const SKB_VLAN_PROTOCOL: i16 = 28;

/// Where a tag stands in a frame, and where it ends.
const TAG_AT: u32 = 12;
const TAG_END: u32 = 16;

/// Farthest byte that is read in place: an offset has 16 bits, and its sign.
const IN_PLACE: u32 = 4_096;
/// Farthest offset that a frame can have.
const FARTHEST: i32 = 0xffff;

/// How frames of XDP are read where the place isn't fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// By helpers, which kernels have from 5.18 on.
    Helpers,
    /// In place: what older kernels want CAP_PERFMON for (or CAP_SYS_ADMIN).
    InPlace,
}

/// Where a jump goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// A classic instruction.
    Classic(usize),
    Match,
    NoMatch,
    /// A place by its own name.
    Label(usize),
}

/// The translation of a filter.
pub(super) fn translate(
    filter: &Filter,
    kind: ProgramKind,
    reach: Reach,
    stages: i32,
) -> Result<Vec<Insn>, FilterError> {
    let mut translator = Translator::new(kind, reach, filter.program().len());
    translator.begin();
    // Jumps go forward alone, so whether one is reached is known when its turn comes. The kernel refuses what isn't.
    let mut reached = vec![false; filter.program().len()];
    reached[0] = true;
    for (at, instruction) in filter.program().iter().enumerate() {
        if reached[at] {
            translator.classic[at] = translator.code.len();
            let step = step(instruction).ok_or(FilterError::Malformed("an instruction that there is none of"))?;
            translator.step(at, step);
            successors(at, step).into_iter().flatten().for_each(|next| reached[next] = true);
        }
    }
    translator.end(stages)
}

/// The instructions that may be next.
fn successors(at: usize, step: Step) -> [Option<usize>; 2] {
    match step {
        Step::Return(_) => [None; 2],
        Step::Load { relative: false, at: place, .. } | Step::HeaderLength { at: place } if is_too_far(place) => {
            [None; 2]
        }
        Step::Jump { by } => [Some(at + 1 + by as usize), None],
        Step::Branch { then, otherwise, .. } => [then, otherwise].map(|by| Some(at + 1 + by as usize)),
        _ => [Some(at + 1), None],
    }
}

/// No frame has a byte there.
fn is_too_far(place: u32) -> bool {
    place > FARTHEST as u32
}

struct Translator {
    kind: ProgramKind,
    reach: Reach,
    code: Vec<Insn>,
    /// Where each classic instruction's translation begins.
    classic: Vec<usize>,
    labels: Vec<usize>,
    /// Jumps whose place is open.
    open: Vec<(usize, Target)>,
}

impl Translator {
    fn new(kind: ProgramKind, reach: Reach, length: usize) -> Self {
        Self { kind, reach, code: Vec::new(), classic: vec![0; length], labels: Vec::new(), open: Vec::new() }
    }

    fn emit(&mut self, instructions: impl IntoIterator<Item = Insn>) {
        self.code.extend(instructions);
    }

    fn jump(&mut self, jump: Insn, target: Target) {
        self.open.push((self.code.len(), target));
        self.code.push(jump);
    }

    /// A place that is still to come.
    fn label(&mut self) -> usize {
        self.labels.push(usize::MAX);
        self.labels.len() - 1
    }

    /// It is here.
    fn place(&mut self, label: usize) {
        self.labels[label] = self.code.len();
    }

    fn begin(&mut self) {
        self.emit([Insn::copy(CTX, R1), Insn::set(A, 0), Insn::set(X, 0)]);
        // Nothing on the stack is left unset, which a verifier with fewer rights refuses to read.
        self.emit((START..0).step_by(8).map(|at| Insn::store_constant(Size::Double, STACK, at, 0)));
        match self.kind {
            ProgramKind::Xdp => self.emit([Insn::load(Size::Word, FRAME, CTX, XDP_DATA)]),
            ProgramKind::SchedCls => self.put_the_tag_back(),
        }
    }

    /// The first bytes as they were on the wire, where the tag has left the frame.
    fn put_the_tag_back(&mut self) {
        let plain = self.label();
        self.emit([Insn::load(Size::Word, TAG, CTX, SKB_VLAN_PRESENT)]);
        self.jump(Insn::jump_if(JEQ, TAG, 0), Target::Label(plain));
        self.emit([Insn::set(TAG, TAG_END - TAG_AT)]);
        self.bring(R2, 0, START, TAG_AT);
        self.emit([
            // The protocol is kept as it is on the wire, the rest of the tag isn't.
            Insn::load(Size::Word, R1, CTX, SKB_VLAN_PROTOCOL),
            Insn::store(Size::Half, STACK, START + TAG_AT as i16, R1),
            Insn::load(Size::Word, R1, CTX, SKB_VLAN_TCI),
            Insn::big_endian(R1, 16),
            Insn::store(Size::Half, STACK, START + TAG_AT as i16 + 2, R1),
        ]);
        self.bring(R2, TAG_AT, START + TAG_END as i16, 2);
        // A load of four bytes may begin in the tag and reach behind the type that follows it; 0 where the frame ends there.
        self.bring_unchecked(R2, TAG_AT + 2, START + TAG_END as i16 + 2, 4);
        self.place(plain);
    }

    fn step(&mut self, at: usize, step: Step) {
        let register = |x| if x { X } else { A };
        match step {
            Step::Load { size, at, relative: false } => self.load(A, size, at),
            Step::Load { size, at, relative: true } => self.load_relative(size, at),
            Step::HeaderLength { at } => {
                self.load(X, 1, at);
                if is_too_far(at) {
                    return;
                }
                self.emit([Insn::compute(op::AND, X, 0x0f), Insn::compute(op::LSH, X, 2)]);
            }
            Step::Set { x, to } => self.emit([Insn::set(register(x), to)]),
            Step::Recall { x, cell } => self.emit([Insn::load(Size::Word, register(x), STACK, cell_at(cell))]),
            Step::Remember { x, cell } => self.emit([Insn::store(Size::Word, STACK, cell_at(cell), register(x))]),
            Step::Length { x } => self.length(register(x)),
            Step::Compute { operation, operand } => self.compute(operation, operand),
            Step::Branch { operation, operand, then, otherwise } => {
                let target = |by: u32| Target::Classic(at + 1 + by as usize);
                let comparison = operation as u8;
                let jump = match operand {
                    Operand::Constant(value) => Insn::jump_if(comparison, A, value),
                    Operand::Register => Insn::jump_if_register(comparison, A, X),
                };
                self.jump(jump, target(then));
                if otherwise > 0 {
                    self.jump(Insn::jump(), target(otherwise));
                }
            }
            Step::Jump { by } => self.jump(Insn::jump(), Target::Classic(at + 1 + by as usize)),
            Step::Return(Operand::Constant(0)) => self.jump(Insn::jump(), Target::NoMatch),
            Step::Return(Operand::Constant(_)) => self.jump(Insn::jump(), Target::Match),
            Step::Return(Operand::Register) => {
                self.jump(Insn::jump_if(JNE, A, 0), Target::Match);
                self.jump(Insn::jump(), Target::NoMatch);
            }
            Step::AToX => self.emit([Insn::copy32(X, A)]),
            Step::XToA => self.emit([Insn::copy32(A, X)]),
        }
    }

    /// to = `size` bytes at a fixed place.
    fn load(&mut self, to: R, size: u32, at: u32) {
        match self.kind {
            ProgramKind::Xdp if at <= IN_PLACE => {
                self.emit([
                    Insn::load(Size::Word, R2, CTX, XDP_DATA_END),
                    Insn::copy(R3, FRAME),
                    Insn::add(R3, (at + size) as i32),
                ]);
                self.jump(Insn::jump_if_double_register(JGT, R3, R2), Target::NoMatch);
                self.emit([Insn::load(Size::of(size), to, FRAME, at as i16)]);
                self.in_order(to, size);
            }
            _ if is_too_far(at) => self.jump(Insn::jump(), Target::NoMatch),
            ProgramKind::Xdp if self.reach == Reach::InPlace => {
                self.emit([Insn::set(R2, at)]);
                self.variable(to, size);
            }
            ProgramKind::Xdp => self.brought(to, size, at, None),
            ProgramKind::SchedCls if at + size <= TAG_AT => self.brought(to, size, at, None),
            ProgramKind::SchedCls if at >= TAG_END => self.brought(to, size, at, Some(TAG)),
            ProgramKind::SchedCls => {
                let (plain, done) = (self.label(), self.label());
                self.jump(Insn::jump_if(JEQ, TAG, 0), Target::Label(plain));
                self.start_of_frame(to, size, at);
                self.jump(Insn::jump(), Target::Label(done));
                self.place(plain);
                self.brought(to, size, at, None);
                self.place(done);
            }
        }
    }

    /// A = `size` bytes at X + k.
    fn load_relative(&mut self, size: u32, k: u32) {
        // 64 bits: the sum does not wrap.
        self.emit([Insn::copy32(R2, X), Insn::set(R1, k), Insn::add_register(R2, R1)]);
        self.jump(Insn::jump_if_double(JGT, R2, FARTHEST), Target::NoMatch);
        match self.kind {
            ProgramKind::Xdp if self.reach == Reach::InPlace => self.variable(A, size),
            ProgramKind::Xdp => self.bring_at_r2(A, size),
            ProgramKind::SchedCls => {
                let (plain, done) = (self.label(), self.label());
                self.jump(Insn::jump_if(JEQ, TAG, 0), Target::Label(plain));
                // A place on the stack is a fixed one: each that reaches into the tag has its own.
                for at in TAG_AT + 1 - size..TAG_END {
                    let next = self.label();
                    self.jump(Insn::jump_if(JNE, R2, at), Target::Label(next));
                    self.start_of_frame(A, size, at);
                    self.jump(Insn::jump(), Target::Label(done));
                    self.place(next);
                }
                self.jump(Insn::jump_if(JLT, R2, TAG_AT), Target::Label(plain));
                self.emit([Insn::subtract(R2, TAG)]);
                self.place(plain);
                self.bring_at_r2(A, size);
                self.place(done);
            }
        }
    }

    /// to = `size` bytes of the start of a frame whose tag was put back.
    fn start_of_frame(&mut self, to: R, size: u32, at: u32) {
        // Byte by byte: a place on the stack is read by what is aligned alone.
        self.emit([Insn::load(Size::Byte, to, STACK, START + at as i16)]);
        for byte in 1..size {
            self.emit([
                Insn::load(Size::Byte, R1, STACK, START + (at + byte) as i16),
                Insn::compute(op::LSH, to, 8),
                Insn::compute_register(op::OR, to, R1),
            ]);
        }
    }

    /// to = `size` bytes at `at` of the frame, less what a register holds.
    fn brought(&mut self, to: R, size: u32, at: u32, less: Option<R>) {
        self.emit([Insn::set(R2, at)]);
        if let Some(less) = less {
            self.emit([Insn::subtract(R2, less)]);
        }
        self.bring_at_r2(to, size);
    }

    /// to = `size` bytes at the place that R2 holds.
    fn bring_at_r2(&mut self, to: R, size: u32) {
        self.call_for(BROUGHT, size);
        self.jump(Insn::jump_if_double(JNE, R0, 0), Target::NoMatch);
        self.emit([Insn::load(Size::of(size), to, STACK, BROUGHT)]);
        self.in_order(to, size);
    }

    /// `count` bytes at `at` of the frame to a place on the stack.
    fn bring(&mut self, register: R, at: u32, to: i16, count: u32) {
        self.emit([Insn::set(register, at)]);
        self.call_for(to, count);
        self.jump(Insn::jump_if_double(JNE, R0, 0), Target::NoMatch);
    }

    /// The same, where they may not be there.
    fn bring_unchecked(&mut self, register: R, at: u32, to: i16, count: u32) {
        self.emit([Insn::set(register, at)]);
        self.call_for(to, count);
    }

    /// Asks the kernel for `count` bytes at the place that R2 holds.
    fn call_for(&mut self, to: i16, count: u32) {
        let helper = if self.kind == ProgramKind::Xdp { XDP_LOAD_BYTES } else { SKB_LOAD_BYTES };
        self.emit([
            Insn::copy(R1, CTX),
            Insn::copy(R3, STACK),
            Insn::add(R3, to.into()),
            Insn::set(R4, count),
            Insn::call(helper),
        ]);
    }

    /// to = `size` bytes of an XDP frame at the place that R2 holds, in place.
    fn variable(&mut self, to: R, size: u32) {
        self.emit([
            Insn::copy(R3, FRAME),
            Insn::add_register(R3, R2),
            Insn::copy(R4, R3),
            Insn::add(R4, size as i32),
            Insn::load(Size::Word, R1, CTX, XDP_DATA_END),
        ]);
        self.jump(Insn::jump_if_double_register(JGT, R4, R1), Target::NoMatch);
        self.emit([Insn::load(Size::of(size), to, R3, 0)]);
        self.in_order(to, size);
    }

    fn in_order(&mut self, register: R, size: u32) {
        if size > 1 {
            self.emit([Insn::big_endian(register, 8 * size as i32)]);
        }
    }

    fn length(&mut self, to: R) {
        match (self.kind, self.reach) {
            (ProgramKind::Xdp, Reach::Helpers) => {
                self.emit([Insn::copy(R1, CTX), Insn::call(XDP_GET_BUFF_LEN), Insn::copy32(to, R0)]);
            }
            (ProgramKind::Xdp, Reach::InPlace) => self.emit([
                Insn::load(Size::Word, R2, CTX, XDP_DATA_END),
                Insn::subtract(R2, FRAME),
                Insn::copy32(to, R2),
            ]),
            (ProgramKind::SchedCls, _) => {
                self.emit([Insn::load(Size::Word, to, CTX, SKB_LEN), Insn::compute_register(op::ADD, to, TAG)]);
            }
        }
    }

    fn compute(&mut self, operation: u16, operand: Operand) {
        match (operation, operand) {
            (op::NEG, _) => self.emit([Insn::compute(op::NEG, A, 0)]),
            // What is shifted out is gone, however far; eBPF would shift by the remainder.
            (op::LSH | op::RSH, Operand::Constant(32..)) => self.emit([Insn::set(A, 0)]),
            (op::LSH | op::RSH, Operand::Register) => {
                let (far, done) = (self.label(), self.label());
                self.jump(Insn::jump_if(JGT, X, 31), Target::Label(far));
                self.emit([Insn::compute_register(operation, A, X)]);
                self.jump(Insn::jump(), Target::Label(done));
                self.place(far);
                self.emit([Insn::set(A, 0)]);
                self.place(done);
            }
            (op::DIV | op::MOD, Operand::Register) => {
                self.jump(Insn::jump_if(JEQ, X, 0), Target::NoMatch);
                self.emit([Insn::compute_register(operation, A, X)]);
            }
            (_, Operand::Constant(value)) => self.emit([Insn::compute(operation, A, value)]),
            (_, Operand::Register) => self.emit([Insn::compute_register(operation, A, X)]),
        }
    }

    /// The two ways out, and where all jumps go.
    fn end(mut self, stages: i32) -> Result<Vec<Insn>, FilterError> {
        let ways = [(STAGE_MATCHED, Target::Match), (STAGE_UNMATCHED, Target::NoMatch)].map(|(stage, way)| {
            let at = self.code.len();
            if self.open.iter().all(|(_, target)| *target != way) {
                return at;
            }
            self.emit([Insn::copy(R1, CTX)]);
            self.emit(Insn::map(R2, stages));
            self.emit([Insn::set(R3, stage), Insn::call(TAIL_CALL)]);
            // Nobody is there: on to the host.
            self.emit([Insn::set_signed(R0, self.kind.pass()), Insn::exit()]);
            at
        });
        for (at, target) in &self.open {
            let to = match target {
                Target::Classic(classic) => self.classic[*classic],
                Target::Label(label) => self.labels[*label],
                Target::Match => ways[0],
                Target::NoMatch => ways[1],
            };
            let offset = i16::try_from(to as i64 - *at as i64 - 1)
                .map_err(|_| FilterError::Malformed("it is too long for the kernel's jumps"))?;
            self.code[*at] = self.code[*at].to(offset);
        }
        Ok(self.code)
    }
}

fn cell_at(cell: u32) -> i16 {
    CELL + 4 * cell as i16
}
