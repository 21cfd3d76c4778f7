//! What was measured, and the table of it.

use std::time::Duration;

use crate::landscape::elapsed;

/// A tick of the kernel's account of processor time, in milliseconds: `sysconf(_SC_CLK_TCK)` is 100 on every
/// Linux that this runs on.
const TICK_MILLIS: u64 = 10;

/// How long something took, and of how many processors' time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Took {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
}

/// Begins to measure.
pub(super) struct Meter {
    wall: Duration,
    cpu: Duration,
}

impl Meter {
    pub(super) fn start() -> Self {
        Self { wall: elapsed(), cpu: cpu_time() }
    }

    pub(super) fn stop(self) -> Took {
        Took { wall: elapsed() - self.wall, cpu: cpu_time().saturating_sub(self.cpu) }
    }
}

impl std::ops::AddAssign for Took {
    fn add_assign(&mut self, more: Self) {
        self.wall += more.wall;
        self.cpu += more.cpu;
    }
}

/// The processor time of all threads of this process so far.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field, the program's name, may hold spaces: what follows it is counted.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * TICK_MILLIS)
}

/// A line of `/proc/self/status`, in MiB: `VmRSS`, `VmHWM`.
pub(super) fn memory_mib(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// One line of the table, measured several times.
struct Row {
    name: String,
    items: usize,
    took: Vec<Took>,
    note: String,
}

/// All lines, in the order in which they were first measured.
#[derive(Default)]
pub(super) struct Table(Vec<Row>);

impl Table {
    /// Adds what was measured; `note` is that of the last measurement.
    pub(super) fn add(&mut self, name: String, items: usize, took: Took, note: String) {
        println!("{}", line(&name, items, took, &note));
        match self.0.iter_mut().find(|row| row.name == name) {
            Some(row) => {
                row.took.push(took);
                row.note = note;
            }
            None => self.0.push(Row { name, items, took: vec![took], note }),
        }
    }

    /// Prints the medians.
    pub(super) fn print(&self) {
        println!("\nmedians of {} run(s)", self.0.first().map_or(0, |row| row.took.len()));
        for row in &self.0 {
            let median = |of: fn(&Took) -> Duration| {
                let mut values: Vec<Duration> = row.took.iter().map(of).collect();
                values.sort_unstable();
                values.get(values.len() / 2).copied().unwrap_or_default()
            };
            let took = Took { wall: median(|took| took.wall), cpu: median(|took| took.cpu) };
            println!("{}", line(&row.name, row.items, took, &row.note));
        }
    }
}

fn line(name: &str, items: usize, took: Took, note: &str) -> String {
    let (wall, cpu) = (took.wall.as_secs_f64(), took.cpu.as_secs_f64());
    let each = items as f64 / wall.max(1e-9);
    format!("{name:<52} wall {wall:>6.2} s   cpu {cpu:>6.2} s   {each:>8.0} /s   {note}")
}
