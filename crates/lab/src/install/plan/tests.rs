use std::path::Path;

use super::{Facts, Offer, Plan, plan};
use crate::Error;
use crate::install::sources::SourceFile;

const OLD: &str = "1:7.2+dfsg-7+deb12u18";
const BACKPORT: &str = "1:10.0.2+ds-2+deb13u1~bpo12+1";

fn offer(version: &str, suite: &str) -> Offer {
    let uri = "http://mirror.example/debian".to_owned();
    Offer {
        version: version.to_owned(),
        uri,
        suite: suite.to_owned(),
    }
}

fn bookworm() -> Facts {
    let text = "deb http://mirror.example/debian bookworm main\n".to_owned();
    Facts {
        qemu_candidate: Some(OLD.to_owned()),
        qemu_offers: vec![offer(OLD, "bookworm")],
        libvirt_offers: vec![offer("9.0.0-4+deb12u2", "bookworm")],
        sources: vec![SourceFile {
            name: "sources.list".to_owned(),
            text,
        }],
        ..Facts::default()
    }
}

fn with_newer_qemu_utils(version: &str) -> Facts {
    Facts {
        qemu_utils: Some(version.to_owned()),
        qemu_utils_is_newer: true,
        ..bookworm()
    }
}

fn commands(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| step.arguments().join(" "))
        .collect()
}

const INSTALL: &str = "-y --no-install-recommends -o DPkg::Lock::Timeout=300 install \
                       libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients util-linux mount";

#[test]
fn a_fresh_machine_installs_from_its_own_suite() {
    let plan = plan(&bookworm(), Path::new("/scratch")).unwrap();
    assert_eq!(
        commands(&plan),
        [format!("{INSTALL} qemu-system-x86 qemu-utils")]
    );
    assert!(plan.private_sources.is_empty());
}

#[test]
fn nothing_brings_services() {
    let plan = plan(&bookworm(), Path::new("/scratch")).unwrap();
    assert!(!commands(&plan).concat().contains("libvirt-daemon-system"));
}

#[test]
fn qemu_utils_of_the_own_suite_changes_nothing() {
    let facts = Facts {
        qemu_utils: Some(OLD.to_owned()),
        ..bookworm()
    };
    let fresh = plan(&bookworm(), Path::new("/scratch")).unwrap();
    assert_eq!(plan(&facts, Path::new("/scratch")).unwrap(), fresh);
}

#[test]
fn qemu_utils_of_a_known_other_suite_draws_qemu_from_there() {
    let mut facts = with_newer_qemu_utils(BACKPORT);
    facts
        .qemu_offers
        .push(offer(BACKPORT, "bookworm-backports"));
    let plan = plan(&facts, Path::new("/scratch")).unwrap();
    let qemu = "qemu-system-x86/bookworm-backports qemu-system-common/bookworm-backports \
                qemu-system-data/bookworm-backports seabios/bookworm-backports";
    assert_eq!(commands(&plan), [format!("{INSTALL} {qemu}")]);
}

#[test]
fn qemu_utils_of_forgotten_backports_brings_them_back_privately() {
    let plan = plan(&with_newer_qemu_utils(BACKPORT), Path::new("/scratch")).unwrap();
    let options = "-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/scratch/sources \
                   -o Dir::State::Lists=/scratch/lists";
    let commands = commands(&plan);
    assert_eq!(commands.len(), 2);
    assert_eq!(commands[0], format!("{options} update"));
    assert!(commands[1].starts_with(&format!(
        "{options} {INSTALL} qemu-system-x86/bookworm-backports"
    )));
    let text = "deb http://mirror.example/debian bookworm-backports main\n\n\
                deb http://mirror.example/debian bookworm main\n";
    assert_eq!(plan.private_sources[0].text, text);
}

#[test]
fn qemu_utils_of_an_unknown_origin_is_an_error_that_names_both_versions() {
    let result = plan(&with_newer_qemu_utils("1:11.0-1"), Path::new("/scratch"));
    let Err(Error::NotPackaged { detail, .. }) = result else {
        panic!("{result:?}")
    };
    assert!(
        detail.contains("1:11.0-1") && detail.contains(OLD),
        "{detail}"
    );
}
