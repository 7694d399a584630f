//! What a block says of itself: its `meta.json`, with the section that Thanos adds.
//!
//! Keys that are not known here are kept, so that who rewrites the file loses nothing that another program
//! put there.

use crate::{Error, Result, TimeRange, Ulid};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Prometheus' `BlockMeta`, and `thanos` where Thanos or we added it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BlockMeta {
    pub ulid: Ulid,
    #[serde(rename = "minTime")]
    pub min_time_ms: i64,
    /// The first millisecond that is **not** in the block.
    #[serde(rename = "maxTime")]
    pub max_time_ms: i64,
    #[serde(default, deserialize_with = "null_is_default")]
    pub stats: BlockStats,
    #[serde(default, deserialize_with = "null_is_default")]
    pub compaction: BlockCompaction,
    pub version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thanos: Option<ThanosMeta>,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl BlockMeta {
    pub const FILE: &'static str = "meta.json";
    /// The only version there is. Thanos' whole view fails over any other: never write one.
    pub const VERSION: u32 = 1;
    /// The hint on a block whose samples came late.
    pub const FROM_OUT_OF_ORDER: &'static str = "from-out-of-order";

    /// Of the text of a `meta.json`.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let meta: BlockMeta = serde_json::from_slice(json)
            .map_err(|e| Error::invalid(format!("{} is not readable: {e}", Self::FILE)))?;
        let thanos = meta.thanos.as_ref().map_or(Self::VERSION, |t| t.version);
        if meta.version != Self::VERSION || thanos != Self::VERSION {
            return Err(Error::invalid(format!(
                "{} of block {} has version {} (thanos: {thanos}), only 1 is known: a newer program wrote it",
                Self::FILE,
                meta.ulid,
                meta.version,
            )));
        }
        if meta.min_time_ms > meta.max_time_ms {
            return Err(Error::invalid(format!(
                "{} of block {} ends ({}) before it begins ({})",
                Self::FILE,
                meta.ulid,
                meta.max_time_ms,
                meta.min_time_ms,
            )));
        }
        Ok(meta)
    }

    /// Indented by tabs, as Prometheus and Thanos write it.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        self.serialize(&mut serde_json::Serializer::with_formatter(&mut out, format))
            .expect("a map with text keys is always JSON");
        out
    }

    /// The distance of samples; 0 for raw ones.
    pub fn resolution_ms(&self) -> i64 {
        self.thanos.as_ref().map_or(0, |thanos| thanos.downsample.resolution_ms)
    }

    /// The times that the block holds, closed on both sides as everywhere but in the file.
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.min_time_ms, self.max_time_ms.saturating_sub(1).max(self.min_time_ms))
    }

    pub fn is_from_out_of_order(&self) -> bool {
        self.compaction.hints.iter().any(|h| h == Self::FROM_OUT_OF_ORDER)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockStats {
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

/// Where a block came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlockCompaction {
    /// 1 for a block cut from a head, one more for each compaction.
    pub level: u32,
    /// All level-1 blocks that went into it.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub sources: Vec<Ulid>,
    /// Holds no sample and may go.
    #[serde(skip_serializing_if = "is_false")]
    pub deletable: bool,
    /// The blocks that it was directly made of.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub parents: Vec<BlockDesc>,
    #[serde(skip_serializing_if = "is_false")]
    pub failed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub hints: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDesc {
    pub ulid: Ulid,
    #[serde(rename = "minTime")]
    pub min_time_ms: i64,
    #[serde(rename = "maxTime")]
    pub max_time_ms: i64,
}

/// The section `thanos` of a `meta.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThanosMeta {
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    pub downsample: Downsample,
    pub source: String,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub segment_files: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub files: Vec<BlockFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrites: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_stats: Option<IndexStats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_time: Option<String>,
    /// Missing means 1.
    pub version: u32,
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for ThanosMeta {
    fn default() -> Self {
        ThanosMeta {
            labels: BTreeMap::new(),
            downsample: Downsample::default(),
            source: String::new(),
            segment_files: Vec::new(),
            files: Vec::new(),
            rewrites: None,
            index_stats: None,
            extensions: None,
            upload_time: None,
            version: BlockMeta::VERSION,
            other: Map::new(),
        }
    }
}

/// How coarse the samples are; 0 is raw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Downsample {
    #[serde(rename = "resolution")]
    pub resolution_ms: i64,
}

/// A file of the block, for who copies it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlockFile {
    pub rel_path: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<FileHash>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileHash {
    pub hash_func: String,
    pub value: String,
}

/// The largest series entry and chunk, in bytes: how much a reader has to fetch at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexStats {
    #[serde(rename = "series_max_size", skip_serializing_if = "is_zero")]
    pub series_max_bytes: u64,
    #[serde(rename = "chunk_max_size", skip_serializing_if = "is_zero")]
    pub chunk_max_bytes: u64,
}

/// Go writes `null` for what is empty.
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a Thanos compactor writes it, but for two keys that nobody knows yet.
    const THANOS: &str = r#"{
	"ulid": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
	"minTime": 1000,
	"maxTime": 7200000,
	"stats": {
		"numSamples": 12,
		"numFloatSamples": 12,
		"numSeries": 3,
		"numChunks": 4
	},
	"compaction": {
		"level": 2,
		"sources": [
			"01ARZ3NDEKTSV4RRFFQ69G5FAV"
		],
		"parents": [
			{
				"ulid": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
				"minTime": 1000,
				"maxTime": 7200000
			}
		],
		"hints": [
			"from-out-of-order"
		]
	},
	"version": 1,
	"thanos": {
		"labels": {
			"tenant_id": "t1"
		},
		"downsample": {
			"resolution": 300000
		},
		"source": "compactor",
		"files": [
			{
				"rel_path": "meta.json"
			},
			{
				"rel_path": "index",
				"size_bytes": 52,
				"hash": {
					"hashFunc": "SHA256",
					"value": "ab"
				}
			}
		],
		"index_stats": {
			"series_max_size": 64
		},
		"extensions": {
			"parquet_migrated": true
		},
		"upload_time": "2026-01-02T03:04:05Z",
		"version": 1,
		"later": [
			1
		]
	},
	"new_key": {
		"a": null
	}
}"#;

    #[test]
    fn what_thanos_wrote_comes_back_as_it_was() {
        let meta = BlockMeta::from_json(THANOS.as_bytes()).unwrap();
        assert!(meta.is_from_out_of_order());
        assert_eq!(meta.range(), TimeRange::new(1000, 7_199_999));
        assert_eq!(meta.thanos.as_ref().unwrap().labels["tenant_id"], "t1");
        assert_eq!(String::from_utf8(meta.to_json()).unwrap(), THANOS);
    }

    #[test]
    fn null_and_missing_are_empty() {
        let json = r#"{"ulid":"01ARZ3NDEKTSV4RRFFQ69G5FAV","minTime":1,"maxTime":2,"stats":null,
            "compaction":{"level":1,"sources":null},"version":1,"thanos":{"labels":null,"source":""}}"#;
        let meta = BlockMeta::from_json(json.as_bytes()).unwrap();
        assert!(meta.compaction.sources.is_empty() && meta.thanos.unwrap().labels.is_empty());
    }

    #[test]
    fn other_versions_and_garbage_are_refused() {
        for (from, to) in [
            ("\"version\": 1,\n\t\"thanos", "\"version\": 2,\n\t\"thanos"),
            ("7200000,\n\t\"stats", "7,\n\t\"stats"),
            ("01ARZ", "0!ARZ"),
            ("{", ""),
        ] {
            let json = THANOS.replacen(from, to, 1);
            assert_ne!(json, THANOS, "{from} is in the text");
            assert!(BlockMeta::from_json(json.as_bytes()).is_err(), "{from} → {to}");
        }
        assert!(BlockMeta::from_json(&[0xff, 0, 1]).is_err());
    }
}
