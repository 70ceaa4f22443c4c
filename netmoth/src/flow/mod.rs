//! From packets to connections to records.
//!
//! What enters: [`Packet`](crate::wire::Packet)s with the [`Instant`](crate::time::Instant) of their arrival.
//! What leaves: a [`FlowRecord`] per part of a connection. What it owns: the bounded table and its timers.

mod record;

pub use record::{ConnState, EndReason, FlowRecord, History, RecordSink, Tunnel};
