//! What the benchmarks that run programs have in common.

pub(crate) mod program;
pub(crate) mod settings;
pub(crate) mod sink;
