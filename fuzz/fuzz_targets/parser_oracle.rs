//! See `netmoth_fuzz::parser_oracle`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netmoth_fuzz::parser_oracle(data));
