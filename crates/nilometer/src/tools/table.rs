//! Rows of values, as a table for people, and as CSV, TSV and JSON for programs.

use clap::ValueEnum;
use serde_json::{Map, Value};
use std::cmp::Ordering;
use std::fmt::Write;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    Table,
    Csv,
    Tsv,
    Json,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    Nothing,
    Text(String),
    Flag(bool),
    Count(u64),
    /// Milliseconds since 1970.
    Time(i64),
    /// Milliseconds.
    Span(i64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

impl Cell {
    /// As Thanos writes it.
    fn text(&self) -> String {
        match self {
            Cell::Nothing => "-".to_owned(),
            Cell::Text(text) => text.clone(),
            Cell::Flag(flag) => flag.to_string(),
            Cell::Count(count) => with_commas(*count),
            Cell::Time(ms) => rfc3339(*ms),
            Cell::Span(ms) => go_duration(*ms),
        }
    }

    fn json(&self) -> Value {
        match self {
            Cell::Nothing => Value::Null,
            Cell::Flag(flag) => Value::from(*flag),
            Cell::Count(count) => Value::from(*count),
            _ => Value::from(self.text()),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Cell::Count(_) | Cell::Span(_))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    columns: &'static [&'static str],
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn new(columns: &'static [&'static str]) -> Self {
        Table { columns, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: Vec<Cell>) {
        assert_eq!(row.len(), self.columns.len(), "a row has a value for each column");
        self.rows.push(row);
    }

    /// By columns, the first counts most, then by all from the left.
    pub(super) fn sort_by(&mut self, columns: &[&str]) {
        let places: Vec<usize> =
            columns.iter().filter_map(|name| self.columns.iter().position(|c| c == name)).collect();
        self.rows.sort_by(|a, b| {
            let by_places = places.iter().map(|at| a[*at].cmp(&b[*at])).find(|o| *o != Ordering::Equal);
            by_places.unwrap_or_else(|| a.cmp(b))
        });
    }

    pub(super) fn render(&self, form: Form) -> String {
        match form {
            Form::Table => self.aligned(),
            Form::Csv => self.separated(','),
            Form::Tsv => self.separated('\t'),
            Form::Json => self.json(),
        }
    }

    fn aligned(&self) -> String {
        let texts: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(Cell::text).collect()).collect();
        let width = |at: usize| {
            let longest = texts.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
            longest.max(self.columns[at].chars().count())
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let right: Vec<bool> =
            (0..self.columns.len()).map(|at| self.rows.iter().any(|row| row[at].is_number())).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for (at, cell) in cells.enumerate() {
                let gap = if at == 0 { "" } else { "  " };
                let width = widths[at];
                let _ = match right[at] {
                    true => write!(line, "{gap}{cell:>width$}"),
                    false => write!(line, "{gap}{cell:<width$}"),
                };
            }
            line.truncate(line.trim_end().len());
            line + "\n"
        };
        let head = line(&mut self.columns.iter().copied());
        texts.iter().map(|row| line(&mut row.iter().map(String::as_str))).fold(head, |all, row| all + &row)
    }

    fn separated(&self, by: char) -> String {
        let quoted = |text: &str| {
            let needs = text.contains([by, '"', '\n', '\r']) || text.starts_with(' ');
            if needs { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
        };
        let line = |cells: &mut dyn Iterator<Item = String>| {
            cells.map(|cell| quoted(&cell)).collect::<Vec<_>>().join(&by.to_string()) + "\n"
        };
        let head = line(&mut self.columns.iter().map(|c| (*c).to_owned()));
        self.rows.iter().map(|row| line(&mut row.iter().map(Cell::text))).fold(head, |all, row| all + &row)
    }

    /// An array with an object for each row; the columns' names in small letters.
    fn json(&self) -> String {
        let name =
            |column: &str| column.trim_start_matches('#').to_ascii_lowercase().replace(['-', ' '], "_");
        let object = |row: &Vec<Cell>| {
            let pairs = self.columns.iter().zip(row);
            Value::Object(pairs.map(|(column, cell)| (name(column), cell.json())).collect::<Map<_, _>>())
        };
        let all: Value = self.rows.iter().map(object).collect();
        format!("{all:#}\n")
    }
}

pub(super) fn rfc3339(ms: i64) -> String {
    let seconds = ms.div_euclid(1000);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| format!("{ms}ms"), |time| time.to_string())
}

/// As Go shows durations: `2h0m0s`.
pub(super) fn go_duration(ms: i64) -> String {
    let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    let seconds = match ms % 1000 {
        0 => format!("{}s", ms / 1000 % 60),
        rest => format!("{}.{}s", ms / 1000 % 60, format!("{rest:03}").trim_end_matches('0')),
    };
    match (hours, minutes) {
        (0, 0) if ms > 0 && ms < 1000 => format!("{sign}{ms}ms"),
        (0, 0) => format!("{sign}{seconds}"),
        (0, _) => format!("{sign}{minutes}m{seconds}"),
        _ => format!("{sign}{hours}h{minutes}m{seconds}"),
    }
}

/// For people: `1.5 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10) as usize;
    format!("{:.1} {}", bytes as f64 / (1u64 << (10 * power)) as f64, units[power - 1])
}

fn with_commas(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "#SERIES", "RANGE", "COMP-FAILED"]);
        table.push(vec!["b, \"c\"".into(), Cell::Count(1_234_567), Cell::Span(7_200_000), Cell::Flag(false)]);
        table.push(vec!["é".into(), Cell::Count(2), Cell::Nothing, Cell::Flag(true)]);
        table
    }

    #[test]
    fn for_people() {
        let expected = "NAME      #SERIES   RANGE  COMP-FAILED\nb, \"c\"  1,234,567  2h0m0s  false\né               2       -  true\n";
        assert_eq!(table().render(Form::Table), expected);
        assert_eq!(Table::new(&["A", "B"]).render(Form::Table), "A  B\n");
    }

    #[test]
    fn for_programs() {
        let csv = "NAME,#SERIES,RANGE,COMP-FAILED\n\"b, \"\"c\"\"\",\"1,234,567\",2h0m0s,false\né,2,-,true\n";
        assert_eq!(table().render(Form::Csv), csv);
        let json: Value = serde_json::from_str(&table().render(Form::Json)).unwrap();
        assert_eq!(json[0]["series"], 1_234_567);
        assert_eq!(json[1]["range"], Value::Null);
        assert_eq!(json[1]["comp_failed"], true);
    }

    #[test]
    fn sorted_by_value() {
        let mut sorted = table();
        sorted.sort_by(&["#SERIES"]);
        assert_eq!(sorted.rows[0][1], Cell::Count(2));
        sorted.sort_by(&["COMP-FAILED", "#SERIES"]);
        assert_eq!(sorted.rows[0][1], Cell::Count(1_234_567));
    }

    #[test]
    fn spans_and_sizes() {
        let spans = [0, 5, 1500, 61_000, 7_200_000, -3_600_000];
        assert_eq!(spans.map(go_duration), ["0s", "5ms", "1.5s", "1m1s", "2h0m0s", "-1h0m0s"]);
        assert_eq!([0, 1023, 1536, 5 << 30].map(bytes), ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
        assert_eq!(rfc3339(1_700_000_000_999), "2023-11-14T22:13:20Z");
        assert_eq!([1, 999, 1000, 1_000_000].map(with_commas), ["1", "999", "1,000", "1,000,000"]);
    }
}
