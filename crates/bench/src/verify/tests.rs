use super::*;
use crate::plan::tests::plan;
use nilometer_env::sim::SimFs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;

/// What a faultless server would answer.
fn rows(plan: &Plan, target: u32, scrapes: Range<u32>) -> Vec<Row> {
    let pod = plan.pod(target, scrapes.start);
    let key = target::key(plan.seed, target, pod.generation);
    let row = |slot| {
        let labels = target::labels_of(plan.seed, target, pod.generation, slot);
        let mut metric: BTreeMap<String, String> =
            labels.into_iter().map(|(n, v)| (n.to_owned(), v.into_owned())).collect();
        metric.insert("tenant_id".into(), "a".into());
        let series = target::series(key, slot);
        let value = |scrape| {
            let t_ms = plan.time_ms(target, scrape);
            (t_ms as f64 / 1_000.0, series.at(pod.age(scrape)).to_string())
        };
        Row { metric, values: scrapes.clone().map(value).collect() }
    };
    (0..plan.slots(target)).map(row).collect()
}

/// Compares after `spoil`, where everything is due but the last scrape, which may be there.
fn compare(spoil: impl FnOnce(&mut Vec<Row>)) -> VerifyReport {
    let plan = plan(200, 10);
    let expected = Expected::new(&plan, 1, plan.pod(1, 0));
    let mut rows = rows(&plan, 1, 2..7);
    spoil(&mut rows);
    let due = |_: usize, scrape: u32| match scrape {
        0..6 => Due::Yes,
        6 => Due::Maybe,
        _ => Due::No,
    };
    let mut report = VerifyReport::default();
    expected.compare(&rows, 2..7, 0.0, &due, &mut report);
    report
}

fn counts(report: &VerifyReport) -> [u64; 4] {
    [report.acknowledged, report.lost, report.extra, report.wrong]
}

#[test]
fn all_is_well() {
    let report = compare(|_| ());
    assert_eq!((counts(&report), report.unanswered), ([400, 0, 0, 0], 100));
    assert!(report.is_clean() && report.examples.is_empty());
    let report = compare(|rows| rows.iter_mut().for_each(|row| drop(row.values.pop())));
    assert!(report.is_clean(), "what was not answered need not be there");
}

#[test]
fn each_fault_is_counted() {
    for (spoil, found) in [
        ((|rows| drop(rows[3].values.remove(1))) as fn(&mut Vec<Row>), [400, 1, 0, 0]),
        (|rows| drop(rows.remove(3)), [400, 4, 0, 0]),
        (|rows| rows.clear(), [400, 400, 0, 0]),
        (|rows| rows[3].values[1].1 = "0.125".into(), [400, 0, 0, 1]),
        (|rows| rows[3].values[1].0 += 0.001, [400, 1, 1, 0]),
        (|rows| rows[3].values.push((1_700_000_007.0, "1".into())), [400, 0, 1, 0]),
        // Beyond what was ever sent.
        (
            |rows| {
                let t = rows[3].values[0].0;
                rows[3].values.push((t + 75.0, "1".into()))
            },
            [400, 0, 1, 0],
        ),
        // Twice, as from two replicas.
        (
            |rows| {
                let values = rows[3].values.clone();
                rows[3].values.extend(values)
            },
            [400, 0, 5, 0],
        ),
        (
            |rows| {
                rows[3].metric.insert("pod".into(), "other".into());
            },
            [400, 4, 5, 0],
        ),
        (
            |rows| {
                rows[3].metric.insert("id".into(), "x".into());
            },
            [400, 4, 5, 0],
        ),
        (
            |rows| {
                rows[3].metric.remove("job");
            },
            [400, 4, 5, 0],
        ),
    ] {
        let report = compare(spoil);
        assert_eq!(counts(&report), found, "{:?}", report.examples);
        assert!(!report.is_clean() && !report.examples.is_empty());
    }
}

#[test]
fn a_tolerance_is_relative() {
    use crate::expected::is_same;
    assert!(is_same("0.1", 0.1, 0.0) && !is_same("0.10000000000000002", 0.1, 0.0));
    assert!(is_same("0.10000000000000002", 0.1, 1e-12) && !is_same("0.2", 0.1, 1e-12));
    assert!(!is_same("x", 0.1, 1e-12) && !is_same("0", -0.0, 0.0));
}

/// A query API that holds a whole load, spoilt.
fn serve(plan: Plan, acknowledged: u32, strangers: &'static str) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut first = String::new();
            stream.read_line(&mut first).unwrap();
            let mut line = String::new();
            while stream.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let body = if first.contains("/api/v1/label/pod/values") {
                format!("{{\"data\":[{strangers}]}}")
            } else {
                let target = (0..plan.targets()).find(|&t| first.contains(&target::pod(plan.seed, t, 0)));
                let rows = rows(&plan, target.unwrap(), 0..acknowledged);
                let row = |row: &Row| serde_json::json!({"metric": row.metric, "values": row.values});
                serde_json::json!({"data": {"result": rows.iter().map(row).collect::<Vec<_>>()}}).to_string()
            };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.get_mut().write_all((head + &body).as_bytes());
            let _ = stream.get_mut().shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    Endpoint::new(&url, &[]).unwrap()
}

#[test]
fn over_the_api() {
    let plan = Plan { connections: 2, ..plan(250, 3) };
    let fs = SimFs::new(1);
    let journal = Journal::create(&fs, Path::new("j"), &plan).unwrap();
    // Each connection has 125 series, in one request.
    for (connection, requests) in [(0, 3), (1, 1)] {
        journal.record(connection, requests).unwrap();
    }
    let journal = Journal::open(&fs, Path::new("j")).unwrap();
    for (there, strangers, found, unanswered) in
        [(3, "", [500, 0, 125, 0], 125), (2, "", [500, 125, 0, 0], 125), (2, "\"x\"", [500, 125, 1, 0], 125)]
    {
        let endpoint = serve(plan.clone(), there, strangers);
        let options = VerifyOptions { endpoint, connections: 1, tolerance: 0.0 };
        let report = verify(&options, &journal).unwrap();
        assert_eq!((counts(&report), report.unanswered), (found, unanswered), "{:?}", report.examples);
    }
}
