use super::*;
use nilometer_model::{Downsample, ThanosMeta};

const H: i64 = 3_600_000;
const D: i64 = 24 * H;
const NOW: i64 = 1_000 * D;

fn ulid(number: u64) -> Ulid {
    Ulid::new(number, [0; 10])
}

/// A block of a tenant that ended so many days ago.
fn block(number: u64, tenant: &str, resolution_ms: i64, ended_days: i64, sources: &[u64]) -> BlockMeta {
    let labels = [("tenant_id".to_owned(), tenant.to_owned())].into_iter().collect();
    let mut meta = BlockMeta {
        ulid: ulid(number),
        max_time_ms: NOW - ended_days * D,
        min_time_ms: NOW - (ended_days + 2) * D,
        thanos: Some(ThanosMeta {
            labels,
            downsample: Downsample { resolution_ms },
            ..ThanosMeta::default()
        }),
        ..BlockMeta::default()
    };
    meta.stats.num_samples = 1;
    meta.compaction.sources = sources.iter().map(|s| ulid(*s)).collect();
    meta
}

fn shown(decisions: &[Decision]) -> Vec<(u64, Action)> {
    decisions.iter().map(|d| (d.ulid.ms(), d.action)).collect()
}

fn retention(raw: i64, five: i64, hour: i64) -> Retention {
    Retention {
        all: Periods { raw_ms: raw * D, five_minutes_ms: five * D, one_hour_ms: hour * D },
        tenants: BTreeMap::new(),
        tenant_label: "tenant_id".to_owned(),
        downsampling: true,
    }
}

use Action::{Delete, Hold, MarkForDeletion};

#[test]
fn raw_samples_wait_for_coarser_ones() {
    let metas = [
        block(1, "a", 0, 31, &[1]),
        block(2, "a", 0, 31, &[2]),
        block(3, "a", FIVE_MINUTES_MS, 31, &[1]),
        block(4, "a", 0, 30, &[4]),
        block(5, "a", 0, 31, &[5]),
        block(6, "a", ONE_HOUR_MS, 31, &[5]),
    ];
    let thirty = retention(30, 90, 0);
    let decisions = thirty.decide(&metas, &Marks::default(), NOW);
    assert_eq!(shown(&decisions), [(1, MarkForDeletion), (2, Hold), (5, MarkForDeletion)]);
    assert_eq!(decisions[0].reason, "block exceeding retention of 30d");
    assert_eq!(Retention::held(&decisions), [ulid(2)].into());
    // One second later the fourth is over too.
    assert_eq!(thirty.decide(&metas, &Marks::default(), NOW + 1).len(), 4);

    // A coarser block that is about to go is none, and what is marked is not marked again.
    let marks = Marks { deletion_s: [(ulid(3), 0), (ulid(5), 0)].into(), ..Marks::default() };
    assert_eq!(shown(&thirty.decide(&metas, &marks, NOW)), [(1, Hold), (2, Hold)]);

    // Nothing waits for what will not come, or would not stay.
    let marks = Marks { no_downsample: [ulid(2)].into(), ..Marks::default() };
    assert_eq!(shown(&thirty.decide(&metas, &marks, NOW))[1], (2, MarkForDeletion));
    let off = Retention { downsampling: false, ..thirty };
    assert_eq!(shown(&off.decide(&metas, &Marks::default(), NOW))[1], (2, MarkForDeletion));
    let short = retention(30, 20, 10);
    let decisions = short.decide(&metas, &Marks::default(), NOW);
    assert_eq!(decisions.iter().filter(|d| d.action == MarkForDeletion).count(), 5);
}

#[test]
fn each_resolution_has_its_time() {
    let metas = [
        block(1, "a", 0, 400, &[1]),
        block(2, "a", FIVE_MINUTES_MS, 400, &[1]),
        block(3, "a", ONE_HOUR_MS, 400, &[1]),
        block(4, "a", 7, 400, &[1]),
    ];
    let of = |raw, five, hour| shown(&retention(raw, five, hour).decide(&metas, &Marks::default(), NOW));
    assert_eq!(of(0, 0, 0), []);
    assert_eq!(of(30, 0, 0), [(1, MarkForDeletion)]);
    assert_eq!(of(30, 90, 0), [(1, MarkForDeletion), (2, MarkForDeletion)]);
    assert_eq!(of(30, 90, 399).len(), 3);
    assert_eq!(of(500, 500, 500), []);
}

#[test]
fn tenants_have_their_own() {
    let metas = [block(1, "a", 0, 60, &[1]), block(2, "b", 0, 60, &[2]), block(3, "", 0, 60, &[3])];
    let mut retention = retention(30, 30, 30);
    retention.tenants.insert("a".to_owned(), Periods { raw_ms: 90 * D, ..Periods::default() });
    assert_eq!(
        shown(&retention.decide(&metas, &Marks::default(), NOW)),
        [(2, MarkForDeletion), (3, MarkForDeletion)]
    );
    retention.tenants.insert("b".to_owned(), Periods::default());
    assert_eq!(shown(&retention.decide(&metas, &Marks::default(), NOW)), [(3, MarkForDeletion)]);
}

#[test]
fn too_short_retention_is_refused() {
    let periods =
        |raw: i64, five: i64| Periods { raw_ms: raw * H, five_minutes_ms: five * H, one_hour_ms: H };
    assert!(periods(40, 40).check().is_ok() && periods(0, 0).check().is_ok());
    let message = periods(39, 40).check().unwrap_err().to_string();
    assert!(message.starts_with("--retention.resolution-raw=39h is less than the 40h"), "{message}");
    assert!(periods(40, 39).check().is_err());
}

#[test]
fn what_is_covered_goes() {
    let metas = [
        block(1, "a", 0, 0, &[1]),
        block(2, "a", 0, 0, &[2]),
        block(3, "a", 0, 0, &[1, 2]),
        // The same once more, by a second compactor: the older stays.
        block(4, "a", 0, 0, &[1, 2]),
        block(5, "a", 0, 0, &[2, 5]),
        block(6, "b", 0, 0, &[1]),
        block(7, "a", FIVE_MINUTES_MS, 0, &[1]),
    ];
    let decisions = garbage(&metas, &Marks::default(), &[]);
    assert_eq!(shown(&decisions), [(1, MarkForDeletion), (2, MarkForDeletion), (4, MarkForDeletion)]);
    assert_eq!(decisions[0].reason, format!("outdated block: {} has all that went into it", ulid(3)));
    let marks = Marks { deletion_s: [(ulid(1), 0)].into(), ..Marks::default() };
    assert_eq!(shown(&garbage(&metas, &marks, &[])), [(2, MarkForDeletion), (4, MarkForDeletion)]);
    let merged = garbage(&metas, &Marks::default(), &["tenant_id".to_owned()]);
    assert_eq!(shown(&merged).len(), 4, "the tenants' blocks are of one group then");
}

#[test]
fn deletion_is_delayed() {
    let delays = Delays::default();
    let marked = (NOW - 48 * H) / 1000;
    let marks = Marks { deletion_s: [(ulid(1), marked), (ulid(2), marked - 1)].into(), ..Marks::default() };
    assert_eq!(shown(&delays.deletions(&marks, NOW)), [(2, Delete)]);
    assert_eq!(delays.deletions(&marks, NOW)[0].reason, "marked for deletion longer than 2d ago");

    // Half of the delay before that, a compactor does not look at it any more.
    let meta = block(3, "a", 0, 0, &[3]);
    let visible = |ago_ms: i64| {
        let marks = Marks { deletion_s: [(ulid(3), (NOW - ago_ms) / 1000)].into(), ..Marks::default() };
        delays.is_visible(&meta, None, &marks, NOW)
    };
    assert!(visible(24 * H) && !visible(24 * H + 1000));
}

#[test]
fn fresh_blocks_are_left_alone() {
    let delays = Delays::default();
    let mut meta = block((NOW - 10 * 60_000) as u64, "a", 0, 0, &[1]);
    let visible = |meta: &BlockMeta, uploaded| delays.is_visible(meta, uploaded, &Marks::default(), NOW);
    assert!(!visible(&meta, None));
    assert!(visible(&meta, Some(NOW - 30 * 60_000)) && !visible(&meta, Some(NOW - 30 * 60_000 + 1)));
    meta.thanos.as_mut().unwrap().source = "compactor".to_owned();
    assert!(visible(&meta, None), "compactors write whole blocks");
}

#[test]
fn uploads_that_were_given_up_go() {
    let old = (NOW - 48 * H) as u64;
    let partial = [
        Partial { ulid: ulid(old), modified_ms: None },
        Partial { ulid: ulid(old - 1), modified_ms: None },
        Partial { ulid: ulid(old - 2), modified_ms: Some(NOW - H) },
        Partial { ulid: ulid(old - 3), modified_ms: None },
        Partial { ulid: ulid(NOW as u64), modified_ms: Some(NOW - 49 * H) },
    ];
    let marks = Marks { deletion_s: [(ulid(old - 3), 0)].into(), ..Marks::default() };
    assert_eq!(shown(&aborted_uploads(&partial, &marks, NOW)), [(old - 1, Delete), (NOW as u64, Delete)]);
}
