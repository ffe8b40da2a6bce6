//! What workers say of their machines: whether it can be, and how it is kept.

use neuro_orchestrator::Speed;
use neuro_orchestrator::store::Hardware as Recorded;
use neuro_protocol::control::{Accelerator, Calibration, Hardware, JoinRequest, MeasuredSpeed};

use super::roster::shown;

/// Processors, bytes of memory and accelerators that no machine has today, with room for some years.
const MAX_CORES: u32 = 16_384;
const MAX_MEMORY_BYTES: u64 = 1 << 47;
const MAX_ACCELERATORS: usize = 64;

/// Instruction sets that are worth naming; more is noise.
const MAX_FEATURES: usize = 32;

/// Speeds that a calibration has; more is no calibration.
const MAX_SPEEDS: usize = 8;

/// Rows of a task.
const MAX_ROWS: u32 = 512;

/// Why a machine cannot be as it is described.
///
/// # Errors
/// What contradicts itself, or the world.
pub fn check(request: &JoinRequest) -> Result<(), String> {
    let limit = request.memory_limit_bytes;
    at_most("threads", request.threads.into(), MAX_CORES.into())?;
    at_most("bytes of expert memory", limit, MAX_MEMORY_BYTES)?;
    let Some(hardware) = &request.hardware else { return Ok(()) };
    at_most("processors", hardware.cores.into(), MAX_CORES.into())?;
    at_most("bytes of memory", hardware.ram_bytes, MAX_MEMORY_BYTES)?;
    at_most("accelerators", hardware.accelerators.len() as u64, MAX_ACCELERATORS as u64)?;
    for accelerator in &hardware.accelerators {
        at_most("bytes of an accelerator's memory", accelerator.memory_bytes, MAX_MEMORY_BYTES)?;
    }
    if hardware.ram_bytes > 0 && limit > hardware.ram_bytes {
        return Err(format!("it would lend {limit} bytes and has {} bytes of memory", hardware.ram_bytes));
    }
    Ok(())
}

fn at_most(what: &str, got: u64, most: u64) -> Result<(), String> {
    if got <= most { Ok(()) } else { Err(format!("expected at most {most} {what}, got {got}")) }
}

/// The same without anything that could write to a terminal, or fill one.
#[must_use]
pub fn readable(hardware: &Hardware) -> Hardware {
    let accelerator = |found: &Accelerator| Accelerator { name: shown(&found.name), memory_bytes: found.memory_bytes };
    Hardware {
        cpu: shown(&hardware.cpu),
        cpu_features: hardware.cpu_features.iter().take(MAX_FEATURES).map(|feature| shown(feature)).collect(),
        accelerators: hardware.accelerators.iter().map(accelerator).collect(),
        ..*hardware
    }
}

/// As the store keeps it: of several accelerators all names and the memory of all.
#[must_use]
pub fn recorded(hardware: Option<&Hardware>, threads: u32, engine: &str, version: &str) -> Recorded {
    let (engine, version) = (engine.to_owned(), version.to_owned());
    let Some(hardware) = hardware else { return Recorded { cores: threads, engine, version, ..Recorded::default() } };
    let names: Vec<&str> = hardware.accelerators.iter().map(|found| found.name.as_str()).collect();
    Recorded {
        cpu_features: hardware.cpu_features.join(" "),
        cores: hardware.cores,
        ram_bytes: hardware.ram_bytes,
        gpu: names.join(", "),
        vram_bytes: hardware.accelerators.iter().fold(0, |sum, found| sum.saturating_add(found.memory_bytes)),
        engine,
        version,
    }
}

/// The machine that [`recorded`] kept; `None` where the worker told of none. Several accelerators are one, by all their
/// names.
#[must_use]
pub fn told(recorded: &Recorded) -> Option<Hardware> {
    let Recorded { cpu_features, cores, ram_bytes, gpu, vram_bytes, .. } = recorded;
    let accelerator = Accelerator { name: gpu.clone(), memory_bytes: *vram_bytes };
    (*ram_bytes > 0 || !cpu_features.is_empty()).then(|| Hardware {
        cpu_features: cpu_features.split_whitespace().map(str::to_owned).collect(),
        cores: *cores,
        ram_bytes: *ram_bytes,
        accelerators: (!gpu.is_empty()).then_some(accelerator).into_iter().collect(),
        ..Hardware::default()
    })
}

/// What a calibration says, for the core. None for one that says nothing sensible.
#[must_use]
pub fn speeds(calibration: &Calibration) -> Option<Vec<Speed>> {
    let sensible = |speed: &MeasuredSpeed| (1..=MAX_ROWS).contains(&speed.rows) && speed.row_ns > 0;
    let (few, all) = (calibration.speeds.len() <= MAX_SPEEDS, calibration.speeds.iter().all(sensible));
    let speeds = calibration.speeds.iter().map(|speed| Speed { rows: speed.rows, row_ns: speed.row_ns }).collect();
    (few && all && !calibration.speeds.is_empty()).then_some(speeds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(cores: u32, ram_bytes: u64, memory_limit_bytes: u64) -> JoinRequest {
        let hardware = Hardware { cores, ram_bytes, ..Hardware::default() };
        JoinRequest { memory_limit_bytes, hardware: Some(hardware), ..JoinRequest::default() }
    }

    #[test]
    fn machines_that_cannot_be_are_told_apart_from_large_ones() {
        assert_eq!(check(&request(384, 6 << 40, 5 << 40)), Ok(()));
        assert_eq!(check(&request(2, 0, 1 << 30)), Ok(()), "memory that is not told is no contradiction");
        let lends_more = check(&request(8, 1 << 30, 2 << 30)).unwrap_err();
        assert!(lends_more.contains("2147483648") && lends_more.contains("1073741824"), "{lends_more}");
        for (cores, ram, limit) in [(u32::MAX, 1 << 30, 1), (8, u64::MAX, 1), (8, 0, u64::MAX)] {
            assert!(check(&request(cores, ram, limit)).is_err(), "{cores} {ram} {limit}");
        }
        let mut many = request(8, 1 << 30, 1);
        many.hardware.as_mut().unwrap().accelerators = vec![Accelerator::default(); 65];
        assert!(check(&many).is_err());
        assert!(check(&JoinRequest { threads: u32::MAX, ..JoinRequest::default() }).is_err());
    }

    #[test]
    fn a_recorded_machine_is_told_as_it_was_but_for_its_processors_name() {
        let card = |name: &str| Accelerator { name: name.to_owned(), memory_bytes: 4 };
        let machine = Hardware {
            cpu: "Example 9".to_owned(),
            cpu_features: vec!["avx2".to_owned(), "f16c".to_owned()],
            cores: 8,
            ram_bytes: 1 << 30,
            accelerators: vec![card("A"), card("B")],
        };
        let both = Accelerator { name: "A, B".to_owned(), memory_bytes: 8 };
        let expected = Hardware { cpu: String::new(), accelerators: vec![both], ..machine.clone() };
        assert_eq!(told(&recorded(Some(&machine), 2, "native-1", "0.1.0")), Some(expected));
        assert_eq!(told(&recorded(None, 2, "native-1", "0.1.0")), None);
    }

    #[test]
    fn a_calibration_without_sense_counts_for_nothing() {
        let calibration = |speeds: Vec<(u32, u64)>| Calibration {
            weight_type: "q4_k".to_owned(),
            speeds: speeds.into_iter().map(|(rows, row_ns)| MeasuredSpeed { rows, row_ns }).collect(),
        };
        assert_eq!(speeds(&calibration(vec![(1, 900), (32, 100)])).unwrap().len(), 2);
        for bad in [vec![], vec![(0, 5)], vec![(1, 0)], vec![(513, 5)], vec![(1, 5); 9]] {
            assert_eq!(speeds(&calibration(bad.clone())), None, "{bad:?}");
        }
    }
}
