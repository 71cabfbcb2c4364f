//! What is kept of a scene that was surprising.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;

use virtwire_tests::release;

use crate::lane::Lane;
use crate::options::Options;
use crate::scene::Report;

/// Writes all that is known of it into a directory, with the logs and the images.
pub(crate) fn keep(lane: &Lane, report: &Report, options: &Options) -> io::Result<PathBuf> {
    let dir = options
        .keep
        .join(format!("s{}-{}", options.seed, report.scene.name()));
    fs::create_dir_all(&dir)?;
    fs::write(
        dir.join("report.txt"),
        describe(report, options.seed, options.disks),
    )?;
    for (name, xml) in [
        ("live.xml", &report.seen.live),
        ("inactive.xml", &report.seen.inactive),
    ] {
        if let Some(xml) = xml {
            fs::write(dir.join(name), xml)?;
        }
    }
    fs::write(dir.join("writes.txt"), format!("{:#?}\n", report.writes))?;
    let log = lane.daemon.dir().join("log");
    let guest = format!("libvirt/qemu/{}.log", report.scene.name());
    for (from, to) in [
        (lane.daemon.log_path(), "libvirtd.log"),
        (log.join(guest), "qemu.log"),
    ] {
        if from.exists() {
            fs::copy(from, dir.join(to))?;
        }
    }
    for run in report.runs.iter().filter(|run| !run.surprises.is_empty()) {
        let images = run.course.work.chain.dir();
        let to = dir.join(images.file_name().unwrap_or_default());
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(images)? {
            let entry = entry?;
            // There may be a socket.
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
    }
    Ok(dir)
}

fn describe(report: &Report, seed: u64, disks: u8) -> String {
    let release = std::env::var(release::VARIABLE);
    let release = release.map_or_else(|_| String::new(), |name| format!(" --release {name}"));
    let (name, rounds) = (report.scene.name(), report.scene.round + 1);
    let mut text = format!(
        "{name}
again: cargo xtask chaos{release} --seed {seed} --disks {disks} --rounds {rounds} \
         --only {name}
",
    );
    let _ = writeln!(text, "jobs left: {:?}", report.seen.jobs);
    for accident in &report.accidents {
        let _ = writeln!(text, "ACCIDENT: {accident}");
    }
    for (number, run) in report.runs.iter().enumerate() {
        let work = &run.course.work;
        let _ = writeln!(text, "\ndisk {number}: {:?}\n{work:?}", run.course.moment);
        for line in &run.course.told.history {
            let _ = writeln!(text, "  {line}");
        }
        let _ = writeln!(text, "  images: {:?}", run.images);
        for surprise in &run.surprises {
            let _ = writeln!(text, "  SURPRISE: {surprise}");
        }
    }
    text
}
