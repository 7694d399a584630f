//! What a target exposes: the one table of names, shapes and labels. Every target has all of it.
//!
//! A hundred slots under 72 names, so that the mix can be read off: 69 counters, 27 gauges, 4 buckets. Labels that
//! a whole target shares are in `target.rs`.

use crate::value::Shape;

/// Series of a target.
pub(crate) const SLOTS: usize = 100;

/// Who says it, and so which labels it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The program itself.
    App,
    /// The node's agent, about the container: with its long labels.
    Container,
}

pub(crate) struct Slot {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) source: Source,
    /// Labels of this slot alone.
    pub(crate) labels: &'static [(&'static str, &'static str)],
}

const fn slot(
    source: Source,
    name: &'static str,
    shape: Shape,
    labels: &'static [(&'static str, &'static str)],
) -> Slot {
    Slot { name, shape, source, labels }
}

use Shape::{Bucket, Busy, Constant, Decimals, Double, Idle, Pages, Resets, Slow};
use Source::{App, Container};

#[rustfmt::skip]
pub(crate) const CATALOGUE: [Slot; SLOTS] = [
    slot(App, "audit_events_total", Slow, &[]),
    slot(App, "build_info", Constant, &[("branch", "main"), ("revision", "8f31c0d"), ("version", "2.14.3")]),
    slot(App, "cache_evictions_total", Busy, &[]),
    slot(App, "cache_hits_total", Resets, &[]),
    slot(App, "cache_misses_total", Resets, &[]),
    slot(App, "config_reloads_total", Idle, &[]),
    slot(App, "db_queries_total", Busy, &[]),
    slot(App, "db_query_errors_total", Idle, &[]),
    slot(App, "db_query_seconds_total", Decimals, &[]),
    slot(App, "disk_reads_total", Busy, &[]),
    slot(App, "emails_sent_total", Slow, &[]),
    slot(App, "feature_flag_changes_total", Idle, &[]),
    slot(App, "go_gc_cycles_total", Slow, &[]),
    slot(App, "go_gc_duration_seconds", Double, &[("quantile", "0")]),
    slot(App, "go_gc_duration_seconds", Double, &[("quantile", "0.25")]),
    slot(App, "go_gc_duration_seconds", Double, &[("quantile", "0.5")]),
    slot(App, "go_gc_duration_seconds", Double, &[("quantile", "0.75")]),
    slot(App, "go_gc_duration_seconds", Double, &[("quantile", "1")]),
    slot(App, "go_goroutines", Constant, &[]),
    slot(App, "go_memstats_alloc_bytes_total", Busy, &[]),
    slot(App, "go_memstats_frees_total", Busy, &[]),
    slot(App, "go_memstats_heap_idle_bytes", Pages, &[]),
    slot(App, "go_memstats_heap_inuse_bytes", Pages, &[]),
    slot(App, "go_memstats_lookups_total", Busy, &[]),
    slot(App, "go_memstats_mallocs_total", Busy, &[]),
    slot(App, "grpc_server_handled_total", Busy, &[("grpc_code", "OK"), ("grpc_method", "Get"), ("grpc_service", "inventory.v1.Stock")]),
    slot(App, "grpc_server_handled_total", Slow, &[("grpc_code", "Canceled"), ("grpc_method", "Get"), ("grpc_service", "inventory.v1.Stock")]),
    slot(App, "grpc_server_handled_total", Slow, &[("grpc_code", "NotFound"), ("grpc_method", "Get"), ("grpc_service", "inventory.v1.Stock")]),
    slot(App, "grpc_server_handled_total", Idle, &[("grpc_code", "Unavailable"), ("grpc_method", "Get"), ("grpc_service", "inventory.v1.Stock")]),
    slot(App, "grpc_server_handled_total", Idle, &[("grpc_code", "Internal"), ("grpc_method", "Get"), ("grpc_service", "inventory.v1.Stock")]),
    slot(App, "grpc_server_handled_total", Idle, &[("grpc_code", "DeadlineExceeded"), ("grpc_method", "Get"), ("grpc_service", "inventory.v1.Stock")]),
    slot(App, "grpc_server_msg_sent_total", Busy, &[("grpc_method", "Get"), ("grpc_service", "inventory.v1.Stock")]),
    slot(App, "grpc_server_started_total", Busy, &[("grpc_method", "Get"), ("grpc_service", "inventory.v1.Stock")]),
    slot(App, "http_request_duration_seconds_bucket", Bucket(620), &[("handler", "/api/v1/orders"), ("le", "0.05")]),
    slot(App, "http_request_duration_seconds_bucket", Bucket(900), &[("handler", "/api/v1/orders"), ("le", "0.25")]),
    slot(App, "http_request_duration_seconds_bucket", Bucket(990), &[("handler", "/api/v1/orders"), ("le", "1")]),
    slot(App, "http_request_duration_seconds_bucket", Bucket(1000), &[("handler", "/api/v1/orders"), ("le", "+Inf")]),
    slot(App, "http_request_duration_seconds_count", Busy, &[("handler", "/api/v1/orders")]),
    slot(App, "http_request_duration_seconds_sum", Decimals, &[("handler", "/api/v1/orders")]),
    slot(App, "http_requests_in_flight", Constant, &[]),
    slot(App, "http_requests_total", Busy, &[("code", "200"), ("handler", "/api/v1/orders"), ("method", "GET")]),
    slot(App, "http_requests_total", Busy, &[("code", "200"), ("handler", "/api/v1/orders"), ("method", "POST")]),
    slot(App, "http_requests_total", Busy, &[("code", "201"), ("handler", "/api/v1/orders"), ("method", "POST")]),
    slot(App, "http_requests_total", Slow, &[("code", "304"), ("handler", "/api/v1/orders"), ("method", "GET")]),
    slot(App, "http_requests_total", Slow, &[("code", "400"), ("handler", "/api/v1/orders"), ("method", "POST")]),
    slot(App, "http_requests_total", Slow, &[("code", "404"), ("handler", "/api/v1/orders"), ("method", "GET")]),
    slot(App, "http_requests_total", Idle, &[("code", "500"), ("handler", "/api/v1/orders"), ("method", "GET")]),
    slot(App, "http_requests_total", Idle, &[("code", "503"), ("handler", "/api/v1/orders"), ("method", "GET")]),
    slot(App, "invoices_issued_total", Busy, &[]),
    slot(App, "jobs_failed_total", Idle, &[]),
    slot(App, "jobs_processed_total", Resets, &[("queue", "orders")]),
    slot(App, "leader_changes_total", Idle, &[]),
    slot(App, "login_attempts_total", Resets, &[]),
    slot(App, "messages_consumed_total", Resets, &[]),
    slot(App, "messages_dropped_total", Idle, &[]),
    slot(App, "messages_published_total", Resets, &[]),
    slot(App, "panics_total", Idle, &[]),
    slot(App, "process_cpu_seconds_total", Decimals, &[]),
    slot(App, "process_max_fds", Constant, &[]),
    slot(App, "process_network_receive_bytes_total", Busy, &[]),
    slot(App, "process_network_transmit_bytes_total", Busy, &[]),
    slot(App, "process_open_fds", Constant, &[]),
    slot(App, "process_resident_memory_bytes", Pages, &[]),
    slot(App, "process_start_time_seconds", Constant, &[]),
    slot(App, "process_threads", Constant, &[]),
    slot(App, "process_virtual_memory_bytes", Constant, &[]),
    slot(App, "promhttp_metric_handler_requests_total", Busy, &[("code", "200")]),
    slot(App, "promhttp_metric_handler_requests_total", Idle, &[("code", "500")]),
    slot(App, "promhttp_metric_handler_requests_total", Idle, &[("code", "503")]),
    slot(App, "rest_client_requests_total", Busy, &[("code", "200"), ("method", "GET")]),
    slot(App, "rest_client_requests_total", Slow, &[("code", "200"), ("method", "PUT")]),
    slot(App, "rest_client_requests_total", Idle, &[("code", "409"), ("method", "PUT")]),
    slot(App, "rest_client_requests_total", Idle, &[("code", "404"), ("method", "GET")]),
    slot(App, "scrape_duration_seconds", Double, &[]),
    slot(App, "sessions_expired_total", Busy, &[]),
    slot(App, "tls_handshake_errors_total", Idle, &[]),
    slot(App, "token_renewals_total", Slow, &[]),
    slot(App, "up", Constant, &[]),
    slot(App, "workqueue_adds_total", Busy, &[("queue", "orders")]),
    slot(App, "workqueue_adds_total", Slow, &[("queue", "mail")]),
    slot(App, "workqueue_adds_total", Idle, &[("queue", "retry")]),
    slot(App, "workqueue_oldest_seconds", Double, &[("queue", "orders")]),
    slot(App, "workqueue_oldest_seconds", Double, &[("queue", "mail")]),
    slot(App, "workqueue_oldest_seconds", Double, &[("queue", "retry")]),
    slot(App, "workqueue_retries_total", Idle, &[("queue", "orders")]),
    slot(App, "workqueue_work_duration_seconds_sum", Decimals, &[("queue", "orders")]),
    slot(Container, "container_cpu_cfs_periods_total", Busy, &[]),
    slot(Container, "container_cpu_cfs_throttled_periods_total", Idle, &[]),
    slot(Container, "container_cpu_cfs_throttled_seconds_total", Decimals, &[]),
    slot(Container, "container_cpu_system_seconds_total", Decimals, &[]),
    slot(Container, "container_cpu_usage_seconds_total", Decimals, &[]),
    slot(Container, "container_fs_writes_total", Busy, &[]),
    slot(Container, "container_memory_cache", Pages, &[]),
    slot(Container, "container_memory_failcnt", Idle, &[]),
    slot(Container, "container_memory_rss", Pages, &[]),
    slot(Container, "container_memory_usage_bytes", Pages, &[]),
    slot(Container, "container_memory_working_set_bytes", Pages, &[]),
    slot(Container, "container_oom_events_total", Idle, &[]),
    slot(Container, "container_spec_cpu_quota", Constant, &[]),
    slot(Container, "container_spec_memory_limit_bytes", Constant, &[]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::labels_of;
    use std::collections::BTreeSet;

    fn count(is: impl Fn(Shape) -> bool) -> usize {
        CATALOGUE.iter().filter(|slot| is(slot.shape)).count()
    }

    #[test]
    fn mix() {
        assert_eq!(count(Shape::is_counter), 69);
        assert_eq!(count(|s| matches!(s, Constant | Pages | Double)), 27);
        assert_eq!(count(|s| matches!(s, Bucket(_))), 4);
        assert_eq!(CATALOGUE.iter().map(|slot| slot.name).collect::<BTreeSet<_>>().len(), 72);
    }

    #[test]
    fn labels_are_ten_and_a_bit() {
        let all: Vec<_> = (0..SLOTS).map(|slot| labels_of(1, 7, 0, slot)).collect();
        assert_eq!(all.iter().map(Vec::len).sum::<usize>(), 1_040);
        assert!(all.iter().all(|labels| labels.is_sorted()), "senders sort them");
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), SLOTS, "two slots of one name");
    }
}
