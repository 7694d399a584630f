//! The page at `/`: what this is, what it holds, and where to go. It loads nothing from anywhere.

use crate::Hub;
use crate::auth::tenant_header;
use crate::census::Counted;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use nilometer_access::{Identity, RESERVED_TENANT, ReadScope};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

const TEMPLATE: &str = include_str!("home.html");

/// So many tenants are listed.
const MAX_LISTED: usize = 500;

pub(crate) async fn home(
    State(hub): State<Arc<Hub>>,
    Extension(identity): Extension<Arc<Identity>>,
    headers: HeaderMap,
) -> Response<Body> {
    let named = tenant_header(&hub, &headers);
    let scope = hub.access.resolve_read(&identity, named.as_deref(), hub.callers.enforce_tenancy);
    let secured = hub.access.has_tenants_file();
    let uptime_ms = hub.clock.wall_ms().saturating_sub(hub.started_ms).max(0) as u64;
    let page = Page {
        bucket: bucket(&hub),
        tenants: scope.ok().map(|scope| visible(&hub, &scope)),
        base: base(&headers),
        secured,
        version: hub.build.version,
        uptime: Duration::from_millis(uptime_ms),
        who: &identity.name,
    };
    let mut response = Response::new(Body::from(page.html()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

fn visible(hub: &Hub, scope: &ReadScope) -> Vec<Counted> {
    let sees = |tenant: &&Counted| match scope {
        ReadScope::All => true,
        ReadScope::Only(one) => tenant.info.name == *one,
    };
    hub.census.tenants().iter().filter(sees).cloned().collect()
}

/// How the reader reached this page, so that what is to be copied fits. A proxy in front says so by the usual
/// header.
fn base(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = text("x-forwarded-proto").filter(|scheme| *scheme == "https").unwrap_or("http");
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    let host = text("host").filter(|host| !host.is_empty() && host.bytes().all(plain));
    format!("{scheme}://{}", host.unwrap_or("127.0.0.1:10902"))
}

/// In a sentence or two, without a word on whose blocks they are.
fn bucket(hub: &Hub) -> String {
    let mut text = String::new();
    if let Some(gateway) = &hub.gateway {
        let _ = write!(text, "{} blocks answer queries. ", grouped(gateway.len() as u64));
    }
    let Some(upkeep) = &hub.upkeep else { return text };
    match upkeep.compactor.as_ref().map(|compactor| compactor.status()) {
        None => text.push_str("Another process compacts them."),
        Some(status) => {
            text.push_str(&match (&status.waits_for, &status.running) {
                (Some(_), _) => "Another compactor works on them; this one waits. ".to_owned(),
                (None, Some(running)) => {
                    let percent =
                        running.series.saturating_mul(100).checked_div(running.series_total).unwrap_or(0);
                    let (blocks, due) =
                        (running.blocks.len(), status.todo.compactions + status.todo.downsamples);
                    format!(
                        "Under way: {} of {blocks}, {percent}&nbsp;%; due in all: {}. ",
                        running.what,
                        grouped(due)
                    )
                }
                (None, None) => "Compaction has nothing to do. ".to_owned(),
            });
            if !status.quarantined.is_empty() {
                let _ = write!(
                    text,
                    "<strong>{} groups of blocks are left alone because something is wrong with them.</strong> ",
                    status.quarantined.len()
                );
            }
            let corrupt = status.left_out.iter().filter(|block| block.is_corrupt()).count();
            if corrupt + status.broken.len() > 0 {
                let _ = write!(
                    text,
                    "<strong>{} blocks are damaged and left out.</strong> ",
                    corrupt + status.broken.len()
                );
            }
            text.push_str("<a href=\"/api/v1/status/compaction\">More</a>.");
        }
    }
    if let Some(days) = (upkeep.days_until_full)() {
        let _ = write!(text, " The disk will be full in about {} days.", grouped(days as u64));
    }
    text
}

struct Page<'a> {
    /// `None`: the reader may not see any.
    tenants: Option<Vec<Counted>>,
    /// HTML.
    bucket: String,
    base: String,
    secured: bool,
    version: &'a str,
    uptime: Duration,
    who: &'a str,
}

impl Page<'_> {
    fn html(&self) -> String {
        let (hint, credential) = if self.secured {
            let hint = "User name and password are those of its tenant, see the tenants file.";
            (hint, "    basic_auth:\n      username: …\n      password_file: …\n")
        } else {
            let hint = "Nobody is asked for a credential; the header <code>THANOS-TENANT</code> says whose the \
                        samples are.";
            (hint, "    headers:\n      THANOS-TENANT: my-cluster\n")
        };
        let keeps_own =
            self.tenants.iter().flatten().any(|tenant| tenant.info.name.as_str() == RESERVED_TENANT);
        let own = if keeps_own { "; also kept here, as tenant <code>nilometer</code>" } else { "" };
        TEMPLATE
            .replace("{{tenants}}", &self.tenants())
            .replace("{{bucket}}", &self.bucket)
            .replace("{{base}}", &escaped(&self.base))
            .replace("{{credential_hint}}", hint)
            .replace("{{credential}}", credential)
            .replace("{{self_metrics}}", own)
            .replace("{{version}}", &escaped(self.version))
            .replace("{{uptime}}", &uptime(self.uptime))
            .replace("{{who}}", &escaped(self.who))
    }

    fn tenants(&self) -> String {
        let Some(tenants) = &self.tenants else {
            return "<p class=\"dim\">This credential may not read, so none are shown.</p>".to_owned();
        };
        if tenants.is_empty() {
            return "<p class=\"dim\">None has sent anything yet. Below it says how to connect the first.</p>"
                .to_owned();
        }
        let mut html = String::from(
            "<div class=\"card\"><table>\n<tr><th>Name</th><th class=\"n\"><abbr title=\"in memory\">Series</abbr></th>\
             <th class=\"n\"><abbr title=\"stored, on average over the last minute\">Samples/s</abbr></th>\
             <th class=\"n\"><abbr title=\"on the hub's disk\">Blocks</abbr></th><th>Data from (UTC)</th><th>until</th></tr>\n",
        );
        for tenant in tenants.iter().take(MAX_LISTED) {
            let info = &tenant.info;
            let counts = [grouped(info.series), rate(tenant.samples_per_second), grouped(info.blocks as u64)];
            html += &row(&escaped(info.name.as_str()), counts, info.min_ms, info.max_ms);
        }
        if tenants.len() > 1 {
            let all = || tenants.iter().map(|tenant| &tenant.info);
            let series = all().map(|info| info.series).sum();
            let samples = tenants.iter().filter_map(|tenant| tenant.samples_per_second).reduce(|a, b| a + b);
            let blocks = all().map(|info| info.blocks as u64).sum();
            let counts = [grouped(series), rate(samples), grouped(blocks)];
            let (from, until) = (all().filter_map(|i| i.min_ms).min(), all().filter_map(|i| i.max_ms).max());
            html += &row("all", counts, from, until).replacen("<tr>", "<tr class=\"all\">", 1);
        }
        html.push_str("</table></div>");
        if tenants.len() > MAX_LISTED {
            let _ = write!(html, "<p class=\"dim\">and {} more</p>", tenants.len() - MAX_LISTED);
        }
        html
    }
}

/// A row of the table. `name` is HTML.
fn row(name: &str, counts: [String; 3], from_ms: Option<i64>, until_ms: Option<i64>) -> String {
    let mut html = format!("<tr><td>{name}</td>");
    for count in counts {
        let _ = write!(html, "<td class=\"n\">{count}</td>");
    }
    let _ = writeln!(html, "<td>{}</td><td>{}</td></tr>", time(from_ms), time(until_ms));
    html
}

/// With a digit behind the point where that tells something.
fn rate(per_second: Option<f64>) -> String {
    match per_second {
        Some(rate) if rate > 0.0 && rate < 9.95 => format!("{rate:.1}"),
        Some(rate) => grouped(rate.round() as u64),
        None => UNKNOWN.to_owned(),
    }
}

const UNKNOWN: &str = "<span class=\"dim\">–</span>";

/// `2026-11-22 19:12`
fn time(ms: Option<i64>) -> String {
    let time = ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    match time {
        Some(time) => time.strftime("%Y-%m-%d %H:%M").to_string(),
        None => UNKNOWN.to_owned(),
    }
}

/// Digits in groups of three.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The two largest units: `3 d 4 h`.
fn uptime(uptime: Duration) -> String {
    let s = uptime.as_secs();
    let units = [(s / 86_400, "d"), (s / 3_600 % 24, "h"), (s / 60 % 60, "min"), (s % 60, "s")];
    let largest = units.iter().position(|(n, _)| *n > 0).unwrap_or(3);
    let shown: Vec<String> = units[largest..].iter().take(2).map(|(n, unit)| format!("{n} {unit}")).collect();
    shown.join(" ")
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_head::TenantInfo;
    use nilometer_model::Tenant;

    fn tenant(name: &str, rate: Option<f64>) -> Counted {
        let info = TenantInfo {
            name: Tenant::new(name).unwrap(),
            series: 1_234_567,
            blocks: 3,
            min_ms: Some(1_700_000_000_000),
            max_ms: None,
        };
        Counted::of(info, rate)
    }

    fn page(tenants: Option<Vec<Counted>>, secured: bool) -> String {
        let (base, uptime) = ("http://hub:10902".to_owned(), Duration::from_secs(93_784));
        Page { tenants, bucket: String::new(), base, secured, version: "0.1.0", uptime, who: "<b>" }.html()
    }

    #[test]
    fn tells_what_there_is() {
        let html = page(Some(vec![tenant("wc-1", Some(6_000.4))]), true);
        for said in [
            "<td>wc-1</td><td class=\"n\">1,234,567</td><td class=\"n\">6,000</td><td class=\"n\">3</td>\
             <td>2023-11-14 22:13</td>",
            "url: http://hub:10902/api/v1/receive",
            "basic_auth:",
            "retry_on_http_429: true",
            "up 1 d 2 h",
            "you are &lt;b&gt;",
        ] {
            assert!(html.contains(said), "{said} in\n{html}");
        }
        assert!(!html.contains("{{"), "a placeholder is left:\n{html}");
        assert_eq!(html.matches("://").count(), html.matches("http://hub:10902").count(), "it loads nothing");
    }

    #[test]
    fn several_are_summed_up() {
        let html =
            page(Some(vec![tenant("a", Some(0.04)), tenant("b", None), tenant("c", Some(9.96))]), true);
        for said in [
            "<td>a</td><td class=\"n\">1,234,567</td><td class=\"n\">0.0</td>",
            "<td>b</td><td class=\"n\">1,234,567</td><td class=\"n\"><span class=\"dim\">–</span></td>",
            "<td>c</td><td class=\"n\">1,234,567</td><td class=\"n\">10</td>",
            "<tr class=\"all\"><td>all</td><td class=\"n\">3,703,701</td><td class=\"n\">10</td><td class=\"n\">9</td>\
             <td>2023-11-14 22:13</td><td><span class=\"dim\">–</span></td></tr>",
        ] {
            assert!(html.contains(said), "{said} in\n{html}");
        }
        assert!(!page(Some(vec![tenant("a", None)]), true).contains("<td>all</td>"), "one needs no sum");
    }

    #[test]
    fn hides_what_may_not_be_read() {
        assert!(page(None, true).contains("may not read"));
        assert!(page(Some(Vec::new()), false).contains("THANOS-TENANT: my-cluster"));
    }

    #[test]
    fn a_host_that_is_none_is_not_repeated() {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("hub.example:1"));
        assert_eq!(base(&headers), "http://hub.example:1");
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        assert_eq!(base(&headers), "https://hub.example:1");
        headers.insert("host", HeaderValue::from_static("\"><script>"));
        assert_eq!(base(&headers), "https://127.0.0.1:10902");
    }
}
