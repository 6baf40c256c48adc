//! The budget as it is written, and what the machine has.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::bounds::{OutOfBounds, within};
use crate::process::kilobytes;

/// How much memory the process may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Budget {
    /// So many megabytes of 2^20 bytes.
    Megabytes(u64),
    /// So many percent of what the machine has, or of what the process's control
    /// group may have where that is less.
    Percent(u64),
}

/// How it stands in a file.
#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a budget is given in megabytes, as 512, or a share of the machine's memory, as \"50%\""
)]
enum Written {
    Megabytes(u64),
    Share(String),
}

impl TryFrom<Written> for Budget {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Megabytes(megabytes) => Ok(Self::Megabytes(megabytes)),
            Written::Share(text) => {
                let percent = text.strip_suffix('%').and_then(|n| n.trim().parse().ok());
                percent.map(Self::Percent).ok_or(format!(
                    "{text:?} is no budget: write megabytes, as 512, or a share of the machine's memory, as \"50%\""
                ))
            }
        }
    }
}

impl From<Budget> for Written {
    fn from(budget: Budget) -> Self {
        match budget {
            Budget::Megabytes(megabytes) => Self::Megabytes(megabytes),
            Budget::Percent(percent) => Self::Share(format!("{percent}%")),
        }
    }
}

impl Budget {
    pub(super) fn check(self, key: &'static str) -> Result<(), OutOfBounds> {
        match self {
            Self::Megabytes(megabytes) => within(key, megabytes, 32..=1 << 20),
            Self::Percent(percent) => within(key, percent, 1..=100),
        }
    }

    /// In bytes, on a machine that has `total`. A share of a machine that doesn't
    /// tell is one of [`UNKNOWN`].
    pub(super) fn bytes(self, total: Option<u64>) -> u64 {
        match self {
            Self::Megabytes(megabytes) => megabytes << 20,
            Self::Percent(percent) => total.unwrap_or(UNKNOWN) / 100 * percent,
        }
    }
}

/// What a machine that doesn't tell is taken to have: as much as a small one has.
const UNKNOWN: u64 = 1 << 30;

/// Bytes of memory that the process could get: those of the machine, or what its
/// control group may have where that is less. `None` when nobody tells.
pub fn machine() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| kilobytes(&text, "MemTotal"));
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = limit(Path::new("/sys/fs/cgroup"), &group);
    let machine = machine.map(|kilobytes| kilobytes << 10);
    machine.into_iter().chain(group).min()
}

/// The smallest limit on the way from the process's control group, as cgroups(7)
/// has it in `/proc/self/cgroup`, up to the root. In a container the path may be
/// that of the host and lead nowhere; the root is then the container's own.
fn limit(mount: &Path, groups: &str) -> Option<u64> {
    let mut least = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next(), fields.next(), fields.next());
        let (root, file) = match controllers {
            Some("") => (mount.to_owned(), "memory.max"),
            Some(some) if some.split(',').any(|one| one == "memory") => {
                (mount.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let path = path.unwrap_or_default().trim_start_matches('/');
        for group in Path::new(path).ancestors() {
            // The word `max` stands for none, and is no number.
            let text = fs::read_to_string(root.join(group).join(file)).ok();
            let limit = text.and_then(|text| text.trim().parse().ok());
            least = least.into_iter().chain(limit).min();
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_megabytes_or_a_share() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct One {
            budget: Budget,
        }
        let read = |text: &str| toml::from_str::<One>(text).map(|one| one.budget);
        assert_eq!(read("budget = 512"), Ok(Budget::Megabytes(512)));
        assert_eq!(read("budget = \"50%\""), Ok(Budget::Percent(50)));
        for wrong in ["-3", "\"50\"", "\"half\"", "\"-5%\"", "0.5", "true"] {
            let error = read(&format!("budget = {wrong}")).expect_err(wrong);
            assert!(error.to_string().contains("\"50%\""), "{wrong}: {error}");
        }
        let share = One {
            budget: Budget::Percent(50),
        };
        let text = toml::to_string(&share).expect("TOML");
        assert_eq!(toml::from_str(&text), Ok(share));
    }

    #[test]
    fn a_share_is_one_of_what_the_machine_has() {
        let total = Some(8 << 30);
        assert_eq!(Budget::Percent(25).bytes(total) >> 20, 2047);
        assert_eq!(Budget::Megabytes(300).bytes(total), 300 << 20);
        assert_eq!(Budget::Percent(100).bytes(None) >> 20, 1023);
        assert!(Budget::Percent(0).check("memory.budget_mb").is_err());
        assert!(Budget::Percent(101).check("memory.budget_mb").is_err());
        assert!(machine().expect("Linux tells") > 64 << 20);
    }

    /// A mount in which these files lie.
    fn mount(files: &[(&str, &str)]) -> tempfile::TempDir {
        let mount = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = mount.path().join(path);
            fs::create_dir_all(path.parent().expect("inside")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        mount
    }

    #[test]
    fn the_smallest_limit_above_the_process_counts() {
        let two = mount(&[
            ("memory.max", "max\n"),
            ("a/memory.max", "300000000\n"),
            ("a/b/memory.max", "500000000\n"),
        ]);
        assert_eq!(limit(two.path(), "0::/a/b\n"), Some(300_000_000));
        assert_eq!(limit(two.path(), "0::/\n"), None);
        assert_eq!(limit(two.path(), "0::/a/b/gone\n"), Some(300_000_000));
        let one = mount(&[
            ("memory/memory.limit_in_bytes", "200000000\n"),
            ("memory/docker/x/memory.limit_in_bytes", "900000000\n"),
        ]);
        let groups = "9:cpu,cpuacct:/\n8:hugetlb,memory:/docker/x\n1:name=systemd:/\n";
        assert_eq!(limit(one.path(), groups), Some(200_000_000));
        let elsewhere = "8:memory:/kubepods/pod1\n";
        assert_eq!(limit(one.path(), elsewhere), Some(200_000_000));
        assert_eq!(limit(one.path(), "nonsense\n"), None);
    }
}
