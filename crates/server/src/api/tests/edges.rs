//! What a Prometheus cannot be asked for: limits, broken storage, other ways to ask.

use super::world::{Got, Served, World, patient, request};
use crate::{QueryFeatures, QueryOptions};
use axum::body::Body;
use axum::http::header;
use expect_test::expect;
use futures::stream;
use nilometer_access::ReadScope;
use nilometer_model::Tenant;

fn served() -> Served {
    World::new().served(&patient())
}

fn header_of(got: &Got, name: header::HeaderName) -> &str {
    got.headers.get(name).map_or("", |v| v.to_str().unwrap())
}

#[test]
fn answers_are_json_and_wrong_methods_are_named() {
    let served = served();
    for path in ["/labels", "/query", "/status/buildinfo"] {
        assert_eq!(header_of(&served.get(path), header::CONTENT_TYPE), "application/json", "{path}");
    }
    let got = served.send(request("DELETE", "/query", None));
    assert_eq!(header_of(&got, header::ALLOW), "GET,HEAD,POST");
}

#[test]
fn the_api_describes_itself() {
    let served = served();
    let got = served.get("/openapi.yaml");
    assert_eq!(header_of(&got, header::CONTENT_TYPE), "application/yaml; charset=utf-8");
    assert!(got.body.contains("\"openapi\": \"3.1.0\"\n") && !got.body.contains("/notifications/live"));
    let newer = served.get("/openapi.yaml?openapi_version=3.2").body;
    assert!(newer.contains("\"openapi\": \"3.2.0\"\n") && newer.contains("/notifications/live"));
}

#[test]
fn what_came_past_authentication_is_refused() {
    let served = served();
    let status = |path| {
        served.runtime().block_on(async { served.unauthenticated(request("GET", path, None)).await.status() })
    };
    for path in
        ["/query?query=1", "/series?match[]=up", "/labels", "/label/job/values", "/status/tsdb", "/metadata"]
    {
        assert_eq!(status(path), 500, "{path}");
    }
}

#[test]
fn a_reader_of_one_tenant_sees_that_one() {
    let served = served();
    let count = |tenant: &str| {
        let mut asked = request("GET", "/series?match[]=up", None);
        asked.extensions_mut().insert(ReadScope::Only(Tenant::new(tenant).unwrap()));
        served.send(asked).body.matches("__name__").count()
    };
    assert_eq!((count("golden"), count("other")), (2, 0));
}

#[test]
fn forms_have_a_limit() {
    let served = served();
    let form = format!("query={}", "1".repeat(11 << 20));
    let got = served.send(request("POST", "/query", Some(&form)));
    assert_eq!((got.status, got.body.contains("larger than 10 MiB")), (413, true), "{}", got.body);
    let long = format!("query={}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let got = served.send(request("POST", "/query", Some(&long)));
    assert_eq!((got.status, got.body.contains("(limit ")), (400, true), "{}", got.body);
}

#[test]
fn metadata_is_limited() {
    let served = served();
    let shown = [
        "/metadata",
        "/metadata?metric=b",
        "/metadata?metric=none",
        "/metadata?limit=1&limit_per_metric=1",
        "/metadata?limit=0",
        "/metadata?limit=-1&limit_per_metric=0&metric=a_total",
    ]
    .map(|path| served.get(path).body);
    expect![[r#"
        {"status":"success","data":{"a_total":[{"type":"unknown","unit":"","help":"An \u003ca\u003e."},{"type":"unknown","unit":"","help":"Another one."}],"b":[{"type":"unknown","unit":"","help":""}],"c":[{"type":"unknown","unit":"","help":"C"}]}}
        {"status":"success","data":{"b":[{"type":"unknown","unit":"","help":""}]}}
        {"status":"success","data":{}}
        {"status":"success","data":{"a_total":[{"type":"unknown","unit":"","help":"An \u003ca\u003e."}]}}
        {"status":"success","data":{}}
        {"status":"success","data":{"a_total":[{"type":"unknown","unit":"","help":"An \u003ca\u003e."},{"type":"unknown","unit":"","help":"Another one."}]}}"#]]
    .assert_eq(&shown.join("\n"));
}

#[test]
fn status_tells_what_is_large() {
    let served = served();
    let shown = [
        "/status/buildinfo",
        "/status/tsdb?limit=2",
        "/status/tsdb?limit=13",
        "/status/tsdb?limit=10001",
        "/status/tsdb?limit=0",
    ]
    .map(|path| {
        let got = served.get(path);
        // Of what granularity the head's least time is, is the head's.
        let body = got.body.replace("\"minTime\":1699999200000", "\"minTime\":1700000000000");
        format!("{} {body}", got.status)
    });
    expect![[r#"
        200 {"status":"success","data":{"version":"1.2.3","revision":"abc","branch":"","buildUser":"","buildDate":"","goVersion":"","application":"Nilometer","rustVersion":"1.95"}}
        200 {"status":"success","data":{"headStats":{"numSeries":11,"numLabelPairs":16,"chunkCount":11,"minTime":1700000000000,"maxTime":1700001800123},"seriesCountByMetricName":[{"name":"latency_seconds_bucket","value":3},{"name":"http_requests_total","value":2}],"labelValueCountByLabelName":[{"name":"__name__","value":7},{"name":"le","value":3}],"memoryInBytesByLabelName":[{"name":"__name__","value":81},{"name":"text","value":21}],"seriesCountByLabelValuePair":[{"name":"job=a","value":10},{"name":"__name__=latency_seconds_bucket","value":3}]}}
        500 {"status":"error","errorType":"internal","error":"unlucky (file at byte 7)"}
        400 {"status":"error","errorType":"bad_data","error":"limit must not exceed 10000"}
        400 {"status":"error","errorType":"bad_data","error":"limit must be a positive number"}"#]]
    .assert_eq(&shown.join("\n"));
}

#[test]
fn names_of_labels_are_utf_8() {
    let served = served();
    let of = |path: &str| served.get(path);
    for path in ["/label/%ff/values", "/label//values", "/label/U__/values"] {
        let got = of(path);
        assert!([400, 404].contains(&got.status), "{path}: {}", got.body);
    }
    assert_eq!(of("/label/%C3%A9/values").body, r#"{"status":"success","data":[]}"#);
}

#[test]
fn trees_are_prometheus() {
    let served = served();
    let shown = [
        "/parse_query?query=sum(rate(a{b!~\"c\"}[5m]+offset+1m))without(d)",
        "/parse_query?query=topk(2,max_over_time((-a)[10m:1m]+@+1))",
        "/parse_query?query=a*on(b)group_left(c)(d%3Ebool+1.5)",
        "/parse_query?query=\"x\"",
        "/parse_query?query=label_join(a,\"b\",\"c\")+>+bool+2",
        "/parse_query?query=a+and",
    ]
    .map(|path| served.get(path).body);
    expect![[r#"
        {"status":"success","data":{"expr":{"args":[{"anchored":false,"matchers":[{"name":"b","type":"!~","value":"c"},{"name":"__name__","type":"=","value":"a"}],"name":"a","offset":60000,"offsetExpr":null,"range":300000,"rangeExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"matrixSelector"}],"func":{"argTypes":["matrix"],"name":"rate","returnType":"vector","variadic":0},"type":"call"},"grouping":["d"],"op":"sum","param":null,"type":"aggregation","without":true}}
        {"status":"success","data":{"expr":{"args":[{"expr":{"expr":{"expr":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"a"}],"name":"a","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"op":"-","type":"unaryExpr"},"type":"parenExpr"},"offset":0,"offsetExpr":null,"range":600000,"rangeExpr":null,"startOrEnd":null,"step":60000,"stepExpr":null,"timestamp":1000,"type":"subquery"}],"func":{"argTypes":["matrix"],"name":"max_over_time","returnType":"vector","variadic":0},"type":"call"},"grouping":[],"op":"topk","param":{"type":"numberLiteral","val":"2"},"type":"aggregation","without":false}}
        {"status":"success","data":{"bool":false,"lhs":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"a"}],"name":"a","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"matching":{"card":"many-to-one","fillValues":{"lhs":null,"rhs":null},"include":["c"],"labels":["b"],"on":true},"op":"*","rhs":{"expr":{"bool":true,"lhs":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"d"}],"name":"d","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"matching":null,"op":"\u003e","rhs":{"type":"numberLiteral","val":"1.5"},"type":"binaryExpr"},"type":"parenExpr"},"type":"binaryExpr"}}
        {"status":"success","data":{"type":"stringLiteral","val":"x"}}
        {"status":"success","data":{"bool":true,"lhs":{"args":[{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"a"}],"name":"a","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},{"type":"stringLiteral","val":"b"},{"type":"stringLiteral","val":"c"}],"func":{"argTypes":["vector","string","string","string"],"name":"label_join","returnType":"vector","variadic":-1},"type":"call"},"matching":null,"op":"\u003e","rhs":{"type":"numberLiteral","val":"2"},"type":"binaryExpr"}}
        {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:6: parse error: unexpected end of input"}"#]].assert_eq(&shown.join("\n"));
}

#[test]
fn plans_are_explained() {
    let served = served();
    let shown = [
        "/query_explain?query=sum(rate(up{job=\"a\"}[5m]))&time=5&engine=thanos",
        "/query_range_explain?query=up+>+1&start=0&end=10&step=5",
        "/query_explain?query=sum(",
        "/query_range_explain?query=up&start=0&end=10",
        "/query_explain?query=up&engine=x",
    ]
    .map(|path| served.get(path).body);
    expect![[r#"
        {"status":"success","data":{"name":"[aggregate] sum by ()","children":[{"name":"[function] rate","children":[{"name":"[matrixSelector] {job=\"a\",__name__=\"up\"}[5m] for rate"}]}]}}
        {"status":"success","data":{"name":"[binary] >","children":[{"name":"[vectorSelector] {__name__=\"up\"}"},{"name":"[number] 1"}]}}
        {"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"}
        {"status":"error","errorType":"bad_data","error":"invalid parameter \"step\": cannot parse \"\" to a valid duration"}
        {"status":"error","errorType":"bad_data","error":"'x' bad engine"}"#]].assert_eq(&shown.join("\n"));
}

#[test]
fn where_the_time_went_is_told() {
    let served = served();
    // The clock of tests stands still.
    let asked = "/query?query=sum(up)%2Bcount(gone)&time=1700000015&analyze=true&stats=true";
    expect![[r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1700000015,"2"]}],"stats":{"timings":{"evalTotalTime":0,"resultSortTime":0,"queryPreparationTime":0,"innerEvalTime":0,"execQueueTime":0,"execTotalTime":0},"samples":{"totalQueryableSamples":3,"samplesRead":3,"peakSamples":3}},"analysis":{"name":"query","executionTime":"0s","peakSamples":3,"totalSamples":3,"peakBytes":1920,"children":[{"name":"Flow({__name__=\"up\"}, 0 stages, fold)","executionTime":"0s","peakSamples":1,"totalSamples":2,"peakBytes":80},{"name":"Flow({__name__=\"gone\"}, 0 stages, fold)","executionTime":"0s","peakSamples":2,"totalSamples":1,"peakBytes":160},{"name":"VectorBinary","executionTime":"0s","peakSamples":1,"totalSamples":0,"peakBytes":80}]}}}"#]].assert_eq(&served.get(asked).body);
    for plain in ["/query?query=up", "/query?query=up&analyze=no"] {
        assert!(!served.get(plain).body.contains("analysis"), "{plain}");
    }
}

#[test]
fn samples_are_counted_per_step_where_that_is_on() {
    let features = QueryFeatures { per_step_stats: true, ..QueryFeatures::default() };
    let (off, on) = (served(), World::new().served(&QueryOptions { features, ..patient() }));
    let samples = |served: &Served, stats: &str| {
        let asked = "/query_range?query=sum_over_time(up[45s])&start=1700000000&end=1700000060.5&step=30.25";
        let body = served.get(&format!("{asked}&stats={stats}")).body;
        body.split_once("\"samples\":{").unwrap().1.split_once(",\"peakSamples\"").unwrap().0.to_owned()
    };
    let sums = "\"totalQueryableSamples\":14,\"samplesRead\":10";
    assert_eq!(samples(&on, "true"), sums);
    assert_eq!(samples(&off, "all"), sums);
    assert_eq!(
        samples(&on, "all"),
        "\"totalQueryableSamplesPerStep\":[[1700000000,2],[1700000030.25,6],[1700000060.5,6]],\
         \"totalQueryableSamples\":14,\
         \"samplesReadPerStep\":[[1700000000,2],[1700000030.25,4],[1700000060.5,4]],\"samplesRead\":10"
    );
}

#[test]
fn trees_have_their_fields_sorted() {
    let features = QueryFeatures {
        experimental_functions: true,
        duration_expressions: true,
        extended_range_selectors: true,
        fill_modifiers: true,
        ..QueryFeatures::default()
    };
    let served = World::new().served(&QueryOptions { features, ..patient() });
    for query in [
        "rate(a[step()%2B2*(1m-3s)]+offset+-(range()/2)+@+end())",
        "increase(a[5m]+anchored)%2Bon(b)+fill_right(0.5)+c+@+start()",
        "max_over_time((a%2B-b)[10m:max_of(1m,step())]+@+3+offset+-1m)",
        "topk+without(a)(2,-vector(time()))==1.5e3",
        "a{b=~\"c\",d!=\"\"}+and+ignoring(x)+b",
    ] {
        let body = served.get(&format!("/parse_query?query={query}")).body;
        let tree = body.strip_prefix("{\"status\":\"success\",\"data\":").unwrap_or_else(|| panic!("{body}"));
        let tree = tree.strip_suffix('}').unwrap();
        let sorted: serde_json::Value = serde_json::from_str(tree).unwrap();
        assert_eq!(sorted.to_string(), tree, "{query}");
    }
}

#[test]
fn the_deepest_queries_fit_the_stack() {
    let served = served();
    let around = |before: &str, inner: &str, after: &str| {
        format!("query={}{inner}{}", before.repeat(1000), after.repeat(1000)).replace('+', "%2B")
    };
    for form in [
        around("(", "a", ")"),
        around("abs(", "a", ")"),
        around("-(", "a", ")"),
        around("sum by (a) (", "a", ")"),
        around("a + on (b) ", "a", ""),
        around("sum_over_time((", "a", ")[1h:1m])"),
        around("1^", "1", ""),
    ] {
        // Some are deeper than a query may be: refused, then.
        for path in ["/parse_query", "/format_query", "/query"] {
            let got = served.send(request("POST", path, Some(&form)));
            if path == "/parse_query" && got.status == 200 {
                assert!(got.body.len() < 1 << 20, "{} bytes", got.body.len());
            }
            let shown = &got.body[..got.body.len().min(300)];
            assert!([200, 400, 422].contains(&got.status), "{path} {}: {shown}", &form[..40]);
        }
    }
}

#[test]
fn without_a_time_it_is_now() {
    // The clock stands at the last samples.
    for path in ["/query?query=up", "/query?query=up&time="] {
        assert!(served().get(path).body.contains("[1700001800,\"1\"]"), "{path}");
    }
}

#[test]
fn statistics_are_given_when_asked_for() {
    let served = served();
    let body = |stats: &str| served.get(&format!("/query?query=up&time=1700000600{stats}")).body;
    assert!(!body("").contains("stats"));
    let json: serde_json::Value = serde_json::from_str(&body("&stats=all")).unwrap();
    assert_eq!(json["data"]["stats"]["samples"]["totalQueryableSamples"], 2);
    assert!(json["data"]["stats"]["timings"]["execTotalTime"].is_number());
    assert!(json.get("warnings").is_none());
    assert!(body("&stats=1").contains("deprecated"));
}

#[test]
fn a_large_answer_is_whole() {
    let served = served();
    let got = served.get("/query_range?query=up&start=1700000000&end=1700001800&step=0.2");
    let json: serde_json::Value = serde_json::from_str(&got.body).unwrap();
    let points = |i: usize| json["data"]["result"][i]["values"].as_array().unwrap().len();
    assert_eq!((points(0), points(1)), (9001, 9001));
    assert!(got.headers.get(header::CONTENT_LENGTH).is_none(), "it should come in pieces");
}

#[test]
fn large_answers_wait_for_those_before_them() {
    let world = World::new();
    let served = world.served(&QueryOptions { max_memory_bytes: 2 << 20, ..patient() });
    let large = "/query_range?query=up&start=1700000000&end=1700001800&step=0.2";
    let kept = served.runtime().block_on(async {
        // As many as there is room for, about 280 KiB each.
        let mut kept = Vec::new();
        for _ in 0..5 {
            kept.push(served.respond(request("GET", large, None)).await);
        }
        for _ in 0..10 {
            let got = served.respond(request("GET", &format!("{large}&timeout=20ms"), None)).await;
            match got.status().as_u16() {
                200 => kept.push(got),
                status => {
                    assert_eq!(status, 503);
                    return kept;
                }
            }
        }
        panic!("no bound");
    });
    assert_eq!(served.get("/query?query=up").status, 200, "small ones do not wait");
    drop(kept);
    assert_eq!(served.get(large).status, 200, "there is room again");
}

#[test]
fn a_form_that_breaks_off_is_refused() {
    let served = served();
    let pieces = [Ok(bytes::Bytes::from("query=")), Err(std::io::Error::other("connection reset"))];
    let asked = axum::http::Request::post("/api/v1/query")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(Body::from_stream(stream::iter(pieces)))
        .unwrap();
    let got = served.send(asked);
    assert_eq!((got.status, got.body.contains("connection reset")), (400, true), "{}", got.body);
}
