//! All routes under `/api/v1`, and what each may be asked with.

pub(super) struct Route {
    pub(super) path: &'static str,
    /// The operation's name, that of further methods with the method behind.
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) methods: &'static [&'static str],
    pub(super) params: &'static [Param],
    /// `Json` stands for parameters: in the address, or in a form.
    pub(super) asks: Body,
    pub(super) answers: Body,
}

pub(super) enum Body {
    Json,
    Protobuf,
    Yaml,
    Events,
    /// JSON, one object a line.
    Lines,
    Nothing,
}

#[derive(Clone, Copy)]
pub(super) struct Param {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) required: bool,
    pub(super) in_path: bool,
    pub(super) says: &'static str,
}

#[derive(Clone, Copy)]
pub(super) enum Form {
    Text,
    Texts,
    Whole,
    Flag,
    Time,
    Duration,
}

const fn may(name: &'static str, form: Form, says: &'static str) -> Param {
    Param { name, form, required: false, in_path: false, says }
}

const fn must(name: &'static str, form: Form, says: &'static str) -> Param {
    Param { required: true, ..may(name, form, says) }
}

const fn get(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    params: &'static [Param],
) -> Route {
    Route { path, id, tag, summary, methods: &["get"], params, asks: Body::Json, answers: Body::Json }
}

/// With parameters in a form, too.
const fn both(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    params: &'static [Param],
) -> Route {
    Route { methods: &["get", "post"], ..get(path, id, tag, summary, params) }
}

/// A search for names.
const fn search(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    params: &'static [Param],
) -> Route {
    Route { answers: Body::Lines, ..both(path, id, tag, summary, params) }
}

pub(super) const TAGS: [(&str, &str); 12] = [
    ("query", "PromQL: values, plans, texts and trees of queries."),
    ("metadata", "What senders say of metrics."),
    ("labels", "Names and values of labels."),
    ("series", "Which series there are."),
    ("targets", "What is scraped: nothing, senders push."),
    ("rules", "Rules that are evaluated: none."),
    ("alerts", "Alerts, and who is told of them: none."),
    ("status", "The process and its data."),
    ("admin", "For operators."),
    ("features", "What there is, and what of it is on."),
    ("remote", "Remote write and remote read."),
    ("notifications", "What the process has to say."),
];

const QUERY: Param = must("query", Form::Text, "The expression.");
const START: Param = may("start", Form::Time, "From when on.");
const END: Param = may("end", Form::Time, "Until when, inclusive.");
const LIMIT: Param = may("limit", Form::Whole, "At most so many; 0: all.");
const MATCH: Param = may("match[]", Form::Texts, "Selectors; a series counts that one of them matches.");
const TIMEOUT: Param = may("timeout", Form::Duration, "Ends the query, within --query.timeout.");
const LOOKBACK: Param = may("lookback_delta", Form::Duration, "How old a sample may be to count.");
const STATS: Param = may("stats", Form::Text, "Any text, such as `all`: figures beside the result.");
const DEDUP: Param = may("dedup", Form::Flag, "Of Thanos; there are no replicas to be joined.");
const PARTIAL: Param = may(
    "partial_response",
    Form::Flag,
    "Of Thanos; false: an answer from which something is missing is an error.",
);
const RESOLUTION: Param = may("max_source_resolution", Form::Duration, "Of Thanos; all samples are raw.");
const REPLICAS: Param = may("replicaLabels[]", Form::Texts, "Of Thanos; ignored with a warning.");
const STORES: Param = may("storeMatch[]", Form::Texts, "Of Thanos; ignored with a warning.");
const ENGINE: Param = may("engine", Form::Text, "Of Thanos: `prometheus` or `thanos`; there is one.");
const ANALYZE: Param = may("analyze", Form::Flag, "Of Thanos: where the time went, beside the result.");
const TIME: Param = may("time", Form::Time, "When; now where it is left out.");
const FROM: Param = must("start", Form::Time, "The first step.");
const TO: Param = must("end", Form::Time, "No step is later.");
const STEP: Param = must("step", Form::Duration, "From step to step.");
const POOL: Param = must("scrapePool", Form::Text, "The pool.");

const INSTANT: &[Param] = &[
    QUERY, TIME, LIMIT, TIMEOUT, LOOKBACK, STATS, DEDUP, PARTIAL, RESOLUTION, REPLICAS, STORES, ENGINE,
    ANALYZE,
];
const RANGE: &[Param] = &[
    QUERY, FROM, TO, STEP, LIMIT, TIMEOUT, LOOKBACK, STATS, DEDUP, PARTIAL, RESOLUTION, REPLICAS, STORES,
    ENGINE, ANALYZE,
];
const NAMES: &[Param] = &[MATCH, START, END, LIMIT, PARTIAL, STORES];

const SEARCH: Param = may("search[]", Form::Texts, "Parts of names; one that fits is enough.");
const THRESHOLD: Param = may("fuzz_threshold", Form::Whole, "What a hit must score, of 100.");
const LENIENCY: Param = may("fuzz_alg", Form::Text, "`subsequence` or `jarowinkler`.");
const CASE: Param = may("case_sensitive", Form::Flag, "Whether `a` is not `A`; so it is.");
const SORT_BY: Param = may("sort_by", Form::Text, "`alpha` or `score`.");
const SORT_DIR: Param = may("sort_dir", Form::Text, "`asc` or `dsc`, where it is `alpha`.");
const SCORE: Param = may("include_score", Form::Flag, "How well each fits, beside it.");
const SEARCH_LIMIT: Param = may("limit", Form::Whole, "At most so many: 100.");
const BATCH: Param = may("batch_size", Form::Whole, "At most so many in a line: 100.");

pub(super) const ROUTES: &[Route] = &[
    both("/query", "query", "query", "The value of an expression at one time", INSTANT),
    both("/query_range", "query-range", "query", "Its values at each step", RANGE),
    both("/query_explain", "query-explain", "query", "How it would be computed at one time", INSTANT),
    both(
        "/query_range_explain",
        "query-range-explain",
        "query",
        "How it would be computed at each step",
        RANGE,
    ),
    both("/query_exemplars", "query-exemplars", "query", "Exemplars of its series", &[QUERY, START, END]),
    both("/format_query", "format-query", "query", "Its text, laid out", &[QUERY]),
    both("/parse_query", "parse-query", "query", "Its tree", &[QUERY]),
    both(
        "/series",
        "series",
        "series",
        "Labels of series",
        &[must("match[]", Form::Texts, "Selectors."), START, END, LIMIT, DEDUP, PARTIAL, REPLICAS, STORES],
    ),
    both("/labels", "labels", "labels", "Names of labels", NAMES),
    get(
        "/label/{name}/values",
        "label-values",
        "labels",
        "Values of a label",
        &[
            Param { in_path: true, ..must("name", Form::Text, "The label's name.") },
            MATCH,
            START,
            END,
            LIMIT,
            PARTIAL,
            STORES,
        ],
    ),
    search(
        "/search/metric_names",
        "search-metric-names",
        "metadata",
        "Metrics by a part of their names",
        &[
            MATCH,
            SEARCH,
            THRESHOLD,
            LENIENCY,
            CASE,
            SORT_BY,
            SORT_DIR,
            SCORE,
            START,
            END,
            SEARCH_LIMIT,
            BATCH,
            may("include_metadata", Form::Flag, "What senders say of each, beside it."),
        ],
    ),
    search(
        "/search/label_names",
        "search-label-names",
        "labels",
        "Names of labels by a part of them",
        &[
            MATCH,
            SEARCH,
            THRESHOLD,
            LENIENCY,
            CASE,
            SORT_BY,
            SORT_DIR,
            SCORE,
            START,
            END,
            SEARCH_LIMIT,
            BATCH,
        ],
    ),
    search(
        "/search/label_values",
        "search-label-values",
        "labels",
        "Values of a label by a part of them",
        &[
            must("label", Form::Text, "The label's name."),
            MATCH,
            SEARCH,
            THRESHOLD,
            LENIENCY,
            CASE,
            SORT_BY,
            SORT_DIR,
            SCORE,
            START,
            END,
            SEARCH_LIMIT,
            BATCH,
        ],
    ),
    get(
        "/metadata",
        "get-metadata",
        "metadata",
        "Types, units and help of metrics",
        &[
            may("metric", Form::Text, "Only this one."),
            LIMIT,
            may("limit_per_metric", Form::Whole, "At most so many of each."),
        ],
    ),
    Route {
        methods: &["post"],
        asks: Body::Protobuf,
        answers: Body::Protobuf,
        ..get("/read", "remoteRead", "remote", "Samples or chunks of series", &[])
    },
    Route {
        methods: &["post"],
        asks: Body::Protobuf,
        answers: Body::Nothing,
        ..get("/write", "remoteWrite", "remote", "Takes samples, remote write 1.0 and 2.0", &[])
    },
    Route {
        methods: &["post"],
        asks: Body::Protobuf,
        answers: Body::Nothing,
        ..get("/receive", "receive", "remote", "The same, by Thanos' name", &[])
    },
    get(
        "/targets",
        "get-targets",
        "targets",
        "Targets",
        &[
            may("state", Form::Text, "`active`, `dropped` or `any`."),
            may("scrapePool", Form::Text, "Only of this pool."),
        ],
    ),
    get(
        "/targets/metadata",
        "get-targets-metadata",
        "targets",
        "Metadata of targets",
        &[
            may("match_target", Form::Text, "A selector of targets."),
            may("metric", Form::Text, "Only this one."),
            LIMIT,
        ],
    ),
    get(
        "/targets/relabel_steps",
        "get-targets-relabel-steps",
        "targets",
        "How a target is relabelled",
        &[POOL, must("labels", Form::Text, "Its labels, as JSON.")],
    ),
    get("/scrape_pools", "get-scrape-pools", "targets", "Scrape pools", &[]),
    get("/scrape_pools/config", "get-scrape-pool-config", "targets", "The configuration of one", &[POOL]),
    get(
        "/rules",
        "rules",
        "rules",
        "Rules",
        &[
            may("type", Form::Text, "`alert` or `record`."),
            may("rule_name[]", Form::Texts, "Only these rules."),
            may("rule_group[]", Form::Texts, "Only of these groups."),
            may("file[]", Form::Texts, "Only of these files."),
            MATCH,
            may("exclude_alerts", Form::Flag, "Rules alone."),
            may("group_limit", Form::Whole, "So many groups at a time."),
            may("group_next_token", Form::Text, "Where the answer before ended."),
        ],
    ),
    get("/alerts", "alerts", "alerts", "Alerts", &[]),
    get("/alertmanagers", "alertmanagers", "alerts", "Who is told of alerts", &[]),
    get("/notifications", "get-notifications", "notifications", "Notifications", &[]),
    Route {
        answers: Body::Events,
        ..get("/notifications/live", "notifications-live", "notifications", "The same, as they come", &[])
    },
    get("/features", "get-features", "features", "What there is, and what of it is on", &[]),
    get("/status/buildinfo", "get-status-buildinfo", "status", "What this was built from", &[]),
    get("/status/runtimeinfo", "get-status-runtimeinfo", "status", "The process", &[]),
    get(
        "/status/config",
        "get-status-config",
        "status",
        "What of Prometheus' configuration the flags say",
        &[],
    ),
    get(
        "/status/compaction",
        "get-status-compaction",
        "status",
        "What is under way and due in the bucket",
        &[],
    ),
    get("/status/flags", "get-status-flags", "status", "All flags", &[]),
    get(
        "/status/tsdb",
        "status-tsdb",
        "status",
        "What is in memory, by what makes it large",
        &[may("limit", Form::Whole, "Lists are so long; 10 where it is left out.")],
    ),
    get("/status/tsdb/blocks", "status-tsdb-blocks", "status", "Blocks", &[]),
    get("/status/walreplay", "get-status-walreplay", "status", "How far a start is", &[]),
    Route {
        methods: &["put", "post"],
        asks: Body::Nothing,
        ..get(
            "/admin/tsdb/snapshot",
            "snapshot",
            "admin",
            "Writes a folder of blocks of all that there is",
            &[],
        )
    },
    Route {
        answers: Body::Yaml,
        ..get(
            "/openapi.yaml",
            "get-openapi",
            "status",
            "This description",
            &[may("openapi_version", Form::Text, "3.1 or 3.2.")],
        )
    },
];
