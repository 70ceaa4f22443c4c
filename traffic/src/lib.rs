//! Deterministic traffic: an endless stream of right frames of many connections, made from a seed.
//!
//! A [`Profile`] says what the traffic is like, [`Traffic`] makes it frame by frame into the caller's memory. The same
//! profile gives the same bytes, on every machine. Frames are Ethernet, with right lengths and checksums; TCP
//! connections shake hands, acknowledge what they receive and say good-bye; UDP and ICMP echo ask and answer. Payloads
//! are zeros. Addresses are those set aside for benchmarks: 198.18.0.0/15 (RFC 2544) and 2001:2::/48 (RFC 5180).
//!
//! ```
//! use netmoth_traffic::{BLANK, Profile, Traffic};
//!
//! let mut traffic = Traffic::new(&Profile { connections: 100, ..Profile::default() })?;
//! let mut frame = BLANK;
//! let meta = traffic.next_into(&mut frame);
//! assert!(frame[..meta.length].len() >= 60);
//! # Ok::<(), netmoth_traffic::ProfileError>(())
//! ```

mod connection;
mod identity;
mod profile;
mod random;
mod sizes;
mod stream;
mod sum;
mod write;

pub use identity::{Endpoints, Protocol};
pub use profile::{Lifetime, MAX_CONNECTIONS, Mix, Profile, ProfileError};
pub use sizes::{IMIX, MAX_SIZE, MIN_SIZE, Sizes, SizesError};
pub use stream::{Meta, Traffic};

/// Room for one frame: as large as a frame of a UMEM usually is.
pub type Frame = [u8; 2048];

/// A frame of zeros.
pub const BLANK: Frame = [0; 2048];
