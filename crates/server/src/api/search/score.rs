//! How well a name fits what is searched for: between 0 and 1, where 1 is one that begins with it.
//!
//! Two ways to be lenient, as Prometheus has them: the letters of a term may lie apart (`subsequence`), or some may be
//! others (`jarowinkler`). Numbers come out bit for bit as there, since clients order by them.
//! Source: <https://github.com/prometheus/prometheus/tree/main/util/strutil>.

/// A match that is looked for from so many places of one value at most; only values of more than 4 KiB have more.
const MAX_STARTS: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leniency {
    Subsequence,
    JaroWinkler,
}

impl Leniency {
    pub(super) const NAMES: [(&str, Leniency); 2] =
        [("subsequence", Leniency::Subsequence), ("jarowinkler", Leniency::JaroWinkler)];
}

/// What is searched for: a value fits if one of the terms does, and as well as the best.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    terms: Vec<Term>,
    leniency: Leniency,
    /// What a lenient match must score.
    threshold: f64,
    case_sensitive: bool,
}

#[derive(Clone, Debug)]
struct Term {
    text: String,
    chars: Vec<char>,
}

impl Terms {
    /// Empty terms search for nothing.
    pub(super) fn new<'a>(
        terms: impl Iterator<Item = &'a str>,
        (leniency, threshold): (Leniency, f64),
        case_sensitive: bool,
    ) -> Self {
        let terms = terms.filter(|term| !term.is_empty()).map(|term| {
            let text = if case_sensitive { term.to_owned() } else { lowercase(term) };
            Term { chars: text.chars().collect(), text }
        });
        Terms { terms: terms.collect(), leniency, threshold, case_sensitive }
    }

    /// Without any, all fits.
    pub(super) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.terms.len()
    }

    /// `None` where the value does not fit.
    pub(super) fn score(&self, value: &str) -> Option<f64> {
        if self.terms.is_empty() {
            return Some(1.0);
        }
        let lower;
        let value = if self.case_sensitive {
            value
        } else {
            lower = lowercase(value);
            &lower
        };
        let scores = self.terms.iter().filter_map(|term| self.score_of(term, value));
        scores.fold(None, |best, score| Some(best.map_or(score, |best: f64| best.max(score))))
    }

    fn score_of(&self, term: &Term, value: &str) -> Option<f64> {
        match self.leniency {
            Leniency::Subsequence if value.starts_with(&term.text) => Some(1.0),
            Leniency::Subsequence => {
                Some(term.subsequence(value)).filter(|score| *score > 0.0 && *score >= self.threshold)
            }
            Leniency::JaroWinkler => term.substring(value).or_else(|| {
                let may = self.threshold > 0.0;
                may.then(|| term.jaro_winkler(value)).filter(|score| *score >= self.threshold)
            }),
        }
    }
}

impl Term {
    /// The later it stands, the less.
    fn substring(&self, value: &str) -> Option<f64> {
        let (before, _) = value.split_once(&*self.text)?;
        if before.is_empty() {
            return Some(1.0);
        }
        let last = value.chars().count() - self.chars.len();
        Some(1.0 - 0.9 * before.chars().count() as f64 / last as f64)
    }

    fn subsequence(&self, value: &str) -> f64 {
        match (self.text.is_ascii(), value.is_ascii()) {
            (true, true) => subsequence(self.text.as_bytes(), value.as_bytes()),
            (false, true) => 0.0,
            _ => subsequence(&self.chars, &value.chars().collect::<Vec<char>>()),
        }
    }

    fn jaro_winkler(&self, value: &str) -> f64 {
        if self.text.is_ascii() && value.is_ascii() {
            return jaro_winkler(self.text.as_bytes(), value.as_bytes());
        }
        jaro_winkler(&self.chars, &value.chars().collect::<Vec<char>>())
    }
}

/// Letter by letter, as Go does it: the length in letters stays.
fn lowercase(text: &str) -> String {
    text.chars().filter_map(|c| c.to_lowercase().next()).collect()
}

/// The best of the matches that begin at different places. Runs count by their squares, gaps take a little off.
fn subsequence<T: Copy + PartialEq>(pattern: &[T], text: &[T]) -> f64 {
    let Some(last_start) = text.len().checked_sub(pattern.len()) else { return 0.0 };
    let Some(first) = pattern.first() else { return 1.0 };
    let starts = (0..=last_start).filter(|at| text[*at] == *first).take(MAX_STARTS);
    // What does not fit from one place does not from a later one.
    let best = starts.map_while(|at| match_from(pattern, text, at)).fold(-1.0, f64::max);
    if best < 0.0 {
        return 0.0;
    }
    // Only what is the same scores 1.
    best / (pattern.len() * pattern.len()) as f64 * 0.999
}

/// Takes each letter of the pattern where it comes first.
fn match_from<T: Copy + PartialEq>(pattern: &[T], text: &[T], start: usize) -> Option<f64> {
    let per_letter = 1.0 / text.len() as f64;
    let (mut score, mut rest, mut end, mut at) = (0.0, pattern, 0, start);
    while let Some(letter) = rest.first() {
        let from = at + text[at..].iter().position(|c| c == letter)?;
        let run = text[from..].iter().zip(rest).take_while(|(a, b)| a == b).count();
        score -= (from - end) as f64 * per_letter;
        score += (run * run) as f64;
        at = from + run;
        (rest, end) = (&rest[run..], at);
    }
    Some(score - (text.len() - end) as f64 * per_letter * 0.5)
}

/// <https://en.wikipedia.org/wiki/Jaro–Winkler_distance>, in Prometheus' order of operations.
fn jaro_winkler<T: Copy + PartialEq>(a: &[T], b: &[T]) -> f64 {
    if a == b {
        return 1.0;
    }
    let (short, long) = if a.len() > b.len() { (b, a) } else { (a, b) };
    let reach = (long.len() / 2).saturating_sub(1);
    let mut taken = vec![false; long.len()];
    let mut matched = Vec::new();
    for (i, letter) in short.iter().enumerate() {
        let near = i.saturating_sub(reach)..long.len().min(i + reach + 1);
        let free = |j: &usize| !taken[*j] && long[*j] == *letter;
        if let Some(j) = near.into_iter().find(free) {
            taken[j] = true;
            matched.push(*letter);
        }
    }
    if matched.is_empty() {
        return 0.0;
    }
    let in_long = long.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(letter, _)| letter);
    let swapped = matched.iter().zip(in_long).filter(|(a, b)| a != b).count() as f64;
    let matches = matched.len() as f64;
    let (of_short, of_long) = (1.0 / short.len() as f64, 1.0 / long.len() as f64);
    let jaro = (matches * of_short + matches * of_long + (matches - swapped * 0.5) / matches) / 3.0;
    let prefix = short.iter().zip(long).take(4).take_while(|(a, b)| a == b).count();
    jaro + prefix as f64 * 0.1 * (1.0 - jaro)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn terms(terms: &[&str], leniency: Leniency, threshold: f64) -> Terms {
        Terms::new(terms.iter().copied(), (leniency, threshold), true)
    }

    /// By hand: runs squared, less the gaps' and half the tail's share of the text.
    #[test]
    fn letters_may_lie_apart() {
        let score = |term: &str, value: &str| terms(&[term], Leniency::Subsequence, 0.0).score(value);
        assert_eq!(score("go", "go_threads"), Some(1.0));
        assert_eq!(score("o_t", "go_threads"), Some((9.0 - 1.0 / 10.0 - 6.0 / 10.0 * 0.5) / 9.0 * 0.999));
        assert_eq!(
            score("gt", "go_threads"),
            Some((1.0 - 2.0 / 10.0 + 1.0 - 6.0 / 10.0 * 0.5) / 4.0 * 0.999)
        );
        // The second start is the better one.
        assert_eq!(score("ab", "axxab"), Some((4.0 - 3.0 * (1.0 / 5.0)) / 4.0 * 0.999));
        for (term, value) in [("tg", "go_threads"), ("é", "e"), ("abc", "ab"), ("a", "")] {
            assert_eq!(score(term, value), None, "{term} in {value}");
        }
        assert!(score("é", "caféx").is_some_and(|score| score < 1.0));
        assert_eq!(terms(&["gt"], Leniency::Subsequence, 0.5).score("go_threads"), None);
    }

    #[test]
    fn letters_may_be_others() {
        let score =
            |term: &str, value: &str, at_least| terms(&[term], Leniency::JaroWinkler, at_least).score(value);
        assert_eq!(score("thr", "go_threads", 0.0), Some(1.0 - 0.9 * 3.0 / 7.0));
        assert_eq!(score("go", "go_threads", 0.9), Some(1.0));
        assert_eq!(score("martha", "marhta", 0.0), None);
        let rounded = |term, value| (score(term, value, 0.1).unwrap() * 10_000.0).round();
        assert_eq!(rounded("martha", "marhta"), 9611.0);
        assert_eq!(rounded("dixon", "dicksonx"), 8133.0);
        assert_eq!(rounded("dwayné", "duané"), 8400.0);
        assert_eq!(score("abc", "xyz", 0.1), None);
    }

    #[test]
    fn the_best_term_counts() {
        let both = terms(&["", "threads", "go"], Leniency::Subsequence, 0.0);
        assert_eq!((both.len(), both.score("go_threads"), both.score("up")), (2, Some(1.0), None));
        assert!(terms(&[""], Leniency::Subsequence, 0.5).is_empty());
        let any_case = Terms::new(["GO_ß", "İ"].into_iter(), (Leniency::Subsequence, 0.0), false);
        assert_eq!(any_case.score("Go_ßX"), Some(1.0));
        assert_eq!(any_case.score("Ix"), Some(1.0));
    }

    proptest! {
        #[test]
        fn scores_are_shares(term in "[abé]{1,5}", value in "[abcé]{0,12}") {
            for leniency in [Leniency::Subsequence, Leniency::JaroWinkler] {
                let score = terms(&[&term], leniency, 0.01).score(&value);
                prop_assert!(score.is_none_or(|score| score > 0.0 && score <= 1.0), "{:?}", score);
                prop_assert!(!value.contains(&term) || score.is_some());
                if leniency == Leniency::Subsequence {
                    let mut rest = value.chars();
                    let is_there = term.chars().all(|c| rest.any(|other| other == c));
                    prop_assert_eq!(terms(&[&term], leniency, 0.0).score(&value).is_some(), is_there);
                }
            }
        }
    }
}
