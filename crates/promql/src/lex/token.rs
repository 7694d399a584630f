//! The words of the language.

use crate::ast::{AggregateOp, BinaryOp, PosRange};
use crate::quote::quoted;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Eof,
    Identifier,
    /// An identifier with a colon in it.
    MetricIdentifier,
    Number,
    Duration,
    String,
    Comma,
    Colon,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    /// `=`
    Assign,
    /// `=~`
    MatchRegex,
    /// `!~`
    MatchNotRegex,
    /// `@`
    At,
    /// `!=` is also the matcher's.
    Op(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
}

impl TokenKind {
    /// Words that may stand in a list of labels, nearly all keywords among them.
    pub(crate) fn is_label(self) -> bool {
        match self {
            TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregate(_) => true,
            TokenKind::Keyword(keyword) => keyword != Keyword::Without,
            TokenKind::Op(op) => op.is_set() || op == BinaryOp::Atan2,
            _ => false,
        }
    }
}

/// Whether a label that is all letters, digits and underscores needs no quotes in a list of labels.
pub(crate) fn is_label_word(word: &str) -> bool {
    keyword(word).is_none_or(TokenKind::is_label)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Anchored,
    Bool,
    By,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    Offset,
    On,
    Smoothed,
    Without,
    // What may be called in durations.
    End,
    MaxOf,
    MinOf,
    Range,
    Start,
    Step,
}

impl Keyword {
    pub(crate) fn is_duration(self) -> bool {
        matches!(self, Keyword::Step | Keyword::Range | Keyword::MaxOf | Keyword::MinOf)
    }

    pub(crate) fn is_callable(self) -> bool {
        self.is_duration() || matches!(self, Keyword::Start | Keyword::End)
    }
}

/// One word, by its place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) pos: PosRange,
}

impl Token {
    pub(crate) fn text(self, query: &str) -> &str {
        query.get(self.pos.start as usize..self.pos.end as usize).unwrap_or_default()
    }

    /// What a message calls the token.
    pub(crate) fn describe(self, query: &str) -> String {
        let text = self.text(query);
        match self.kind {
            TokenKind::Eof => "end of input".to_owned(),
            TokenKind::Identifier => format!("identifier {}", quoted(text)),
            TokenKind::MetricIdentifier => format!("metric identifier {}", quoted(text)),
            TokenKind::Number => format!("number {}", shortened(text)),
            TokenKind::Duration => format!("duration {}", shortened(text)),
            TokenKind::String => format!("string {}", shortened(text)),
            TokenKind::Op(_) | TokenKind::At | TokenKind::MatchRegex | TokenKind::MatchNotRegex => {
                format!("<op:{text}>")
            }
            TokenKind::Aggregate(_) => format!("<aggr:{text}>"),
            TokenKind::Keyword(k) if !k.is_callable() => format!("<{text}>"),
            _ => quoted(text),
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(10) {
        Some((cut, _)) => format!("{}...", quoted(&text[..cut])),
        None if text.len() > 10 => format!("{}...", quoted(text)),
        None => quoted(text),
    }
}

/// The token that `word` is, in any case. `inf` and `nan` are numbers.
pub(crate) fn keyword(word: &str) -> Option<TokenKind> {
    const LONGEST: usize = "count_values".len();
    let mut lower = [0u8; LONGEST];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"and" => TokenKind::Op(BinaryOp::And),
        b"or" => TokenKind::Op(BinaryOp::Or),
        b"unless" => TokenKind::Op(BinaryOp::Unless),
        b"atan2" => TokenKind::Op(BinaryOp::Atan2),
        b"avg" => TokenKind::Aggregate(AggregateOp::Avg),
        b"bottomk" => TokenKind::Aggregate(AggregateOp::Bottomk),
        b"count" => TokenKind::Aggregate(AggregateOp::Count),
        b"count_values" => TokenKind::Aggregate(AggregateOp::CountValues),
        b"group" => TokenKind::Aggregate(AggregateOp::Group),
        b"limit_ratio" => TokenKind::Aggregate(AggregateOp::LimitRatio),
        b"limitk" => TokenKind::Aggregate(AggregateOp::Limitk),
        b"max" => TokenKind::Aggregate(AggregateOp::Max),
        b"min" => TokenKind::Aggregate(AggregateOp::Min),
        b"quantile" => TokenKind::Aggregate(AggregateOp::Quantile),
        b"stddev" => TokenKind::Aggregate(AggregateOp::Stddev),
        b"stdvar" => TokenKind::Aggregate(AggregateOp::Stdvar),
        b"sum" => TokenKind::Aggregate(AggregateOp::Sum),
        b"topk" => TokenKind::Aggregate(AggregateOp::Topk),
        b"anchored" => TokenKind::Keyword(Keyword::Anchored),
        b"bool" => TokenKind::Keyword(Keyword::Bool),
        b"by" => TokenKind::Keyword(Keyword::By),
        b"fill" => TokenKind::Keyword(Keyword::Fill),
        b"fill_left" => TokenKind::Keyword(Keyword::FillLeft),
        b"fill_right" => TokenKind::Keyword(Keyword::FillRight),
        b"group_left" => TokenKind::Keyword(Keyword::GroupLeft),
        b"group_right" => TokenKind::Keyword(Keyword::GroupRight),
        b"ignoring" => TokenKind::Keyword(Keyword::Ignoring),
        b"offset" => TokenKind::Keyword(Keyword::Offset),
        b"on" => TokenKind::Keyword(Keyword::On),
        b"smoothed" => TokenKind::Keyword(Keyword::Smoothed),
        b"without" => TokenKind::Keyword(Keyword::Without),
        b"end" => TokenKind::Keyword(Keyword::End),
        b"max_of" => TokenKind::Keyword(Keyword::MaxOf),
        b"min_of" => TokenKind::Keyword(Keyword::MinOf),
        b"range" => TokenKind::Keyword(Keyword::Range),
        b"start" => TokenKind::Keyword(Keyword::Start),
        b"step" => TokenKind::Keyword(Keyword::Step),
        b"inf" | b"nan" => TokenKind::Number,
        _ => return None,
    })
}
