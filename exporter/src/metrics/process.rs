//! The daemon's own process, by Prometheus' standard names.

use std::fs;

use prometheus::{
    Gauge, Opts,
    core::{Collector, Desc},
    proto::{Counter, Metric, MetricFamily, MetricType},
};

#[derive(Debug)]
pub(super) struct ProcessCollector {
    cpu: Desc,
    rss: Gauge,
    fds: Gauge,
    start: Gauge,
}

const CPU: (&str, &str) = ("process_cpu_seconds_total", "User and system CPU time spent.");

impl ProcessCollector {
    pub fn new() -> prometheus::Result<ProcessCollector> {
        let gauge = |name: &str, help: &str| Gauge::with_opts(Opts::new(name, help));
        let start = gauge("process_start_time_seconds", "Start of the process since the epoch.")?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        start.set(now.as_secs_f64());
        Ok(ProcessCollector {
            cpu: Desc::new(CPU.0.into(), CPU.1.into(), Vec::new(), Default::default())?,
            rss: gauge("process_resident_memory_bytes", "Resident memory.")?,
            fds: gauge("process_open_fds", "Open file descriptors.")?,
            start,
        })
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        [&self.rss, &self.fds, &self.start].into_iter().flat_map(|g| g.desc()).chain([&self.cpu]).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let page = rustix::param::page_size() as f64;
        let pages = fs::read_to_string("/proc/self/statm")
            .ok()
            .and_then(|text| text.split(' ').nth(1)?.parse::<f64>().ok());
        self.rss.set(pages.unwrap_or(0.0) * page);
        self.fds.set(fs::read_dir("/proc/self/fd").map(|dir| dir.count()).unwrap_or(0) as f64);
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let mut counter = Counter::default();
        counter.set_value(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9);
        let mut metric = Metric::default();
        metric.set_counter(counter);
        let mut cpu = MetricFamily::default();
        cpu.set_name(CPU.0.into());
        cpu.set_help(CPU.1.into());
        cpu.set_field_type(MetricType::COUNTER);
        cpu.set_metric(vec![metric]);
        let gauges = [&self.rss, &self.fds, &self.start].into_iter().flat_map(|g| g.collect());
        gauges.chain([cpu]).collect()
    }
}
