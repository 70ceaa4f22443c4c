//! The `netmoth` binary.

fn main() {}
