//! Cutting: a range of a tenant leaves memory as a block.
//!
//! 1. Under the lock, `cut begun` is logged and the range closed: what comes for it from now on is late.
//! 2. The block is written, a few series at a time; nothing is held for long, and memory does not grow.
//! 3. `cut ended` is logged with the block's ULID and made durable, then the block made visible. A crash
//!    between finds no such block, and the samples still in log and snapshot.
//! 4. When the last reader from before is done, the samples leave memory.

use crate::head::Head;
use crate::open::{Packed, pack};
use crate::record;
use crate::state::{Cut, State};
use crate::tenant::TenantHead;
use nilometer_block::{BlockWriter, ChunkRef};
use nilometer_chunk::{Encoding, Stamp};
use nilometer_model::{BlockMeta, Error, Labels, Result, ThanosMeta, TimeRange, Ulid, Value};
use std::sync::Arc;
use std::time::Duration;

/// A cut that failed is tried again so much later.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// What still cannot be read after so many failed cuts is given up like what is damaged.
const MAX_FAILED_CUTS: u32 = 5;

/// Series that are read under one holding of the lock.
const BATCH_SERIES: usize = 64;

impl Head {
    /// Cuts one range of a tenant into a block.
    pub(crate) fn cut(&self, tenant: &Arc<TenantHead>, start_ms: i64) -> Result<()> {
        let began = self.env.clock.monotonic();
        let (cut, was_late) = self.begin(tenant, start_ms);
        let written = self.write_block(tenant, cut, was_late);
        // A block that cannot be opened now is found by the next start; another cut has its samples again.
        let written = written.and_then(|block| block.map(|ulid| tenant.dir.open(ulid)).transpose());
        let mut inner = tenant.lock();
        match written {
            Ok(block) => {
                let seconds = self.env.clock.monotonic().saturating_sub(began).as_secs_f64();
                if let Some(block) = &block {
                    let stats = &block.meta().stats;
                    tracing::info!(
                        tenant = %tenant.name, block = %block.meta().ulid, samples = stats.num_samples,
                        series = stats.num_series, seconds, "a range was cut into a block"
                    );
                }
                inner.end_cut(cut, block);
                inner.failed_cuts = 0;
                Ok(())
            }
            Err(e) => {
                inner.state.abandon_cut(cut);
                inner.failed_cuts += 1;
                inner.no_cut_before = self.env.clock.monotonic() + RETRY_AFTER;
                Err(e)
            }
        }
    }

    fn begin(&self, tenant: &TenantHead, start_ms: i64) -> (Cut, bool) {
        let mut inner = tenant.lock();
        let cut = inner.state.new_cut(start_ms);
        let was_late = inner.state.dropped_through_ms > start_ms;
        self.log.push(|out| record::put_cut_begun(out, &tenant.name, cut));
        inner.state.begin_cut(cut, |_| false);
        (cut, was_late)
    }

    /// Writes what the cut took. `None` where that was nothing.
    fn write_block(&self, tenant: &TenantHead, cut: Cut, was_late: bool) -> Result<Option<Ulid>> {
        let (range, symbols, slots) = {
            let mut inner = tenant.lock();
            inner.state.index.sort();
            let all = (0..inner.state.index.len() as u32).collect();
            (
                inner.state.ranges.range(cut.start_ms),
                inner.state.index.symbols(),
                inner.state.index.in_order(all),
            )
        };
        // The block may only hold what a crash leaves in the log too.
        self.log.flush()?;
        let meta = self.block_meta(tenant, range, was_late);
        let ulid = meta.ulid;
        self.env
            .fs
            .create_dir_all(tenant.dir.path())
            .map_err(|e| Error::io(format!("creating {}", tenant.dir.path().display()), e))?;
        let mut writer = BlockWriter::create(&self.env.fs, tenant.dir.path(), meta)?;
        writer.symbols(symbols.iter().map(String::as_str))?;
        drop(symbols);
        for batch in slots.chunks(BATCH_SERIES) {
            for (labels, chunks) in self.collect(tenant, batch, cut, range)? {
                let chunks: Vec<ChunkRef<'_>> = chunks.iter().map(chunk_ref).collect();
                writer.series(&labels, &chunks)?;
            }
        }
        let some = writer.stats().num_series > 0;
        let block = some.then_some(ulid.to_bytes());
        self.log.push(|out| record::put_cut_ended(out, &tenant.name, cut, block));
        self.log.flush()?;
        if some {
            writer.finish()?;
        }
        Ok(some.then_some(ulid))
    }

    fn collect(
        &self,
        tenant: &TenantHead,
        slots: &[u32],
        cut: Cut,
        range: TimeRange,
    ) -> Result<Vec<(Labels, Vec<Packed>)>> {
        let inner = tenant.lock();
        let give_up = inner.failed_cuts >= MAX_FAILED_CUTS;
        let mut all = Vec::new();
        for &slot in slots {
            let (chunks, damaged) =
                chunks_of(&inner.state, slot as usize, cut, range, self.options.keep_starts);
            if let Some(passing) = damaged.iter().find(|e| e.is_passing() && !give_up) {
                return Err(passing.clone());
            }
            if damaged.is_empty() && chunks.is_empty() {
                continue;
            }
            let labels = inner.state.index.labels(slot);
            for error in damaged {
                self.metrics.corruptions.inc();
                tracing::error!(tenant = %tenant.name, series = %labels, %error, "a chunk is damaged and is not in the block");
            }
            all.push((labels, chunks));
        }
        Ok(all)
    }

    fn block_meta(&self, tenant: &TenantHead, range: TimeRange, was_late: bool) -> BlockMeta {
        let mut random = [0; 10];
        self.env.random.fill(&mut random);
        let ulid = Ulid::new(self.env.clock.wall_ms().max(0) as u64, random);
        let mut meta = BlockMeta {
            ulid,
            min_time_ms: range.min_ms,
            max_time_ms: range.max_ms + 1,
            ..BlockMeta::default()
        };
        if was_late {
            meta.compaction.hints.push(BlockMeta::FROM_OUT_OF_ORDER.to_owned());
        }
        let labels = self.external_labels(&tenant.name);
        meta.thanos = Some(ThanosMeta {
            labels: labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            source: "receive".to_owned(),
            ..ThanosMeta::default()
        });
        meta
    }
}

/// What a cut takes of one series, as it goes into a block: by time, without overlap. And what is damaged.
fn chunks_of(
    state: &State,
    slot: usize,
    cut: Cut,
    range: TimeRange,
    keep_starts: bool,
) -> (Vec<Packed>, Vec<Error>) {
    let series = &state.series[slot];
    let (mut chunks, mut damaged) = (Vec::new(), Vec::new());
    let in_order = TimeRange::new(range.min_ms, cut.end_ms - 1);
    chunks.extend(series.open.range().filter(|r| r.overlaps(&in_order)).and_then(|_| series.open.packed()));
    for closed in series.closed(in_order, state.dropped_through_ms, &state.files) {
        match closed {
            Ok(closed) => chunks.push(closed.packed),
            Err(e) => damaged.push(e),
        }
    }
    chunks.reverse();
    let late = series.late.iter().flat_map(|late| &late.sealed);
    let mut any_late = false;
    for sealed in late.filter(|s| s.cut == cut.id && range.contains(s.range.min_ms)) {
        any_late = true;
        match state.files.get(sealed.pos) {
            Ok(closed) => chunks.push(closed.packed),
            Err(e) => damaged.push(e),
        }
    }
    if any_late || !(keep_starts || chunks.iter().all(|c| is_plain(c.encoding))) {
        chunks = repacked(&chunks, keep_starts, &mut damaged);
    }
    (chunks, damaged)
}

/// Encodings that every reader of blocks knows.
fn is_plain(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::Xor | Encoding::Histogram | Encoding::FloatHistogram)
}

/// All samples in order of time, each time once; start timestamps only on demand, since older readers do not
/// know them.
fn repacked(chunks: &[Packed], keep_starts: bool, damaged: &mut Vec<Error>) -> Vec<Packed> {
    let mut samples: Vec<(Stamp, Value)> = Vec::new();
    for chunk in chunks {
        match chunk.samples() {
            Ok(of_chunk) => samples.extend(of_chunk),
            Err(e) => damaged.push(e),
        }
    }
    // Stable: of one time, the sample that came in order stands first.
    samples.sort_by_key(|(at, _)| at.t_ms);
    samples.dedup_by_key(|(at, _)| at.t_ms);
    pack(samples.into_iter().map(|(at, value)| (if keep_starts { at } else { Stamp::at(at.t_ms) }, value)))
}

fn chunk_ref(packed: &Packed) -> ChunkRef<'_> {
    ChunkRef { range: packed.range, encoding: packed.encoding, data: &packed.data }
}
