//! Any tree that the parser could have made survives printing; any text is parsed or refused.

use super::*;
use crate::ast::*;
use crate::duration::{DurationExpr, DurationKind, DurationOp};
use crate::functions::{FUNCTIONS, Variadic};
use nilometer_model::{MatchKind, Matcher};
use proptest::prelude::*;

/// Makes trees out of a list of numbers, so that a shorter list of smaller numbers is a simpler tree.
struct Maker<'a> {
    choices: std::slice::Iter<'a, u16>,
}

impl Maker<'_> {
    /// A number below `count`; 0 when the list is used up, which must lead to a leaf.
    fn pick(&mut self, count: usize) -> usize {
        self.choices.next().map_or(0, |c| usize::from(*c) % count)
    }

    fn one<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.pick(from.len())]
    }

    fn some<T>(&mut self, max: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.pick(max + 1)).map(|_| make(self)).collect()
    }

    fn of_type(&mut self, want: ValueType) -> Expr {
        match want {
            ValueType::Scalar => self.scalar(),
            ValueType::Vector => self.vector(),
            ValueType::Matrix => self.matrix(),
            ValueType::String => self.string(),
        }
    }

    fn scalar(&mut self) -> Expr {
        match self.pick(6) {
            0..=2 => self.number(),
            3 => self.call(ValueType::Scalar),
            4 => self.unary(ValueType::Scalar),
            _ => self.binary(ValueType::Scalar, ValueType::Scalar),
        }
    }

    fn vector(&mut self) -> Expr {
        match self.pick(9) {
            0..=2 => Expr::Vector(Box::new(self.selector(false))),
            3 => self.call(ValueType::Vector),
            4 => self.unary(ValueType::Vector),
            5 => self.binary(ValueType::Vector, ValueType::Vector),
            6 => self.binary(ValueType::Scalar, ValueType::Vector),
            7 => self.binary(ValueType::Vector, ValueType::Scalar),
            _ => self.aggregate(),
        }
    }

    fn matrix(&mut self) -> Expr {
        let pos = PosRange::default();
        if self.pick(3) < 2 {
            let selector = self.selector(false);
            let range = self.range();
            return Expr::Matrix(Box::new(MatrixSelector { selector, range, pos }));
        }
        let expr = self.vector();
        let expr = if matches!(expr, Expr::Binary(_) | Expr::Unary(_)) { paren(expr) } else { expr };
        let step = (self.pick(2) == 1).then(|| self.range());
        let (range, offset, at) = (self.range(), self.offset(), self.at());
        Expr::Subquery(Box::new(SubqueryExpr { expr, range, step, offset, at, pos }))
    }

    fn string(&mut self) -> Expr {
        let value =
            self.one(&[&b"a"[..], b"", b"\"\\\n", b"\xff\x00", "é\u{fffd}\u{200b}😀".as_bytes()]).to_vec();
        Expr::String(Box::new(StringLiteral { value, pos: PosRange::default() }))
    }

    fn number(&mut self) -> Expr {
        Expr::Number(Box::new(self.literal()))
    }

    fn literal(&mut self) -> NumberLiteral {
        let values = [1.0, 0.5, -3.0, -0.0, 1e300, 1e-300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        let duration = self.pick(3) == 2;
        let value = if duration {
            self.one(&[60.0, 0.001, -5400.0, 31_536_000.0, 7_776_000.5, -0.0])
        } else {
            self.one(&values)
        };
        NumberLiteral { value, duration, pos: PosRange::default() }
    }

    fn selector(&mut self, may_be_empty: bool) -> VectorSelector {
        let names = ["a", "b:c", "sum", "offset", "start", "fill", "by", "and", "_0", ""];
        let name = if may_be_empty { "" } else { self.one(&names) };
        let mut matchers = self.some(3, |m| {
            let label = m.one(&["b", "job", "on", "x.y", "é \"", "0", "inf"]);
            let value = m.one(&["", "c", "d|e", "\\.\n", "\u{fffd}", "É.*"]);
            let kind = m.one(&[MatchKind::Equal, MatchKind::NotEqual, MatchKind::Regex, MatchKind::NotRegex]);
            Matcher::new(kind, label, value).unwrap()
        });
        if !name.is_empty() {
            matchers.push(Matcher::equal("__name__", name));
        } else if !may_be_empty {
            matchers.push(Matcher::equal("__name__", "odd name"));
        }
        VectorSelector {
            name: name.to_owned(),
            matchers,
            offset: self.offset(),
            at: self.at(),
            mode: self.one(&[None, None, Some(RangeMode::Anchored), Some(RangeMode::Smoothed)]),
            bypass_empty_check: may_be_empty,
            pos: PosRange::default(),
        }
    }

    fn at(&mut self) -> Option<At> {
        let timestamp = self.one(&[0, -1, 1_700_000_000_123]);
        self.one(&[None, None, Some(At::TimestampMs(timestamp)), Some(At::Start), Some(At::End)])
    }

    fn range(&mut self) -> DurationArg {
        if self.pick(3) < 2 {
            return DurationArg::Ms(self.one(&[300_000, 1, 0, 5_400_000, 90 * 86_400_000, 31_536_000_000]));
        }
        let mut expr = self.duration();
        expr.wrapped |= matches!(expr.kind, DurationKind::Literal(_));
        DurationArg::Expr(expr)
    }

    fn offset(&mut self) -> DurationArg {
        match self.pick(4) {
            0 => DurationArg::ZERO,
            1 | 2 => DurationArg::Ms(self.one(&[1000, -300_000, 1])),
            _ => {
                let mut expr = self.duration();
                // What stops an offset from being read further.
                expr.wrapped |= match &expr.kind {
                    DurationKind::Literal(_) => true,
                    DurationKind::Binary(op, ..) => !is_call(*op),
                    DurationKind::Negative(e) => {
                        let op = matches!(&e.kind, DurationKind::Binary(op, ..) if !is_call(*op));
                        !e.wrapped && (op || matches!(e.kind, DurationKind::Negative(_)))
                    }
                    _ => false,
                };
                DurationArg::Expr(expr)
            }
        }
    }

    fn duration(&mut self) -> Box<DurationExpr> {
        use DurationOp::{Add, Div, MaxOf, MinOf, Mod, Mul, Pow, Sub};
        let kind = match self.pick(7) {
            0..=2 => {
                let value = self.one(&[60.0, -0.5, 2.0, 1e-9]);
                DurationKind::Literal(NumberLiteral { value, duration: false, pos: PosRange::default() })
            }
            3 => DurationKind::Step,
            4 => DurationKind::Range,
            5 => {
                let mut e = self.duration();
                e.wrapped |= match &e.kind {
                    DurationKind::Literal(_) => true,
                    DurationKind::Binary(op, ..) => !is_call(*op) && *op != Pow,
                    _ => false,
                };
                DurationKind::Negative(e)
            }
            _ => {
                let op = self.one(&[Add, Sub, Mul, Div, Mod, Pow, MinOf, MaxOf]);
                let (mut lhs, mut rhs) = (self.duration(), self.duration());
                if !is_call(op) {
                    lhs.wrapped |= binds(&lhs) < duration_precedence(op) + u8::from(op == Pow);
                    rhs.wrapped |= matches!(&rhs.kind, DurationKind::Binary(inner, ..)
                        if !is_call(*inner) && duration_precedence(*inner) < duration_precedence(op) + u8::from(op != Pow));
                }
                DurationKind::Binary(op, lhs, rhs)
            }
        };
        Box::new(DurationExpr { kind, wrapped: self.pick(8) == 7, pos: PosRange::default() })
    }

    fn unary(&mut self, want: ValueType) -> Expr {
        let op = self.one(&[UnaryOp::Minus, UnaryOp::Plus]);
        let expr = self.of_type(want);
        let tight = match &expr {
            Expr::Number(_) => false,
            Expr::Binary(e) => e.op == BinaryOp::Pow,
            _ => true,
        };
        let expr = if tight { expr } else { paren(expr) };
        Expr::Unary(Box::new(UnaryExpr { op, expr, pos: PosRange::default() }))
    }

    fn binary(&mut self, left: ValueType, right: ValueType) -> Expr {
        use BinaryOp::*;
        let vectors = left == ValueType::Vector && right == ValueType::Vector;
        let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
        let count = if vectors { 18 } else { 15 };
        let op = [
            Add, Sub, Mul, Div, Mod, Pow, Atan2, TrimUpper, TrimLower, Eq, Ne, Lt, Le, Gt, Ge, And, Or,
            Unless,
        ][self.pick(count)];
        let return_bool = op.is_comparison() && (scalars || self.pick(2) == 1);
        let (lhs, rhs) = (self.of_type(left), self.of_type(right));
        let lhs_tight = match &lhs {
            e if ends_in_open_offset(e) && op.precedence() >= Add.precedence() && op != Atan2 => false,
            Expr::Binary(e) => e.op.precedence() >= op.precedence() && op != Pow,
            Expr::Unary(_) => op != Pow,
            // A sign before a number would be that of the power.
            Expr::Number(e) => op != Pow || !(e.value.is_sign_negative() || e.value.is_infinite()),
            _ => true,
        };
        let rhs_tight = match &rhs {
            Expr::Binary(e) => e.op.precedence() >= op.precedence() + u8::from(op != Pow),
            _ => true,
        };
        let matching = vectors.then(|| Box::new(self.matching(op)));
        Expr::Binary(Box::new(BinaryExpr {
            op,
            lhs: if lhs_tight { lhs } else { paren(lhs) },
            rhs: if rhs_tight { rhs } else { paren(rhs) },
            return_bool,
            matching,
            pos: PosRange::default(),
        }))
    }

    fn matching(&mut self, op: BinaryOp) -> VectorMatching {
        let mut card = self.one(&[Cardinality::OneToOne, Cardinality::ManyToOne, Cardinality::OneToMany]);
        let mut fill = FillValues { lhs: self.fill(), rhs: self.fill() };
        if op.is_set() {
            (card, fill) = (Cardinality::ManyToMany, FillValues::default());
        }
        let grouped = matches!(card, Cardinality::ManyToOne | Cardinality::OneToMany);
        let labels = self.labels();
        let mut include = if grouped { self.labels() } else { Vec::new() };
        include.retain(|label| !labels.contains(label));
        VectorMatching { card, on: self.pick(2) == 1, labels, include, fill }
    }

    fn fill(&mut self) -> Option<f64> {
        self.one(&[None, None, Some(1.0), Some(-1e-9), Some(1e22), Some(f64::NEG_INFINITY), Some(-0.0)])
    }

    fn labels(&mut self) -> Vec<String> {
        self.some(3, |m| {
            m.one(&["a", "le", "without", "by", "inf", "nan", "x.y", "é", "9", "a:b"]).to_owned()
        })
    }

    fn aggregate(&mut self) -> Expr {
        let op = self.one(&AggregateOp::ALL);
        let param = op.param().map(|want| self.of_type(want));
        Expr::Aggregate(Box::new(AggregateExpr {
            op,
            expr: self.vector(),
            param,
            grouping: self.labels(),
            without: self.pick(2) == 1,
            pos: PosRange::default(),
        }))
    }

    fn call(&mut self, want: ValueType) -> Expr {
        let fitting: Vec<_> = FUNCTIONS.iter().filter(|f| f.returns == want).collect();
        let func = self.one(&fitting);
        let extra = match func.variadic {
            Variadic::No => 0,
            Variadic::UpTo(most) => self.pick(usize::from(most) + 1) as isize - 1,
            Variadic::Any => self.pick(4) as isize - 1,
        };
        let count = func.args.len().saturating_add_signed(extra);
        let args = (0..count).map(|at| match (func.name, at) {
            ("info", 1) => Expr::Vector(Box::new(self.selector(true))),
            _ => self.of_type(func.arg_type(at).unwrap()),
        });
        let args = args.collect();
        Expr::Call(Box::new(Call { func, args, pos: PosRange::default() }))
    }
}

fn paren(expr: Expr) -> Expr {
    Expr::Paren(Box::new(ParenExpr { expr, pos: PosRange::default() }))
}

/// Whether arithmetic behind `expr` would be read as the offset's: `a offset (1m) + 1`.
fn ends_in_open_offset(expr: &Expr) -> bool {
    match expr {
        Expr::Vector(e) => is_open(&e.offset),
        Expr::Matrix(e) => is_open(&e.selector.offset),
        Expr::Subquery(e) => is_open(&e.offset),
        Expr::Unary(e) => ends_in_open_offset(&e.expr),
        Expr::Binary(e) => ends_in_open_offset(&e.rhs),
        _ => false,
    }
}

fn is_open(offset: &DurationArg) -> bool {
    matches!(offset, DurationArg::Expr(e) if !e.wrapped && e.to_string().starts_with('('))
}

fn is_call(op: DurationOp) -> bool {
    matches!(op, DurationOp::MinOf | DurationOp::MaxOf)
}

fn duration_precedence(op: DurationOp) -> u8 {
    match op {
        DurationOp::Add | DurationOp::Sub => 4,
        DurationOp::Pow => 6,
        _ => 5,
    }
}

/// How tightly a duration holds together on the left of an operator.
fn binds(e: &DurationExpr) -> u8 {
    match &e.kind {
        DurationKind::Binary(op, ..) if !is_call(*op) => duration_precedence(*op),
        DurationKind::Negative(_) => 5,
        DurationKind::Literal(number) if number.value < 0.0 => 5,
        _ => 9,
    }
}

fn choices() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 0..120)
}

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "b:c",
        "sum",
        "rate",
        "start",
        "step",
        "range",
        "max_of",
        "offset",
        "by",
        "on",
        "bool",
        "group_left",
        "fill",
        "and",
        "atan2",
        "anchored",
        "inf",
        "(",
        ")",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "[5m]",
        "[1h:]",
        ":",
        ",",
        "=",
        "=~",
        "!=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "^",
        "==",
        "<",
        ">/",
        "@",
        "1",
        "5m",
        "0x1",
        "1e3",
        "\"c\"",
        "'",
        "`",
        "#",
        "\n",
        " ",
        "\\",
        "é",
        "\u{fffd}",
        "_",
        "!",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn trees_survive_printing(choices in choices(), kind in 0..4) {
        let kind = [ValueType::Vector, ValueType::Scalar, ValueType::Matrix, ValueType::String][kind as usize];
        let expr = Maker { choices: choices.iter() }.of_type(kind);
        assert_prints_back("(made)", &expr);
        prop_assert_eq!(expr.value_type(), kind);
    }

    #[test]
    fn words_are_parsed_or_refused(words in prop::collection::vec(word(), 0..24), blanks in any::<bool>()) {
        let query = words.join(if blanks { " " } else { "" });
        fuzz(&query);
    }

    #[test]
    fn damaged_queries_are_parsed_or_refused(choices in choices(), at in any::<usize>(), word in word()) {
        let mut query = Maker { choices: choices.iter() }.vector().to_string();
        let at = (0..=query.len()).filter(|at| query.is_char_boundary(*at)).nth(at % (query.len() + 1));
        match at {
            Some(at) if at % 2 == 0 => query.insert_str(at, word),
            at => query.truncate(at.unwrap_or_default()),
        }
        fuzz(&query);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in any::<String>()) {
        fuzz(&text);
    }
}
