//! The whole way on a simulated disk: 200 series and 60 days, and every answer is compared with what the samples are.

use super::blocks::{BLOCK_MINUTES, TENANT};
use super::catalogue::{MINUTE_MS, SLOTS, Series, Target};
use super::*;
use futures::executor::block_on;
use nilometer_compact::{FIVE_MINUTES_MS, ONE_HOUR_MS};
use nilometer_env::sim::{SimClock, SimFs, SimRandom};
use nilometer_gateway::{Gateway, GatewayOptions, Partition, Parts as GatewayParts};
use nilometer_model::{Labels, Sample, TimeRange};
use nilometer_promql::{Engine, EngineOptions, Range, Resolution, Source, Value};

const SERIES: u32 = 200;
const DAYS: u64 = 60;
const START_MS: i64 = 1_735_689_600_000;
const DAY_MINUTES: i64 = DAY_MS / MINUTE_MS;

struct World {
    parts: YearParts,
    options: YearOptions,
}

impl World {
    fn new(series: u32, days: u64) -> World {
        let (fs, clock) = (Arc::new(SimFs::new(1)), Arc::new(SimClock::new(0)));
        let parts = YearParts { fs, clock, random: Arc::new(SimRandom::new(1)) };
        let dir = PathBuf::from("/year");
        let options =
            YearOptions { dir, series, days, start_ms: START_MS, max_bytes: 1 << 30, compacts: true };
        World { parts, options }
    }

    fn walk(&self, days: u64) -> YearReport {
        walk(&YearOptions { days, ..self.options.clone() }, &self.parts, &mut |_| {}).unwrap()
    }

    /// All there ever were, by labels without those that are external.
    fn series(&self) -> BTreeMap<Labels, Series> {
        let targets = 0..self.options.series.div_ceil(SLOTS);
        let targets = targets.flat_map(|n| Target::during(n, 0, self.options.days as i64 * DAY_MINUTES));
        let series = targets.flat_map(|target| (0..SLOTS).map(move |slot| target.series(slot)));
        series.map(|series| (series.labels.clone(), series)).collect()
    }
}

/// The bucket as a process sees it that has just started.
struct Reader {
    runtime: tokio::runtime::Runtime,
    gateway: Arc<Gateway>,
    lookout: Arc<Lookout>,
}

impl Reader {
    fn new(world: &World, now_ms: i64) -> Reader {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let (runtime, fs) = (runtime.unwrap(), world.parts.fs.clone());
        let clock = Arc::new(SimClock::new(now_ms));
        let parts = BucketParts {
            clock: clock.clone(),
            fs: fs.clone(),
            random: world.parts.random.clone(),
            metrics: BucketMetrics::register(&mut Registry::default()),
            env: Arc::new(|_| None),
        };
        let config = BucketConfig::filesystem(bucket_dir(&world.options.dir));
        let bucket = Bucket::open(config, parts).unwrap();
        let options = GatewayOptions {
            partition: Partition::all(),
            ignore_deletion_marks_delay_ms: DAY_MS,
            cache_bytes: 64 << 20,
            disk_cache: None,
            max_concurrent: 4,
        };
        let lookout = Arc::new(Lookout::new(bucket, fs.clone(), clock.clone(), "/reader"));
        let parts = GatewayParts { clock, fs, runtime: runtime.handle().clone() };
        let gateway = Arc::new(Gateway::new(lookout.clone(), parts, options, &mut Registry::default()));
        runtime.block_on(gateway.sync()).unwrap();
        Reader { runtime, gateway, lookout }
    }

    fn range(&self, query: &str, range: Range, resolution: Resolution) -> Vec<(Labels, Vec<Sample>)> {
        let view = self.gateway.streams(|external| external.get("tenant_id") == TENANT);
        let source = Source { resolution, ..Source::new(Arc::new(view)) };
        let result = block_on(Engine::new(EngineOptions::default()).range(&source, query, range)).unwrap();
        assert_eq!(result.warnings, [""; 0], "{query}");
        let Value::Matrix(series) = result.value else { panic!("{query} is no matrix") };
        let own = |(name, _): &(&str, &str)| *name != "tenant_id";
        series.into_iter().map(|s| (Labels::from_pairs(s.labels.iter().filter(own)), s.floats)).collect()
    }

    /// When the first and last of what answers in a resolution begin and end.
    fn reach(&self, resolution_ms: i64) -> TimeRange {
        let inventory = self.runtime.block_on(self.lookout.look()).unwrap();
        let blocks = inventory.blocks.values().filter(|l| l.marked_ms.is_none());
        let ranges = blocks.filter(|l| l.meta.resolution_ms() == resolution_ms).map(|l| l.meta.range());
        ranges.reduce(|a, b| TimeRange::new(a.min_ms.min(b.min_ms), a.max_ms.max(b.max_ms))).unwrap()
    }
}

/// At each midnight, what a function says of the day before; by name of the function.
fn naive(series: &Series, days: u64) -> BTreeMap<&'static str, Vec<Sample>> {
    let mut said: BTreeMap<_, Vec<Sample>> = BTreeMap::new();
    for day in 0..days as i64 {
        let minutes = series.minutes(day * DAY_MINUTES, (day + 1) * DAY_MINUTES);
        let values: Vec<f64> = minutes.map(|minute| series.at(minute)).collect();
        if values.is_empty() {
            continue;
        }
        let t_ms = START_MS + (day + 1) * DAY_MS - 1;
        let (count, sum) = (values.len() as f64, values.iter().sum::<f64>());
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let all = [("avg", sum / count), ("count", count), ("max", most), ("min", least), ("sum", sum)];
        for (name, v) in all {
            said.entry(name).or_default().push(Sample { t_ms, v });
        }
    }
    said
}

/// Raw samples one by one, by a query that returns each at its own time.
fn check_raw(world: &World, reader: &Reader) {
    let raw = reader.reach(0);
    let mut seen = 0;
    for series in world.series().values().step_by(7) {
        let offset_ms = START_MS + series.target.offset_ms();
        let minute = |ms: i64| (ms - offset_ms + MINUTE_MS - 1).div_euclid(MINUTE_MS);
        let minutes = series.minutes(minute(raw.min_ms), minute(raw.max_ms + 1));
        let labels = &series.labels;
        let at_ms = |minute: i64| offset_ms + minute * MINUTE_MS;
        // A query has at most 11,000 steps.
        for from in minutes.clone().step_by(10_000) {
            let part = from..minutes.end.min(from + 10_000);
            let (start_ms, end_ms) = (at_ms(part.start), at_ms(part.end - 1));
            let range = Range { start_ms, end_ms, step_ms: MINUTE_MS };
            let found = reader.range(&format!("last_over_time({labels}[1m])"), range, Resolution::RAW);
            let expected = part.map(|minute| (at_ms(minute), series.at(minute).to_bits()));
            assert_eq!(found.len(), 1, "{labels}");
            assert!(found[0].1.iter().map(|s| (s.t_ms, s.v.to_bits())).eq(expected), "{labels}");
            seen += found[0].1.len();
        }
    }
    assert!(seen > 600_000, "{seen}");
}

type Said = BTreeMap<Labels, BTreeMap<&'static str, Vec<Sample>>>;

/// By the name of the metric, what is to be said of its series.
fn expected(world: &World) -> BTreeMap<String, Said> {
    let mut expected: BTreeMap<String, Said> = BTreeMap::new();
    for (labels, series) in world.series() {
        // Functions take the name away.
        let others = Labels::from_pairs(labels.iter().filter(|(name, _)| *name != "__name__"));
        let said = naive(&series, world.options.days);
        expected.entry(labels.get("__name__").to_owned()).or_default().insert(others, said);
    }
    expected
}

/// Every day since the beginning, of every series that there was.
fn check_days(expected: &BTreeMap<String, Said>, reader: &Reader, resolution: Resolution) {
    let end_ms = START_MS + DAYS as i64 * DAY_MS - 1;
    let range = Range { start_ms: START_MS + DAY_MS - 1, end_ms, step_ms: DAY_MS };
    for (metric, all) in expected {
        for function in ["avg", "count", "max", "min", "sum"] {
            let query = format!("{function}_over_time({metric}[1d])");
            let found = reader.range(&query, range, resolution);
            assert_eq!(found.len(), all.len(), "{query} by {resolution:?}");
            for (labels, found) in found {
                let expected = &all[&labels][function];
                assert_eq!(found.len(), expected.len(), "{query} of {labels} by {resolution:?}");
                for (found, expected) in found.iter().zip(expected) {
                    let is_near = (found.v - expected.v).abs() <= 1e-12 * expected.v.abs();
                    let is_same = found.t_ms == expected.t_ms && is_near;
                    assert!(is_same, "{query} of {labels}: {found:?}, not {expected:?}");
                }
            }
        }
    }
}

#[test]
fn two_months_pass_and_every_answer_is_right() {
    let world = World::new(SERIES, DAYS);
    // Stopped on the way, and again.
    world.walk(17);
    world.walk(17);
    let report = world.walk(DAYS);
    assert_eq!((report.days(), report.end_ms()), (DAYS, START_MS + DAYS as i64 * DAY_MS));
    let all = world.series();
    let samples = all.values().map(|s| s.minutes(0, DAYS as i64 * DAY_MINUTES).count() as u64).sum::<u64>();
    assert_eq!((report.samples, report.blocks), (samples, DAYS * 12));
    assert_eq!(report.samples, u64::from(SERIES) * DAYS * DAY_MINUTES as u64);
    assert!(all.len() > SERIES as usize, "some were replaced");

    let reader = Reader::new(&world, report.end_ms() + 2 * CUT_AFTER_MS);
    let [raw, fives, hours] = [0, FIVE_MINUTES_MS, ONE_HOUR_MS].map(|ms| reader.reach(ms));
    let day = |ms: i64| (ms - START_MS).div_euclid(DAY_MS);
    assert!((10..=30).contains(&day(raw.min_ms)), "raw samples go: they begin on day {}", day(raw.min_ms));
    // The first day is a block of its own, too short for 1 h samples before its 5 m samples have to go.
    assert_eq!((day(fives.min_ms), day(hours.min_ms)), (0, 1));
    assert!(hours.max_ms >= raw.min_ms && raw.max_ms == report.end_ms() - 1);

    check_raw(&world, &reader);
    let expected = expected(&world);
    let upto = |ms| Resolution::UpTo { ms };
    for resolution in [upto(FIVE_MINUTES_MS), upto(ONE_HOUR_MS), Resolution::Auto] {
        check_days(&expected, &reader, resolution);
    }
}

#[test]
fn the_stages_add_up() {
    let world = World::new(100, 3);
    let report = world.walk(3);
    let stage = |name: &str| {
        let found = report.stages.iter().find(|(n, _)| n.ends_with(name));
        found.map_or_else(|| panic!("no {name}: {:?}", report.stages), |(_, stage)| *stage)
    };
    let (written, shipped) = (report.stages[WRITING], report.stages[SHIPPING]);
    assert_eq!((written.blocks, shipped.blocks), (36, 36));
    assert_eq!(written.bytes_out, shipped.bytes_in);
    // The newest is left alone, since more may come.
    assert_eq!(stage("compaction to level 2").blocks, 8);
    assert_eq!(stage("compaction to level 3").blocks, 1);
    assert!(stage("compaction to level 2").bytes_in > 0 && stage("compaction to level 2").bytes_out > 0);
    let held: u64 = report.bucket.values().map(|held| held.bytes).sum();
    assert!(held > 0 && held <= report.peak_disk_bytes);
}

#[test]
fn another_year_needs_another_folder_and_a_full_disk_ends_it() {
    let world = World::new(100, 1);
    world.walk(1);
    let walk_as = |change: fn(&mut YearOptions)| {
        let mut options = YearOptions { days: 2, ..world.options.clone() };
        change(&mut options);
        walk(&options, &world.parts, &mut |_| {}).map(|_| ()).map_err(|e| e.to_string())
    };
    assert!(walk_as(|o| o.series = 300).unwrap_err().contains("another year"));
    assert!(walk_as(|o| o.start_ms += DAY_MS).unwrap_err().contains("another year"));
    assert!(walk_as(|o| o.max_bytes = 1_000).unwrap_err().contains("may have no more"));
    assert_eq!(walk_as(|_| ()), Ok(()));
}

#[test]
fn a_block_has_its_two_hours_and_no_more() {
    let world = World::new(100, 1);
    let cut =
        |number| Cutter::default().cut(&world.parts.fs, Path::new("/"), (100, START_MS), number).unwrap();
    let meta = cut(5);
    assert_eq!(meta.stats.num_samples, 100 * BLOCK_MINUTES as u64);
    assert_eq!(meta.range(), TimeRange::new(START_MS + 5 * BLOCK_MS, START_MS + 6 * BLOCK_MS - 1));
}
