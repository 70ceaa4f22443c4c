//! capture

pub mod program;
