//! The parameters of a request: from the address and, with POST, from a form in the body.

use super::error::{ApiError, ApiResult, ErrorType};
use super::text::quoted;
use super::time::{Timestamp, duration_ns};
use super::{Api, Reader};
use crate::body::Received;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{Method, header};
use nilometer_model::{Matcher, RegexBytes, TimeRange};
use nilometer_promql::Resolution;
use nilometer_promql::parse::{MAX_REGEXES, parse_selector};
use std::num::{IntErrorKind, ParseIntError};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// A form may be so large; as Go's limit.
const MAX_FORM_BYTES: u64 = 10 << 20;
/// A request may have so many parameters.
const MAX_PARAMETERS: usize = 10_000;

/// All parameters in order, those of the body before those of the address.
#[derive(Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    /// Its share of the memory for bodies: who waits for a place with a large form still holds that.
    _form: Option<Received>,
}

impl FromRequest<Arc<Api>> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Arc<Api>) -> ApiResult<Self> {
        let is_form = request.method() == Method::POST
            && request.headers().get(header::CONTENT_TYPE).is_some_and(|v| is_form(v.as_bytes()));
        let (mut parts, body) = request.into_parts();
        let mut params = Params::default();
        if is_form {
            let reader = Reader::from_request_parts(&mut parts, api).await?;
            let mut form = api.received(&reader, &parts.headers, body, MAX_FORM_BYTES).await?;
            params.add(&std::mem::take(&mut form.bytes))?;
            params._form = Some(form);
        }
        params.add(parts.uri.query().unwrap_or_default().as_bytes())?;
        Ok(params)
    }
}

fn is_form(content_type: &[u8]) -> bool {
    const FORM: &[u8] = b"application/x-www-form-urlencoded";
    let kind = content_type.split(|b| *b == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(FORM)
}

impl Params {
    /// Adds what a form says. A parameter that cannot be read is an error, not left out: the answer to what is
    /// left would be one to another question.
    fn add(&mut self, form: &[u8]) -> ApiResult<()> {
        let malformed = |what: String| ApiError::bad_data(format!("error parsing form values: {what}"));
        for pair in form.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            if self.pairs.len() == MAX_PARAMETERS {
                return Err(malformed(format!("more than {MAX_PARAMETERS} parameters")));
            }
            if pair.contains(&b';') {
                return Err(malformed("invalid semicolon separator in query".to_owned()));
            }
            let mut sides = pair.splitn(2, |b| *b == b'=');
            let name = decoded(sides.next().unwrap_or_default()).map_err(malformed)?;
            let value = decoded(sides.next().unwrap_or_default()).map_err(malformed)?;
            self.pairs.push((name, value));
        }
        Ok(())
    }

    /// The first value, empty where there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A time that must be there.
    pub(crate) fn time(&self, name: &str) -> ApiResult<Timestamp> {
        Timestamp::parse(self.get(name)).map_err(|what| ApiError::parameter(name, what))
    }

    /// A time that may be left out.
    pub(crate) fn time_or(&self, name: &str, default: Timestamp) -> ApiResult<Timestamp> {
        match self.get(name) {
            "" => Ok(default),
            text => Timestamp::parse(text).map_err(|what| {
                ApiError::parameter(name, format!("invalid time value for '{name}': {what}"))
            }),
        }
    }

    /// `start` and `end`, all times where they are left out.
    pub(crate) fn range(&self) -> ApiResult<TimeRange> {
        let start = self.time_or("start", Timestamp::MIN)?;
        let end = self.time_or("end", Timestamp::MAX)?;
        Ok(TimeRange::new(start.ms(), end.ms()))
    }

    /// `limit`: so many answers at most, 0 for all.
    pub(crate) fn limit(&self) -> ApiResult<usize> {
        match self.get("limit") {
            "" => Ok(0),
            text => match atoi(text) {
                Ok(limit) => usize::try_from(limit)
                    .map_err(|_| ApiError::parameter("limit", "limit must be non-negative")),
                Err(what) => Err(ApiError::parameter("limit", what)),
            },
        }
    }

    /// `timeout`, where it is given.
    pub(crate) fn timeout(&self) -> ApiResult<Option<Duration>> {
        match self.get("timeout") {
            "" => Ok(None),
            text => match duration_ns(text) {
                Ok(ns) => Ok(Some(Duration::from_nanos(u64::try_from(ns).unwrap_or(0)))),
                Err(what) => Err(ApiError::parameter("timeout", what)),
            },
        }
    }

    /// The sets of matchers in `match[]`: a series is meant that all of one set match.
    pub(crate) fn matcher_sets(&self) -> ApiResult<Vec<Vec<Matcher>>> {
        let sets = self.selectors()?;
        if sets.iter().any(|set| set.iter().all(Matcher::matches_empty)) {
            return Err(ApiError::bad_data("match[] must contain at least one non-empty matcher"));
        }
        Ok(sets)
    }

    /// As [`matcher_sets`](Self::matcher_sets), where all series may be asked for.
    pub(crate) fn selectors(&self) -> ApiResult<Vec<Vec<Matcher>>> {
        self.selectors_in("match[]")
    }

    /// `storeMatch[]`: the stores that are asked.
    pub(crate) fn stores(&self) -> ApiResult<Vec<Vec<Matcher>>> {
        self.selectors_in("storeMatch[]")
    }

    /// Only at a place: regular expressions take time and memory.
    fn selectors_in(&self, name: &str) -> ApiResult<Vec<Vec<Matcher>>> {
        let mut sets = Vec::new();
        let mut matchers = 0;
        let mut regexes = RegexBytes::default();
        for selector in self.all(name) {
            let set = parse_selector(selector).map_err(|e| ApiError::bad_data(e.to_string()))?;
            matchers += set.len();
            if matchers > MAX_REGEXES {
                return Err(ApiError::bad_data(format!(
                    "{name} has more than {MAX_REGEXES} matchers in all: ask with fewer at a time"
                )));
            }
            let counted = set.iter().try_for_each(|matcher| regexes.add(matcher));
            counted.map_err(|e| ApiError::bad_data(e.to_string()))?;
            sets.push(set);
        }
        Ok(sets)
    }

    /// Checks what only Thanos knows. Returns a warning for each parameter that would change the answer
    /// there and does not here.
    pub(crate) fn thanos(&self) -> ApiResult<Vec<String>> {
        for name in ["dedup", "partial_response"] {
            parse_bool(self.get(name))
                .map_err(|what| ApiError::bad_data(format!("'{name}' parameter: {what}")))?;
        }
        let engine = self.get("engine");
        if !matches!(engine, "" | "prometheus" | "thanos") {
            return Err(ApiError::bad_data(format!("'{engine}' bad engine")));
        }
        self.shard()?;
        let ignored =
            ["replicaLabels[]", "storeMatch[]"].into_iter().filter(|name| !self.get(name).is_empty());
        Ok(ignored.map(|name| format!("parameter {name} is not supported and was ignored")).collect())
    }

    /// `partial_response=false`: an answer from which something is missing is none. Warnings of expressions are about
    /// what is there.
    pub(crate) fn refuse_parts(&self, warnings: &[String]) -> ApiResult<()> {
        let of_expressions = |warning: &&String| !warning.starts_with("PromQL warning: ");
        match (parse_bool(self.get("partial_response")), warnings.iter().find(of_expressions)) {
            (Ok(Some(false)), Some(missing)) => {
                Err(ApiError::new(ErrorType::Execution, format!("partial_response=false: {missing}")))
            }
            _ => Ok(()),
        }
    }

    /// `max_source_resolution`, and `default` where it is left out.
    pub(crate) fn resolution(&self, default: Resolution) -> ApiResult<Resolution> {
        const NAME: &str = "max_source_resolution";
        match self.get(NAME) {
            "" => Ok(default),
            "auto" => Ok(Resolution::Auto),
            text => match duration_ns(text) {
                Ok(..0) => Err(ApiError::bad_data(format!(
                    "negative '{NAME}' is not accepted. Try a positive integer"
                ))),
                Ok(ns) => Ok(Resolution::UpTo { ms: ns / 1_000_000 }),
                Err(what) => Err(ApiError::bad_data(format!("'{NAME}' parameter: {what}"))),
            },
        }
    }

    /// `shard_info`: a query frontend of Thanos adds the answers to all shards up, so that to answer one with
    /// all series would multiply them.
    fn shard(&self) -> ApiResult<()> {
        let text = self.get("shard_info");
        if text.is_empty() {
            return Ok(());
        }
        let shard: serde_json::Value = serde_json::from_str(text)
            .map_err(|e| ApiError::bad_data(format!("could not unmarshal parameter shard_info: {e}")))?;
        match shard.get("total_shards").and_then(serde_json::Value::as_i64) {
            None | Some(..=1) => Ok(()),
            Some(_) => Err(ApiError::bad_data(
                "shards are not supported: turn them off with --query-frontend.vertical-shards=0",
            )),
        }
    }

    /// `analyze`: whether the answer tells where the time went.
    pub(crate) fn analyze(&self) -> bool {
        matches!(self.get("analyze"), "true" | "1")
    }
}

/// Go's `strconv.Atoi`, errors included.
pub(crate) fn atoi(text: &str) -> Result<i64, String> {
    parse_int(text, "Atoi")
}

/// Go's `strconv.ParseInt` of 32 bits, errors included.
pub(crate) fn parse_int32(text: &str) -> Result<i32, String> {
    parse_int(text, "ParseInt")
}

fn parse_int<T: FromStr<Err = ParseIntError>>(text: &str, func: &str) -> Result<T, String> {
    text.parse().map_err(|e: ParseIntError| {
        let what = match e.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.{func}: parsing {}: {what}", quoted(text))
    })
}

/// Go's `strconv.ParseBool`, errors included; `None` where there is nothing.
pub(crate) fn parse_bool(text: &str) -> Result<Option<bool>, String> {
    match text {
        "" => Ok(None),
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Some(true)),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Some(false)),
        _ => Err(format!("strconv.ParseBool: parsing {}: invalid syntax", quoted(text))),
    }
}

/// Undoes `%41` and `+`.
fn decoded(text: &[u8]) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let hex = |at: usize| tail.get(at).and_then(|b| char::from(*b).to_digit(16));
                let (Some(high), Some(low)) = (hex(0), hex(1)) else {
                    let escape = String::from_utf8_lossy(&tail[..tail.len().min(2)]);
                    return Err(format!("invalid URL escape {}", quoted(&format!("%{escape}"))));
                };
                out.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).map_err(|_| "a parameter is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl std::fmt::Debug for Params {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.pairs.fmt(f)
        }
    }

    fn params(form: &str) -> ApiResult<Params> {
        let mut params = Params::default();
        params.add(form.as_bytes()).map(|()| params)
    }

    #[test]
    fn forms_are_read() {
        let p = params("a=1&&a=2&b=x+y%2Bz%c3%a9&c&=d&e=1=2").unwrap();
        assert_eq!(p.get("a"), "1");
        assert_eq!(p.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(p.get("b"), "x y+zé");
        assert_eq!(p.get("c"), "");
        assert_eq!(p.get(""), "d");
        assert_eq!(p.get("e"), "1=2");
        assert_eq!(p.get("none"), "");
    }

    #[test]
    fn malformed_forms_are_refused() {
        for (form, want) in [
            ("a=%zz", "error parsing form values: invalid URL escape \"%zz\""),
            ("a=%4", "error parsing form values: invalid URL escape \"%4\""),
            ("a=%", "error parsing form values: invalid URL escape \"%\""),
            ("a=1;b=2", "error parsing form values: invalid semicolon separator in query"),
            ("a=%ff", "error parsing form values: a parameter is not UTF-8"),
        ] {
            assert_eq!(params(form).unwrap_err().message, want);
        }
        assert!(params(&"a&".repeat(MAX_PARAMETERS)).is_ok());
        assert!(params(&"a&".repeat(MAX_PARAMETERS + 1)).is_err());
    }

    #[test]
    fn only_forms_count_as_forms() {
        assert!(is_form(b"application/x-www-form-urlencoded"));
        assert!(is_form(b"Application/X-WWW-Form-Urlencoded ; charset=UTF-8"));
        assert!(!is_form(b"application/json"));
        assert!(!is_form(b""));
    }

    #[test]
    fn what_thanos_knows_is_checked() {
        assert_eq!(params("dedup=true&partial_response=0&engine=thanos").unwrap().thanos().unwrap(), [""; 0]);
        assert_eq!(params("storeMatch[]={a=\"b\"}").unwrap().thanos().unwrap().len(), 1);
        assert_eq!(
            params("dedup=maybe").unwrap().thanos().unwrap_err().message,
            "'dedup' parameter: strconv.ParseBool: parsing \"maybe\": invalid syntax"
        );
        for (form, says) in [
            ("engine=other", "'other' bad engine"),
            ("partial_response=2", "'partial_response' parameter: strconv.ParseBool"),
            ("shard_info={", "could not unmarshal parameter shard_info"),
            ("shard_info={\"shard_index\":1,\"total_shards\":2}", "--query-frontend.vertical-shards"),
        ] {
            let error = params(form).unwrap().thanos().unwrap_err().message;
            assert!(error.contains(says), "{form}: {error}");
        }
        assert!(params("shard_info={\"total_shards\":1}").unwrap().thanos().is_ok());
        let error = params("storeMatch[]=a&storeMatch[]={").unwrap().stores().unwrap_err().message;
        assert!(error.contains("parse error"), "{error}");
    }

    /// Thanos' own table: without automatic downsampling, what is left out means raw samples.
    #[test]
    fn resolutions() {
        let of = |form: &str, default| params(form).unwrap().resolution(default);
        assert_eq!(of("", Resolution::Auto).unwrap(), Resolution::Auto);
        assert_eq!(of("", Resolution::RAW).unwrap(), Resolution::RAW);
        for (text, expected) in [
            ("auto", Resolution::Auto),
            ("0s", Resolution::RAW),
            ("0", Resolution::RAW),
            ("5m", Resolution::UpTo { ms: 300_000 }),
            ("1h", Resolution::UpTo { ms: 3_600_000 }),
            ("3600", Resolution::UpTo { ms: 3_600_000 }),
            ("90m", Resolution::UpTo { ms: 5_400_000 }),
        ] {
            let form = format!("max_source_resolution={text}");
            for default in [Resolution::Auto, Resolution::RAW] {
                assert_eq!(of(&form, default).unwrap(), expected, "{text}");
            }
        }
        for (text, says) in [
            ("often", "'max_source_resolution' parameter: cannot parse \"often\" to a valid duration"),
            ("-5", "negative 'max_source_resolution' is not accepted. Try a positive integer"),
        ] {
            let error = of(&format!("max_source_resolution={text}"), Resolution::Auto).unwrap_err().message;
            assert_eq!(error, says);
        }
    }

    #[test]
    fn too_many_matchers_are_refused() {
        let selector = format!("match[]=%7B{}%7D", vec!["a=\"b\""; 1000].join(","));
        assert!(params(&[&*selector; 2].join("&")).unwrap().matcher_sets().is_ok());
        assert!(params(&[&*selector; 3].join("&")).unwrap().matcher_sets().is_err());
        let large = format!("match[]={{{}}}", vec!["a=~`\\pL{80}`"; 25].join(","));
        assert!(params(&large).unwrap().selectors().is_ok());
        let error = params(&[&*large; 3].join("&")).unwrap().selectors().unwrap_err().message;
        assert!(error.contains("regex_total_bytes"), "{error}");
    }

    proptest! {
        #[test]
        fn any_form_is_read_or_refused(form: Vec<u8>) {
            let _ = Params::default().add(&form);
        }

        #[test]
        fn every_value_comes_back(value in ".*") {
            let escaped: String = value.bytes().map(|b| format!("%{b:02x}")).collect();
            let read = params(&format!("a={escaped}")).unwrap();
            prop_assert_eq!(read.get("a"), value);
        }
    }
}
