//! The signatures of PromQL's functions: what the parser checks calls against.
//!
//! How they compute is the engine's; this table is the language's, and is complete for Prometheus 3.14.

use crate::ast::ValueType::{self, Matrix as M, Scalar as S, String as Str, Vector as V};
use std::fmt;

/// How many arguments may be given, beside the count of [`Function::args`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variadic {
    /// Exactly those of `args`.
    No,
    /// The last of `args` may be left out, or given up to this many times.
    UpTo(u8),
    /// The last of `args` may be left out, or given any number of times.
    Any,
}

/// One function's signature.
#[derive(PartialEq, Eq)]
pub struct Function {
    pub name: &'static str,
    pub args: &'static [ValueType],
    pub variadic: Variadic,
    pub returns: ValueType,
    /// Only with [`ParseOptions::experimental_functions`](crate::parse::ParseOptions).
    pub experimental: bool,
}

impl Function {
    pub fn find(name: &str) -> Option<&'static Function> {
        FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok().map(|at| &FUNCTIONS[at])
    }

    /// The type of the argument at `index`; those past the end of `args` have the last one's.
    pub fn arg_type(&self, index: usize) -> Option<ValueType> {
        match self.variadic {
            Variadic::No => self.args.get(index).copied(),
            _ => self.args.get(index).or(self.args.last()).copied(),
        }
    }

    const fn experimental(mut self) -> Self {
        self.experimental = true;
        self
    }

    const fn up_to(mut self, count: u8) -> Self {
        self.variadic = Variadic::UpTo(count);
        self
    }

    const fn any(mut self) -> Self {
        self.variadic = Variadic::Any;
        self
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const fn vector(name: &'static str, args: &'static [ValueType]) -> Function {
    Function { name, args, variadic: Variadic::No, returns: V, experimental: false }
}

const fn scalar(name: &'static str, args: &'static [ValueType]) -> Function {
    Function { name, args, variadic: Variadic::No, returns: S, experimental: false }
}

/// All functions, sorted by name.
pub static FUNCTIONS: [Function; 90] = [
    vector("abs", &[V]),
    vector("absent", &[V]),
    vector("absent_over_time", &[M]),
    vector("acos", &[V]),
    vector("acosh", &[V]),
    vector("asin", &[V]),
    vector("asinh", &[V]),
    vector("atan", &[V]),
    vector("atanh", &[V]),
    vector("avg_over_time", &[M]),
    vector("ceil", &[V]),
    vector("changes", &[M]),
    vector("clamp", &[V, S, S]),
    vector("clamp_max", &[V, S]),
    vector("clamp_min", &[V, S]),
    vector("cos", &[V]),
    vector("cosh", &[V]),
    vector("count_over_time", &[M]),
    vector("day_of_month", &[V]).up_to(1),
    vector("day_of_week", &[V]).up_to(1),
    vector("day_of_year", &[V]).up_to(1),
    vector("days_in_month", &[V]).up_to(1),
    vector("deg", &[V]),
    vector("delta", &[M]),
    vector("deriv", &[M]),
    vector("double_exponential_smoothing", &[M, S, S]).experimental(),
    scalar("end", &[]).experimental(),
    vector("exp", &[V]),
    vector("first_over_time", &[M]),
    vector("floor", &[V]),
    vector("histogram_avg", &[V]),
    vector("histogram_count", &[V]),
    vector("histogram_fraction", &[S, S, V]),
    vector("histogram_quantile", &[S, V]),
    vector("histogram_quantiles", &[V, Str, S, S]).up_to(9).experimental(),
    vector("histogram_stddev", &[V]),
    vector("histogram_stdvar", &[V]),
    vector("histogram_sum", &[V]),
    vector("hour", &[V]).up_to(1),
    vector("idelta", &[M]),
    vector("increase", &[M]),
    vector("info", &[V, V]).up_to(1).experimental(),
    vector("irate", &[M]),
    vector("label_join", &[V, Str, Str, Str]).any(),
    vector("label_replace", &[V, Str, Str, Str, Str]),
    vector("last_over_time", &[M]),
    vector("ln", &[V]),
    vector("log10", &[V]),
    vector("log2", &[V]),
    vector("mad_over_time", &[M]).experimental(),
    scalar("max_of", &[S, S]).experimental(),
    vector("max_over_time", &[M]),
    scalar("min_of", &[S, S]).experimental(),
    vector("min_over_time", &[M]),
    vector("minute", &[V]).up_to(1),
    vector("month", &[V]).up_to(1),
    scalar("pi", &[]),
    vector("predict_linear", &[M, S]),
    vector("present_over_time", &[M]),
    vector("quantile_over_time", &[S, M]),
    vector("rad", &[V]),
    scalar("range", &[]).experimental(),
    vector("rate", &[M]),
    vector("resets", &[M]),
    vector("round", &[V, S]).up_to(1),
    scalar("scalar", &[V]),
    vector("sgn", &[V]),
    vector("sin", &[V]),
    vector("sinh", &[V]),
    vector("sort", &[V]),
    vector("sort_by_label", &[V, Str]).any().experimental(),
    vector("sort_by_label_desc", &[V, Str]).any().experimental(),
    vector("sort_desc", &[V]),
    vector("sqrt", &[V]),
    scalar("start", &[]).experimental(),
    vector("start_timestamp", &[V]).experimental(),
    vector("stddev_over_time", &[M]),
    vector("stdvar_over_time", &[M]),
    scalar("step", &[]).experimental(),
    vector("sum_over_time", &[M]),
    vector("tan", &[V]),
    vector("tanh", &[V]),
    scalar("time", &[]),
    vector("timestamp", &[V]),
    vector("ts_of_first_over_time", &[M]).experimental(),
    vector("ts_of_last_over_time", &[M]).experimental(),
    vector("ts_of_max_over_time", &[M]).experimental(),
    vector("ts_of_min_over_time", &[M]).experimental(),
    vector("vector", &[S]),
    vector("year", &[V]).up_to(1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_find_works() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        assert!(FUNCTIONS.iter().all(|f| Function::find(f.name).is_some_and(|g| g.name == f.name)));
        assert_eq!(Function::find("nope"), None);
    }

    #[test]
    fn extra_arguments_have_the_type_of_the_last() {
        let join = Function::find("label_join").unwrap();
        assert_eq!(join.arg_type(0), Some(V));
        assert_eq!(join.arg_type(7), Some(Str));
        assert_eq!(Function::find("rate").unwrap().arg_type(1), None);
    }
}
