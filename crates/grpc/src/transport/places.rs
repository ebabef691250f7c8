//! How many connections there may be, and from whom.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use super::limits::Limits;
use super::stats::{Ended, TransportStats};

/// Counts connections, in all and by address.
#[derive(Debug)]
pub(super) struct Places {
    limits: Limits,
    stats: Arc<TransportStats>,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// A place for one connection, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    address: Option<IpAddr>,
}

impl Places {
    pub(super) fn new(limits: Limits, stats: Arc<TransportStats>) -> Arc<Self> {
        Arc::new(Self { limits, stats, by_address: Mutex::default() })
    }

    /// A place for a connection from there, or why there is none.
    pub(super) fn take(self: &Arc<Self>, from: IpAddr) -> Result<Place, Ended> {
        if self.stats.open() >= self.limits.connections {
            return Err(Ended::TooMany);
        }
        let address = origin(from);
        if let Some(address) = address {
            let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            let count = by_address.entry(address).or_insert(0);
            if *count >= self.limits.connections_per_address {
                return Err(Ended::TooManyFromAddress);
            }
            *count += 1;
        }
        self.stats.accept();
        Ok(Place { places: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.stats.close();
        let Some(address) = self.address else { return };
        let mut by_address = self.places.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }
}

/// What counts as one address: who has an IPv6 address has its /64. `None` for this machine.
fn origin(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V4(address) => Some(address.into()),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(connections: usize, per_address: usize) -> Arc<Places> {
        let limits = Limits { connections, connections_per_address: per_address, ..Limits::default() };
        Places::new(limits, Arc::default())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_counted_in_all_and_by_address() {
        let places = places(3, 2);
        let first = places.take(address("192.0.2.1")).unwrap();
        let _second = places.take(address("::ffff:192.0.2.1")).unwrap();
        assert_eq!(places.take(address("192.0.2.1")).unwrap_err(), Ended::TooManyFromAddress);
        let _third = places.take(address("192.0.2.2")).unwrap();
        assert_eq!(places.take(address("192.0.2.3")).unwrap_err(), Ended::TooMany);
        drop(first);
        assert!(places.take(address("192.0.2.1")).is_ok());
    }

    #[test]
    fn ipv6_is_counted_by_network_and_this_machine_not_at_all() {
        let places = places(100, 1);
        let _one = places.take(address("2001:db8::1")).unwrap();
        assert_eq!(places.take(address("2001:db8::2")).unwrap_err(), Ended::TooManyFromAddress);
        let _other = places.take(address("2001:db8:0:1::1")).unwrap();
        let local: Vec<_> = (0..10).map(|_| places.take(address("127.0.0.1")).unwrap()).collect();
        assert_eq!(local.len(), 10);
    }

    #[test]
    fn nothing_is_kept_of_addresses_that_have_gone() {
        let places = places(100, 1);
        for n in 0..50 {
            drop(places.take(IpAddr::from([192, 0, 2, n])).unwrap());
        }
        assert!(places.by_address.lock().unwrap().is_empty());
        assert_eq!(places.stats.open(), 0);
    }
}
