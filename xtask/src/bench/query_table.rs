//! What queries took beside each other, as the second table of a page.

use std::fmt::Write;

use anyhow::Result;

use super::queries::Asked;

/// Below so many milliseconds nobody is slow.
const QUICK_MS: f64 = 1.0;

/// Of all servers; the first is the one that the others are compared with.
struct Comparison {
    names: Vec<&'static str>,
    /// Of the others, those whose labels and values are compared too.
    exact: Vec<&'static str>,
    /// By server: CPUs that other processes used meanwhile.
    others_cpus: Vec<Option<f64>>,
    rows: Vec<Row>,
}

struct Row {
    query: String,
    /// The first server's answer.
    series: u64,
    values: u64,
    extra_bytes: Option<u64>,
    /// By server; `None`: refused.
    median_ms: Vec<Option<f64>>,
    notes: Vec<String>,
}

/// Nothing where nobody was asked.
pub(super) fn markdown(asked: &[Asked]) -> Result<String> {
    let Some(first) = asked.first() else { return Ok(String::new()) };
    let mut rows = Vec::new();
    for (number, times) in first.queries.iter().enumerate() {
        let mut row = Row {
            query: times.query.clone(),
            series: times.series,
            values: times.values,
            extra_bytes: first.extra_bytes.get(number).copied().flatten(),
            median_ms: Vec::new(),
            notes: Vec::new(),
        };
        for one in asked {
            let times = &one.queries[number];
            row.median_ms.push(times.refused.is_none().then_some(times.latency.p50_ms));
            if let Some(why) = &times.refused {
                row.notes.push(format!("{} refuses: {why}", one.name));
            }
        }
        let answers = |one: &Asked| one.queries[number].refused.is_none();
        for other in asked[1..].iter().filter(|other| answers(first) && answers(other)) {
            if let Some(how) = first.difference(other, number)? {
                row.notes.push(format!("{}: {how}", other.name));
            }
        }
        rows.push(row);
    }
    let names = asked.iter().map(|one| one.name).collect();
    let exact = asked[1..].iter().filter(|one| one.is_exact).map(|one| one.name).collect();
    let others_cpus = asked.iter().map(|one| one.others_cpus).collect();
    Ok(Comparison { names, exact, others_cpus, rows }.markdown())
}

impl Row {
    /// How many times as long a server takes as the first.
    fn ratio(&self, server: usize) -> Option<f64> {
        Some(self.median_ms[server]? / self.median_ms[0]?.max(f64::MIN_POSITIVE))
    }

    fn is_slower(&self, server: usize) -> bool {
        let (Some(ours), Some(theirs)) = (self.median_ms[0], self.median_ms[server]) else { return false };
        ours > theirs.max(QUICK_MS)
    }
}

impl Comparison {
    fn markdown(&self) -> String {
        let (first, others) = (self.names[0], &self.names[1..]);
        let mut text = self.introduction();
        let mut head = vec!["query".to_owned(), "series".to_owned(), "values".to_owned()];
        head.extend(self.names.iter().map(|name| format!("{name}, ms")));
        head.extend(others.iter().map(|name| format!("{name} / {first}")));
        head.push(format!("extra memory of {first}, MB"));
        let _ = writeln!(text, "| {} |\n|{}", head.join(" | "), "---|".repeat(head.len()));
        for row in &self.rows {
            let _ = writeln!(text, "| {} |", self.cells(row).join(" | "));
        }
        text.push('\n');
        for (server, name) in self.names.iter().enumerate().skip(1) {
            text += &self.summary(server, name);
        }
        text += &self.notes();
        text += &self.others();
        text
    }

    fn introduction(&self) -> String {
        let first = self.names[0];
        let mut text = format!(
            "\n## Queries\n\nMilliseconds, the median of 7 runs after one that does not count, one at a time, without \
             caches of results; series and values in the answer of {first}."
        );
        if self.names.len() > 1 {
            let _ = write!(text, " Behind them, how many times as long a server takes as {first}.");
        }
        if self.rows.iter().any(|row| row.extra_bytes.is_some()) {
            text += " Extra memory is the peak of all 8 runs less what was resident right before them, in a process \
                     that was started for this one query.";
        }
        text + "\n\n"
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        let or_dash = |number: Option<f64>, digits: usize| {
            number.map_or_else(|| "–".to_owned(), |number| format!("{number:.digits$}"))
        };
        // A bar ends a cell, in code too.
        let query = format!("`{}`", row.query.replace('|', "\\|"));
        let mut cells = vec![query, row.series.to_string(), row.values.to_string()];
        cells.extend(row.median_ms.iter().map(|&ms| or_dash(ms, 2)));
        cells.extend((1..self.names.len()).map(|server| or_dash(row.ratio(server), 2)));
        cells.push(or_dash(row.extra_bytes.map(|bytes| bytes as f64 / 1e6), 1));
        cells
    }

    fn summary(&self, server: usize, name: &str) -> String {
        let first = self.names[0];
        let mut ratios: Vec<f64> = self.rows.iter().filter_map(|row| row.ratio(server)).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let Some(median) = median(&ratios) else { return String::new() };
        let slower = self.rows.iter().filter(|row| row.is_slower(server)).count();
        format!(
            "- {name} takes {median:.2} times as long as {first}: the median over {} queries. {first} is slower than \
             {name} in {slower} of them (one that takes at most 1 ms is not).\n",
            ratios.len()
        )
    }

    /// Times from a busy machine are worth little, and those of who uses all CPUs the least.
    fn others(&self) -> String {
        let of_server = self.names.iter().zip(&self.others_cpus);
        let known = of_server.filter_map(|(name, cpus)| Some(format!("{:.2} ({name})", (*cpus)?)));
        let known: Vec<String> = known.collect();
        if known.is_empty() {
            return String::new();
        }
        format!("- CPUs that other processes used meanwhile: {}.\n", known.join(", "))
    }

    fn notes(&self) -> String {
        let notes: Vec<String> = self
            .rows
            .iter()
            .flat_map(|row| row.notes.iter().map(move |note| format!("  - `{}`: {note}\n", row.query)))
            .collect();
        if self.names.len() < 2 && notes.is_empty() {
            return String::new();
        }
        let mut text = "- All answers have the same number of series".to_owned();
        if !self.exact.is_empty() {
            let _ = write!(text, ", and {}' the same labels and values (to 1e-9)", self.exact.join("', "));
        }
        text += if notes.is_empty() { ".\n" } else { ", but for:\n" };
        text + &notes.concat()
    }
}

/// Of what is sorted.
fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn row(query: &str, median_ms: &[Option<f64>]) -> Row {
        let median_ms = median_ms.to_vec();
        let query = query.to_owned();
        Row { query, series: 3, values: 363, extra_bytes: Some(1_500_000), median_ms, notes: Vec::new() }
    }

    #[test]
    fn beside_each_other() {
        let rows = vec![
            row("range 7200 60 rate(a[5m])", &[Some(10.0), Some(80.0), Some(20.0)]),
            row("instant b{c=~\"d|e\"}", &[Some(10.0), Some(40.0), Some(5.0)]),
            // As quick as can be seen.
            row("values pod", &[Some(0.9), Some(0.3), Some(2.0)]),
            Row {
                extra_bytes: None,
                notes: vec!["victoria-metrics refuses: 422".to_owned()],
                ..row("labels", &[Some(2.0), Some(1.0), None])
            },
        ];
        let comparison = Comparison {
            names: vec!["nilometer", "prometheus", "victoria-metrics"],
            exact: vec!["prometheus"],
            others_cpus: vec![Some(0.021), None, Some(1.5)],
            rows,
        };
        let text = comparison.markdown();
        expect![[r#"

            ## Queries

            Milliseconds, the median of 7 runs after one that does not count, one at a time, without caches of results; series and values in the answer of nilometer. Behind them, how many times as long a server takes as nilometer. Extra memory is the peak of all 8 runs less what was resident right before them, in a process that was started for this one query.

            | query | series | values | nilometer, ms | prometheus, ms | victoria-metrics, ms | prometheus / nilometer | victoria-metrics / nilometer | extra memory of nilometer, MB |
            |---|---|---|---|---|---|---|---|---|
            | `range 7200 60 rate(a[5m])` | 3 | 363 | 10.00 | 80.00 | 20.00 | 8.00 | 2.00 | 1.5 |
            | `instant b{c=~"d\|e"}` | 3 | 363 | 10.00 | 40.00 | 5.00 | 4.00 | 0.50 | 1.5 |
            | `values pod` | 3 | 363 | 0.90 | 0.30 | 2.00 | 0.33 | 2.22 | 1.5 |
            | `labels` | 3 | 363 | 2.00 | 1.00 | – | 0.50 | – | – |

            - prometheus takes 2.25 times as long as nilometer: the median over 4 queries. nilometer is slower than prometheus in 1 of them (one that takes at most 1 ms is not).
            - victoria-metrics takes 2.00 times as long as nilometer: the median over 3 queries. nilometer is slower than victoria-metrics in 1 of them (one that takes at most 1 ms is not).
            - All answers have the same number of series, and prometheus' the same labels and values (to 1e-9), but for:
              - `labels`: victoria-metrics refuses: 422
            - CPUs that other processes used meanwhile: 0.02 (nilometer), 1.50 (victoria-metrics).
        "#]].assert_eq(&text);
    }

    #[test]
    fn one_server_alone() {
        let rows = vec![row("labels", &[Some(2.0)])];
        let comparison =
            Comparison { names: vec!["prometheus"], exact: Vec::new(), others_cpus: vec![None], rows };
        expect![[r#"

            ## Queries

            Milliseconds, the median of 7 runs after one that does not count, one at a time, without caches of results; series and values in the answer of prometheus. Extra memory is the peak of all 8 runs less what was resident right before them, in a process that was started for this one query.

            | query | series | values | prometheus, ms | extra memory of prometheus, MB |
            |---|---|---|---|---|
            | `labels` | 3 | 363 | 2.00 | 1.5 |

        "#]].assert_eq(&comparison.markdown());
    }

    #[test]
    fn medians() {
        assert_eq!([median(&[]), median(&[7.0]), median(&[1.0, 2.0])], [None, Some(7.0), Some(1.5)]);
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
    }
}
