//! Stored forms of passwords and tokens: reading them, checking against them, making them.
//!
//! A password is short and guessable, so its hash must be slow: bcrypt (as `htpasswd -B` writes it) or
//! argon2id. A token is 256 random bits, which nobody guesses, so SHA-256 is enough, and quick enough to be
//! computed for every request.

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, Version};
use nilometer_env::Random;
use nilometer_model::{Error, Result};
use sha2::{Digest, Sha256};
use std::fmt;

/// The hash of a password, checked to be neither too weak nor so strong that it stops the hub.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum PasswordHash {
    Bcrypt(String),
    Argon2id(Box<phc::PasswordHash>),
}

/// bcrypt reads no more of a password.
const BCRYPT_MAX_PASSWORD_BYTES: usize = 72;
/// 2^10 rounds are about 50 ms, 2^14 about a second.
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 10..=14;
/// Every verification takes this much memory for a moment.
const ARGON2_MAX_KIB: u32 = 64 << 10;
/// Memory times passes: OWASP's five recommended settings all lie above the lower end, and the upper is
/// about a second.
const ARGON2_MIN_KIB: u32 = 7 << 10;
const ARGON2_WORK_KIB: std::ops::RangeInclusive<u64> = 35_840..=1_048_576;

impl PasswordHash {
    /// Errors say what is wrong without repeating the hash.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split('$').nth(1) {
            Some("2a" | "2b" | "2y") if text.starts_with('$') => Self::parse_bcrypt(text),
            Some("argon2id") if text.starts_with('$') => Self::parse_argon2id(text),
            Some("argon2i" | "argon2d") if text.starts_with('$') => {
                Err("is argon2i or argon2d; use argon2id".into())
            }
            _ => Err("is not a bcrypt hash ($2y$…) nor an argon2id hash ($argon2id$…); make one with \
                      `htpasswd -nB -C 10 USER`"
                .into()),
        }
    }

    fn parse_bcrypt(text: &str) -> Result<Self, String> {
        let parts: bcrypt::HashParts = text.parse().map_err(|_| {
            "is not a whole bcrypt hash of 60 characters; was it cut, or were its $ \
                                      taken for variables?"
        })?;
        let cost = parts.get_cost();
        if !BCRYPT_COSTS.contains(&cost) {
            return Err(format!(
                "has bcrypt cost {cost}; 10 to 14 are neither too easy to guess nor too slow (`htpasswd -C 10`)"
            ));
        }
        Ok(PasswordHash::Bcrypt(text.to_owned()))
    }

    fn parse_argon2id(text: &str) -> Result<Self, String> {
        let broken = "is not a whole argon2id hash ($argon2id$v=19$m=…,t=…,p=…$salt$hash); was it cut?";
        let hash = phc::PasswordHash::new(text).map_err(|_| broken)?;
        let params = Params::try_from(&hash).map_err(|_| broken)?;
        let (Some(salt), Some(output)) = (&hash.salt, &hash.hash) else { return Err(broken.into()) };
        if hash.version != Some(Version::V0x13.into()) {
            return Err("is of an old argon2 version; v=19 is the one to use".into());
        }
        if salt.len() < 8 || output.len() < 16 {
            return Err("has a salt under 8 or a hash under 16 bytes".into());
        }
        let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
        let strong = params.m_cost() >= ARGON2_MIN_KIB && *ARGON2_WORK_KIB.start() <= work;
        let bearable =
            params.m_cost() <= ARGON2_MAX_KIB && work <= *ARGON2_WORK_KIB.end() && params.p_cost() <= 16;
        if !strong || !bearable {
            return Err(format!(
                "has argon2id settings m={},t={},p={} that are too {}; m=19456,t=2,p=1 are good ones",
                params.m_cost(),
                params.t_cost(),
                params.p_cost(),
                if strong { "slow or take over 64 MiB" } else { "easy to guess" }
            ));
        }
        Ok(PasswordHash::Argon2id(Box::new(hash)))
    }

    /// Slow, on purpose.
    pub(crate) fn verify(&self, password: &str) -> bool {
        match self {
            PasswordHash::Bcrypt(hash) => {
                // A longer one would match if only its first 72 bytes did: hash it all the same, for the time
                // it takes, and refuse.
                let matches = bcrypt::verify(password, hash).unwrap_or(false);
                matches && password.len() <= BCRYPT_MAX_PASSWORD_BYTES
            }
            PasswordHash::Argon2id(hash) => {
                Argon2::default().verify_password(password.as_bytes(), &**hash).is_ok()
            }
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PasswordHash::Bcrypt(_) => "bcrypt",
            PasswordHash::Argon2id(_) => "argon2id",
        })
    }
}

/// A token as it is stored: the SHA-256 of its characters.
pub(crate) type TokenDigest = [u8; 32];

/// 256 random bits have 43 characters in base64, 64 in hexadecimal. Whatever the file holds, a shorter token
/// is not accepted, so that a guessable one cannot be in use.
pub(crate) const MIN_TOKEN_BYTES: usize = 43;

pub(crate) fn token_digest(token: &[u8]) -> TokenDigest {
    Sha256::digest(token).into()
}

pub(crate) fn parse_token_digest(hex: &str) -> Result<TokenDigest, String> {
    let wrong = "is not a SHA-256 in 64 hexadecimal digits; make one with `printf %s \"$TOKEN\" | sha256sum`";
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong.into());
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong)?;
    }
    // The two usual accidents of a shell script.
    if digest == token_digest(b"") || digest == token_digest(b"\n") {
        return Err("is the SHA-256 of an empty token; was the variable set?".into());
    }
    Ok(digest)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The argon2id hash of a password, for `password_hash` in the tenants file.
pub fn hash_password(random: &dyn Random, password: &str) -> Result<String> {
    if password.chars().any(char::is_control) || password.is_empty() {
        return Err(Error::invalid("a password must not be empty nor have control characters"));
    }
    let mut salt = [0; 16];
    random.fill(&mut salt);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT);
    let hash =
        argon2::password_hash::PasswordHasher::hash_password_with_salt(&argon2, password.as_bytes(), &salt);
    let hash: phc::PasswordHash =
        hash.map_err(|e| Error::invalid(format!("the password cannot be hashed: {e}")))?;
    Ok(hash.to_string())
}

/// A fresh bearer token.
#[derive(Clone, PartialEq, Eq)]
pub struct NewToken {
    /// For the sender, who alone keeps it.
    pub token: String,
    /// For `sha256` in the tenants file.
    pub sha256: String,
}

pub fn new_token(random: &dyn Random) -> NewToken {
    let mut bytes = [0; 32];
    random.fill(&mut bytes);
    let token = to_hex(&bytes);
    let sha256 = to_hex(&token_digest(token.as_bytes()));
    NewToken { token, sha256 }
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewToken {{ sha256: {} }}", self.sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use nilometer_env::sim::SimRandom;
    use std::fmt::Write;

    /// Written by libxcrypt, Apache's htpasswd, and the reference implementation of argon2 (library, command).
    const FOREIGN: [(&str, &str); 6] = [
        ("correct horse", "$2y$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu"),
        ("correct horse", "$2y$10$SZu0l2Y627iCtggh2M5fOOn.aSZTRLMsqt0fUzyk40CCtLbfAXLNa"),
        (
            "correct horse",
            "$argon2id$v=19$m=19456,t=2,p=1$NjI0YzhhOGI0Y2JhYmNhNg$pLGLl17fnYSZo8jNzWrSP5PzAcXiq4uov8wzYI4gm78",
        ),
        ("πassword:with colon", "$2a$10$YYcdefghijklmnopqrstuuWqH6K0SbRsIEHRN5c3746SZk6Hu1KSC"),
        (
            "correct horse",
            "$argon2id$v=19$m=65536,t=3,p=4$DL4swtqm6LOqPhvJ4XlNSw$LbvPTkkBIt8O3liNyCXRJPhX9itaI7I1CumI/uS8LVY",
        ),
        (
            "correct horse",
            "$argon2id$v=19$m=19456,t=2,p=1$vSTQmV13PoRxx9wHtkViEg$xNKfvwwan+EvI032kxRCRfUMhU4BoBS3gpX1rqvh6z4",
        ),
    ];

    #[test]
    fn hashes_of_others() {
        for (password, hash) in FOREIGN {
            let hash = PasswordHash::parse(hash).unwrap();
            assert!(hash.verify(password), "{hash:?}");
            assert!(!hash.verify("correct horsf"), "{hash:?}");
        }
    }

    #[test]
    fn bcrypt_takes_no_password_for_its_beginning() {
        let of_72 =
            PasswordHash::parse("$2b$10$XXcdefghijklmnopqrstuu0SIIR0y/lK3kT8Fe9.3.qqt11FI5s3O").unwrap();
        assert!(of_72.verify(&"x".repeat(72)));
        assert!(!of_72.verify(&"x".repeat(73)));
    }

    #[test]
    fn what_is_refused() {
        let bcrypt = FOREIGN[0].1;
        let salt_and_hash = "vSTQmV13PoRxx9wHtkViEg$xNKfvwwan+EvI032kxRCRfUMhU4BoBS3gpX1rqvh6z4";
        let argon2 = |head: &str| format!("{head}${salt_and_hash}");
        let cases = [
            String::new(),
            "hunter2".into(),
            "$apr1$xyz$abc".into(),
            "5f4dcc3b5aa765d61d8327deb882cf99".into(),
            "x$2y$10$".into(),
            bcrypt[..59].into(),
            bcrypt.replace("$10$", "$09$"),
            bcrypt.replace("$10$", "$15$"),
            bcrypt.replace("$10$", "$xx$"),
            bcrypt.replace("$2y$", "$2x$"),
            bcrypt.replace('3', "é"),
            argon2("$argon2i$v=19$m=19456,t=2,p=1"),
            argon2("$argon2id$v=16$m=19456,t=2,p=1"),
            argon2("$argon2id$m=19456,t=2,p=1"),
            argon2("$argon2id$v=19$m=4096,t=3,p=1"),
            argon2("$argon2id$v=19$m=19456,t=1,p=1"),
            argon2("$argon2id$v=19$m=131072,t=3,p=1"),
            argon2("$argon2id$v=19$m=65536,t=4294967295,p=1"),
            argon2("$argon2id$v=19$m=65536,t=3,p=200"),
            argon2("$argon2id$v=19$m=x"),
            "$argon2id$v=19$m=19456,t=2,p=1".into(),
            "$argon2id$v=19$m=19456,t=2,p=1$vSTQmV13PoRxx9wHtkViEg".into(),
            "$argon2id$v=19$m=19456,t=2,p=1$vSTQmV13PoRxx9wHtkViEg$xNKfvwwa".into(),
        ];
        let mut table = String::new();
        for case in cases {
            let why = PasswordHash::parse(&case).unwrap_err();
            assert!(case.is_empty() || !why.contains(&case), "{why} repeats the hash");
            writeln!(table, "{} {why}", case.get(..32).unwrap_or(&case)).unwrap();
        }
        expect![[r#"
             is not a bcrypt hash ($2y$…) nor an argon2id hash ($argon2id$…); make one with `htpasswd -nB -C 10 USER`
            hunter2 is not a bcrypt hash ($2y$…) nor an argon2id hash ($argon2id$…); make one with `htpasswd -nB -C 10 USER`
            $apr1$xyz$abc is not a bcrypt hash ($2y$…) nor an argon2id hash ($argon2id$…); make one with `htpasswd -nB -C 10 USER`
            5f4dcc3b5aa765d61d8327deb882cf99 is not a bcrypt hash ($2y$…) nor an argon2id hash ($argon2id$…); make one with `htpasswd -nB -C 10 USER`
            x$2y$10$ is not a bcrypt hash ($2y$…) nor an argon2id hash ($argon2id$…); make one with `htpasswd -nB -C 10 USER`
            $2y$10$abcdefghijklmnopqrstuu23J is not a whole bcrypt hash of 60 characters; was it cut, or were its $ taken for variables?
            $2y$09$abcdefghijklmnopqrstuu23J has bcrypt cost 9; 10 to 14 are neither too easy to guess nor too slow (`htpasswd -C 10`)
            $2y$15$abcdefghijklmnopqrstuu23J has bcrypt cost 15; 10 to 14 are neither too easy to guess nor too slow (`htpasswd -C 10`)
            $2y$xx$abcdefghijklmnopqrstuu23J is not a whole bcrypt hash of 60 characters; was it cut, or were its $ taken for variables?
            $2x$10$abcdefghijklmnopqrstuu23J is not a bcrypt hash ($2y$…) nor an argon2id hash ($argon2id$…); make one with `htpasswd -nB -C 10 USER`
            $2y$10$abcdefghijklmnopqrstuu2é is not a whole bcrypt hash of 60 characters; was it cut, or were its $ taken for variables?
            $argon2i$v=19$m=19456,t=2,p=1$vS is argon2i or argon2d; use argon2id
            $argon2id$v=16$m=19456,t=2,p=1$v is of an old argon2 version; v=19 is the one to use
            $argon2id$m=19456,t=2,p=1$vSTQmV is of an old argon2 version; v=19 is the one to use
            $argon2id$v=19$m=4096,t=3,p=1$vS has argon2id settings m=4096,t=3,p=1 that are too easy to guess; m=19456,t=2,p=1 are good ones
            $argon2id$v=19$m=19456,t=1,p=1$v has argon2id settings m=19456,t=1,p=1 that are too easy to guess; m=19456,t=2,p=1 are good ones
            $argon2id$v=19$m=131072,t=3,p=1$ has argon2id settings m=131072,t=3,p=1 that are too slow or take over 64 MiB; m=19456,t=2,p=1 are good ones
            $argon2id$v=19$m=65536,t=4294967 has argon2id settings m=65536,t=4294967295,p=1 that are too slow or take over 64 MiB; m=19456,t=2,p=1 are good ones
            $argon2id$v=19$m=65536,t=3,p=200 has argon2id settings m=65536,t=3,p=200 that are too slow or take over 64 MiB; m=19456,t=2,p=1 are good ones
            $argon2id$v=19$m=x$vSTQmV13PoRxx is not a whole argon2id hash ($argon2id$v=19$m=…,t=…,p=…$salt$hash); was it cut?
            $argon2id$v=19$m=19456,t=2,p=1 is not a whole argon2id hash ($argon2id$v=19$m=…,t=…,p=…$salt$hash); was it cut?
            $argon2id$v=19$m=19456,t=2,p=1$v is not a whole argon2id hash ($argon2id$v=19$m=…,t=…,p=…$salt$hash); was it cut?
            $argon2id$v=19$m=19456,t=2,p=1$v is not a whole argon2id hash ($argon2id$v=19$m=…,t=…,p=…$salt$hash); was it cut?
        "#]].assert_eq(&table);
    }

    #[test]
    fn own_hashes_and_tokens_are_accepted() {
        let random = SimRandom::new(1);
        let hash = hash_password(&random, "a long pass phrase").unwrap();
        assert!(PasswordHash::parse(&hash).unwrap().verify("a long pass phrase"));
        assert_ne!(hash, hash_password(&random, "a long pass phrase").unwrap(), "salted");
        assert!(hash_password(&random, "").is_err() && hash_password(&random, "a\0").is_err());

        let new = new_token(&random);
        assert_eq!(parse_token_digest(&new.sha256), Ok(token_digest(new.token.as_bytes())));
        assert!(new.token.len() >= MIN_TOKEN_BYTES && new_token(&random) != new);
        assert!(!format!("{new:?}").contains(&new.token), "a token is not logged by accident");
    }

    #[test]
    fn token_digests() {
        // printf %s abc | sha256sum
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(parse_token_digest(abc), Ok(token_digest(b"abc")));
        assert_eq!(parse_token_digest(&abc.to_uppercase()), Ok(token_digest(b"abc")));
        for bad in ["", "xyz", &abc[1..], &abc.replace('b', "g"), &abc.replace("ba", "é"), &"+".repeat(64)] {
            assert!(parse_token_digest(bad).is_err(), "{bad}");
        }
        for of_nothing in [&b""[..], b"\n"] {
            assert!(
                parse_token_digest(&to_hex(&token_digest(of_nothing))).unwrap_err().contains("empty token")
            );
        }
    }
}
