//! Chunk codecs: XOR, XOR2 and histogram chunks as Prometheus writes them
