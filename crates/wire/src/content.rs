//! What the headers of a remote write request say, and those of its answer.
//!
//! The specification of 2.0 lets the Content-Type alone decide which message a body holds; the header
//! `X-Prometheus-Remote-Write-Version` is for logs. Where it leaves something open, this receiver does what
//! Prometheus' does: no Content-Type means 1.0, no Content-Encoding means snappy.
//! <https://prometheus.io/docs/specs/remote_write_spec_2_0/#protocol>

use crate::remote_write::Message;
use std::fmt;

pub const MEDIA_TYPE: &str = "application/x-protobuf";
pub const SNAPPY: &str = "snappy";

/// The request has to be answered with 415 Unsupported Media Type and this text. Senders of 2.0 then may
/// fall back to 1.0, and those that compress in other ways to snappy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    message: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Unsupported {}

/// Finds the message that a body holds from the values of the headers Content-Type and Content-Encoding,
/// `None` where one is absent.
///
/// # Errors
/// [`Unsupported`] for any other type, message or encoding.
pub fn negotiate(content_type: Option<&str>, content_encoding: Option<&str>) -> Result<Message, Unsupported> {
    let message = message(content_type.unwrap_or_default())?;
    match content_encoding.map(str::trim) {
        None | Some("") => Ok(message),
        Some(encoding) if encoding.eq_ignore_ascii_case(SNAPPY) => Ok(message),
        Some(encoding) => Err(unsupported("Content-Encoding", encoding, "send snappy, in its block format")),
    }
}

fn message(content_type: &str) -> Result<Message, Unsupported> {
    let refuse = || {
        let v2 = Message::V2.content_type();
        let advice = format!("send {MEDIA_TYPE} (remote write 1.0) or {v2} (2.0)");
        unsupported("Content-Type", content_type, &advice)
    };
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !media_type.is_empty() && !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
        return Err(refuse());
    }
    let mut found = None;
    for parameter in parts.filter(|p| !p.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or_else(refuse)?;
        if !name.trim().eq_ignore_ascii_case("proto") {
            continue;
        }
        let value = value.trim().trim_matches('"');
        let named =
            [Message::V1, Message::V2].into_iter().find(|m| m.proto_name() == value).ok_or_else(refuse)?;
        if found.replace(named).is_some_and(|before| before != named) {
            return Err(refuse());
        }
    }
    Ok(found.unwrap_or(Message::V1))
}

fn unsupported(header: &str, value: &str, advice: &str) -> Unsupported {
    let shown: String = value.chars().take(128).collect();
    Unsupported { message: format!("{header} {shown:?} is not supported here: {advice}") }
}

/// What of a request is durable, for the answer's headers. A 2.0 sender takes absent headers for a receiver
/// that cannot count, so they are to be sent with every answer to a 2.0 request, refusals included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
}

impl Written {
    pub const SAMPLES_HEADER: &'static str = "x-prometheus-remote-write-samples-written";
    pub const HISTOGRAMS_HEADER: &'static str = "x-prometheus-remote-write-histograms-written";
    pub const EXEMPLARS_HEADER: &'static str = "x-prometheus-remote-write-exemplars-written";

    /// Names, in lower case as HTTP libraries want them, and values.
    pub fn headers(self) -> [(&'static str, u64); 3] {
        [
            (Self::SAMPLES_HEADER, self.samples),
            (Self::HISTOGRAMS_HEADER, self.histograms),
            (Self::EXEMPLARS_HEADER, self.exemplars),
        ]
    }
}

impl std::ops::AddAssign for Written {
    fn add_assign(&mut self, other: Written) {
        self.samples += other.samples;
        self.histograms += other.histograms;
        self.exemplars += other.exemplars;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_decides() {
        let v1 = [
            None,
            Some(""),
            Some("application/x-protobuf"),
            Some("Application/X-Protobuf"),
            Some(" application/x-protobuf ; charset=utf-8"),
            Some("application/x-protobuf;"),
            Some("application/x-protobuf;proto=prometheus.WriteRequest"),
            Some("application/x-protobuf; Proto=\"prometheus.WriteRequest\""),
        ];
        for header in v1 {
            assert_eq!(negotiate(header, Some("snappy")), Ok(Message::V1), "{header:?}");
        }
        for header in [
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "application/x-protobuf; charset=utf-8; PROTO = \"io.prometheus.write.v2.Request\" ",
        ] {
            assert_eq!(negotiate(Some(header), Some("snappy")), Ok(Message::V2), "{header:?}");
        }
        for header in [
            "application/json",
            "text/plain",
            "application/x-protobuf;proto=io.prometheus.write.v3.Request",
            "application/x-protobuf;proto=IO.PROMETHEUS.WRITE.V2.REQUEST",
            "application/x-protobuf;proto=",
            "application/x-protobuf;proto",
            "application/x-protobuf;proto=prometheus.WriteRequest;proto=io.prometheus.write.v2.Request",
            "application/x-protobuf, application/json",
            "application/x-protobufs",
        ] {
            let refused = negotiate(Some(header), Some("snappy")).unwrap_err();
            assert!(
                refused.to_string().contains("send application/x-protobuf (remote write 1.0)"),
                "{refused}"
            );
        }
    }

    #[test]
    fn senders_announce_what_is_understood() {
        for message in [Message::V1, Message::V2] {
            assert_eq!(negotiate(Some(message.content_type()), None), Ok(message));
        }
    }

    #[test]
    fn snappy_is_the_only_encoding() {
        for good in [None, Some(""), Some("snappy"), Some(" Snappy ")] {
            assert!(negotiate(None, good).is_ok(), "{good:?}");
        }
        for bad in ["gzip", "zstd", "identity", "snappy, gzip", "x-snappy-framed"] {
            assert!(negotiate(None, Some(bad)).unwrap_err().to_string().contains(bad));
        }
    }

    #[test]
    fn a_long_header_is_not_repeated_in_full() {
        let long = "x".repeat(100_000);
        assert!(negotiate(Some(&long), None).unwrap_err().to_string().len() < 500);
    }
}
