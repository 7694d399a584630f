//! What is kept beside samples, bounded per tenant: exemplars and metadata. Not in blocks.

use crate::exemplars::Exemplars;
use nilometer_model::Metadata;
use std::collections::BTreeMap;

const MAX_FAMILIES: usize = 10_000;
const MAX_METADATA_BYTES: usize = 16 << 20;

#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) exemplars: Exemplars,
    metadata: BTreeMap<String, Metadata>,
    metadata_bytes: usize,
}

impl Extras {
    /// Whether anything changed. A family beyond the bound is not kept.
    pub(crate) fn set_metadata(&mut self, family: &str, metadata: Metadata) -> bool {
        if self.metadata.get(family) == Some(&metadata) {
            return false;
        }
        let old = self.metadata.get(family);
        let bytes_of = |m: &Metadata| family.len() + m.help.len() + m.unit.len();
        let bytes = self.metadata_bytes - old.map_or(0, bytes_of) + bytes_of(&metadata);
        if bytes > MAX_METADATA_BYTES || (old.is_none() && self.metadata.len() >= MAX_FAMILIES) {
            return false;
        }
        self.metadata_bytes = bytes;
        self.metadata.insert(family.to_owned(), metadata);
        true
    }

    pub(crate) fn metadata(&self) -> &BTreeMap<String, Metadata> {
        &self.metadata
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.exemplars.heap_bytes() + self.metadata_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_bounded() {
        let mut extras = Extras::default();
        let helped = |bytes: usize| Metadata { help: "x".repeat(bytes), ..Metadata::default() };
        for n in 0..2 * MAX_FAMILIES {
            assert_eq!(extras.set_metadata(&format!("family_{n:05}"), helped(4)), n < MAX_FAMILIES);
        }
        assert!(!extras.set_metadata("family_00001", helped(4)), "nothing changed");
        for n in 0..MAX_FAMILIES {
            extras.set_metadata(&format!("family_{n:05}"), helped(16 << 10));
            assert!(extras.heap_bytes() <= MAX_METADATA_BYTES);
        }
        assert!(extras.set_metadata("family_00001", helped(3)), "less is taken");
    }
}
