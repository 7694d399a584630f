//! Which names objects may have: those that every store takes and that are plain paths on a disk.

use nilometer_model::{Error, Result};

/// S3's and GCS' limit; Azure's is the same.
const MAX_KEY_BYTES: usize = 1_024;
/// What a local bucket keeps for itself.
const RESERVED: &str = "@nilometer";

pub(crate) fn check(key: &str) -> Result<()> {
    let wrong = |what: &str| Err(Error::invalid(format!("{key:?} cannot be the name of an object: {what}")));
    if key.is_empty() {
        return wrong("it is empty");
    }
    if key.len() > MAX_KEY_BYTES {
        return wrong("it is longer than 1024 bytes");
    }
    if key.chars().any(char::is_control) {
        return wrong("it has control characters");
    }
    let mut parts = key.split('/');
    if parts.any(|part| part.is_empty() || part == "." || part == "..") {
        return wrong("its parts between / may not be empty, . or ..");
    }
    if key.split('/').next() == Some(RESERVED) {
        return wrong("this folder is a local bucket's own");
    }
    Ok(())
}

/// `folder` is empty or ends with `/`.
pub(crate) fn check_folder(folder: &str) -> Result<()> {
    folder.strip_suffix('/').map_or(Ok(()), check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for key in ["a", "01ARZ/chunks/000001", "a b/ü", "debug/metas/x.json", "x@nilometer/y"] {
            assert!(check(key).is_ok(), "{key}");
        }
        let long = "x".repeat(1_025);
        for key in ["", "/", "/a", "a/", "a//b", "../a", "a/./b", "a\nb", "@nilometer/lock", long.as_str()] {
            assert!(check(key).is_err(), "{key}");
        }
        assert!(check_folder("").is_ok() && check_folder("a/b/").is_ok());
        assert!(check_folder("../").is_err());
    }
}
