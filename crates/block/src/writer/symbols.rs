//! The symbols of a block that is being written: their table, and the number of each.

use crate::bytes::{Cursor, crc32c, put_str};
use hashbrown::{DefaultHashBuilder, HashTable};
use nilometer_model::{Error, Result};
use std::hash::BuildHasher;

/// The content of the symbol table section, and where each symbol is in it.
#[derive(Default)]
pub(super) struct SymbolTable {
    content: Vec<u8>,
    offsets: Vec<u32>,
    /// Made when a symbol is first looked up by its text.
    numbers: Option<(HashTable<u32>, DefaultHashBuilder)>,
}

impl SymbolTable {
    /// In front of the symbols: how many they are.
    const COUNT_BYTES: usize = 4;

    pub(super) fn new(sorted: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self> {
        let mut table = SymbolTable { content: vec![0; Self::COUNT_BYTES], ..SymbolTable::default() };
        for symbol in sorted {
            let symbol = symbol.as_ref();
            if let Some(last) =
                table.offsets.last().map(|o| text(&table.content, *o)).filter(|l| *l >= symbol)
            {
                return Err(Error::invalid(format!("symbols are not sorted: {last:?} before {symbol:?}")));
            }
            let too_many = |_| {
                let max = u64::from(u32::MAX);
                Error::limit("symbol-table-bytes", max, "the symbols of a block are too many: cut it smaller")
            };
            table.offsets.push(u32::try_from(table.content.len()).map_err(too_many)?);
            put_str(&mut table.content, symbol);
            u32::try_from(table.content.len()).map_err(too_many)?;
        }
        let count = table.offsets.len() as u32;
        table.content[..Self::COUNT_BYTES].copy_from_slice(&count.to_be_bytes());
        Ok(table)
    }

    pub(super) fn len(&self) -> u32 {
        self.offsets.len() as u32
    }

    /// The whole section but for its length: content and checksum.
    pub(super) fn section(&self) -> (&[u8], u32) {
        (&self.content, crc32c(&self.content))
    }

    pub(super) fn get(&self, number: u32) -> &str {
        text(&self.content, self.offsets[number as usize])
    }

    pub(super) fn number(&mut self, symbol: &str) -> Option<u32> {
        let (content, offsets) = (&self.content, &self.offsets);
        let (numbers, hasher) = self.numbers.get_or_insert_with(|| {
            let hasher = DefaultHashBuilder::default();
            let hash = |n: &u32| hasher.hash_one(text(content, offsets[*n as usize]));
            let mut numbers = HashTable::with_capacity(offsets.len());
            for number in 0..offsets.len() as u32 {
                numbers.insert_unique(hash(&number), number, hash);
            }
            (numbers, hasher)
        });
        numbers.find(hasher.hash_one(symbol), |n| text(content, offsets[*n as usize]) == symbol).copied()
    }
}

/// We wrote it from text, so it is text.
fn text(content: &[u8], offset: u32) -> &str {
    let symbol = Cursor::new(&content[offset as usize..]).prefixed();
    symbol.and_then(|s| std::str::from_utf8(s).ok()).expect("a symbol is where it was put")
}
