use super::*;

fn spans(pairs: &[(i32, u32)]) -> Vec<Span> {
    pairs.iter().map(|&(offset, length)| Span { offset, length }).collect()
}

fn indexes(pairs: &[(i32, u32)]) -> Vec<i32> {
    bucket_indexes(&spans(pairs), usize::MAX).collect()
}

/// Valid, with buckets on both sides.
fn sample() -> IntHistogram {
    Histogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 2,
        count: 14,
        sum: 5.5,
        positive_spans: spans(&[(0, 2), (1, 1)]),
        positive: vec![1, 2, 3],
        negative_spans: spans(&[(-1, 2)]),
        negative: vec![4, 2],
        ..Histogram::default()
    }
}

fn custom() -> IntHistogram {
    Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 6,
        sum: 1.0,
        positive_spans: spans(&[(0, 1), (1, 2)]),
        positive: vec![1, 2, 3],
        custom_values: vec![0.5, 1.0, 2.0],
        ..Histogram::default()
    }
}

#[test]
fn indexes_from_both_ends() {
    let pairs = [(-3, 2), (0, 0), (2, 1), (0, 3), (5, 0)];
    assert_eq!(indexes(&pairs), [-3, -2, 1, 2, 3, 4]);
    let all = spans(&pairs);
    for limit in 0..8 {
        let forth: Vec<_> = bucket_indexes(&all, limit).collect();
        let mut back: Vec<_> = bucket_indexes(&all, limit).rev().collect();
        back.reverse();
        assert_eq!(forth, back, "limit {limit}");
        assert_eq!(forth, indexes(&pairs)[..limit.min(6)]);
        let (mut both, mut ends) = (bucket_indexes(&all, limit), vec![]);
        while let Some(first) = both.next() {
            ends.push(first);
            ends.extend(both.next_back());
        }
        ends.sort_unstable();
        assert_eq!(ends, forth, "limit {limit}");
    }
    assert_eq!(indexes(&[]), [0i32; 0]);
}

#[test]
fn layouts_are_compared_by_indexes() {
    let (a, b) = (spans(&[(0, 2), (0, 1), (3, 0), (1, 1)]), spans(&[(0, 3), (4, 1)]));
    assert!(same_layout(&a, &b));
    assert!(!same_layout(&a, &spans(&[(0, 3), (3, 1)])));
    assert!(same_layout(&[], &spans(&[(7, 0)])));
}

#[test]
fn bits_decide_equality() {
    let a = sample();
    assert!(a.same_bits(&Histogram { reset: CounterReset::Reset, ..a.clone() }));
    assert!(!a.same_bits(&Histogram { sum: f64::NAN, ..a.clone() }));
    let nan = Histogram { sum: f64::NAN, ..a.clone() };
    assert!(nan.same_bits(&nan.clone()));
    let zero = Histogram { zero_count: 0.0, ..a.to_float() };
    assert!(!zero.same_bits(&Histogram { zero_count: -0.0, ..zero.clone() }));
    assert!(!a.same_bits(&Histogram { positive: vec![1, 2, 4], ..a.clone() }));
}

#[test]
fn empty_buckets_mean_nothing() {
    let a = sample();
    let wide = Histogram {
        positive_spans: spans(&[(-1, 3), (0, 3)]),
        positive: vec![0, 1, 2, 0, 3, 0],
        negative_spans: spans(&[(-1, 1), (0, 1), (9, 0)]),
        reset: CounterReset::Gauge,
        ..a.clone()
    };
    assert!(a.same_meaning(&wide) && wide.same_meaning(&a) && !a.same_bits(&wide));
    assert!(!a.same_meaning(&Histogram { positive_spans: spans(&[(0, 3)]), ..a.clone() }));
    assert!(!a.same_meaning(&Histogram { positive: vec![1, 2, 4], ..a.clone() }));
    assert!(!a.same_meaning(&Histogram { negative: vec![2, 4], ..a.clone() }));
    assert!(!a.same_meaning(&Histogram { schema: 2, ..a.clone() }));
    assert!(!a.same_meaning(&Histogram { zero_threshold: 0.01, ..a.clone() }));
    assert!(!a.same_meaning(&Histogram { zero_count: 3, ..a.clone() }));
    assert!(!a.same_meaning(&Histogram { sum: -5.5, ..a.clone() }));
    let c = custom();
    assert!(c.same_meaning(&c.clone()));
    assert!(!c.same_meaning(&Histogram { custom_values: vec![0.5, 1.0, 3.0], ..c.clone() }));
    assert!(!c.same_meaning(&Histogram { custom_values: vec![0.5, 1.0, 2.0, 3.0], ..c.clone() }));
    assert!(IntHistogram::stale().same_meaning(&Histogram { sum: IntHistogram::stale().sum, ..a.clone() }));
    assert!(!IntHistogram::stale().same_meaning(&a));
}

#[test]
fn stale_is_a_pattern_of_bits() {
    assert!(IntHistogram::stale().is_stale() && FloatHistogram::stale().is_stale());
    assert!(!Histogram { sum: f64::NAN, ..sample() }.is_stale());
    assert!(IntHistogram::stale().validate().is_ok());
}

/// Bounds that Prometheus' own tests state.
#[test]
fn bounds_are_those_of_prometheus() {
    for (index, schema, want) in [
        (-1, -1, 0.25),
        (0, -1, 1.0),
        (1, -1, 4.0),
        (512, -1, f64::MAX),
        (513, -1, f64::INFINITY),
        (-1, 0, 0.5),
        (0, 0, 1.0),
        (1, 0, 2.0),
        (1024, 0, f64::MAX),
        (1025, 0, f64::INFINITY),
        (-1, 2, 0.8408964152537144),
        (0, 2, 1.0),
        (1, 2, 1.189207115002721),
        (4096, 2, f64::MAX),
        (4097, 2, f64::INFINITY),
        (-1074, 0, 5e-324),
        (-1075, 0, 0.0),
        (i32::MIN, 8, 0.0),
        (i32::MAX, -4, f64::INFINITY),
        (i32::MIN, -4, 0.0),
    ] {
        assert_eq!(bound(index, schema, &[]).to_bits(), want.to_bits(), "{index} in schema {schema}");
    }
    let custom = [0.5, 1.0];
    assert_eq!(bound(0, CUSTOM_BUCKETS_SCHEMA, &custom), 0.5);
    assert_eq!(bound(2, CUSTOM_BUCKETS_SCHEMA, &custom), f64::INFINITY);
    assert_eq!(bound(-1, CUSTOM_BUCKETS_SCHEMA, &custom), f64::NEG_INFINITY);
}

/// FNV-1a over the little-endian bits of the bounds −280,000 to 264,999 of each schema, as Prometheus computes
/// them: underflow, all of the normal range, overflow.
#[test]
fn all_bounds_are_those_of_prometheus() {
    let hashes: [u64; 13] = [
        0x715919c252f26cdd,
        0x1b5253377bb555d1,
        0xd6b70e4996b134d1,
        0xad80d2491d224366,
        0x09d27f5289af3b98,
        0xb8c660ecfa4b3120,
        0x6ee31f3963f42643,
        0x018de1928a27a0f5,
        0xee7cd49d264515f8,
        0x527d2ad4bc0cb253,
        0xc256915e0deba240,
        0x860bd42157fc868c,
        0xc55c64e838defa88,
    ];
    for (schema, want) in EXPONENTIAL_SCHEMAS.zip(hashes) {
        let bytes = (-280_000..265_000).flat_map(|index| bound(index, schema, &[]).to_le_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        assert_eq!(hash, want, "schema {schema}");
    }
}

#[test]
fn buckets_ascend_and_touch() {
    let buckets: Vec<_> = sample().all_buckets().collect();
    assert!(buckets.windows(2).all(|w| w[0].upper <= w[1].lower));
    assert_eq!(buckets.iter().map(|b| b.count).collect::<Vec<_>>(), [2, 4, 2, 1, 2, 3]);
    assert_eq!((buckets[0].lower, buckets[0].upper), (-1.0, -0.7071067811865475));
    assert!(buckets[0].lower_inclusive && !buckets[0].upper_inclusive);
    assert!(!buckets[4].lower_inclusive && buckets[4].upper_inclusive);
    let wide = Histogram { zero_threshold: 0.8, ..sample() };
    let buckets: Vec<_> = wide.all_buckets().collect();
    assert_eq!((buckets[0].upper, buckets[3].lower), (-0.8, 0.8));
    let custom: Vec<_> = custom().positive_buckets().map(|b| (b.lower, b.upper)).collect();
    assert_eq!(custom, [(f64::NEG_INFINITY, 0.5), (1.0, 2.0), (2.0, f64::INFINITY)]);
}

#[test]
fn valid_ones_pass() {
    for good in [sample(), custom(), Histogram::default(), Histogram { sum: f64::NAN, count: 99, ..sample() }]
    {
        good.validate().unwrap();
        good.to_float().validate().unwrap();
    }
}

#[test]
fn broken_rules_are_named() {
    let (s, c) = (sample, custom);
    let broken = [
        (
            Histogram { positive: vec![1, 2], ..s() },
            "positive side: the spans name 3 buckets, but there are 2",
        ),
        (Histogram { negative_spans: spans(&[(0, 1), (-1, 1)]), ..s() }, "span 2 has the negative offset -1"),
        (Histogram { count: 13, ..s() }, "the count is 13, but must be exactly the 14"),
        (Histogram { count: 13, sum: f64::NAN, ..s() }, "the count is 13, but must be at least the 14"),
        (Histogram { positive: vec![1, 2, 1 << 63], ..s() }, "bucket 3 counts 9223372036854775808"),
        (Histogram { zero_count: u64::MAX, ..s() }, "overflow"),
        (Histogram { custom_values: vec![1.0], ..s() }, "must not have custom bounds"),
        (Histogram { schema: 9, ..s() }, "schema 9 is not supported"),
        (Histogram { schema: -5, ..s() }, "schema -5 is not supported"),
        (Histogram { schema: -53, ..s() }, "span"),
        (Histogram { positive_spans: spans(&[(i32::MAX, 3)]), ..s() }, "beyond 2147483647"),
        (Histogram { custom_values: vec![0.5, 0.5, 1.0], ..c() }, "bounds must ascend, but 0.5 follows 0.5"),
        (Histogram { custom_values: vec![0.5, f64::NAN, 1.0], ..c() }, "bound 2 is NaN"),
        (Histogram { custom_values: vec![0.5, 1.0, f64::INFINITY], ..c() }, "+Inf"),
        (
            Histogram { custom_values: vec![0.5, 1.0], ..c() },
            "2 bounds are too few for spans that reach bucket 4",
        ),
        (Histogram { positive_spans: spans(&[(-1, 1), (1, 2)]), ..c() }, "span 1 has the negative offset -1"),
        (Histogram { zero_count: 1, ..c() }, "the zero count must be 0"),
        (Histogram { zero_threshold: 0.1, ..c() }, "the zero threshold must be 0"),
        (Histogram { negative_spans: spans(&[(0, 0)]), ..c() }, "no negative buckets"),
    ];
    for (histogram, part) in broken {
        let message = histogram.validate().unwrap_err().to_string();
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
    let f = || sample().to_float();
    for (histogram, part) in [
        (Histogram { zero_count: -1.0, ..f() }, "the zero bucket has the negative count -1"),
        (Histogram { count: -1.0, ..f() }, "the count -1 is negative"),
        (Histogram { negative: vec![4.0, -2.0], ..f() }, "negative side: bucket 2 has the negative count -2"),
    ] {
        let message = histogram.validate().unwrap_err().to_string();
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
    Histogram { count: 1e9, positive: vec![f64::NAN, 1.5, 2.5], ..f() }.validate().unwrap();
}

#[test]
fn coarser_schemas_keep_bounds_and_counts() {
    let fine = Histogram {
        schema: 3,
        positive_spans: spans(&[(-5, 4), (2, 3), (0, 9)]),
        positive: (1..=16).collect(),
        ..IntHistogram::default()
    };
    for schema in [2, 1, 0, -1, -4, -9] {
        let mut coarse = fine.clone();
        coarse.reduce_to(schema).unwrap();
        assert_eq!(coarse.positive.iter().sum::<u64>(), 136);
        // Every fine bucket lies in the coarse one that has its count.
        for bucket in coarse.positive_buckets() {
            let inside =
                fine.positive_buckets().filter(|b| bucket.lower <= b.lower && b.upper <= bucket.upper);
            assert_eq!(inside.map(|b| b.count).sum::<u64>(), bucket.count, "{bucket:?}");
        }
        assert!(coarse.positive_spans.iter().skip(1).all(|s| s.offset > 0), "spans are joined");
    }
    assert!(fine.clone().reduce_to(4).is_err());
    assert!(custom().reduce_to(0).is_err());
}

#[test]
fn deltas() {
    assert_eq!(from_deltas(&[3, -1, 0, 5]), Some(vec![3, 2, 2, 7]));
    assert_eq!(from_deltas(&[3, -4]), None);
    assert_eq!(from_deltas(&[i64::MAX, 1]), None);
    assert_eq!(from_deltas(&[]), Some(vec![]));
    assert_eq!(to_deltas(&[3, 2, 2, 7]).collect::<Vec<_>>(), [3, -1, 0, 5]);
}
