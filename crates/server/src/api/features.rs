//! `features`: what of Prometheus there is here, and what of it is switched on. The names are Prometheus'.

use super::Api;
use super::answer::{Answer, Written};
use super::error::{ApiError, ApiResult, ErrorType};
use axum::extract::State;
use nilometer_promql::EngineOptions;
use nilometer_promql::functions::FUNCTIONS;
use std::collections::BTreeMap;
use std::sync::Arc;

type Features = BTreeMap<&'static str, BTreeMap<&'static str, bool>>;

/// Words of the language that are always understood.
const KEYWORDS: [&str; 12] = [
    "at_modifier",
    "bool",
    "by",
    "group_left",
    "group_right",
    "ignoring",
    "negative_offset",
    "offset",
    "on",
    "per_query_lookback_delta",
    "subqueries",
    "without",
];

const OPERATORS: [&str; 33] = [
    "!=",
    "!~",
    "%",
    "*",
    "+",
    "-",
    "/",
    "<",
    "</",
    "<=",
    "==",
    "=~",
    ">",
    ">/",
    ">=",
    "@",
    "^",
    "and",
    "atan2",
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "max",
    "min",
    "or",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
    "unless",
];

/// `GET /features`.
pub(crate) async fn features(State(api): State<Arc<Api>>) -> ApiResult<Answer> {
    let mut all = all(api.engine.options());
    all.entry("api").or_default().insert("search", api.search.enabled);
    let json = serde_json::to_vec(&all).map_err(|e| ApiError::new(ErrorType::Internal, e.to_string()))?;
    Ok(Answer::new(Written(json)))
}

fn all(options: &EngineOptions) -> Features {
    let parse = options.parse;
    let mut promql = on(&KEYWORDS);
    promql.extend([
        ("anchored", parse.extended_range_selectors),
        ("smoothed", parse.extended_range_selectors),
        ("fill", parse.binop_fill_modifiers),
        ("fill_left", parse.binop_fill_modifiers),
        ("fill_right", parse.binop_fill_modifiers),
        ("duration_expr", parse.duration_expressions),
        ("delayed_name_removal", options.delayed_name_removal),
        ("type_and_unit_labels", options.type_and_unit_labels),
        ("per_step_stats", options.per_step_stats),
    ]);
    let functions =
        FUNCTIONS.iter().map(|f| (f.name, !f.experimental || parse.experimental_functions)).collect();
    let mut operators = on(&OPERATORS);
    operators.extend(["limit_ratio", "limitk"].map(|name| (name, parse.experimental_functions)));
    let mut api = on(&[
        "exclude_alerts",
        "label_values_match",
        "lifecycle",
        "query_stats",
        "query_warnings",
        "remote_write_receiver",
        "search_fuzz_alg_jarowinkler",
        "search_fuzz_alg_subsequence",
        "time_range_labels",
        "time_range_series",
    ]);
    api.extend([("admin", false), ("otlp_write_receiver", false)]);
    BTreeMap::from([
        ("api", api),
        ("prometheus", BTreeMap::from([("agent_mode", false), ("server_mode", true)])),
        ("promql", promql),
        ("promql_functions", functions),
        ("promql_operators", operators),
        ("tsdb", on(&["exemplar_storage", "native_histograms", "xor2_encoding"])),
    ])
}

fn on(names: &[&'static str]) -> BTreeMap<&'static str, bool> {
    names.iter().map(|name| (*name, true)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_promql::ast::{AggregateOp, BinaryOp};
    use nilometer_promql::parse::{ParseOptions, parse_expr};

    #[test]
    fn switches_show() {
        let plain = all(&EngineOptions::default());
        let parse = ParseOptions::ALL;
        let every = all(&EngineOptions {
            parse,
            delayed_name_removal: true,
            per_step_stats: true,
            ..EngineOptions::default()
        });
        for (group, name) in [
            ("promql", "fill_left"),
            ("promql", "duration_expr"),
            ("promql", "delayed_name_removal"),
            ("promql", "per_step_stats"),
            ("promql_functions", "info"),
            ("promql_operators", "limitk"),
        ] {
            assert_eq!((plain[group][name], every[group][name]), (false, true), "{name}");
        }
        assert!(plain["promql_functions"]["rate"]);
    }

    #[test]
    fn operators_are_those_of_the_language() {
        let listed = &all(&EngineOptions::default())["promql_operators"];
        for name in listed.keys() {
            let parses = |text: String| parse_expr(&text, ParseOptions::ALL).is_ok();
            let binary = parses(format!("a {name} b"));
            let matcher = parses(format!("a{{b{name}\"c\"}}"));
            let aggregate = [format!("{name}(a)"), format!("{name}(1, a)"), format!("{name}(\"x\", a)")];
            assert!(binary || matcher || aggregate.into_iter().any(parses) || *name == "@", "{name}");
        }
        for op in [BinaryOp::Atan2.as_str(), BinaryOp::TrimLower.as_str(), AggregateOp::Limitk.as_str()] {
            assert!(listed.contains_key(op), "{op}");
        }
    }
}
