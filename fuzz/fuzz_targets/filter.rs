//! See `netmoth_fuzz::filter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netmoth_fuzz::filter(data));
