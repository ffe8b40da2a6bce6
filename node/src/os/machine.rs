//! What the machine has: processor, memory, accelerators, as the operating system tells. What is not told is left out.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::memory;

/// Drivers list an accelerator's memory in MiB.
const MIB: u64 = 1 << 20;

/// An accelerator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accelerator {
    /// Its name.
    pub name: String,
    /// Its memory in bytes; 0 when not told.
    pub memory_bytes: u64,
}

/// The processor's name, such as `AMD EPYC 9R14`; empty when not told.
#[must_use]
pub fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    line.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim().to_owned()).unwrap_or_default()
}

/// Instruction sets that experts could be computed with, those of newer machines last.
#[must_use]
pub fn instruction_sets() -> Vec<&'static str> {
    let mut sets: Vec<_> = detected().into_iter().filter(|(_, present)| *present).map(|(name, _)| name).collect();
    if sets.is_empty() {
        sets.push("scalar");
    }
    sets
}

#[cfg(target_arch = "x86_64")]
fn detected() -> [(&'static str, bool); 8] {
    [
        ("sse4.2", std::arch::is_x86_feature_detected!("sse4.2")),
        ("f16c", std::arch::is_x86_feature_detected!("f16c")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ("avx512bw", std::arch::is_x86_feature_detected!("avx512bw")),
        ("avx512vnni", std::arch::is_x86_feature_detected!("avx512vnni")),
        ("avx512bf16", std::arch::is_x86_feature_detected!("avx512bf16")),
    ]
}

#[cfg(target_arch = "aarch64")]
fn detected() -> [(&'static str, bool); 5] {
    [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("bf16", std::arch::is_aarch64_feature_detected!("bf16")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
        ("sve", std::arch::is_aarch64_feature_detected!("sve")),
    ]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detected() -> [(&'static str, bool); 0] {
    []
}

/// Processors that this process may use.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Main memory in bytes; 0 when not told.
#[must_use]
pub fn memory_bytes() -> u64 {
    memory::total_bytes().unwrap_or(0)
}

/// The accelerators that drivers list: NVIDIA's by its own tool, AMD's in `/sys`.
#[must_use]
pub fn accelerators() -> Vec<Accelerator> {
    let mut found = nvidia();
    found.extend(amd(Path::new("/sys/class/drm")));
    found
}

/// Without the driver there is no tool, and nothing is started.
fn nvidia() -> Vec<Accelerator> {
    if !Path::new("/proc/driver/nvidia/version").exists() {
        return Vec::new();
    }
    let listed =
        Command::new("nvidia-smi").args(["--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]).output();
    listed.map(|output| nvidia_lines(&String::from_utf8_lossy(&output.stdout))).unwrap_or_default()
}

fn nvidia_lines(text: &str) -> Vec<Accelerator> {
    let line = |line: &str| {
        let (name, mebibytes) = line.rsplit_once(',')?;
        Some(Accelerator {
            name: name.trim().to_owned(),
            memory_bytes: mebibytes.trim().parse::<u64>().unwrap_or(0).saturating_mul(MIB),
        })
    };
    text.lines().filter_map(line).collect()
}

/// Cards whose driver tells their memory; the name is the driver's product name, where it has one.
fn amd(cards: &Path) -> Vec<Accelerator> {
    let mut folders: Vec<_> = fs::read_dir(cards).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let card = |folder: &Path| {
        let read = |file: &str| fs::read_to_string(folder.join("device").join(file)).ok();
        let memory_bytes = read("mem_info_vram_total")?.trim().parse().ok()?;
        let name = read("product_name").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        Some(Accelerator { name: name.unwrap_or_else(|| "AMD".to_owned()), memory_bytes })
    };
    folders.iter().filter_map(|folder| card(folder)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_processors_memory_and_an_instruction_set() {
        assert!(cores() >= 1 && !instruction_sets().is_empty());
        assert!(memory_bytes() >= memory::available_bytes().unwrap());
    }

    #[test]
    fn nvidias_tool_lists_one_card_a_line() {
        let listed = nvidia_lines("NVIDIA H200, 143771\nTesla, odd name, 16384\nrubbish\nbroken, [N/A]\n");
        let expected = [("NVIDIA H200", 143_771), ("Tesla, odd name", 16_384), ("broken", 0)];
        let expected =
            expected.map(|(name, mebibytes)| Accelerator { name: name.to_owned(), memory_bytes: mebibytes * MIB });
        assert_eq!(listed, expected);
    }

    #[test]
    fn amds_cards_tell_their_memory() {
        let cards = tempfile::tempdir().unwrap();
        for (card, memory) in [("card0", Some("17163091968\n")), ("card1", None)] {
            let device = cards.path().join(card).join("device");
            fs::create_dir_all(&device).unwrap();
            memory.into_iter().for_each(|memory| fs::write(device.join("mem_info_vram_total"), memory).unwrap());
        }
        let found = amd(cards.path());
        assert_eq!(found, [Accelerator { name: "AMD".to_owned(), memory_bytes: 17_163_091_968 }]);
    }
}
