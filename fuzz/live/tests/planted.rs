//! What is planted is found: crashes, hangs and violations, and what it takes. Needs root.
use std::fs;
use std::time::Duration;

use virtwire_fuzz_live::campaign::{Options, replay, run};
use virtwire_fuzz_live::finding::Kind;
use virtwire_fuzz_live::reproducer::Reproducer;
use virtwire_fuzz_live::script::{Action, Callable};
use virtwire_fuzz_live::stage::Patience;
use virtwire_fuzz_live::summary::Summary;
use virtwire_lab::cage::{Defect, Effect};
use virtwire_lab::{CagedDaemon, Driver, Installation, Policy};
use virtwire_protocol::{Procedure, remote};

/// What stands in the packet of any call of this procedure, and in no other.
fn call_of<P: Procedure>() -> Vec<u8> {
    let words = [P::PROGRAM.number, P::PROGRAM.version];
    let words = words.map(u32::to_be_bytes).concat();
    // The type follows: a call.
    [&words[..], &P::NUMBER.to_be_bytes(), &[0; 4]].concat()
}

/// A daemon that misbehaves once these were called in this order.
fn start(steps: impl IntoIterator<Item = Vec<u8>>, effect: Effect) -> CagedDaemon {
    Installation::ensure(Policy::Install, &mut |step| println!("{step}")).unwrap();
    let defect = Defect::new(steps, effect);
    CagedDaemon::builder().defect(defect).start().unwrap()
}

fn options(out: &std::path::Path) -> Options {
    let mut options = Options::new(Driver::Test, Duration::from_secs(6), 1);
    options.out = out.to_owned();
    // Few enough to meet what is planted at once, and none with a defect of its own.
    options.only = Some(vec![
        Callable::of::<remote::ConnectListAllDomains>(),
        Callable::of::<remote::ConnectGetHostname>(),
        Callable::of::<remote::DomainLookupByName>(),
        Callable::of::<remote::DomainGetXmlDesc>(),
        Callable::of::<remote::DomainGetHostname>(),
        Callable::of::<remote::DomainGetMaxMemory>(),
        Callable::of::<remote::DomainGetMaxVcpus>(),
        Callable::of::<remote::DomainGetState>(),
        Callable::of::<remote::DomainSuspend>(),
        Callable::of::<remote::DomainUndefine>(),
    ]);
    // Other tests run at the same time, and what is asserted is that only what it takes is left.
    options.minimising = Duration::from_secs(180);
    options.patience.life = Duration::from_secs(4);
    options.patience.last = Duration::from_secs(4);
    options
}

/// Fuzzes a daemon, and gives what was written of the finding of this kind and signature.
fn found(daemon: CagedDaemon, kind: Kind, part: &str) -> (Summary, Reproducer) {
    let out = tempfile::tempdir().unwrap();
    let summary = run(&options(out.path()), daemon, &mut |line| println!("{line}")).unwrap();
    println!("{summary}");
    let files = fs::read_dir(out.path()).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let reproducers = files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| Reproducer::read(&path).unwrap());
    let mut matching =
        reproducers.filter(|found| found.kind == kind && found.signature.contains(part));
    (summary, matching.next().unwrap())
}

/// The names of what is called.
fn calls(reproducer: &Reproducer) -> Vec<&'static str> {
    let calls = reproducer
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::Call { procedure, .. } => Some(procedure.0.name),
            _ => None,
        });
    calls.collect()
}

#[test]
fn a_planted_crash_is_found_and_reduced_to_the_two_calls_that_it_takes() {
    let sequence = || {
        [
            call_of::<remote::DomainGetHostname>(),
            call_of::<remote::DomainUndefine>(),
        ]
    };
    let (summary, crash) = found(start(sequence(), Effect::Crash), Kind::Crash, "SIGSEGV");
    assert!(summary.calls > 100 && summary.daemons > 1);
    let expected = [
        remote::DomainGetHostname::NAME,
        remote::DomainUndefine::NAME,
    ];
    assert!(crash.reproduced);
    assert_eq!(calls(&crash), expected);

    // What was written makes it happen again, and only where the defect is.
    let patience = Patience {
        answer: Duration::from_millis(500),
        life: Duration::from_secs(5),
        last: Duration::from_secs(5),
    };
    let (steps, signature) = (&crash.steps, &crash.signature);
    let again = |daemon| replay(daemon, Driver::Test, patience, steps, signature);
    let same = again(start(sequence(), Effect::Crash)).unwrap();
    assert_eq!(
        (same.kind, same.signature),
        (Kind::Crash, signature.clone())
    );
    assert_eq!(again(CagedDaemon::start().unwrap()), None);
    assert!(crash.script().contains("DOMAIN_UNDEFINE"));
}

#[test]
fn a_planted_hang_is_found() {
    let steps = [call_of::<remote::DomainGetMaxMemory>()];
    let (_, hang) = found(start(steps, Effect::Hang), Kind::Hang, "event loop");
    assert_eq!(calls(&hang), [remote::DomainGetMaxMemory::NAME]);
}

#[test]
fn a_planted_violation_is_found() {
    let steps = [call_of::<remote::DomainGetMaxVcpus>()];
    let (_, violation) = found(
        start(steps, Effect::Garble),
        Kind::Violation,
        "answer to nothing",
    );
    assert!(violation.reproduced);
    assert_eq!(
        calls(&violation).first(),
        Some(&remote::DomainGetMaxVcpus::NAME)
    );
}

#[test]
fn the_daemon_is_the_caged_one_and_no_other() {
    // That nothing else can be given is checked by the compiler; this is that it is what it says.
    let daemon = start([], Effect::Crash);
    let confinement = daemon.confinement().unwrap();
    assert_eq!(confinement.capabilities, 0);
    assert_eq!(confinement.interfaces, ["lo"]);
    assert_eq!(confinement.users, [daemon.user(); 4]);
}
