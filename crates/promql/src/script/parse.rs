//! The commands of a script.

use super::series::{Described, describe_series, number};
use crate::duration::parse_duration;
use crate::quote::unquote;
use nilometer_model::{Error, Labels, Result};
use regex_automata::meta::Regex;
use std::fmt;

/// A parsed script.
#[derive(Clone, Debug)]
pub struct Script {
    pub commands: Vec<Command>,
}

#[derive(Clone, Debug)]
pub enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

/// Series to be added, their points `step_ms` apart from 0 on.
#[derive(Clone, Debug)]
pub struct Load {
    pub step_ms: i64,
    /// Classic histograms are added as native ones with custom buckets, too.
    pub with_nhcb: bool,
    pub series: Vec<Described>,
    /// Beside each series, its points' start timestamps less their times; `None` where not given.
    pub starts: Vec<Option<Vec<Option<i64>>>>,
}

/// A query and what it must answer.
#[derive(Clone, Debug)]
pub struct Eval {
    /// From 1.
    pub line: usize,
    pub query: String,
    pub times: EvalTimes,
    pub ordered: bool,
    pub expects: Vec<(ExpectKind, Expect)>,
    pub scalar: Option<f64>,
    pub string: Option<String>,
    /// The times of a matrix that an instant query answers.
    pub matrix_times: Option<(i64, i64, i64)>,
    pub series: Vec<Described>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvalTimes {
    Instant(i64),
    Range { start_ms: i64, end_ms: i64, step_ms: i64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectKind {
    Fail,
    Warn,
    NoWarn,
    Info,
    NoInfo,
}

/// What a message must be.
#[derive(Clone)]
pub enum Expect {
    Any,
    Message(String),
    /// The pattern, and what it was compiled to.
    Matching(String, Box<Regex>),
}

impl fmt::Debug for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expect::Any => f.write_str("any"),
            Expect::Message(text) => write!(f, "{text:?}"),
            Expect::Matching(pattern, _) => write!(f, "like {pattern:?}"),
        }
    }
}

impl Expect {
    pub(super) fn holds(&self, message: &str) -> bool {
        match self {
            Expect::Any => true,
            Expect::Message(expected) => expected == message,
            Expect::Matching(_, regex) => regex.is_match(message),
        }
    }
}

impl Script {
    /// # Errors
    /// Name the line.
    pub fn parse(text: &str) -> Result<Script> {
        let lines = text.lines().map(str::trim).map(|l| if l.starts_with('#') { "" } else { l });
        let mut lines = Lines { lines: lines.collect(), next: 0 };
        let mut commands = Vec::new();
        while let Some(line) = lines.next_command() {
            let at = lines.next;
            let command = command(line, &mut lines).map_err(|e| e.context(format!("line {at}")))?;
            commands.push(command);
        }
        Ok(Script { commands })
    }
}

struct Lines<'a> {
    lines: Vec<&'a str>,
    next: usize,
}

impl<'a> Lines<'a> {
    fn next_command(&mut self) -> Option<&'a str> {
        while self.lines.get(self.next)?.is_empty() {
            self.next += 1;
        }
        self.next += 1;
        Some(self.lines[self.next - 1])
    }

    /// The next line of the command; an empty one ends it.
    fn next_of_command(&mut self) -> Option<&'a str> {
        let line = *self.lines.get(self.next)?;
        if line.is_empty() {
            return None;
        }
        self.next += 1;
        Some(line)
    }
}

fn command(line: &str, lines: &mut Lines<'_>) -> Result<Command> {
    let (word, rest) = split_word(line);
    match word {
        "clear" => Ok(Command::Clear),
        "load" | "load_with_nhcb" => Ok(Command::Load(load(parse_duration(rest)?, word != "load", lines)?)),
        _ if word.starts_with("eval") => Ok(Command::Eval(Box::new(eval(word, rest, lines)?))),
        _ => Err(Error::invalid(format!("invalid command {line:?}"))),
    }
}

fn split_word(text: &str) -> (&str, &str) {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

fn load(step_ms: i64, with_nhcb: bool, lines: &mut Lines<'_>) -> Result<Load> {
    let mut load = Load { step_ms, with_nhcb, series: Vec::new(), starts: Vec::new() };
    let mut pending: Option<(Labels, Vec<Option<i64>>)> = None;
    while let Some(line) = lines.next_of_command() {
        let word_end = line.find(char::is_whitespace).unwrap_or(line.len());
        if let Some(metric) = line[..word_end].strip_suffix("@st") {
            let labels = describe_series(metric)?.labels;
            pending = Some((labels, start_points(&line[word_end..])?));
            continue;
        }
        let series = describe_series(line)?;
        let starts = pending.take();
        if let Some((labels, starts)) = &starts
            && (*labels != series.labels || starts.len() != series.points.len())
        {
            return Err(Error::invalid("an @st line is followed by the same series with as many points"));
        }
        load.series.push(series);
        load.starts.push(starts.map(|(_, starts)| starts));
    }
    Ok(load)
}

/// `_`, `_x3`, `-30s`, `-30sx3`, `-30s-1mx2`: how far the start lies from each point.
fn start_points(text: &str) -> Result<Vec<Option<i64>>> {
    let mut out = Vec::new();
    for item in text.split_whitespace() {
        let wrong = || Error::invalid(format!("{item:?} is no start timestamp"));
        let (values, times) = match item.split_once('x') {
            Some((values, times)) => (values, Some(times.parse::<usize>().map_err(|_| wrong())?)),
            None => (item, None),
        };
        if values == "_" {
            out.extend(std::iter::repeat_n(None, times.unwrap_or(1)));
            continue;
        }
        let (mut base, rest) = signed_duration(values).ok_or_else(wrong)?;
        let step = if rest.is_empty() { 0 } else { signed_duration(rest).ok_or_else(wrong)?.0 };
        for _ in 0..=times.unwrap_or(0) {
            out.push(Some(base));
            base = base.saturating_add(step);
        }
    }
    Ok(out)
}

fn signed_duration(text: &str) -> Option<(i64, &str)> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(['+', '-']).unwrap_or(digits.len());
    Some((sign * parse_duration(&digits[..end]).ok()?, &digits[end..]))
}

fn eval(word: &str, rest: &str, lines: &mut Lines<'_>) -> Result<Eval> {
    let wrong = || {
        Error::invalid(
            "invalid evaluation command: eval instant at TIME QUERY, or eval range from TIME to TIME step DURATION QUERY",
        )
    };
    let line = lines.next;
    let (mode, rest) = split_word(rest);
    let (times, query) = match mode {
        "instant" => {
            let (t_ms, rest) = timed(rest, "at").ok_or_else(wrong)?;
            (EvalTimes::Instant(t_ms), rest)
        }
        "range" => {
            let (start_ms, rest) = timed(rest, "from").ok_or_else(wrong)?;
            let (end_ms, rest) = timed(rest, "to").ok_or_else(wrong)?;
            let (step_ms, rest) = timed(rest, "step").ok_or_else(wrong)?;
            (EvalTimes::Range { start_ms, end_ms, step_ms }, rest)
        }
        _ => return Err(wrong()),
    };
    let mut eval = Eval {
        line,
        query: query.to_owned(),
        times,
        ordered: word == "eval_ordered",
        expects: Vec::new(),
        scalar: None,
        string: None,
        matrix_times: None,
        series: Vec::new(),
    };
    match word {
        "eval_fail" => eval.expects.push((ExpectKind::Fail, Expect::Any)),
        "eval_warn" => eval.expects.push((ExpectKind::Warn, Expect::Any)),
        "eval_info" => eval.expects.push((ExpectKind::Info, Expect::Any)),
        _ => {}
    }
    while let Some(line) = lines.next_of_command() {
        expectation(&mut eval, line)?;
    }
    Ok(eval)
}

/// `WORD TIME REST`
fn timed<'a>(text: &'a str, word: &str) -> Option<(i64, &'a str)> {
    let (first, rest) = split_word(text);
    let (time, rest) = split_word(rest);
    Some((parse_duration(time).ok().filter(|_| first == word)?, rest))
}

fn expectation(eval: &mut Eval, line: &str) -> Result<()> {
    let set_fail = |eval: &mut Eval, expect| eval.expects = vec![(ExpectKind::Fail, expect)];
    if let Some(message) = line.strip_prefix("expected_fail_message") {
        set_fail(eval, Expect::Message(message.trim().to_owned()));
    } else if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
        set_fail(eval, regex(pattern)?);
    } else if let Some(times) = line.strip_prefix("expect range vector") {
        let parts = timed(times.trim_start(), "from").and_then(|(from, rest)| {
            let (to, rest) = timed(rest, "to")?;
            Some((from, to, timed(rest, "step")?.0))
        });
        eval.matrix_times =
            Some(parts.ok_or_else(|| Error::invalid("expect range vector from TIME to TIME step DURATION"))?);
    } else if let Some(text) = line.strip_prefix("expect string") {
        let text =
            unquote(text.trim()).ok_or_else(|| Error::invalid("expect string takes a quoted string"))?;
        eval.string = Some(String::from_utf8_lossy(&text).into_owned());
    } else if let Some(expected) = line.strip_prefix("expect ") {
        expect(eval, expected.trim())?;
    } else if let Some(v) = number(line) {
        eval.scalar = Some(v);
    } else {
        eval.series.push(describe_series(line)?);
    }
    Ok(())
}

fn expect(eval: &mut Eval, text: &str) -> Result<()> {
    let (kind, rest) = split_word(text);
    let kind = match kind {
        "ordered" => {
            eval.ordered = true;
            return Ok(());
        }
        "fail" => ExpectKind::Fail,
        "warn" => ExpectKind::Warn,
        "no_warn" => ExpectKind::NoWarn,
        "info" => ExpectKind::Info,
        "no_info" => ExpectKind::NoInfo,
        _ => return Err(Error::invalid(format!("{kind:?} cannot be expected"))),
    };
    let expected = match rest.split_once(':') {
        Some(("msg", message)) => Expect::Message(message.trim().to_owned()),
        Some(("regex", pattern)) => regex(pattern)?,
        None if rest.is_empty() => Expect::Any,
        _ => return Err(Error::invalid(format!("{rest:?} is neither msg: nor regex:"))),
    };
    eval.expects.push((kind, expected));
    Ok(())
}

fn regex(pattern: &str) -> Result<Expect> {
    let pattern = pattern.trim();
    let regex = Regex::new(pattern).map_err(|e| Error::invalid(format!("invalid regex {pattern}: {e}")))?;
    Ok(Expect::Matching(pattern.to_owned(), Box::new(regex)))
}
