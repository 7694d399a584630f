//! The symbols of several blocks become those of one.

use nilometer_block::{BlockWriter, Scan, SymbolScan};
use nilometer_model::{Error, Result};

/// Writes the symbols of all blocks, each once. Gives for each block the new numbers of its symbols.
pub(crate) fn merge(scans: &[Scan], writer: &mut BlockWriter) -> Result<Vec<Vec<u32>>> {
    let mut symbols = Symbols { inputs: Vec::with_capacity(scans.len()), count: 0, failed: None };
    for scan in scans {
        let mut input = Input { scan: scan.symbols()?, next: None, numbers: Vec::new() };
        input.advance()?;
        symbols.inputs.push(input);
    }
    let written = writer.symbols(&mut symbols);
    match symbols.failed.take() {
        Some(failed) => Err(failed),
        None => written.map(|()| symbols.inputs.into_iter().map(|i| i.numbers).collect()),
    }
}

struct Input<'a> {
    scan: SymbolScan<'a>,
    next: Option<String>,
    numbers: Vec<u32>,
}

impl Input<'_> {
    fn advance(&mut self) -> Result<()> {
        self.next = self.scan.next_symbol()?.map(str::to_owned);
        Ok(())
    }
}

struct Symbols<'a> {
    inputs: Vec<Input<'a>>,
    count: u32,
    /// Ends it.
    failed: Option<Error>,
}

impl Iterator for Symbols<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.failed.is_some() {
            return None;
        }
        let least = self.inputs.iter().filter_map(|i| i.next.as_ref()).min()?.clone();
        for input in &mut self.inputs {
            if input.next.as_ref() == Some(&least) {
                input.numbers.push(self.count);
                if let Err(e) = input.advance() {
                    self.failed = Some(e);
                    return None;
                }
            }
        }
        self.count += 1;
        Some(least)
    }
}
