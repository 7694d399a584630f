//! What the writer refuses.

use super::fixture::*;
use crate::{BlockDir, BlockWriter};
use nilometer_chunk::encode_floats;
use nilometer_env::Fs;
use nilometer_model::{Kind, Result};
use std::path::Path;
use std::sync::Arc;

type Samples = &'static [(i64, f64)];
/// The value of its label, and its chunks.
type OneSeries<'a> = (&'a str, &'a [Samples]);

/// Writes series of one chunk each, or more, and says what went wrong.
fn try_write(fs: &Arc<dyn Fs>, series: &[OneSeries<'_>]) -> Result<()> {
    let mut writer = BlockWriter::create(fs, Path::new(DIR), meta(1))?;
    writer.symbols(["1", "2", "a"])?;
    let mut first = Ok(());
    for (value, chunks) in series {
        let encoded: Vec<_> = chunks.iter().map(|c| encode_floats(c.iter().copied())).collect();
        let chunks: Vec<_> = chunks.iter().zip(&encoded).map(|(s, data)| chunk(s, data)).collect();
        first = first.and(writer.series(&labels(&[("a", value)]), &chunks));
    }
    first.and(writer.finish().map(drop))
}

#[test]
fn wrong_input_is_refused_and_leaves_nothing() {
    const ONE: Samples = &[(5, 1.0), (9, 1.0)];
    const LATER: Samples = &[(9, 1.0)];
    const OUTSIDE: Samples = &[(MAX_MS, 1.0)];
    let cases: [(&str, &[OneSeries<'_>]); 5] = [
        ("not in order", &[("2", &[ONE]), ("1", &[ONE])]),
        ("not in order", &[("1", &[ONE]), ("1", &[ONE])]),
        ("overlaps", &[("1", &[ONE, LATER])]),
        ("not within", &[("1", &[OUTSIDE])]),
        ("not among the symbols", &[("3", &[ONE])]),
    ];
    for (message, series) in cases {
        let (_, fs) = disk(1);
        let e = try_write(&fs, series).unwrap_err();
        assert!(e.to_string().contains(message) && *e.kind() == Kind::Invalid, "{e}");
        assert_eq!(fs.read_dir(Path::new(DIR)).unwrap(), [], "{message}");
    }
}

#[test]
fn unsorted_symbols_are_refused() {
    let (_, fs) = disk(1);
    for symbols in [["b", "a"], ["a", "a"]] {
        let mut writer = BlockWriter::create(&fs, Path::new(DIR), meta(1)).unwrap();
        assert!(writer.symbols(symbols).unwrap_err().to_string().contains("not sorted"));
        assert!(writer.series(&labels(&[("a", "b")]), &[]).is_err(), "nothing can follow");
        assert!(writer.finish().is_err());
    }
}

#[test]
fn blocks_do_not_replace_each_other_and_leftovers_go() {
    let (_, fs) = disk(1);
    let half = BlockWriter::create(&fs, Path::new(DIR), meta(2)).unwrap();
    std::mem::forget(half); // the process is killed
    let ulid = write(&fs, DIR, meta(1), &some_data()).unwrap().ulid;
    let again = write(&fs, DIR, meta(1), &some_data()).unwrap_err();
    assert_eq!(*again.kind(), Kind::Conflict);

    for foreign in ["wal", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "other.tmp-for-creation"] {
        fs.create_dir_all(&Path::new(DIR).join(foreign)).unwrap();
    }
    let blocks = BlockDir::new(fs.clone(), DIR);
    assert_eq!(blocks.list().unwrap(), [ulid], "what has no meta.json is no block");
    assert_eq!(blocks.clean().unwrap(), [format!("{}.tmp-for-creation", meta(2).ulid)]);
    assert_eq!(fs.read_dir(Path::new(DIR)).unwrap().len(), 4);

    let (open, closed) = (blocks.open(ulid).unwrap(), blocks.open(ulid).unwrap());
    assert_eq!(open.check().unwrap().len(), 0);
    blocks.delete(ulid).unwrap();
    assert_eq!(blocks.list().unwrap(), []);
    assert!(matches!(blocks.open(ulid).err().unwrap().kind(), Kind::NotFound));
    assert!(crate::verify(&open).is_clean(), "who has it open can read on");
    assert_eq!(*closed.check().unwrap_err().kind(), Kind::Unavailable);
    open.close_if_unused();
    assert!(open.is_open(), "it was used");
    open.close_if_unused();
    assert!(!open.is_open(), "it was not used again");
}

#[test]
fn an_empty_block_is_a_block() {
    let (_, block) = block(&Data::new());
    assert!(crate::verify(&block).is_clean());
    assert_eq!(block.meta().stats, Default::default());
}
