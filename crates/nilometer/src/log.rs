//! The log on stderr: a line for each event, as logfmt or as JSON, with the keys that Thanos' lines have.

use crate::flags::{LogFormat, LogLevel};
use nilometer_env::Clock;
use std::fmt::{self, Debug, Write};
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// From now on, everything that is logged goes to stderr.
pub(crate) fn start(level: LogLevel, format: LogFormat, clock: Arc<dyn Clock>) {
    start_to(level, format, clock, std::io::stderr);
}

/// The same, for who has more on stderr than the log.
pub(crate) fn start_to(
    level: LogLevel,
    format: LogFormat,
    clock: Arc<dyn Clock>,
    to: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(to)
        .event_format(Lines { format, clock })
        .init();
    // A panic is a line like any other, so that who collects logs finds it.
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::force_capture();
        tracing::error!(%panic, %backtrace, "this is a bug in nilometer: please report it");
    }));
}

struct Lines {
    format: LogFormat,
    clock: Arc<dyn Clock>,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let room = metadata.target().trim_start_matches("nilometer_");
        let level = metadata.level().as_str().to_ascii_lowercase();
        let head = [("ts", time(self.clock.wall_ms())), ("level", level), ("room", room.to_owned())];
        let msg = ("msg", fields.message);
        let rest = fields.others.iter().map(|(key, value)| (*key, value));
        let all = head.iter().chain([&msg]).map(|(key, value)| (*key, value)).chain(rest);
        writeln!(writer, "{}", line(self.format, all)?)
    }
}

fn line<'a>(
    format: LogFormat,
    pairs: impl Iterator<Item = (&'a str, &'a String)>,
) -> Result<String, fmt::Error> {
    let mut line = String::new();
    for (key, value) in pairs {
        match format {
            LogFormat::Logfmt => {
                line.push_str(if line.is_empty() { "" } else { " " });
                write!(line, "{key}=")?;
                let plain = |c: char| c > ' ' && c != '"' && c != '=' && c != '\u{7f}';
                if !value.is_empty() && value.chars().all(plain) {
                    line.push_str(value);
                } else {
                    quote(&mut line, value)?;
                }
            }
            LogFormat::Json => {
                line.push(if line.is_empty() { '{' } else { ',' });
                quote(&mut line, key)?;
                line.push(':');
                quote(&mut line, value)?;
            }
        }
    }
    if format == LogFormat::Json {
        line.push('}');
    }
    Ok(line)
}

/// As JSON does, which logfmt's readers understand too.
fn quote(out: &mut String, text: &str) -> fmt::Result {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => write!(out, "\\u{:04x}", c as u32)?,
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(())
}

fn time(wall_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(wall_ms) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => wall_ms.to_string(),
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(format: LogFormat) -> String {
        let pairs = [("level", "info"), ("msg", "it said \"no\"\n"), ("n", "1"), ("empty", "")];
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        line(format, pairs.iter().map(|(k, v)| (*k, v))).unwrap()
    }

    #[test]
    fn both_formats() {
        assert_eq!(line_of(LogFormat::Logfmt), r#"level=info msg="it said \"no\"\n" n=1 empty="""#);
        assert_eq!(
            line_of(LogFormat::Json),
            r#"{"level":"info","msg":"it said \"no\"\n","n":"1","empty":""}"#
        );
    }

    #[test]
    fn times() {
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }
}
