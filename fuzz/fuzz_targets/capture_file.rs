//! See `netmoth_fuzz::capture_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netmoth_fuzz::capture_file(data));
