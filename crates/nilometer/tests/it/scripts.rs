//! Prometheus' test scripts over the API of the real binary: what they load is pushed by remote write 2.0, what
//! they evaluate is asked over HTTP, answers, refusals, warnings and hints alike. Each `clear` begins a tenant.

use crate::common::{Connection, Dir, Hub, encoded, skipped};
use nilometer_model::{Error, FloatHistogram, Labels, Sample, Span, Value as StoredValue};
use nilometer_promql::script::{Command, Eval, EvalTimes, Load, Point, Script, Stored, judge};
use nilometer_promql::value::{
    HistogramSample, MatrixSeries, QueryResult, QueryStats, SampleValue, Value, VectorSample,
};
use nilometer_wire::remote_write::FloatSample;
use nilometer_wire::remote_write::encode::{SentHistogram, SentSeries, v2};
use nilometer_wire::snappy::compress;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// As Prometheus runs them.
const FEATURES: &str = "--enable-feature=promql-experimental-functions,promql-delayed-name-removal,\
    promql-duration-expr,promql-extended-range-selectors,promql-binop-fill-modifiers,use-start-timestamps";

/// Evaluations whose result has to be another one, because each series has one label more, `tenant_id`: file,
/// query and why. They pass in the engine, without that label (`crates/promql/tests/scripts.rs`).
const BY_DEFINITION: &[(&str, &str, &str)] = &[(
    "fill-modifier.test",
    "matched_lhs + on(key) group_left fill_left(0) matched_rhs",
    "a filled sample has the labels of `on` only; where the others have one more, they are two series",
)];

const TENANT_LABEL: &str = "tenant_id";

#[test]
fn scripts_over_http() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/promql");
    if !folder.is_dir() {
        return skipped("scripts_over_http", "no ../shared/conformance beside the repository");
    }
    let dir = Dir::new();
    let window = "--tsdb.out-of-order.time-window=36500d";
    let hub = Hub::start(dir.path(), &["--tsdb.retention=0d", window, "--query.enforce-tenancy", FEATURES]);
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    let mut runner = Runner {
        write: Connection::open(hub.write).unwrap(),
        http: Connection::open(hub.http).unwrap(),
        tenant: 0,
        passed: 0,
        by_definition: Vec::new(),
        failures: Vec::new(),
    };
    for path in entries.iter().filter(|p| p.extension().is_some_and(|e| e == "test")) {
        runner.run(path);
    }
    let listed: Vec<_> = BY_DEFINITION.iter().map(|(file, query, _)| (*file, *query)).collect();
    assert!(runner.failures.is_empty(), "{}\n{} failed", runner.failures.join("\n"), runner.failures.len());
    for case in listed {
        let found = runner.by_definition.iter().any(|(file, query)| (file.as_str(), query.as_str()) == case);
        assert!(found, "{case:?} is listed, but passes");
    }
    assert!(runner.passed > 1_700, "only {} evaluations", runner.passed);
}

struct Runner {
    write: Connection,
    http: Connection,
    /// Of the script's part since the last `clear`.
    tenant: usize,
    passed: usize,
    by_definition: Vec<(String, String)>,
    failures: Vec<String>,
}

impl Runner {
    fn run(&mut self, path: &Path) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let script = Script::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        self.tenant += 1;
        for command in &script.commands {
            match command {
                Command::Clear => self.tenant += 1,
                Command::Load(load) => self.load(load),
                Command::Eval(eval) => match self.evaluate(eval) {
                    Ok(()) => self.passed += 1,
                    Err(what) => self.failed(&name, eval, &what),
                },
            }
        }
    }

    fn failed(&mut self, name: &str, eval: &Eval, what: &str) {
        if BY_DEFINITION.iter().any(|(file, query, _)| *file == name && *query == eval.query) {
            self.by_definition.push((name.to_owned(), eval.query.clone()));
        } else {
            self.failures.push(format!("{name}:{}: {}\n    {what}", eval.line, eval.query));
        }
    }

    fn tenant(&self) -> String {
        format!("script-{}", self.tenant)
    }

    fn load(&mut self, load: &Load) {
        let mut sent = Vec::new();
        for Stored { labels, samples } in load.samples().unwrap() {
            let mut series = SentSeries::new(&labels);
            for (at, value) in samples {
                let (t_ms, start_ms) = (at.t_ms, at.start_ms);
                match value {
                    StoredValue::Float(v) => series.samples.push(FloatSample { t_ms, v, start_ms }),
                    value => series.histograms.push(SentHistogram { t_ms, start_ms, value }),
                }
            }
            sent.push(series);
        }
        let tenant = self.tenant();
        let headers = [
            ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
            ("Content-Encoding", "snappy"),
            ("THANOS-TENANT", &tenant),
        ];
        for part in sent.chunks(100) {
            let body = compress(&v2(part)).unwrap();
            let reply = self.write.ask("POST", "/api/v1/receive", &headers, &body).unwrap();
            assert_eq!(reply.status, 204, "{}: {part:?}", reply.body);
        }
    }

    fn evaluate(&mut self, eval: &Eval) -> Result<(), String> {
        let seconds = |t_ms: i64| t_ms as f64 / 1_000.0;
        let query = encoded(&eval.query);
        let path = match eval.times {
            EvalTimes::Instant(t_ms) => format!("/api/v1/query?query={query}&time={}", seconds(t_ms)),
            EvalTimes::Range { start_ms, end_ms, step_ms } => {
                let (start, end, step) = (seconds(start_ms), seconds(end_ms), seconds(step_ms));
                format!("/api/v1/query_range?query={query}&start={start}&end={end}&step={step}")
            }
        };
        let tenant = self.tenant();
        let reply = self.http.ask("GET", &path, &[("THANOS-TENANT", &tenant)], b"").unwrap();
        let json: Json = serde_json::from_str(&reply.body).map_err(|e| format!("{e}: {}", reply.body))?;
        let result = match json["error"].as_str() {
            Some(message) => Err(Error::invalid(without_tenant(message, &tenant))),
            None => Ok(QueryResult {
                value: value(&json["data"]),
                warnings: texts(&json["warnings"]),
                infos: texts(&json["infos"]),
                stats: QueryStats::default(),
                steps: None,
                profile: Vec::new(),
            }),
        };
        judge(&as_shown(eval), result)
    }
}

fn without_tenant(message: &str, tenant: &str) -> String {
    let label = format!("{TENANT_LABEL}=\"{tenant}\"");
    [format!(", {label}"), format!("{label}, "), label]
        .iter()
        .fold(message.to_owned(), |text, part| text.replace(part, ""))
}

fn texts(json: &Json) -> Vec<String> {
    json.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn value(data: &Json) -> Value {
    let result = &data["result"];
    let items = || result.as_array().unwrap().iter();
    match data["resultType"].as_str().unwrap() {
        "scalar" => Value::Scalar { t_ms: time(result), v: number(&result[1]) },
        "string" => Value::String { t_ms: time(result), v: result[1].as_str().unwrap().to_owned() },
        "vector" => Value::Vector(items().map(vector_sample).collect()),
        _ => {
            let mut series: Vec<MatrixSeries> = items().map(matrix_series).collect();
            // Their order is that of labels with the tenant's.
            series.sort_by(|a, b| a.labels.cmp(&b.labels));
            Value::Matrix(series)
        }
    }
}

fn labels(json: &Json) -> Labels {
    let all = json["metric"].as_object().unwrap().iter();
    Labels::from_pairs(all.map(|(n, v)| (n, v.as_str().unwrap())).filter(|(n, _)| *n != TENANT_LABEL))
}

fn vector_sample(json: &Json) -> VectorSample {
    let (t_ms, value) = match json.get("histogram") {
        Some(pair) => (time(pair), SampleValue::Histogram(histogram(&pair[1]))),
        None => (time(&json["value"]), SampleValue::Float(number(&json["value"][1]))),
    };
    VectorSample { labels: labels(json), t_ms, value }
}

fn matrix_series(json: &Json) -> MatrixSeries {
    let pairs = |of: &str| json[of].as_array().cloned().unwrap_or_default();
    MatrixSeries {
        labels: labels(json),
        floats: pairs("values").iter().map(|pair| Sample { t_ms: time(pair), v: number(&pair[1]) }).collect(),
        histograms: pairs("histograms")
            .iter()
            .map(|pair| HistogramSample { t_ms: time(pair), h: histogram(&pair[1]) })
            .collect(),
    }
}

fn time(pair: &Json) -> i64 {
    (pair[0].as_f64().unwrap() * 1_000.0).round() as i64
}

fn number(text: &Json) -> f64 {
    text.as_str().unwrap().parse().unwrap()
}

/// What the API shows of a histogram: its buckets stand as counts in `positive` and as rule, lower and upper
/// bound in `custom_values`. The schema, the empty buckets and the hint are not shown.
fn shown(count: f64, sum: f64, buckets: &[[f64; 4]]) -> Arc<FloatHistogram> {
    let positive: Vec<f64> = buckets.iter().map(|[_, _, _, count]| *count).collect();
    let length = positive.len() as u32;
    Arc::new(FloatHistogram {
        count,
        sum,
        positive_spans: if length == 0 { Vec::new() } else { vec![Span { offset: 0, length }] },
        positive,
        custom_values: buckets.iter().flat_map(|[rule, lower, upper, _]| [*rule, *lower, *upper]).collect(),
        ..FloatHistogram::default()
    })
}

fn histogram(json: &Json) -> Arc<FloatHistogram> {
    let bucket = |b: &Json| [b[0].as_f64().unwrap(), number(&b[1]), number(&b[2]), number(&b[3])];
    let buckets: Vec<[f64; 4]> = json["buckets"].as_array().into_iter().flatten().map(bucket).collect();
    shown(number(&json["count"]), number(&json["sum"]), &buckets)
}

/// The same expectation of what is shown.
fn as_shown(eval: &Eval) -> Eval {
    let mut eval = eval.clone();
    for point in eval.series.iter_mut().flat_map(|series| &mut series.points) {
        let Point::Histogram { h, hint_given } = point else { continue };
        let rule = |lower, upper| match (lower, upper) {
            (false, true) => 0.0,
            (true, false) => 1.0,
            (false, false) => 2.0,
            (true, true) => 3.0,
        };
        let buckets: Vec<[f64; 4]> = h
            .all_buckets()
            .filter(|b| b.count != 0.0)
            .map(|b| [rule(b.lower_inclusive, b.upper_inclusive), b.lower, b.upper, b.count])
            .collect();
        (*h, *hint_given) = (shown(h.count, h.sum, &buckets), false);
    }
    eval
}
