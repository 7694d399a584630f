//! `prometheus.ReadRequest`.

use crate::protobuf::{Reader, Result, Wire, tag};
use crate::snappy::{self, Buffer};
use nilometer_model::{Error, MatchKind, Matcher, RegexBytes, TimeRange};

/// Queries of one request.
pub const MAX_QUERIES: usize = 1_000;
/// Matchers of all queries of a request.
pub const MAX_MATCHERS: usize = 2_048;

/// What is asked, in order.
#[derive(Clone, Debug, Default)]
pub struct ReadRequest {
    pub queries: Vec<ReadQuery>,
    /// Those that the client understands, which it likes best first; may be empty.
    accepted: Vec<u64>,
}

/// One selection of series. Hints are not read: they change what is worth preparing, not what is answered.
#[derive(Clone, Debug)]
pub struct ReadQuery {
    pub range: TimeRange,
    pub matchers: Vec<Matcher>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseType {
    Samples,
    StreamedChunks,
}

impl ReadRequest {
    /// Decompresses and reads a body.
    ///
    /// # Errors
    /// `Limit` where it is larger or asks for more than is allowed, `Invalid` where it is not what it should
    /// be, regular expressions included.
    pub fn read(body: &[u8], max_bytes: usize) -> nilometer_model::Result<Self> {
        let mut plain = Buffer::default();
        snappy::decompress(body, max_bytes, &mut plain)?;
        Self::read_plain(plain.as_slice())
    }

    /// As [`read`](Self::read), of a body that is decompressed already.
    pub fn read_plain(body: &[u8]) -> nilometer_model::Result<Self> {
        let mut raw = RawRequest::default();
        raw.read(Reader::new(body, 0, body.len()))?;
        let too_many = |name, max: usize, what| Err(Error::limit(name, max as u64, what));
        if raw.queries.len() > MAX_QUERIES {
            return too_many("max_read_queries", MAX_QUERIES, "a remote read has too many queries");
        }
        if raw.matchers > MAX_MATCHERS {
            return too_many("max_read_matchers", MAX_MATCHERS, "a remote read has too many matchers");
        }
        let mut regexes = RegexBytes::default();
        let queries = raw.queries.iter().map(|query| query.checked(&mut regexes));
        let queries = queries.collect::<nilometer_model::Result<_>>()?;
        Ok(ReadRequest { queries, accepted: raw.accepted })
    }

    /// The first form that the client understands and we do.
    ///
    /// # Errors
    /// `Invalid` where there is none.
    pub fn response_type(&self) -> nilometer_model::Result<ResponseType> {
        let known = |number: &u64| match number {
            0 => Some(ResponseType::Samples),
            1 => Some(ResponseType::StreamedChunks),
            _ => None,
        };
        if self.accepted.is_empty() {
            return Ok(ResponseType::Samples);
        }
        self.accepted.iter().find_map(known).ok_or_else(|| {
            let names: Vec<String> = self.accepted.iter().take(10).map(u64::to_string).collect();
            Error::invalid(format!(
                "server does not support any of the requested response types: [{}]; supported: SAMPLES, \
                 STREAMED_XOR_CHUNKS",
                names.join(" ")
            ))
        })
    }
}

/// As it stands in the message; not more of it than the limits allow, and one.
#[derive(Default)]
struct RawRequest<'a> {
    queries: Vec<RawQuery<'a>>,
    matchers: usize,
    accepted: Vec<u64>,
}

#[derive(Default)]
struct RawQuery<'a> {
    start_ms: i64,
    end_ms: i64,
    matchers: Vec<RawMatcher<'a>>,
}

#[derive(Default)]
struct RawMatcher<'a> {
    kind: u64,
    name: &'a [u8],
    value: &'a [u8],
}

/// Response types that are looked at; there are two.
const MAX_ACCEPTED: usize = 100;

impl<'a> RawRequest<'a> {
    fn read(&mut self, mut message: Reader<'a>) -> Result<()> {
        const QUERY: u32 = tag(1, Wire::Bytes);
        const ACCEPTED: u32 = tag(2, Wire::Varint);
        const ACCEPTED_PACKED: u32 = tag(2, Wire::Bytes);
        while let Some(tag) = message.tag()? {
            match tag {
                QUERY => {
                    let query = message.nested()?;
                    if self.queries.len() <= MAX_QUERIES && self.matchers <= MAX_MATCHERS {
                        let query = RawQuery::read(query)?;
                        self.matchers += query.matchers.len();
                        self.queries.push(query);
                    }
                }
                ACCEPTED => {
                    let number = message.varint()?;
                    self.accept(number);
                }
                ACCEPTED_PACKED => {
                    let mut packed = message.nested()?;
                    while !packed.is_done() {
                        let number = packed.varint()?;
                        self.accept(number);
                    }
                }
                _ => message.unknown(tag, &[1, 2])?,
            }
        }
        Ok(())
    }

    fn accept(&mut self, number: u64) {
        if self.accepted.len() < MAX_ACCEPTED {
            self.accepted.push(number);
        }
    }
}

impl<'a> RawQuery<'a> {
    fn read(mut message: Reader<'a>) -> Result<Self> {
        const START: u32 = tag(1, Wire::Varint);
        const END: u32 = tag(2, Wire::Varint);
        const MATCHER: u32 = tag(3, Wire::Bytes);
        let mut query = RawQuery::default();
        while let Some(tag) = message.tag()? {
            match tag {
                START => query.start_ms = message.int64()?,
                END => query.end_ms = message.int64()?,
                MATCHER => {
                    let matcher = message.nested()?;
                    if query.matchers.len() <= MAX_MATCHERS {
                        query.matchers.push(RawMatcher::read(matcher)?);
                    }
                }
                _ => message.unknown(tag, &[1, 2, 3])?,
            }
        }
        Ok(query)
    }

    fn checked(&self, regexes: &mut RegexBytes) -> nilometer_model::Result<ReadQuery> {
        let matcher = |raw: &RawMatcher<'_>| {
            let matcher = raw.checked()?;
            regexes.add(&matcher).map(|()| matcher)
        };
        let matchers = self.matchers.iter().map(matcher).collect::<nilometer_model::Result<_>>()?;
        Ok(ReadQuery { range: TimeRange::new(self.start_ms, self.end_ms), matchers })
    }
}

impl<'a> RawMatcher<'a> {
    fn read(mut message: Reader<'a>) -> Result<Self> {
        const KIND: u32 = tag(1, Wire::Varint);
        const NAME: u32 = tag(2, Wire::Bytes);
        const VALUE: u32 = tag(3, Wire::Bytes);
        let mut matcher = RawMatcher::default();
        let text = |message: &mut Reader<'a>| {
            let inner = message.nested()?;
            Ok::<_, crate::protobuf::Malformed>(&inner.bytes()[inner.at()..])
        };
        while let Some(tag) = message.tag()? {
            match tag {
                KIND => matcher.kind = message.varint()?,
                NAME => matcher.name = text(&mut message)?,
                VALUE => matcher.value = text(&mut message)?,
                _ => message.unknown(tag, &[1, 2, 3])?,
            }
        }
        Ok(matcher)
    }

    fn checked(&self) -> nilometer_model::Result<Matcher> {
        let text = |bytes| {
            std::str::from_utf8(bytes).map_err(|_| Error::invalid("a matcher's name or value is not UTF-8"))
        };
        let kind = match self.kind {
            0 => MatchKind::Equal,
            1 => MatchKind::NotEqual,
            2 => MatchKind::Regex,
            3 => MatchKind::NotRegex,
            _ => return Err(Error::invalid("invalid matcher type")),
        };
        Matcher::new(kind, text(self.name)?, text(self.value)?)
    }
}
