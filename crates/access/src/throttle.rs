//! How often a wrong password may be tried, by an address and for a user.
//!
//! Each has a [`Bucket`] of tries: 8 bytes in a table of fixed size, found by a keyed hash, so that nothing
//! grows, nothing is evicted and nothing is locked. Two that share a bucket share its tries. An attacker
//! cannot empty the whole table to lock everybody out: a try is only taken for a password that is then
//! hashed, of which there are some tens a second, and some 100 emptied buckets are all that this can hold
//! down among 16,384. A try whose password was right is given back.
//!
//! The address is asked first, and holds fewer tries than the user: one attacker alone runs dry before the
//! user whose password he guesses is locked out.

use crate::rate::Bucket;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::net::IpAddr;
use std::time::Duration;

const BUCKETS: usize = 1 << 14;

/// Tries that may come at once, and the time after which one more may.
struct Tries {
    burst: u64,
    every_ns: u64,
}

const OF_PEER: Tries = Tries { burst: 20, every_ns: 5_000_000_000 };
const OF_USER: Tries = Tries { burst: 40, every_ns: 1_000_000_000 };

pub(crate) struct Throttle {
    peers: Box<[Bucket]>,
    users: Box<[Bucket]>,
    key: [u8; 16],
}

impl Throttle {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        let table = || (0..BUCKETS).map(|_| Bucket::default()).collect();
        Throttle { peers: table(), users: table(), key }
    }

    /// Takes one try, or says after how long there is one.
    pub(crate) fn take(&self, peer: IpAddr, user: &str, now: Duration) -> Result<(), Duration> {
        let (peer, user) = (self.peer(peer), self.user(user));
        peer.take_ns(OF_PEER.every_ns, OF_PEER.burst * OF_PEER.every_ns, now)?;
        user.take_ns(OF_USER.every_ns, OF_USER.burst * OF_USER.every_ns, now)
            .inspect_err(|_| peer.give_back_ns(OF_PEER.every_ns))
    }

    pub(crate) fn give_back(&self, peer: IpAddr, user: &str) {
        self.peer(peer).give_back_ns(OF_PEER.every_ns);
        self.user(user).give_back_ns(OF_USER.every_ns);
    }

    fn peer(&self, peer: IpAddr) -> &Bucket {
        // Whoever has one address of IPv6 usually has its whole network of 2^64.
        let (tag, network) = match peer.to_canonical() {
            IpAddr::V4(v4) => (4, u64::from(v4.to_bits())),
            IpAddr::V6(v6) => (6, (v6.to_bits() >> 64) as u64),
        };
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u8(tag);
        hasher.write_u64(network);
        &self.peers[hasher.finish() as usize % BUCKETS]
    }

    fn user(&self, user: &str) -> &Bucket {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(user.as_bytes());
        &self.users[hasher.finish() as usize % BUCKETS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn tries(throttle: &Throttle, peer: &str, user: &str, at_s: u64) -> usize {
        let now = Duration::from_secs(at_s);
        (0..1_000).take_while(|_| throttle.take(ip(peer), user, now).is_ok()).count()
    }

    #[test]
    fn an_address_runs_dry_before_its_victim() {
        let throttle = Throttle::new([7; 16]);
        assert_eq!(tries(&throttle, "192.0.2.1", "a", 0), 20);
        assert_eq!(tries(&throttle, "192.0.2.1", "b", 0), 0, "whoever it claims to be");
        assert_eq!(tries(&throttle, "::ffff:192.0.2.1", "b", 0), 0, "the same address, written otherwise");
        assert!(throttle.take(ip("192.0.2.2"), "a", Duration::ZERO).is_ok(), "user a from elsewhere");
        assert_eq!(tries(&throttle, "192.0.2.1", "a", 5), 1);
        assert_eq!(tries(&throttle, "192.0.2.1", "a", 1_000), 20);
    }

    #[test]
    fn a_user_is_limited_over_all_addresses() {
        let throttle = Throttle::new([7; 16]);
        let total: usize = (0..50).map(|i| tries(&throttle, &format!("192.0.2.{i}"), "a", 0)).sum();
        assert_eq!(total, 40);
        let wait = throttle.take(ip("192.0.2.99"), "a", Duration::ZERO).unwrap_err();
        assert_eq!(wait, Duration::from_secs(1));
        let left = tries(&throttle, "192.0.2.99", "b", 0);
        assert_eq!(left, 20, "a try that the user's bucket refused costs the address nothing");
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let throttle = Throttle::new([7; 16]);
        let total: usize = (0..50).map(|i| tries(&throttle, &format!("2001:db8::{i:x}"), "a", 0)).sum();
        assert_eq!(total, 20);
        assert_eq!(tries(&throttle, "2001:db8:0:1::1", "b", 0), 20);
    }

    #[test]
    fn given_back() {
        let throttle = Throttle::new([7; 16]);
        for _ in 0..1_000 {
            throttle.take(ip("192.0.2.1"), "a", Duration::ZERO).unwrap();
            throttle.give_back(ip("192.0.2.1"), "a");
        }
    }
}
