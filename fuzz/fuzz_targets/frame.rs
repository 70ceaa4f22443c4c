//! See `netmoth_fuzz::frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netmoth_fuzz::frame(data));
