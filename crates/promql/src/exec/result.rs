//! What the last task left, as the answer.

use super::grid::Grid;
use super::matrix::to_matrix;
use super::table::{
    Cell, StepSeries, has_same_labels, join_same_labels, same_labels_error, without_metadata,
};
use super::{Context, Output};
use crate::ast::ValueType;
use crate::value::{MatrixSeries, SampleValue, Value, VectorSample};
use nilometer_model::{Labels, Result, Sample};

/// The answer of a range query.
pub(crate) fn range(output: Output, grid: Grid, cx: &Context) -> Result<Value> {
    Ok(match output {
        Output::Vector(series) => {
            let series = without_delayed_names(series, cx)?;
            Value::Matrix(sorted(series.iter().map(|s| to_matrix(s, grid)).collect()))
        }
        Output::Scalar(scalars) => {
            let floats =
                (0..grid.len).map(|step| Sample { t_ms: grid.time(step), v: scalars.at(step) }).collect();
            Value::Matrix(vec![MatrixSeries { labels: Labels::empty(), floats, histograms: Vec::new() }])
        }
        Output::Matrix(series) => Value::Matrix(sorted(series)),
        Output::String(v) => string(&v, grid.start_ms),
    })
}

/// The answer of an instant query.
pub(crate) fn instant(output: Output, of: ValueType, t_ms: i64, cx: &Context) -> Result<Value> {
    Ok(match output {
        Output::Vector(series) => {
            let series = without_delayed_names(series, cx)?;
            Value::Vector(series.iter().filter_map(|s| vector_sample(s, t_ms)).collect())
        }
        Output::Scalar(scalars) => Value::Scalar { t_ms, v: scalars.at(0) },
        Output::Matrix(series) if of == ValueType::Matrix => {
            let mut last: Option<&Labels> = None;
            let series = sorted(series);
            for one in &series {
                if last.replace(&one.labels) == Some(&one.labels) {
                    return Err(same_labels_error());
                }
            }
            Value::Matrix(series)
        }
        Output::Matrix(series) => Value::Matrix(series),
        Output::String(v) => string(&v, t_ms),
    })
}

fn string(v: &[u8], t_ms: i64) -> Value {
    Value::String { t_ms, v: String::from_utf8_lossy(v).into_owned() }
}

fn vector_sample(series: &StepSeries, t_ms: i64) -> Option<VectorSample> {
    let value = match series.cell(0) {
        Cell::None => return None,
        Cell::Float(v) => SampleValue::Float(v),
        Cell::Histogram(h) => SampleValue::Histogram(h.clone()),
    };
    Some(VectorSample { labels: series.labels.clone(), t_ms, value })
}

fn sorted(mut series: Vec<MatrixSeries>) -> Vec<MatrixSeries> {
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    series
}

/// Takes off the names that were only marked so far; series that become the same are joined.
fn without_delayed_names(mut series: Vec<StepSeries>, cx: &Context) -> Result<Vec<StepSeries>> {
    if !cx.options.delayed_name_removal {
        return Ok(series);
    }
    for one in series.iter_mut().filter(|s| s.drop_name) {
        one.labels = without_metadata(&one.labels);
        one.drop_name = false;
    }
    if has_same_labels(&series) { join_same_labels(series) } else { Ok(series) }
}
