//! What a host's network interfaces and limits look like to a capture program. Reads only.
