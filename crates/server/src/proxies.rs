//! Whose wrong passwords are counted where a proxy stands in front.
//!
//! Behind an ingress all connections come from one address, and one guesser would be counted as everybody. A
//! proxy that we were told to trust says by `X-Forwarded-For` who it speaks for; from anybody else the header
//! means nothing.

use axum::http::HeaderMap;
use std::net::IpAddr;
use std::str::FromStr;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The addresses of proxies in front of this hub.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

/// An address, or all that have the same first bits: `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl FromIterator<Network> for TrustedProxies {
    fn from_iter<T: IntoIterator<Item = Network>>(networks: T) -> Self {
        TrustedProxies(networks.into_iter().collect())
    }
}

impl TrustedProxies {
    /// Who is at the other end, seen from the last proxy that is trusted.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        // Each proxy adds whom it heard from at the end, so the end is what those nearest to us say.
        let named = headers.get_all(FORWARDED_FOR).iter().rev().filter_map(|value| value.to_str().ok());
        for name in named.flat_map(|value| value.rsplit(',')) {
            if !self.trusts(client) {
                break;
            }
            let Ok(next) = name.trim().parse::<IpAddr>() else { break };
            client = next.to_canonical();
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u32| {
            let differing = (a ^ b).checked_shr(width - self.bits).unwrap_or(0);
            differing == 0
        };
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "an address or network is like 10.1.2.3, 10.0.0.0/8 or fd00::/8".to_owned();
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), str::parse).map_err(|_| wrong())?;
        if bits > width {
            return Err(wrong());
        }
        Ok(Network { address, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn client(proxies: &[&str], peer: &str, forwarded: &[&'static str]) -> String {
        let proxies: TrustedProxies = proxies.iter().map(|p| p.parse::<Network>().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(client(&[], "10.0.0.1", &["1.1.1.1"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(client(&["10.0.0.0/8"], "11.0.0.1", &["1.1.1.1"]), "11.0.0.1");
        assert_eq!(client(&["10.0.0.1"], "10.0.0.2", &["1.1.1.1"]), "10.0.0.2");
        assert_eq!(client(&["fd00::/8"], "fd12::1", &["2001:db8::1"]), "2001:db8::1");
        assert_eq!(client(&["10.0.0.0/8"], "::ffff:10.0.0.1", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(client(&["0.0.0.0/0"], "1.2.3.4", &["9.9.9.9"]), "9.9.9.9");
    }

    #[test]
    fn what_a_client_adds_itself_is_not_believed() {
        let proxies = ["10.0.0.0/8"];
        assert_eq!(client(&proxies, "10.0.0.1", &["8.8.8.8, 1.1.1.1"]), "1.1.1.1");
        assert_eq!(client(&proxies, "10.0.0.1", &["8.8.8.8, 1.1.1.1, 10.0.0.2"]), "1.1.1.1");
        assert_eq!(client(&proxies, "10.0.0.1", &["8.8.8.8", "1.1.1.1"]), "1.1.1.1");
        assert_eq!(client(&proxies, "10.0.0.1", &["8.8.8.8, nonsense"]), "10.0.0.1");
        assert_eq!(client(&proxies, "10.0.0.1", &[""]), "10.0.0.1");
        assert_eq!(client(&proxies, "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn networks() {
        for bad in ["", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "fd00::/129", "host"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
