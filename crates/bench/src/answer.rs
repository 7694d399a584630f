//! How much an answer of a query API holds, so that a short answer is not taken for a quick one.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// What an answer holds: the samples of a series, or a name each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) series: u64,
    pub(crate) values: u64,
}

#[derive(Deserialize)]
struct Envelope {
    data: Data,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Data {
    /// Series, labels or values of one.
    Names(Vec<IgnoredAny>),
    Scalar {
        #[serde(rename = "result")]
        _sample: (f64, String),
    },
    Result {
        result: Vec<Row>,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Row {
    Matrix {
        values: Vec<IgnoredAny>,
    },
    /// A series of a vector.
    One(IgnoredAny),
}

/// `None`: it is no answer of a query API.
pub(crate) fn size(body: &[u8]) -> Option<Size> {
    let Envelope { data } = serde_json::from_slice(body).ok()?;
    Some(match data {
        Data::Names(names) => Size { series: names.len() as u64, values: names.len() as u64 },
        Data::Scalar { .. } => Size { series: 1, values: 1 },
        Data::Result { result } => {
            let values = |row: &Row| match row {
                Row::Matrix { values } => values.len() as u64,
                Row::One(_) => 1,
            };
            Size { series: result.len() as u64, values: result.iter().map(values).sum() }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_form() {
        let check = |body: &str, series, values| {
            assert_eq!(size(body.as_bytes()), Some(Size { series, values }), "{body}");
        };
        check(r#"{"status":"success","data":["a","b"]}"#, 2, 2);
        check(r#"{"data":[{"__name__":"a"}],"warnings":["x"]}"#, 1, 1);
        check(r#"{"data":{"resultType":"vector","result":[{"metric":{},"value":[1,"2"]}]}}"#, 1, 1);
        check(
            r#"{"data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"],[2,"2"]]},
                {"metric":{"a":"b"},"values":[[1,"2"]]}]}}"#,
            2,
            3,
        );
        check(r#"{"data":{"resultType":"scalar","result":[1.5,"2"]}}"#, 1, 1);
        check(r#"{"data":{"resultType":"matrix","result":[]}}"#, 0, 0);
        for bad in ["", "{}", r#"{"data":7}"#, "not found"] {
            assert_eq!(size(bad.as_bytes()), None, "{bad}");
        }
    }
}
