use super::*;
use crate::layout::block_of;
use crate::marks::{DeletionMark, NoCompactMark, NoDownsampleMark, mark_key, reason};
use crate::testing::{Faults, Handle, sim_parts, with_faults};
use crate::{BucketConfig, Parts, ShipperFile};
use expect_test::expect;
use nilometer_env::Fs;
use nilometer_env::sim::SimFs;
use nilometer_model::ThanosMeta;
use std::sync::Arc;

const ID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn id() -> Ulid {
    ID.parse().unwrap()
}

fn meta() -> BlockMeta {
    let mut thanos = ThanosMeta { source: "receive".into(), ..ThanosMeta::default() };
    thanos.labels.insert("tenant_id".into(), "t1".into());
    BlockMeta {
        ulid: id(),
        min_time_ms: 1,
        max_time_ms: 2,
        version: 1,
        thanos: Some(thanos),
        ..BlockMeta::default()
    }
}

const FILES: [(&str, u8, usize); 3] =
    [("chunks/000001", 1, 3 << 20), ("chunks/000002", 2, 5_000), ("index", 3, 70_000)];

fn write_block(fs: &SimFs, dir: &Path) {
    fs.create_dir_all(&dir.join(CHUNKS)).unwrap();
    for (name, byte, len) in FILES {
        fs.write_atomic(&dir.join(name), &vec![byte; len]).unwrap();
    }
    fs.write_atomic(&dir.join(BlockMeta::FILE), &meta().to_json()).unwrap();
}

/// A block in a folder, and an empty bucket of each kind: in memory files are sent in parts.
fn setup(seed: u64) -> (Vec<(Bucket, Handle)>, SimFs, Parts) {
    let (parts, _, fs) = sim_parts(seed);
    write_block(&fs, Path::new("/block"));
    let local = Bucket::open(BucketConfig::filesystem("/bucket"), parts.clone()).unwrap();
    let memory = Bucket::memory(parts.clone());
    let mut in_parts = (*memory.0.current.load_full()).clone();
    in_parts.part_bytes = Some(1 << 20);
    memory.0.current.store(Arc::new(in_parts));
    let buckets = [memory, local].iter().map(|bucket| with_faults(bucket, seed)).collect();
    (buckets, fs, parts)
}

async fn assert_whole(bucket: &Bucket) {
    for (name, byte, len) in FILES {
        let bytes = bucket.get(&format!("{ID}/{name}"), 1 << 30).await.unwrap();
        assert!(bytes.len() == len && bytes.iter().all(|b| *b == byte), "{name}");
    }
    bucket.read_meta(id()).await.unwrap();
}

async fn ship(bucket: &Bucket) -> Result<Shipped> {
    bucket
        .ship(Path::new("/block"), &meta(), ShipOptions { hash_files: true, ..ShipOptions::default() })
        .await
}

#[tokio::test]
async fn a_block_arrives_whole_with_its_files_in_meta_json() {
    let (buckets, _, _) = setup(1);
    for (bucket, _) in buckets {
        let shipped = ship(&bucket).await.unwrap();
        assert_eq!((shipped.sent_objects, shipped.found_objects, shipped.was_there), (3, 0, false));
        assert_whole(&bucket).await;
        let json = bucket.get(&meta_key(id()), MAX_META_BYTES).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let thanos = &json["thanos"];
        let names: Vec<&str> =
            thanos["files"].as_array().unwrap().iter().filter_map(|f| f["rel_path"].as_str()).collect();
        assert_eq!(names, ["chunks/000001", "chunks/000002", "index", "meta.json"]);
        assert_eq!(thanos["files"][1]["size_bytes"], 5_000);
        assert_eq!(thanos["files"][1]["hash"]["value"], crate::digest::sha256_hex(&[2; 5_000]));
        assert_eq!(thanos["segment_files"], serde_json::json!(["000001", "000002"]));
        assert_eq!(thanos["upload_time"], "2023-11-14T22:13:20Z");
        let again = ship(&bucket).await.unwrap();
        assert!(again.was_there && again.sent_objects == 0, "{again:?}");
    }
}

/// Whoever wrote it: a digest of it must not change on the way.
#[tokio::test]
async fn a_copy_has_the_same_meta_json() {
    let (buckets, fs, _) = setup(1);
    let json: serde_json::Value = serde_json::from_slice(&meta().to_json()).unwrap();
    let json = serde_json::to_vec(&json).unwrap();
    assert_ne!(json, meta().to_json());
    fs.write_atomic(&Path::new("/block").join(BlockMeta::FILE), &json).unwrap();
    for (bucket, _) in buckets {
        let options = ShipOptions { as_it_is: true, ..ShipOptions::default() };
        bucket.ship(Path::new("/block"), &meta(), options).await.unwrap();
        assert_eq!(bucket.get(&meta_key(id()), MAX_META_BYTES).await.unwrap()[..], json[..]);
    }
}

#[tokio::test]
async fn in_a_local_bucket_the_files_are_the_same_files() {
    let (buckets, fs, _) = setup(2);
    ship(&buckets[1].0).await.unwrap();
    let index = fs.open(Path::new("/block/index")).unwrap();
    index.append(b"x").unwrap();
    assert_eq!(fs.stat(Path::new("/bucket").join(ID).join("index").as_path()).unwrap().len_bytes, 70_001);
}

#[tokio::test]
async fn without_labels_nothing_is_sent() {
    let (buckets, _, _) = setup(3);
    let unlabelled = BlockMeta { thanos: None, ..meta() };
    let e = buckets[0].0.ship(Path::new("/block"), &unlabelled, ShipOptions::default()).await.unwrap_err();
    assert!(e.to_string().contains("no external labels"), "{e}");
    assert_eq!(buckets[0].1.changes(), 0);
}

/// Killed after any number of changes: nobody sees half a block, and the next try finishes it.
#[tokio::test(start_paused = true)]
async fn stopped_anywhere_it_is_unseen_or_whole_and_goes_on() {
    let mut resumed = 0;
    for stop_after in 0..12 {
        let (buckets, _, _) = setup(100 + stop_after);
        for (bucket, handle) in buckets {
            handle.set(Faults { die_after_changes: Some(stop_after), ..Faults::default() });
            let first = ship(&bucket).await;
            handle.set(Faults::default());
            let is_visible = bucket.exists(&meta_key(id())).await.unwrap();
            assert!(is_visible || first.is_err());
            if is_visible {
                assert_whole(&bucket).await;
            }
            let shipped = ship(&bucket).await.unwrap();
            assert_eq!(shipped.sent_objects + shipped.found_objects, 3);
            resumed += shipped.found_objects;
            assert_whole(&bucket).await;
        }
    }
    assert!(resumed > 10, "what was there was found: {resumed}");
}

#[tokio::test(start_paused = true)]
async fn torn_uploads_are_found_before_the_block_is_seen() {
    let (mut failed, mut done) = (0, 0);
    for seed in 0..60 {
        let (buckets, _, _) = setup(200 + seed);
        let (bucket, handle) = &buckets[0];
        handle.set(Faults { torn_one_in: 3, error_one_in: 6, unanswered_one_in: 6, ..Faults::default() });
        let result = ship(bucket).await;
        handle.set(Faults::default());
        match result {
            Ok(_) => {
                done += 1;
                assert_whole(bucket).await;
            }
            Err(e) => {
                failed += 1;
                assert!(matches!(e.kind(), Kind::Corrupt { .. }), "{e:?}");
            }
        }
    }
    assert!(failed > 5 && done > 5, "{failed} failed, {done} done");
}

#[tokio::test]
async fn strangers_in_the_folder_go_and_a_visible_block_is_never_overwritten() {
    let (buckets, fs, _) = setup(4);
    for (bucket, _) in &buckets {
        let stranger = format!("{ID}/chunks/000009");
        bucket.put(&stranger, "old").await.unwrap();
        bucket.put(&format!("{ID}/index"), vec![9; 70_000]).await.unwrap();
        let mark = NoCompactMark::new(id(), reason::MANUAL, "", 0);
        bucket.mark(&mark).await.unwrap();
        let shipped = ship(bucket).await.unwrap();
        assert_eq!(
            (shipped.sent_objects, shipped.found_objects),
            (3, 0),
            "of the same size, but not the same"
        );
        assert!(!bucket.exists(&stranger).await.unwrap());
        assert_eq!(bucket.read_mark::<NoCompactMark>(id()).await.unwrap(), Some(mark));
        assert_whole(bucket).await;
    }
    fs.remove_file(Path::new("/block/index")).unwrap();
    fs.write_atomic(Path::new("/block/index"), &[4; 70_000]).unwrap();
    for (bucket, _) in &buckets {
        let e = ship(bucket).await.unwrap_err();
        assert!(*e.kind() == Kind::Conflict && e.to_string().contains("other bytes"), "{e}");
        assert_whole(bucket).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_leaves_meta_json_first_and_its_mark_last() {
    for (i, stop_after) in (0..6).enumerate() {
        let (buckets, _, _) = setup(300 + i as u64);
        for (bucket, handle) in buckets {
            ship(&bucket).await.unwrap();
            bucket.mark(&DeletionMark::new(id(), "retention", 5_000)).await.unwrap();
            handle.set(Faults { die_after_changes: Some(stop_after), ..Faults::default() });
            let removed = bucket.remove_block(id()).await;
            handle.set(Faults::default());
            let left = bucket.objects(id()).await.unwrap();
            assert_eq!(removed.is_ok(), stop_after >= 5);
            assert!(left.is_empty() || left.contains_key("deletion-mark.json"), "{left:?}");
            assert_eq!(left.contains_key("meta.json"), stop_after == 0, "{left:?}");
            bucket.remove_block(id()).await.unwrap();
            let all: Vec<Entry> = bucket.list("", Depth::All).try_collect().await.unwrap();
            assert_eq!(all, []);
        }
    }
}

#[tokio::test]
async fn marks_are_thanos_json() {
    let (buckets, _, _) = setup(5);
    let bucket = &buckets[0].0;
    let now_ms = 1_700_000_000_999;
    assert!(bucket.mark(&DeletionMark::new(id(), "why", now_ms)).await.unwrap());
    assert!(!bucket.mark(&DeletionMark::new(id(), "again", 9)).await.unwrap(), "the first one stays");
    bucket.mark(&NoCompactMark::new(id(), reason::INDEX_SIZE_EXCEEDING, "", now_ms)).await.unwrap();
    bucket.mark(&NoDownsampleMark::new(id(), reason::MANUAL, "d", now_ms)).await.unwrap();
    let text = async |key: String| String::from_utf8(bucket.get(&key, 999).await.unwrap().to_vec()).unwrap();
    expect![[
        r#"{"id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","version":1,"details":"why","deletion_time":1700000000}"#
    ]]
    .assert_eq(&text(mark_key::<DeletionMark>(id())).await);
    expect![[
        r#"{"id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","version":1,"no_compact_time":1700000000,"reason":"index-size-exceeding"}"#
    ]]
    .assert_eq(&text(mark_key::<NoCompactMark>(id())).await);
    expect![[
        r#"{"id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","version":1,"details":"d","no_downsample_time":1700000000,"reason":"manual"}"#
    ]]
    .assert_eq(&text(mark_key::<NoDownsampleMark>(id())).await);
    bucket.unmark::<NoDownsampleMark>(id()).await.unwrap();
    assert_eq!(bucket.read_mark::<NoDownsampleMark>(id()).await.unwrap(), None);
    for wrong in ["", "{", r#"{"id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","version":2,"deletion_time":1}"#] {
        bucket.put(&mark_key::<DeletionMark>(id()), wrong).await.unwrap();
        let e = bucket.read_mark::<DeletionMark>(id()).await.unwrap_err();
        assert!(matches!(e.kind(), Kind::Corrupt { .. }), "{e:?}");
    }
}

#[tokio::test]
async fn a_file_comes_back_as_it_went() {
    let (buckets, fs, _) = setup(6);
    for (i, (bucket, _)) in buckets.iter().enumerate() {
        bucket.upload_file("k", Path::new("/block/chunks/000001")).await.unwrap();
        let to = format!("/block/back{i}");
        assert_eq!(bucket.download_file("k", Path::new(&to)).await.unwrap(), 3 << 20);
        assert_eq!(fs.read(Path::new(&to)).unwrap(), vec![1; 3 << 20]);
        let e = bucket.upload_file("k", Path::new("/nowhere")).await.unwrap_err();
        assert_eq!(*e.kind(), Kind::NotFound, "{e}");
    }
}

#[test]
fn the_shippers_file_is_thanos() {
    let (_, _, fs) = sim_parts(7);
    let dir = Path::new("/t");
    fs.create_dir_all(dir).unwrap();
    assert_eq!(ShipperFile::read(&fs, dir).unwrap(), ShipperFile::default());
    let mut file = ShipperFile::default();
    file.uploaded.insert(id());
    file.write(&fs, dir).unwrap();
    let text = String::from_utf8(fs.read(&dir.join(ShipperFile::FILE)).unwrap()).unwrap();
    assert_eq!(text, "{\n\t\"version\": 1,\n\t\"uploaded\": [\n\t\t\"01ARZ3NDEKTSV4RRFFQ69G5FAV\"\n\t]\n}\n");
    assert_eq!(ShipperFile::read(&fs, dir).unwrap(), file);
    fs.write_atomic(&dir.join(ShipperFile::FILE), br#"{"version":1,"uploaded":null}"#).unwrap();
    assert_eq!(ShipperFile::read(&fs, dir).unwrap(), ShipperFile::default());
    for wrong in ["", r#"{"version":2,"uploaded":[]}"#] {
        fs.write_atomic(&dir.join(ShipperFile::FILE), wrong.as_bytes()).unwrap();
        assert!(ShipperFile::read(&fs, dir).is_err());
    }
    assert_eq!(block_of(&meta_key(id())), Some((id(), "meta.json")));
}
