//! See `netmoth_fuzz::flows`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netmoth_fuzz::flows(data));
