#!/usr/bin/env python3
"""Makes the request bodies of this folder: python3 capture.py PROMETHEUS VERSION(1|2) PREFIX [FEATURES]

Serves a small /metrics (protobuf exposition: counters with exemplars and start times, native integer, float
and gauge histograms, a classic histogram), starts PROMETHEUS on loopback to scrape it and to push to this
script, and writes the bodies that differ in kind to PREFIX-N.bin, as they came over HTTP.
"""
import http.server, os, struct, subprocess, sys, tempfile, threading, time

prometheus, version, prefix = sys.argv[1], sys.argv[2], sys.argv[3]
bodies, started, scrapes = [], time.time(), 0


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, value, zigzag=False):
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint((value << 1) ^ (value >> 63) if zigzag else value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def labels(number=1, **pairs):
    return b"".join(field(number, field(1, k) + field(2, v)) for k, v in pairs.items())


def stamp(seconds):
    return field(1, int(seconds)) + field(2, int(seconds % 1 * 1e9))


def exemplar(trace, value):
    return labels(trace_id=trace, span_id="0f0e0d0c") + field(2, value) + field(3, stamp(time.time()))


def spans(number, *pairs):
    return b"".join(field(number, field(1, o, True) + field(2, l)) for o, l in pairs)


def family(name, help, kind, *metrics, unit=""):
    body = field(1, name) + field(2, help) + field(3, kind) + (field(5, unit) if unit else b"")
    body += b"".join(field(4, m) for m in metrics)
    return varint(len(body)) + body


def metrics():
    global scrapes
    scrapes += 1
    n, out = scrapes, b""
    out += family("app_requests_total", "Requests by method.", 0,
                  *[labels(method=m) + field(3, field(1, float(n * (i + 1))) + field(2, exemplar("ab%02d%04d" % (i, n), 1.5))
                    + field(3, stamp(started))) for i, m in enumerate(["GET", "POST", "PUT"])])
    out += family("app_temperature_celsius", "Wärme.", 1, labels(room="küche", **{"zone": "eu"}) + field(2, field(1, -21.25)),
                  labels(room="nan") + field(2, field(1, float("nan"))), labels(room="inf") + field(2, field(1, float("inf"))),
                  unit="celsius")
    if n < 4:  # then it goes away, which makes stale markers
        out += family("app_fleeting", "Soon gone.", 1, field(2, field(1, 1.0)))
    native = field(1, 13 * n) + field(2, 18.5 * n) + field(5, 1, True) + field(6, 0.001) + field(7, 2 * n)
    native += spans(9, (0, 1)) + b"".join(field(10, d * n, True) for d in [1]) + spans(12, (0, 2), (1, 2))
    native += b"".join(field(13, d * n, True) for d in [1, 1, -1, 5]) + field(15, stamp(started)) + field(16, exemplar("cd%04d" % n, 0.7))
    out += family("app_latency_seconds", "Latency.", 4, labels(path="/a") + field(7, native))
    floats = field(4, 7.5 * n) + field(2, 3.25) + field(5, 0, True) + field(6, 1e-128) + field(8, 1.5)
    floats += spans(12, (-2, 2)) + field(14, 2.5) + field(14, 3.5)
    out += family("app_share", "A float histogram.", 4, field(7, floats))
    out += family("app_queue", "A gauge histogram.", 5, field(7, native))
    buckets = b"".join(field(3, field(1, c * n) + field(2, b)) for b, c in [(0.1, 1), (1.0, 4), (10.0, 4), (float("inf"), 5)])
    out += family("app_classic_seconds", "A classic histogram.", 4, labels(path="/b") + field(7, field(1, 5 * n) + field(2, 9.0 * n) + buckets + field(15, stamp(started))))
    return out


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = metrics()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        bodies.append(body)
        print({k: v for k, v in self.headers.items() if k.lower() not in ("host", "content-length")}, len(body))
        self.send_response(204)
        for kind in ("Samples", "Histograms", "Exemplars") if version == "2" else ():
            self.send_header("X-Prometheus-Remote-Write-%s-Written" % kind, "1000000")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = "127.0.0.1:%d" % server.server_address[1]
own_port = server.server_address[1] ^ 1
folder = tempfile.mkdtemp()
with open(folder + "/p.yml", "w") as f:
    f.write("""
global: {scrape_interval: 1s, external_labels: {cluster: wc-1, replica: a}}
scrape_configs:
- job_name: app
  static_configs: [{targets: ["%s"]}]
%s
- job_name: prometheus
  scrape_interval: 6s
  static_configs: [{targets: ["127.0.0.1:%d"]}]
remote_write:
- url: http://%s/api/v1/write
  send_exemplars: true
  send_native_histograms: true
  queue_config: {max_samples_per_send: 500, batch_send_deadline: 1s}
%s""" % (address, "  scrape_native_histograms: true\n  convert_classic_histograms_to_nhcb: true\n  always_scrape_classic_histograms: true" if version == "2" else "",
         own_port, address, "  protobuf_message: io.prometheus.write.v2.Request" if version == "2" else "  metadata_config: {send: true, send_interval: 3s}"))
features = ",".join(["exemplar-storage"] + (["native-histograms"] if version == "1" else []) + sys.argv[4:])
run = subprocess.Popen([prometheus, "--config.file=" + folder + "/p.yml", "--storage.tsdb.path=" + folder + "/d",
                        "--web.listen-address=127.0.0.1:%d" % own_port, "--enable-feature=" + features],
                       stderr=open(folder + "/log", "w"))
time.sleep(16)
run.terminate()
run.wait()
print("log:", folder + "/log")
os.makedirs(os.path.dirname(prefix) or ".", exist_ok=True)
for i, body in enumerate(bodies):
    open("%s-%d.bin" % (prefix, i), "wb").write(body)
