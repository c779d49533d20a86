//! What a server's processes have used, from `/proc` (proc(5)).

use std::collections::HashMap;
use std::fs;

/// A process and all below it.
#[derive(Clone, Copy, Debug)]
pub struct Tree(pub u32);

/// What they have used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU seconds, of the user and of the system, ended children included.
    pub cpu_s: f64,
    /// Peak of resident memory, summed over the processes that live, in KiB.
    pub peak_kib: u64,
    /// Memory of their own and their share of what is shared, in KiB.
    pub memory_kib: u64,
}

/// Clock ticks a second, which `/proc` counts in (`USER_HZ`, 100 on every Linux architecture Rust supports).
const TICKS_PER_S: f64 = 100.0;

impl Tree {
    /// The processes that live now.
    fn members(self) -> Vec<u32> {
        let mut parents = HashMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            if let Some(parent) = fields(pid).and_then(|fields| fields.get(1)?.parse::<u32>().ok()) {
                parents.insert(pid, parent);
            }
        }
        let below = |mut pid: u32| {
            while pid != self.0 {
                match parents.get(&pid) {
                    Some(parent) if *parent != pid => pid = *parent,
                    _ => return false,
                }
            }
            true
        };
        parents.keys().copied().filter(|pid| below(*pid)).collect()
    }

    /// What they have used so far.
    pub fn usage(self) -> Usage {
        let mut usage = Usage::default();
        for pid in self.members() {
            let Some(fields) = fields(pid) else { continue };
            // utime, stime, cutime, cstime: 14 to 17 of proc(5); `fields` begins with the third.
            let ticks: f64 = fields[11..15].iter().filter_map(|field| field.parse::<f64>().ok()).sum();
            usage.cpu_s += ticks / TICKS_PER_S;
            usage.peak_kib += kib(pid, "status", "VmHWM:");
            usage.memory_kib += kib(pid, "smaps_rollup", "Pss:");
        }
        usage
    }
}

/// The fields of `/proc/PID/stat` from the third, the state, on: the second may hold blanks.
fn fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

fn kib(pid: u32, file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
