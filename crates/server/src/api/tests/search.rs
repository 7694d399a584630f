//! Searches for names. What is expected here is what Prometheus answers over the same names, but for the help.

use super::world::{Served, World, patient, request};
use crate::{QueryFeatures, QueryOptions};
use expect_test::expect;

fn searched(max_search_limit: usize) -> Served {
    let features = QueryFeatures { search_api: true, ..QueryFeatures::default() };
    World::new().served(&QueryOptions { features, max_search_limit, ..patient() })
}

fn shown(served: &Served, paths: &[&str]) -> String {
    let ask = |path: &&str| {
        let got = served.get(&format!("/search/{path}"));
        format!("{path}\n{} {}\n", got.status, got.body.trim_end())
    };
    paths.iter().map(ask).collect()
}

#[test]
fn names_are_found_by_a_part_of_them() {
    let served = searched(10_000);
    let got = served.get("/search/metric_names?search[]=se");
    assert_eq!(got.headers["content-type"], "application/x-ndjson; charset=utf-8");
    let paths = [
        "metric_names",
        "metric_names?search[]=se&include_score=true",
        "metric_names?search[]=se&include_score=1&sort_by=score&fuzz_threshold=30",
        "metric_names?search[]=secnods&fuzz_alg=jarowinkler&fuzz_threshold=60&include_score=t&sort_by=score",
        "metric_names?search[]=secnods&fuzz_alg=jarowinkler",
        "metric_names?search[]=UP&search[]=odd&case_sensitive=false&sort_by=alpha&sort_dir=dsc",
        "metric_names?search[]=&match[]={job=\"b\"}&match[]=gone",
        "label_names?search[]=e&sort_by=score&include_score=true",
        "label_names?match[]=up",
        "label_values?label=job",
        "label_values?label=text&include_score=true",
        "label_values?label=nothing",
    ];
    expect![[r#"
        metric_names
        200 {"results":[{"name":"gone"},{"name":"http_requests_total"},{"name":"latency_seconds_bucket"},{"name":"native_seconds"},{"name":"odd_labels"},{"name":"odd_values"},{"name":"up"}]}
        {"status":"success","has_more":false}
        metric_names?search[]=se&include_score=true
        200 {"results":[{"name":"latency_seconds_bucket","score":0.8400681818181818},{"name":"native_seconds","score":0.8295267857142857}]}
        {"status":"success","has_more":false}
        metric_names?search[]=se&include_score=1&sort_by=score&fuzz_threshold=30
        200 {"results":[{"name":"latency_seconds_bucket","score":0.8400681818181818},{"name":"native_seconds","score":0.8295267857142857}]}
        {"status":"success","has_more":false}
        metric_names?search[]=secnods&fuzz_alg=jarowinkler&fuzz_threshold=60&include_score=t&sort_by=score
        200 {"results":[{"name":"latency_seconds_bucket","score":0.7012987012987013}]}
        {"status":"success","has_more":false}
        metric_names?search[]=secnods&fuzz_alg=jarowinkler
        200 {"results":[]}
        {"status":"success","has_more":false}
        metric_names?search[]=UP&search[]=odd&case_sensitive=false&sort_by=alpha&sort_dir=dsc
        200 {"results":[{"name":"up"},{"name":"odd_values"},{"name":"odd_labels"}]}
        {"status":"success","has_more":false}
        metric_names?search[]=&match[]={job="b"}&match[]=gone
        200 {"results":[{"name":"gone"},{"name":"up"}]}
        {"status":"success","has_more":false}
        label_names?search[]=e&sort_by=score&include_score=true
        200 {"results":[{"name":"le","score":0.4995},{"name":"method","score":0.4995},{"name":"tenant_id","score":0.4995},{"name":"text","score":0.4995},{"name":"__name__","score":0.24975},{"name":"instance","score":0.124875}]}
        {"status":"success","has_more":false}
        label_names?match[]=up
        200 {"results":[{"name":"__name__"},{"name":"instance"},{"name":"job"},{"name":"tenant_id"}]}
        {"status":"success","has_more":false}
        label_values?label=job
        200 {"results":[{"value":"a"},{"value":"b"}]}
        {"status":"success","has_more":false}
        label_values?label=text&include_score=true
        200 {"results":[{"value":"\u003ca href=\"x\"\u003e\u0026\\\n\u0007\u2028é","score":1}]}
        {"status":"success","has_more":false}
        label_values?label=nothing
        200 {"results":[]}
        {"status":"success","has_more":false}
    "#]].assert_eq(&shown(&served, &paths));
    let form = "label=method&search%5B%5D=T&sort_by=alpha&sort_dir=asc";
    assert_eq!(
        served.send(request("POST", "/search/label_values", Some(form))).body,
        "{\"results\":[{\"value\":\"GET\"},{\"value\":\"POST\"}]}\n{\"status\":\"success\",\"has_more\":false}\n"
    );
}

#[test]
fn answers_are_lines() {
    let paths = [
        "metric_names?limit=3&batch_size=2",
        "metric_names?limit=4&batch_size=2",
        "metric_names?search[]=odd&limit=2&batch_size=2",
        "metric_names?search[]=odd&limit=1",
    ];
    expect![[r#"
        metric_names?limit=3&batch_size=2
        200 {"results":[{"name":"gone"},{"name":"http_requests_total"}]}
        {"results":[{"name":"latency_seconds_bucket"}]}
        {"status":"success","has_more":true}
        metric_names?limit=4&batch_size=2
        200 {"results":[{"name":"gone"},{"name":"http_requests_total"}]}
        {"results":[{"name":"latency_seconds_bucket"},{"name":"native_seconds"}]}
        {"status":"success","has_more":true}
        metric_names?search[]=odd&limit=2&batch_size=2
        200 {"results":[{"name":"odd_labels"},{"name":"odd_values"}]}
        {"status":"success","has_more":false}
        metric_names?search[]=odd&limit=1
        200 {"results":[{"name":"odd_labels"}]}
        {"status":"success","has_more":true}
    "#]]
    .assert_eq(&shown(&searched(10_000), &paths));
    // What a request leaves out is within what it may ask for.
    let few = shown(&searched(1), &["metric_names", "metric_names?limit=2"]);
    expect![[r#"
        metric_names
        200 {"results":[{"name":"gone"}]}
        {"status":"success","has_more":true}
        metric_names?limit=2
        400 {"status":"error","errorType":"bad_data","error":"limit 2 exceeds the configured maximum (1, see --web.search.max-limit)"}
    "#]].assert_eq(&few);
    let many =
        searched(0).get("/search/metric_names?limit=9223372036854775807&batch_size=9223372036854775807");
    assert_eq!(many.status, 200, "{}", many.body);
}

#[test]
fn mistakes_in_searches() {
    let served = searched(10_000);
    let many = format!("metric_names?{}", "search[]=a&".repeat(33));
    let long = format!("metric_names?search[]={}", "a".repeat(1025));
    let paths = [
        "metric_names?start=x",
        "metric_names?start=2&end=1",
        "metric_names?match[]={",
        "metric_names?match[]={a=\"\"}",
        &many,
        &long,
        "metric_names?fuzz_threshold=101",
        "metric_names?fuzz_threshold=x",
        "metric_names?fuzz_alg=soundex",
        "metric_names?case_sensitive=maybe",
        "metric_names?include_score=2",
        "metric_names?include_metadata=2",
        "metric_names?sort_dir=asc",
        "metric_names?sort_by=score&sort_dir=asc",
        "metric_names?sort_by=alpha&sort_dir=up",
        "metric_names?sort_by=score",
        "label_names?sort_by=size",
        "metric_names?limit=0",
        "metric_names?limit=10001",
        "metric_names?batch_size=-1",
        "label_values",
    ];
    let shown = paths.map(|path| served.get(&format!("/search/{path}")).body).join("\n");
    expect![[r#"
        {"status":"error","errorType":"bad_data","error":"invalid time value for 'start': cannot parse \"x\" to a valid timestamp"}
        {"status":"error","errorType":"bad_data","error":"end timestamp must not be before start timestamp"}
        {"status":"error","errorType":"bad_data","error":"1:2: parse error: unexpected end of input inside braces"}
        {"status":"error","errorType":"bad_data","error":"match[] must contain at least one non-empty matcher"}
        {"status":"error","errorType":"bad_data","error":"too many search[] terms: got 33, maximum is 32"}
        {"status":"error","errorType":"bad_data","error":"a search[] term is too long: search for a part of it (limit search_term_bytes = 1024)"}
        {"status":"error","errorType":"bad_data","error":"invalid fuzz_threshold \"101\": must be 0-100"}
        {"status":"error","errorType":"bad_data","error":"invalid fuzz_threshold \"x\": must be 0-100"}
        {"status":"error","errorType":"bad_data","error":"unsupported fuzz_alg \"soundex\": must be one of [subsequence jarowinkler]"}
        {"status":"error","errorType":"bad_data","error":"invalid case_sensitive \"maybe\": must be boolean"}
        {"status":"error","errorType":"bad_data","error":"invalid include_score \"2\": must be boolean"}
        {"status":"error","errorType":"bad_data","error":"invalid include_metadata \"2\": must be boolean"}
        {"status":"error","errorType":"bad_data","error":"sort_dir is only valid when sort_by is set"}
        {"status":"error","errorType":"bad_data","error":"sort_dir is not supported for sort_by=score"}
        {"status":"error","errorType":"bad_data","error":"invalid sort_dir \"up\": must be \"asc\" or \"dsc\""}
        {"status":"error","errorType":"bad_data","error":"sort_by=score requires search[] to be set"}
        {"status":"error","errorType":"bad_data","error":"invalid sort_by \"size\" for label_names: must be \"alpha\" or \"score\""}
        {"status":"error","errorType":"bad_data","error":"invalid limit \"0\": must be a positive integer"}
        {"status":"error","errorType":"bad_data","error":"limit 10001 exceeds the configured maximum (10000, see --web.search.max-limit)"}
        {"status":"error","errorType":"bad_data","error":"invalid batch_size \"-1\": must be a positive integer"}
        {"status":"error","errorType":"bad_data","error":"missing required parameter \"label\""}"#]].assert_eq(&shown);
    let off = World::new().served(&patient()).get("/search/label_names");
    assert_eq!(off.status, 503);
    assert!(off.body.contains("search API disabled: start with --enable-feature=search-api"), "{}", off.body);
}
