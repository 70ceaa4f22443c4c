//! Netmoth, a passive network sensor: one trustworthy row per connection.
//!
//! The modules stand in the order in which a packet meets them:
//!
//! 1. [`capture`] takes frames off an interface (XDP and AF_XDP, packet sockets, libpcap) or out of a capture file.
//! 2. [`wire`] reads a frame's headers into one small [`wire::Packet`], or says why it can't.
//! 3. [`flow`] books the packet on its connection, and turns connections that end into [`flow::FlowRecord`]s.
//! 4. [`worker`] is the loop that does these three on one pinned core, and hands batches of records on.
//! 5. [`sink`] brings the batches into PostgreSQL, SQLite, JSON, CSV or a table on the terminal.
//!
//! Two modules put them together: [`sensor`] for live capture, [`replay`] for files. Around them: [`time`] is the clock
//! that all of it is told, [`metrics`] the fate of every frame and record, [`prometheus`] the page that shows them,
//! [`filter`] chooses frames, [`libpcap`] compiles for it, [`config`] the configuration file, [`cli`] the commands, [`bench`] what measures us, [`check`] the questions to
//! this host, [`logging`] and [`service`] what systemd hears of us.

pub mod capture;
pub mod flow;
pub mod sink;
pub mod wire;
pub mod worker;

pub mod replay;
pub mod sensor;

pub mod bench;
mod cause;
pub mod check;
pub mod cli;
pub mod config;
pub mod filter;
pub mod libpcap;
pub mod logging;
mod memory;
pub mod metrics;
mod prefetch;
mod privileges;
mod progress;
pub mod prometheus;
pub mod service;
#[cfg(test)]
mod testing;
pub mod time;
