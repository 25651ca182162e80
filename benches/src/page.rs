//! What is printed: one heading a benchmark, one line a figure, and how it compares with what was aimed at.

use std::fmt::Display;
use std::fs;
use std::time::Duration;

use crate::scale::Scale;

/// Prints what the figures were measured on.
pub(crate) fn machine(scale: &Scale) {
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let kilobytes: u64 = total.trim().trim_end_matches(" kB").parse().unwrap_or_default();
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    println!("{} cores ({}), {} GiB", cores, model.trim_start_matches([' ', '\t', ':']), kilobytes >> 20);
    println!("{}", jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC"));
    if !scale.is_full() {
        println!("SCALE is set: these are not the full sizes, and not the figures to quote");
    }
}

/// Prints the title of a benchmark.
pub(crate) fn heading(title: impl Display) {
    println!("\n{title}");
}

/// Prints one figure.
pub(crate) fn line(what: &str, figure: impl Display) {
    println!("  {what:<58} {figure}");
}

/// Prints one figure beside what it should not exceed.
pub(crate) fn at_most(what: &str, figure: f64, limit: f64, unit: &str) {
    let verdict = if figure <= limit { "" } else { "   MISSED" };
    line(what, format!("{} {unit} (aim: at most {limit} {unit}){verdict}", digits(figure)));
}

/// Prints one figure beside what it should reach.
pub(crate) fn at_least(what: &str, figure: f64, limit: f64, unit: &str) {
    let verdict = if figure >= limit { "" } else { "   MISSED" };
    line(what, format!("{} {unit} (aim: at least {limit} {unit}){verdict}", digits(figure)));
}

/// Writes seconds.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{} s", digits(time.as_secs_f64()))
}

/// Writes a number with three digits or so that mean something.
pub(crate) fn digits(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        1.0.. => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}
