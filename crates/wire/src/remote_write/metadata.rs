//! What a message says of a metric family, in both versions' forms.

use super::Defect;
use super::text::Text;
use crate::protobuf::{Reader, Result, Wire, tag};
use nilometer_model::MetricType;

/// Texts lie in the body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MetadataRow {
    pub(super) kind: MetricType,
    /// Empty in 2.0.
    pub(super) family: Text,
    pub(super) help: Text,
    pub(super) unit: Text,
}

const KIND: u32 = tag(1, Wire::Varint);

/// `MetricMetadata` of 1.0: type, name of the family, (3 is unused), help, unit.
pub(super) fn read_v1(mut message: Reader<'_>) -> Result<MetadataRow> {
    const FAMILY: u32 = tag(2, Wire::Bytes);
    const HELP: u32 = tag(4, Wire::Bytes);
    const UNIT: u32 = tag(5, Wire::Bytes);
    let mut row = MetadataRow::default();
    while let Some(tag) = message.tag()? {
        match tag {
            KIND => row.kind = kind(message.varint()?),
            FAMILY => row.family = Text::message(message.nested()?),
            HELP => row.help = Text::message(message.nested()?),
            UNIT => row.unit = Text::message(message.nested()?),
            _ => message.unknown(tag, &[1, 2, 4, 5])?,
        }
    }
    Ok(row)
}

/// `Metadata` of 2.0: type, (2 is unused), references to help and unit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MetadataRefs {
    kind: MetricType,
    help: u32,
    unit: u32,
}

impl MetadataRefs {
    /// Merges `message` in, as protobuf does when a nested message comes twice.
    pub(super) fn merge(&mut self, mut message: Reader<'_>) -> Result<()> {
        const HELP: u32 = tag(3, Wire::Varint);
        const UNIT: u32 = tag(4, Wire::Varint);
        while let Some(tag) = message.tag()? {
            match tag {
                KIND => self.kind = kind(message.varint()?),
                HELP => self.help = message.varint32()?,
                UNIT => self.unit = message.varint32()?,
                _ => message.unknown(tag, &[1, 3, 4])?,
            }
        }
        Ok(())
    }

    /// The texts referred to, `None` where nothing is said: Prometheus always sends the message, often empty.
    pub(super) fn resolve(self, symbols: &[Text]) -> Result<Option<MetadataRow>, Defect> {
        let symbol = |label_ref: u32| {
            let symbols = (symbols.len() as u32, symbols.get(label_ref as usize));
            symbols.1.copied().ok_or(Defect::NoSuchSymbol { label_ref, symbols: symbols.0 })
        };
        let (help, unit) = (symbol(self.help)?, symbol(self.unit)?);
        let says_nothing = self.kind == MetricType::Unknown && help.len == 0 && unit.len == 0;
        Ok((!says_nothing).then_some(MetadataRow { kind: self.kind, family: Text::default(), help, unit }))
    }
}

/// Both versions number the types alike; one that is not known yet is `Unknown`.
fn kind(number: u64) -> MetricType {
    match number {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}

/// The number of `kind` on the wire.
pub(super) fn number(kind: MetricType) -> u64 {
    match kind {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}
