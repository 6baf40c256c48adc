//! The process as the system sees it: its memory and its threads.

use std::collections::BTreeMap;
use std::fs;

/// Resident memory of the process in bytes. `None` when the system doesn't tell.
pub fn resident() -> Option<u64> {
    let process = psutil::process::Process::current().ok()?;
    process.memory_info().ok().map(|memory| memory.rss())
}

/// Resident memory that is no file's: heap and stacks, without code. In bytes;
/// `None` when the system doesn't tell (Linux does since 4.5).
pub fn anonymous() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    kilobytes(&status, "RssAnon").map(|kilobytes| kilobytes << 10)
}

/// What of the memory is this process's own, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Resident, with every shared page divided by those who share it.
    pub proportional: u64,
    /// Resident and nobody else's.
    pub private: u64,
}

impl Mapped {
    /// Reads it, which takes the kernel a millisecond for each 100 MB or so.
    /// `None` when the system doesn't tell (Linux does since 4.14).
    pub fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/smaps_rollup").ok()?)
    }

    /// From the lines of proc(5)'s `smaps_rollup`.
    fn parse(text: &str) -> Option<Self> {
        let bytes = |name| kilobytes(text, name).map(|kilobytes| kilobytes << 10);
        Some(Self {
            proportional: bytes("Pss")?,
            private: bytes("Private_Clean")? + bytes("Private_Dirty")?,
        })
    }
}

/// The value of the line `name: … kB`, as proc(5) has them.
pub(crate) fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let mut values = lines.filter(|(key, _)| *key == name);
    values.next()?.1.split_whitespace().next()?.parse().ok()
}

/// The threads of the process: how many there are of each name. One that a
/// library starts has the name of the thread that it was started from, so that a
/// pool shows as a number where one is expected.
pub fn threads() -> BTreeMap<String, usize> {
    let mut threads = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").into_iter().flatten() {
        // A thread that ends meanwhile has no name any more.
        let name = task.and_then(|task| fs::read_to_string(task.path().join("comm")));
        if let Ok(name) = name {
            *threads.entry(name.trim_end().to_owned()).or_default() += 1;
        }
    }
    threads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_is_told_from_what_is_ours() {
        let text = "5600-7ffc ---p 00000000 00:00 0   [rollup]\nRss:  9000 kB\nPss:  7000 kB\n\
                    Pss_Anon: 1 kB\nPrivate_Clean:  500 kB\nPrivate_Dirty:  6000 kB\n";
        let mapped = Mapped::parse(text).expect("all there");
        assert_eq!(
            (mapped.proportional, mapped.private),
            (7000 << 10, 6500 << 10)
        );
        assert_eq!(Mapped::parse("Rss: 1 kB\n"), None);
        let own = Mapped::read().expect("Linux tells");
        assert!(own.private <= resident().expect("Linux tells") + (8 << 20));
    }

    #[test]
    fn code_is_no_anonymous_memory() {
        let anonymous = anonymous().expect("Linux tells");
        assert!(anonymous > 0 && anonymous < resident().expect("Linux tells"));
    }

    #[test]
    fn threads_are_counted_by_name() {
        let (end, ended) = crossbeam_channel::bounded::<()>(0);
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let ended = ended.clone();
                let thread = std::thread::Builder::new().name("counted".into());
                // The channel closes: nothing is ever sent.
                thread.spawn(move || ended.recv().is_err()).expect("starts")
            })
            .collect();
        // A thread names itself, which it may not have done yet.
        while threads().get("counted") != Some(&2) {
            std::thread::yield_now();
        }
        drop(end);
        for thread in waiting {
            assert!(thread.join().expect("no panic"));
        }
    }
}
