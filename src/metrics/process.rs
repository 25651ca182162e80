//! What the process uses, under the names that all exporters give it. Read from `/proc/self` whenever somebody asks.

use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// This process.
#[derive(Debug)]
pub(super) struct Process {
    started: SystemTime,
}

/// What `/proc/self` says; none of it is there on a system without it.
#[derive(Debug, Default, PartialEq)]
struct Use {
    processor_seconds: Option<f64>,
    resident_bytes: Option<u64>,
}

impl Process {
    /// Takes now for the time at which the process started.
    pub(super) fn started_now() -> Self {
        Self { started: SystemTime::now() }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        gauge(
            &mut encoder,
            "process_start_time_seconds",
            "When the controller started, in seconds since 1970.",
            started,
        )?;
        let current = read();
        if let Some(bytes) = current.resident_bytes {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            gauge(&mut encoder, "process_resident_memory_bytes", "Memory that the controller has in use.", bytes)?;
        }
        if let Some(seconds) = current.processor_seconds {
            let counter = ConstCounter::new(seconds);
            let help = "Processor time that the controller has used.";
            let metric = encoder.encode_descriptor("process_cpu_seconds", help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}

fn gauge<N>(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: N) -> Result<(), std::fmt::Error>
where
    ConstGauge<N>: EncodeMetric,
{
    let gauge = ConstGauge::new(value);
    let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
    gauge.encode(metric)
}

fn read() -> Use {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return Use::default() };
    let ticks = rustix::param::clock_ticks_per_second();
    parse(&stat, ticks, rustix::param::page_size())
}

/// Reads `/proc/PID/stat` (proc_pid_stat(5)): utime, stime and rss are its fields 14, 15 and 24. Field 2, a name in brackets, may
/// hold anything, so counting starts behind it, at field 3.
fn parse(stat: &str, ticks_per_second: u64, page_bytes: usize) -> Use {
    let Some((_, rest)) = stat.rsplit_once(')') else { return Use::default() };
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = field(14).zip(field(15)).map(|(user, system)| user + system);
    Use {
        processor_seconds: ticks.map(|ticks| ticks as f64 / ticks_per_second as f64),
        resident_bytes: field(24).map(|pages| pages.saturating_mul(page_bytes as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_and_memory_are_read_behind_any_name() {
        let stat = "7 (a) b (c) S 1 1 1 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0 9 1000000 25 18446744073709551615";
        assert_eq!(parse(stat, 100, 4096), Use { processor_seconds: Some(2.0), resident_bytes: Some(25 * 4096) });
        assert_eq!(parse("7 (a) S", 100, 4096), Use::default());
        assert_eq!(parse("", 100, 4096), Use::default());
    }
}
