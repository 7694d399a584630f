//! Blocks of two hours, as a head would cut them.

use super::catalogue::{MINUTE_MS, SLOTS, Series, Target};
use nilometer_block::BlockWriter;
use nilometer_block::pack::Packer;
use nilometer_chunk::Stamp;
use nilometer_env::Fs;
use nilometer_model::{BlockMeta, Result, ThanosMeta, Ulid, Value};
use nilometer_storage::ReadChunks;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

pub(super) const BLOCK_MINUTES: i64 = 120;
pub(super) const BLOCK_MS: i64 = BLOCK_MINUTES * MINUTE_MS;
pub(super) const TENANT: &str = "year";

/// The series of a block, kept for the next one: they are mostly the same.
#[derive(Default)]
pub(super) struct Cutter {
    targets: Vec<Target>,
    /// By labels.
    series: Vec<Series>,
}

impl Cutter {
    /// The block with a number since the year began at `start_ms`, in its own folder below `dir`.
    pub(super) fn cut(
        &mut self,
        fs: &Arc<dyn Fs>,
        dir: &Path,
        (series, start_ms): (u32, i64),
        number: u64,
    ) -> Result<BlockMeta> {
        let from = number as i64 * BLOCK_MINUTES;
        self.prepare(series, from);
        let min_time_ms = start_ms + from * MINUTE_MS;
        let max_time_ms = min_time_ms + BLOCK_MS;
        let labels = [("tenant_id".to_owned(), TENANT.to_owned())].into();
        let meta = BlockMeta {
            ulid: Ulid::new(max_time_ms as u64, [7; 10]),
            min_time_ms,
            max_time_ms,
            thanos: Some(ThanosMeta { labels, source: "receive".to_owned(), ..ThanosMeta::default() }),
            ..BlockMeta::default()
        };
        let mut writer = BlockWriter::create(fs, dir, meta)?;
        let texts = self.series.iter().flat_map(|s| &s.labels).flat_map(|(name, value)| [name, value]);
        writer.symbols(texts.collect::<BTreeSet<_>>())?;
        let (mut packer, mut chunks) = (Packer::new(false), ReadChunks::default());
        for series in &self.series {
            chunks.clear();
            let offset_ms = start_ms + series.target.offset_ms();
            for minute in series.minutes(from, from + BLOCK_MINUTES) {
                let stamp = Stamp::at(minute * MINUTE_MS + offset_ms);
                packer.append(stamp, &Value::Float(series.at(minute)), &mut chunks)?;
            }
            packer.finish(&mut chunks);
            writer.series(&series.labels, &chunks.iter().collect::<Vec<_>>())?;
        }
        writer.finish()
    }

    fn prepare(&mut self, series: u32, from: i64) {
        let numbers = 0..series.div_ceil(SLOTS);
        let targets: Vec<Target> =
            numbers.flat_map(|number| Target::during(number, from, from + BLOCK_MINUTES)).collect();
        if targets == self.targets {
            return;
        }
        self.series.clear();
        for target in &targets {
            let slots = 0..SLOTS.min(series - target.number * SLOTS);
            self.series.extend(slots.map(|slot| target.series(slot)));
        }
        self.series.sort_by(|a, b| a.labels.cmp(&b.labels));
        self.targets = targets;
    }
}
