//! The `Authorization` header: RFC 7617 (Basic) and RFC 6750 (Bearer), read strictly.
//!
//! Strictness is what bounds the cache of verified passwords: one user name and password have exactly one
//! form that is accepted here (the scheme aside, which is cut off), so that a credential cannot be sent in
//! ever new spellings, each of which would cost a password hash.

/// A header's credential, not yet judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential<'a> {
    /// The base64 text; [`decode_basic`] takes it apart.
    Basic(&'a [u8]),
    Bearer(&'a [u8]),
}

/// A longer header is not looked at: our own credentials are far shorter.
pub(crate) const MAX_HEADER_BYTES: usize = 4096;

/// What is wrong with a header, said to whoever sent it.
pub type Malformed = &'static str;

pub fn parse_authorization(header: &[u8]) -> Result<Credential<'_>, Malformed> {
    if header.len() > MAX_HEADER_BYTES {
        return Err("the Authorization header is longer than 4096 bytes");
    }
    let end = header.iter().position(|&b| b == b' ').unwrap_or(header.len());
    let (scheme, rest) = header.split_at(end);
    let rest = rest.strip_prefix(b" ").unwrap_or_default();
    if scheme.eq_ignore_ascii_case(b"Basic") {
        return Ok(Credential::Basic(rest));
    }
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Err("the Authorization header must be of scheme Basic or Bearer");
    }
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(b);
    if rest.is_empty() || !rest.iter().all(is_token) {
        return Err("a bearer token consists of A-Z a-z 0-9 - . _ ~ + / =");
    }
    Ok(Credential::Bearer(rest))
}

/// User name and password from the base64 of a Basic credential.
pub fn decode_basic(base64: &[u8]) -> Result<(String, String), Malformed> {
    let bytes = decode_base64(base64).ok_or("the Basic credential is not canonical base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "user name and password are not UTF-8")?;
    // As RFC 7617 says. A NUL matters most: bcrypt ends a password there, so that many would fit one hash.
    if text.chars().any(char::is_control) {
        return Err("user name and password have control characters");
    }
    let (user, password) = text.split_once(':').ok_or("there is no colon between user name and password")?;
    Ok((user.to_owned(), password.to_owned()))
}

/// RFC 4648 base64 with padding; `None` also for an encoding that no encoder writes (bits set behind the
/// end, padding left out or doubled, white space).
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take_while(|&&b| b == b'=').count();
    if padding > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0u32);
    for &byte in &text[..text.len() - padding] {
        bits = bits << 6 | u32::from(sextet(byte)?);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (bits == 0).then_some(out)
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, &b| n << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let sextet = (n >> (18 - 6 * i) & 63) as usize;
            out.push(if i <= chunk.len() { ALPHABET[sextet] as char } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::encode_base64 as encode;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn schemes() {
        let basic = Ok(Credential::Basic(b"YTpi".as_slice()));
        assert_eq!(parse_authorization(b"Basic YTpi"), basic);
        assert_eq!(parse_authorization(b"bAsIc YTpi"), basic);
        assert_eq!(parse_authorization(b"Bearer abc"), Ok(Credential::Bearer(b"abc")));
        for bad in
            [&b""[..], b" ", b"Bearer", b"Bearer ", b"Bearer a b", b"Bearer  a", b"Bearer \xff", b"Digest a"]
        {
            assert!(parse_authorization(bad).is_err(), "{}", bad.escape_ascii());
        }
        let huge = [b"Bearer ".as_slice(), &vec![b'a'; 1 << 20]].concat();
        assert!(parse_authorization(&huge).is_err());
    }

    #[test]
    fn basic() {
        let ok = |text: &str| decode_basic(encode(text.as_bytes()).as_bytes());
        assert_eq!(ok("user:pass:word"), Ok(("user".into(), "pass:word".into())));
        assert_eq!(ok(":"), Ok((String::new(), String::new())));
        assert_eq!(ok("ü:π"), Ok(("ü".into(), "π".into())));
        for bad in ["", "user", "u:a\0b", "u\n:p", "u:\u{85}"] {
            assert!(ok(bad).is_err(), "{bad:?}");
        }
        assert!(decode_basic(encode(b"u:\xff").as_bytes()).is_err());
        // All of these mean `a:b` to a lenient reader.
        assert_eq!(decode_basic(b"YTpi"), Ok(("a".into(), "b".into())));
        for bad in ["YTpi=", "YTpi====", " YTpi", "YTpi ", "YTpi\n", "YTp", "YTo=="] {
            assert!(decode_basic(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert_eq!(decode_basic(b"YTo="), Ok(("a".into(), String::new())));
        assert!(decode_basic(b"YTp=").is_err(), "bits behind the end");
    }

    proptest! {
        #[test]
        fn base64_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decode_base64(encode(&bytes).as_bytes()), Some(bytes));
        }

        /// What is accepted is exactly what an encoder writes: no second spelling.
        #[test]
        fn base64_is_canonical(text in "[A-Da-d01+/=]{0,12}") {
            if let Some(bytes) = decode_base64(text.as_bytes()) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }

        #[test]
        fn garbage_does_no_harm(header in prop::collection::vec(any::<u8>(), 0..200), basic: bool) {
            let header = if basic { [b"Basic ".as_slice(), &header].concat() } else { header };
            if let Ok(Credential::Basic(text)) = parse_authorization(&header) {
                let _ = decode_basic(text);
            }
        }
    }
}
