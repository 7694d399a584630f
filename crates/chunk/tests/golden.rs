//! Chunks that Prometheus itself wrote (`tsdb/chunkenc` of August 2026): ours must be the same bytes, and
//! theirs must decode to the same bits.
//!
//! `testdata/floats.txt`: `case <name> <encoding>`, then `s <start> <t> <bits of v>` for each sample, then the
//! `chunk` in hexadecimal.

use nilometer_chunk::{Encoding, Xor2State, XorState, decode_floats};

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn bits(hex: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(hex, 16).unwrap())
}

#[test]
fn floats() {
    let text = include_str!("../testdata/floats.txt");
    let mut cases = 0;
    for case in text.split("case ").skip(1) {
        let mut lines = case.lines();
        let (name, encoding) = lines.next().unwrap().split_once(' ').unwrap();
        let encoding = Encoding::from_byte(encoding.parse().unwrap()).unwrap();
        let (mut xor, mut xor2, mut ours) = (XorState::new(), Xor2State::new(), vec![]);
        let (mut samples, mut chunk) = (vec![], vec![]);
        for line in lines {
            let fields: Vec<_> = line.split(' ').collect();
            if fields[0] == "chunk" {
                chunk = bytes(fields[1]);
                continue;
            }
            let (start, t, v) = (fields[1].parse().unwrap(), fields[2].parse().unwrap(), bits(fields[3]));
            match encoding {
                Encoding::Xor => xor.append(&mut ours, t, v),
                _ => xor2.append(&mut ours, start, t, v),
            }
            samples.push((t, v.to_bits()));
        }
        if samples.is_empty() {
            ours = vec![0; chunk.len()];
        }
        assert_eq!(ours, chunk, "{name} {encoding}");
        let (mut t, mut v) = (vec![], vec![]);
        decode_floats(&chunk, encoding, &mut t, &mut v).unwrap();
        let decoded: Vec<_> = t.into_iter().zip(v.into_iter().map(f64::to_bits)).collect();
        assert_eq!(decoded, samples, "{name} {encoding}");
        cases += 1;
    }
    assert_eq!(cases, 26);
}
