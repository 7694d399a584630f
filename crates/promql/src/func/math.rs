//! Functions of one float.

use std::f64::consts::{LN_2, PI};

/// The function by its PromQL name.
pub(crate) fn by_name(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => asinh,
        "acosh" => acosh,
        "atanh" => f64::atanh,
        "rad" => |v| v * PI / 180.0,
        "deg" => |v| v * 180.0 / PI,
        "sgn" => |v| match v {
            _ if v < 0.0 => -1.0,
            _ if v > 0.0 => 1.0,
            _ => v,
        },
        _ => return None,
    })
}

/// Above, 1 is nothing beside the square, which may be infinite.
const LARGE: f64 = (1u64 << 28) as f64;

fn asinh(v: f64) -> f64 {
    if v.abs() > LARGE { (v.abs().ln() + LN_2).copysign(v) } else { v.asinh() }
}

fn acosh(v: f64) -> f64 {
    if v > LARGE { v.ln() + LN_2 } else { v.acosh() }
}

/// Of equal value with a NaN anywhere: NaN. Where `max` is below `min` the caller drops the sample.
pub(crate) fn clamp(v: f64, min: f64, max: f64) -> f64 {
    if max < min { crate::exec::table::ABSENT } else { greater(min, lesser(max, v)) }
}

/// Go's `math.Max`: NaN if one of them is.
pub(crate) fn greater(a: f64, b: f64) -> f64 {
    match (a, b) {
        _ if a == f64::INFINITY || b == f64::INFINITY => f64::INFINITY,
        _ if a.is_nan() || b.is_nan() => f64::NAN,
        _ if a == 0.0 && b == 0.0 => {
            if a.is_sign_negative() {
                b
            } else {
                a
            }
        }
        _ => a.max(b),
    }
}

/// Go's `math.Min`.
pub(crate) fn lesser(a: f64, b: f64) -> f64 {
    -greater(-a, -b)
}

/// To the nearest multiple of `to`, halves up.
pub(crate) fn round(v: f64, to: f64) -> f64 {
    // Multiplying by the inverse loses less.
    let inverse = 1.0 / to;
    (v * inverse + 0.5).floor() / inverse
}

/// Go's `math.Pow`, which knows `1^NaN` and `(-1)^±Inf` as C does.
pub(crate) fn power(a: f64, b: f64) -> f64 {
    a.powf(b)
}
