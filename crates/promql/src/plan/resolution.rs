//! How coarse the samples may be that a selector looks at.

use nilometer_storage::Func;

/// Which downsampled samples a query may be answered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// At most so coarse, 0 for raw ones only. What is left only in coarser ones is missing.
    UpTo { ms: i64 },
    /// As coarse as the answer does not suffer from. What is left only in coarser ones is answered from those.
    Auto,
}

impl Resolution {
    pub const RAW: Resolution = Resolution::UpTo { ms: 0 };

    /// The coarsest that will do for a selector of `range_ms`, 0 for an instant one, at steps of `step_ms`, 0 for one
    /// time only.
    pub(crate) fn allowed_ms(self, func: Option<Func>, range_ms: i64, step_ms: i64) -> i64 {
        match self {
            Resolution::UpTo { ms } if range_ms > 0 && func.is_some_and(compares_two) => ms.min(range_ms / 2),
            Resolution::UpTo { ms } => ms,
            // As in Thanos: five samples to a step.
            Resolution::Auto if range_ms == 0 => step_ms / 5,
            Resolution::Auto => {
                let few = (step_ms / 5).min(range_ms / MIN_WINDOWS);
                if !func.is_some_and(adds_up) {
                    return few;
                }
                // Only the ends of the range are not met exactly, and no step is smaller than what is looked at.
                let many = range_ms / MANY_WINDOWS;
                few.max(if step_ms == 0 { many } else { many.min(step_ms) })
            }
        }
    }
}

/// A range has at least so many windows.
const MIN_WINDOWS: i64 = 5;
/// With so many, its ends weigh little.
const MANY_WINDOWS: i64 = 20;

/// Whether a function is nothing without two samples. The same as in Thanos' `promqlFuncRequiresTwoSamples`.
fn compares_two(func: Func) -> bool {
    matches!(
        func,
        "rate"
            | "irate"
            | "increase"
            | "delta"
            | "idelta"
            | "deriv"
            | "predict_linear"
            | "double_exponential_smoothing"
    )
}

/// Whether what a function says of windows is what it says of their samples, but for the ends of the range, or is a
/// line through so many points that it does not matter.
fn adds_up(func: Func) -> bool {
    matches!(
        func,
        "avg_over_time"
            | "sum_over_time"
            | "count_over_time"
            | "min_over_time"
            | "max_over_time"
            | "present_over_time"
            | "absent_over_time"
            | "rate"
            | "increase"
            | "deriv"
            | "predict_linear"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;

    /// Thanos' own table, and what goes beyond it.
    #[test]
    fn what_is_asked_for_is_given() {
        let five = Resolution::UpTo { ms: 5 * MINUTE };
        for (func, range_ms, expected) in [
            (None, 0, 5 * MINUTE),
            (None, 2 * MINUTE, 5 * MINUTE),
            (Some("max_over_time"), 2 * MINUTE, 5 * MINUTE),
            (Some("rate"), 2 * MINUTE, MINUTE),
            (Some("rate"), 0, 5 * MINUTE),
        ] {
            assert_eq!(five.allowed_ms(func, range_ms, HOUR), expected, "{func:?} {range_ms}");
        }
        assert_eq!(Resolution::RAW.allowed_ms(Some("avg_over_time"), 30 * DAY, DAY), 0);
    }

    #[test]
    fn as_coarse_as_the_answer_allows() {
        for (func, range_ms, step_ms, expected) in [
            // Instant selectors: a fifth of the step.
            (None, 0, 0, 0),
            (None, 0, MINUTE, 12_000),
            (None, 0, DAY, DAY / 5),
            // Short ranges stay exact, however large the step.
            (Some("rate"), 5 * MINUTE, HOUR, MINUTE),
            (Some("rate"), HOUR, 6 * HOUR, 12 * MINUTE),
            // Long ranges need no fine samples, unless the steps are fine.
            (Some("avg_over_time"), DAY, HOUR, HOUR),
            (Some("avg_over_time"), DAY, MINUTE, MINUTE),
            (Some("avg_over_time"), DAY, 0, DAY / 20),
            (Some("predict_linear"), 30 * DAY, 0, 30 * DAY / 20),
            // Of these, averages say something else than samples.
            (Some("quantile_over_time"), 7 * DAY, HOUR, HOUR / 5),
            (Some("quantile_over_time"), 7 * DAY, 0, 0),
            (None, HOUR, HOUR, HOUR / 5),
        ] {
            let got = Resolution::Auto.allowed_ms(func, range_ms, step_ms);
            assert_eq!(got, expected, "{func:?} [{range_ms}] at {step_ms}");
        }
    }
}
