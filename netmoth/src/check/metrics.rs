//! The address of the metrics: free, and out of reach for others.

use std::net::SocketAddr;

use super::{Check, facts};
use crate::prometheus::Endpoint;

/// Whether the sensor can listen on `address`: it is taken and given back.
pub fn metrics(address: SocketAddr) -> Check {
    match Endpoint::bind(address) {
        Ok(endpoint) => match endpoint.exposure() {
            Some(exposure) => Check::warn("metrics", exposure, "listen on 127.0.0.1, or behind a firewall"),
            None => Check::ok("metrics", format!("{address} is free")),
        },
        Err(error) => {
            let (what, remedy) = facts::halves(&error.to_string());
            Check::fail("metrics", what, remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::check::Status;

    #[test]
    fn an_address_is_free_or_taken_or_open_to_others() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = holder.local_addr().unwrap();
        let check = metrics(taken);
        assert_eq!(check.status, Status::Fail);
        assert!(check.found.contains(&taken.to_string()) && check.remedy.unwrap().contains("another port"));
        drop(holder);
        assert_eq!(metrics(taken).status, Status::Ok);
        let open = metrics("0.0.0.0:0".parse().unwrap());
        assert_eq!(open.status, Status::Warn);
        assert!(open.found.contains("no authentication"));
    }
}
