//! What a process has used, as Linux counts it (`proc_pid_stat(5)`, `proc_pid_status(5)`).

use std::fs;
use std::time::Duration;

/// Linux tells CPU time in hundredths of a second (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Returns the CPU time of a process and of its children that have ended.
pub(crate) fn cpu(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name is in parentheses and may hold anything; behind it the state is field 3, utime, stime, cutime and cstime 14 to 17.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u32>().ok());
    TICK * ticks.sum::<u32>()
}

/// Returns the most memory that a process has had at once, in MiB (`VmHWM`).
pub(crate) fn peak_mib(process: u32) -> f64 {
    status_mib(process, "VmHWM:")
}

/// Returns the memory that a process has now, in MiB (`VmRSS`).
pub(crate) fn resident_mib(process: u32) -> f64 {
    status_mib(process, "VmRSS:")
}

fn status_mib(process: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    kilobytes.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() / 1024.0
}
