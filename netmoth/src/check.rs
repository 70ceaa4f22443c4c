//! Questions to this host.
