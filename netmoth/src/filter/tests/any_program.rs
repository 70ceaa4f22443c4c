//! Programs that nobody wrote: whatever can be run in user space is translated, loads, and says the same in the kernel.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::filter::compile::{ABS, B, H, IMM, IND, LEN, MEM, MSH, RETURN_A, TAX, TXA, W, X, class, op};
use crate::filter::trial::Trial;
use crate::filter::{Filter, ProgramKind};
use crate::libpcap::Instruction;
use crate::testing::is_root;

/// Instructions that do not jump.
fn straight() -> impl Strategy<Value = (u16, u32)> {
    let size = prop_oneof![Just(W), Just(H), Just(B)];
    let place = prop_oneof![4 => 0..40_u32, 1 => 0..70_000_u32, 1 => any::<u32>()];
    let value = prop_oneof![0..70_u32, any::<u32>()];
    let compute = prop_oneof![
        Just(op::ADD),
        Just(op::SUB),
        Just(op::MUL),
        Just(op::DIV),
        Just(op::OR),
        Just(op::AND),
        Just(op::LSH),
        Just(op::RSH),
        Just(op::MOD),
        Just(op::XOR),
    ];
    prop_oneof![
        6 => (size, prop_oneof![Just(ABS), Just(IND)], place.clone()).prop_map(|(size, mode, k)| (class::LD | size | mode, k)),
        1 => place.prop_map(|k| (class::LDX | MSH | B, k)),
        2 => (prop_oneof![Just(class::LD), Just(class::LDX)], 0..100_u32).prop_map(|(class, k)| (class | IMM | W, k)),
        1 => prop_oneof![Just(class::LD), Just(class::LDX)].prop_map(|class| (class | LEN | W, 0)),
        1 => (prop_oneof![Just(class::LD), Just(class::LDX)], 0..16_u32).prop_map(|(class, k)| (class | MEM | W, k)),
        1 => (prop_oneof![Just(class::ST), Just(class::STX)], 0..16_u32),
        3 => (compute.clone(), value).prop_map(|(op, k)| (class::ALU | op, if k == 0 { 1 } else { k })),
        2 => compute.prop_map(|op| (class::ALU | op | X, 0)),
        1 => Just((class::ALU | op::NEG, 0)),
        2 => prop_oneof![Just((class::MISC | TAX, 0)), Just((class::MISC | TXA, 0))],
    ]
}

/// Programs whose jumps stay inside, with a return at the end.
fn programs() -> impl Strategy<Value = Vec<Instruction>> {
    let comparison = prop_oneof![Just(op::JEQ), Just(op::JGT), Just(op::JGE), Just(op::JSET)];
    let one = prop_oneof![
        5 => straight().prop_map(|(code, k)| (Instruction { code, jt: 0, jf: 0, k }, 0, 0)),
        2 => (comparison, prop_oneof![Just(0), Just(X)], prop_oneof![0..300_u32, any::<u32>()], 0..6_u8, 0..6_u8)
            .prop_map(|(op, x, k, jt, jf)| (Instruction { code: class::JMP | op | x, jt: 0, jf: 0, k }, jt, jf)),
        1 => prop_oneof![Just(RETURN_A), Just(0)].prop_map(|a| (Instruction { code: class::RET | a, jt: 0, jf: 0, k: 1 }, 0, 0)),
    ];
    proptest::collection::vec(one, 1..24).prop_map(|steps| {
        let length = steps.len();
        let mut program: Vec<_> = steps
            .into_iter()
            .enumerate()
            .map(|(at, (step, jt, jf))| {
                let most = (length - at - 1) as u8;
                Instruction { jt: jt.min(most), jf: jf.min(most), ..step }
            })
            .collect();
        program.push(Instruction { code: class::RET | RETURN_A, jt: 0, jf: 0, k: 0 });
        program
    })
}

#[test]
fn every_program_loads_and_says_in_the_kernel_what_it_says_here() {
    if !is_root() {
        return;
    }
    let kernels = [ProgramKind::Xdp, ProgramKind::SchedCls].map(|kind| Trial::new(kind).unwrap());
    let frames = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 14..120), 4);
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    let result = runner.run(&(programs(), frames), |(program, frames)| {
        let filter = Filter::checked(program).expect("a program like those of libpcap");
        for kernel in &kernels {
            let loaded = kernel.load(&filter).map_err(|error| TestCaseError::fail(error.to_string()))?;
            for frame in &frames {
                prop_assert_eq!(
                    loaded.matches(frame).unwrap(),
                    filter.matches(frame, frame.len() as u32),
                    "{:02x?}",
                    frame
                );
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}
