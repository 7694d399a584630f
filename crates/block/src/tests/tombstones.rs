//! Deleted samples are not answered.

use super::fixture::*;
use crate::{BlockDir, Tombstones};
use nilometer_model::TimeRange;
use nilometer_storage::Select;
use std::path::Path;

#[test]
fn deleted_samples_are_gone() {
    let mut data = some_data();
    let (_, fs) = disk(1);
    let meta = write(&fs, DIR, meta(1), &data).unwrap();
    let (dir, path) = (BlockDir::new(fs.clone(), DIR), Path::new(DIR).join(meta.ulid.to_string()));
    let refs =
        dir.open(meta.ulid).unwrap().open().unwrap().index.all_series_by_walk(&mut Vec::new()).unwrap();

    let mut tombstones = Tombstones::default();
    // All of the first series, a chunk and a half of the second, the middle of a chunk of the third.
    tombstones.add(refs[0], TimeRange::ALL);
    tombstones.add(refs[1], TimeRange::new(0, 700_000));
    tombstones.add(refs[2], TimeRange::new(60_000, 90_000));
    tombstones.add(refs[2], TimeRange::new(120_000, 150_000));
    for (at, chunks) in data.values_mut().enumerate().take(3) {
        for chunk in chunks.iter_mut() {
            chunk.retain(|(t_ms, _)| !tombstones.of(refs[at]).has(*t_ms));
        }
        chunks.retain(|c| !c.is_empty());
    }
    tombstones.write(&*fs, &path).unwrap();
    let block = dir.open(meta.ulid).unwrap();
    assert_eq!(block.tombstones().unwrap(), tombstones);
    for range in [TimeRange::ALL, TimeRange::new(100_000, 110_000), TimeRange::new(0, 20_000)] {
        let (rows, warnings) = read(&block, Select::new([], range)).unwrap();
        assert_eq!(rows, expected(&data, &[], range));
        assert!(warnings.is_empty());
    }
}
