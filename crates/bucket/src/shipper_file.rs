//! `thanos.shipper.json`: which blocks of a folder were uploaded, as Thanos' shipper keeps it.
//!
//! It spares requests and is never the truth: without it the bucket is asked.

use nilometer_env::Fs;
use nilometer_model::{Error, Result, Ulid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

/// Blocks that were uploaded and verified, or found in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShipperFile {
    version: u32,
    #[serde(deserialize_with = "null_is_empty")]
    pub uploaded: BTreeSet<Ulid>,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(from: D) -> Result<BTreeSet<Ulid>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Default for ShipperFile {
    fn default() -> Self {
        ShipperFile { version: 1, uploaded: BTreeSet::new() }
    }
}

impl ShipperFile {
    pub const FILE: &'static str = "thanos.shipper.json";

    /// Empty if it is not there. One that cannot be read is an error, to be told and then ignored.
    pub fn read(fs: &dyn Fs, dir: &Path) -> Result<Self> {
        let path = dir.join(Self::FILE);
        let json = match fs.read(&path) {
            Ok(json) => json,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(Error::io(path.display(), e)),
        };
        let corrupt = |what: String| Error::corrupt(path.display().to_string(), 0, what);
        let file: ShipperFile = serde_json::from_slice(&json).map_err(|e| corrupt(e.to_string()))?;
        if file.version != 1 {
            return Err(corrupt(format!("it has version {}: only 1 is known", file.version)));
        }
        Ok(file)
    }

    pub fn write(&self, fs: &dyn Fs, dir: &Path) -> Result<()> {
        let path = dir.join(Self::FILE);
        let mut json = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut json, format);
        self.serialize(&mut serializer).map_err(|e| Error::invalid(format!("{}: {e}", path.display())))?;
        json.push(b'\n');
        fs.write_atomic(&path, &json).map_err(|e| Error::io(path.display(), e))
    }
}
