//! Processes and the machine, from outside: what `/proc` says.

use std::path::Path;

use psutil::process::{Process, ProcessError};

/// Bytes of a megabyte.
const MB: f64 = (1 << 20) as f64;

/// A process that is watched.
pub struct Watched {
    process: Process,
    machine_bytes: f64,
}

/// What it takes now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Taken {
    /// Processor time since the last look, in percent of one core.
    pub cpu_percent: f64,
    /// Resident megabytes.
    pub rss_mb: f64,
    /// Resident memory in percent of the machine's.
    pub memory_percent: f64,
    /// Private megabytes.
    pub private_mb: f64,
    /// Threads.
    pub threads: u64,
    /// Descriptors.
    pub descriptors: u64,
}

impl Watched {
    /// Begins to watch the process `pid`.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn new(pid: u32) -> Result<Self, ProcessError> {
        Ok(Self {
            process: Process::new(pid)?,
            machine_bytes: memory_mb() * MB,
        })
    }

    /// What it takes now, or nothing once it has ended.
    pub fn look(&mut self) -> Option<Taken> {
        let pid = self.process.pid();
        let rss = self.process.memory_info().ok()?.rss() as f64;
        let cpu_percent = f64::from(self.process.cpu_percent().ok()?);
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        Some(Taken {
            cpu_percent,
            rss_mb: rss / MB,
            memory_percent: rss * 100.0 / self.machine_bytes.max(1.0),
            private_mb: private_kb(&rollup) / 1024.0,
            threads: entries(&format!("/proc/{pid}/task"))?,
            descriptors: entries(&format!("/proc/{pid}/fd"))?,
        })
    }

    /// Processor seconds that it has used.
    pub fn cpu_seconds(&self) -> Option<f64> {
        let times = self.process.cpu_times().ok()?;
        Some((times.user() + times.system()).as_secs_f64())
    }
}

fn entries(folder: &str) -> Option<u64> {
    Some(std::fs::read_dir(folder).ok()?.count() as u64)
}

/// Kilobytes that the process has written and shares with nobody, of the text of
/// `smaps_rollup` (proc(5)). Clean pages don't count: they are of files, and turn
/// from private to shared as another process maps the same library.
fn private_kb(rollup: &str) -> f64 {
    let mut lines = rollup.lines();
    let dirty = lines.find(|line| line.starts_with("Private_Dirty:"));
    dirty.and_then(number).unwrap_or(0.0)
}

/// The first number of a line like `MemTotal:  16000 kB`.
fn number(line: &str) -> Option<f64> {
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Memory of the machine in megabytes.
pub fn memory_mb() -> f64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find(|line| line.starts_with("MemTotal:"));
    total.and_then(number).unwrap_or(0.0) / 1024.0
}

/// The processor's name, and how many there are.
pub fn processor() -> (String, usize) {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (
        name.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores,
    )
}

/// Whether `program` can be started by its name.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| Path::new(&folder).join(program).is_file())
}

/// How the machine's processors spent their time, in ticks since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ticks {
    all: f64,
    idle: f64,
    stolen: f64,
}

impl Ticks {
    /// Until now.
    pub fn now() -> Self {
        Self::of(&std::fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// Of the text of `/proc/stat` (proc(5)): user, nice, system, idle, iowait,
    /// irq, softirq, steal; what guests take is in user already.
    fn of(stat: &str) -> Self {
        let line = stat.lines().find(|line| line.starts_with("cpu "));
        let ticks = line.unwrap_or_default().split_whitespace().skip(1).take(8);
        let ticks: Vec<f64> = ticks.filter_map(|n| n.parse().ok()).collect();
        let at = |n: usize| ticks.get(n).copied().unwrap_or(0.0);
        Self {
            all: ticks.iter().sum(),
            idle: at(3) + at(4),
            stolen: at(7),
        }
    }

    /// Percent idle and percent stolen since `before`.
    pub fn since(&self, before: &Self) -> (f64, f64) {
        let all = (self.all - before.all).max(1.0);
        let part = |now: f64, before: f64| (now - before) * 100.0 / all;
        (
            part(self.idle, before.idle),
            part(self.stolen, before.stolen),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_memory_is_what_was_written() {
        let rollup = "Rss:  9000 kB\nPrivate_Clean:  24 kB\nPrivate_Dirty:  1000 kB\n";
        assert_eq!(private_kb(rollup), 1000.0);
    }

    #[test]
    fn idle_and_stolen_time_are_parts_of_all() {
        let before = Ticks::of("cpu  10 0 10 100 0 0 0 0 0 0\ncpu0 1 1 1 1");
        let after = Ticks::of("cpu  60 0 10 130 10 0 0 10 50 0\n");
        assert_eq!(after.since(&before), (40.0, 10.0));
    }

    #[test]
    fn this_process_is_seen_as_it_is() {
        let mut own = Watched::new(std::process::id()).expect("it runs");
        let taken = own.look().expect("it runs");
        assert!(taken.rss_mb > 1.0 && taken.private_mb > 0.0 && taken.private_mb <= taken.rss_mb);
        assert!(taken.threads >= 1 && taken.descriptors >= 3);
        assert!(taken.memory_percent > 0.0 && taken.memory_percent < 100.0);
        assert!(own.cpu_seconds().is_some());
    }
}
