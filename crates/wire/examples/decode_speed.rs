//! Prints what it costs to decompress and decode a typical request, in ns per sample.
//!
//! `cargo run --release -p nilometer-wire --example decode_speed`

use nilometer_wire::remote_write::encode::{self, SentSeries};
use nilometer_wire::remote_write::{FloatSample, Identity, Limits, Message, WriteRequest};
use nilometer_wire::snappy;
use std::time::{Duration, Instant};

const SERIES: usize = 2_000;
const ROUNDS: usize = 2_000;

fn main() {
    let series: Vec<SentSeries> = (0..SERIES).map(series).collect();
    println!("{SERIES} series of 10 labels and 1 sample, best of {ROUNDS} rounds");
    for (name, message, plain) in
        [("1.0", Message::V1, encode::v1(&series, &[])), ("2.0", Message::V2, encode::v2(&series))]
    {
        let body = snappy::compress(&plain).expect("it is small");
        let mut request = WriteRequest::default();
        let limits = Limits::default();
        let mut buffer = snappy::Buffer::default();
        let decompress = best(|| {
            snappy::decompress(&body, limits.max_decompressed_bytes, &mut buffer).expect("it is valid");
            buffer.as_slice().len()
        });
        let all = best(|| {
            request.read(message, &body, &limits).expect("it is valid");
            request.sample_count()
        });
        let walk = best(|| request.series().map(|s| touch(&s.identity()) + s.samples().len()).sum());
        println!(
            "{name}: {:6} B, {:4} B/series, snappy {:6} B: decompress {:5.1}, with decode {:6.1}, walk {:4.1} ns/sample",
            plain.len(),
            plain.len() / SERIES,
            body.len(),
            per_sample(decompress),
            per_sample(all),
            per_sample(walk),
        );
    }
}

fn touch(identity: &Identity<'_>) -> usize {
    match identity {
        Identity::Key(key) => key.len(),
        Identity::Loose(_) | Identity::Refused(_) => panic!("all series are canonical"),
    }
}

fn per_sample(time: Duration) -> f64 {
    time.as_nanos() as f64 / SERIES as f64
}

#[allow(clippy::disallowed_methods, reason = "measuring time is all that this program does")]
fn best(mut work: impl FnMut() -> usize) -> Duration {
    let once = |work: &mut dyn FnMut() -> usize| {
        let start = Instant::now();
        std::hint::black_box(work());
        start.elapsed()
    };
    (0..ROUNDS).map(|_| once(&mut work)).min().unwrap_or_default()
}

fn series(i: usize) -> SentSeries {
    let label = |name: &str, value: String| (name.to_owned(), value);
    SentSeries {
        labels: vec![
            label("__name__", format!("http_request_duration_seconds_count_{}", i % 50)),
            label("cluster", "workload-eu-central-1".to_owned()),
            label("container", "application-server".to_owned()),
            label("endpoint", "metrics".to_owned()),
            label("instance", format!("10.244.{}.{}:8080", i % 7, i % 251)),
            label("job", "kube-system/application".to_owned()),
            label("method", ["GET", "POST", "PUT", "DELETE"][i % 4].to_owned()),
            label("namespace", format!("team-{}", i % 17)),
            label("pod", format!("application-server-{:x}-{:05x}", i % 31, i * 7919 % 0xfffff)),
            label("status", ["200", "404", "500"][i % 3].to_owned()),
        ],
        samples: vec![FloatSample { t_ms: 1_795_000_000_000 + i as i64, v: i as f64 * 1.5, start_ms: 0 }],
        ..SentSeries::default()
    }
}
