mod against_tcpdump;
mod any_program;
#[path = "../../../tests/support/captures.rs"]
mod captures;

use super::compile::{class, op};
use super::{ETHERNET, Filter, FilterError};
use crate::libpcap::Instruction;

const fn instruction(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

const RETURN: Instruction = instruction(class::RET, 1);

#[test]
fn an_expression_is_compiled_and_run() {
    let filter = Filter::compile("tcp and dst port 80", ETHERNET).unwrap();
    let mut frame = vec![0; 54];
    (frame[12], frame[14], frame[23], frame[37]) = (8, 0x45, 6, 80);
    assert!(filter.matches(&frame, 54));
    assert!(!filter.matches(&frame[..37], 54), "the port was not captured");
    frame[23] = 17;
    assert!(!filter.matches(&frame, 54));
    assert!(Filter::compile("", ETHERNET).unwrap().matches(&[], 0));
    assert_eq!(Filter::of("  ").unwrap(), None);
    assert!(Filter::compile("len > 100", ETHERNET).unwrap().matches(&[], 101), "the length is the wire's");
}

#[test]
fn what_libpcap_has_against_an_expression_is_said() {
    let error = Filter::of("tcp prot 80").unwrap_err().to_string();
    assert!(error.contains("syntax error"), "{error}");
    let error = Filter::of("ip protochain 6").unwrap_err().to_string();
    assert!(error.contains("protochain"), "{error}");
    let error = Filter::of("host no.such.host.invalid").unwrap_err().to_string();
    assert!(error.contains("no.such.host.invalid"), "{error}");
}

#[test]
fn a_program_that_could_leave_its_bounds_is_refused() {
    let jump = |jt, jf| Instruction { code: class::JMP | op::JEQ, jt, jf, k: 0 };
    for (program, why) in [
        (vec![], "no instruction"),
        (vec![RETURN; 4_097], "4096"),
        (vec![instruction(class::LD, 0)], "no return"),
        (vec![jump(1, 0), RETURN], "jump"),
        (vec![jump(0, 1), RETURN], "jump"),
        (vec![instruction(class::JMP, u32::MAX), RETURN], "jump"),
        (vec![instruction(class::ST, 16), RETURN], "cell"),
        (vec![instruction(class::ALU | op::DIV, 0), RETURN], "zero"),
        (vec![instruction(0xffff, 0), RETURN], "none of"),
    ] {
        let Err(FilterError::Malformed(said)) = Filter::checked(program) else { panic!("{why}") };
        assert!(said.contains(why), "{said}");
    }
}
