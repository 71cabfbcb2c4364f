//! What may be said, and what may not.

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(["virtwire"].into_iter().chain(line.split_whitespace()))
}

fn error(line: &str) -> ErrorKind {
    parse(line).unwrap_err().kind()
}

#[test]
fn definition_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn global_options_stand_before_or_after_the_command() {
    for line in [
        "-c test:///default -r -q --json uri",
        "uri --connect test:///default -rq --json",
    ] {
        let arguments = parse(line).unwrap();
        assert_eq!(arguments.connect.as_deref(), Some("test:///default"));
        assert!(arguments.readonly && arguments.quiet && arguments.json);
    }
}

#[test]
fn virsh_words_are_understood() {
    for line in [
        "version",
        "list --all --state-running --with-managed-save --title",
        "list --uuid --name --id --inactive",
        "domstate guest --reason",
        "dumpxml guest --inactive --security-info --update-cpu --migratable",
        "define /tmp/x.xml --validate",
        "undefine guest --managed-save --snapshots-metadata --nvram",
        "start guest --paused --autodestroy --bypass-cache --force-boot",
        "create x.xml --paused",
        "shutdown guest --mode acpi,agent",
        "destroy guest --graceful",
        "domblklist 1 --inactive --details",
        "blockpull guest vda --bandwidth 8 --base vda[2] --keep-relative --wait --verbose \
         --timeout 5 --async",
        "blockpull guest vda --bandwidth 8 --bytes",
        "blockjob guest vda",
        "blockjob guest vda --info --bytes",
        "blockjob guest vda --raw",
        "blockjob guest vda --abort --async",
        "blockjob guest vda --pivot",
        "blockjob guest vda --bandwidth 0 --bytes",
        "event --list",
        "event --event lifecycle",
        "event --domain guest --all --loop --timeout 5 --timestamp --count 3",
        "event --event lifecycle,block-job-2 --event reboot",
        "net-event --event lifecycle --network default --loop",
        "pool-event --pool default --event refresh --timeout 1",
        "nodedev-event --device computer --event update --timestamp",
        "secret-event --secret 6695eb01-f6a4-8304-79aa-97f2502e193f --event value-changed",
        "net-event --list",
        "qemu-monitor-event",
        "qemu-monitor-event --domain guest --event STOP --no-case --pretty --loop --count 2",
        "qemu-monitor-event --event ^BLOCK_ --regex --timeout 9 --timestamp",
        "call CONNECT_GET_URI",
        "call remote:16 {}",
        "call --list",
        "call --describe DOMAIN_GET_INFO",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
}

#[test]
fn contradictions_are_refused() {
    for line in [
        "list --table --name",
        "blockjob guest vda --raw --abort",
        "blockjob guest vda --info --pivot",
        "blockjob guest vda --bandwidth 1 --abort",
        "blockjob guest vda --bytes --async",
        "undefine guest --nvram --keep-nvram",
        "event --all --list",
        "event --all --event reboot",
        "pool-event --list --event refresh",
        "call X --list",
        "call --list --describe X",
    ] {
        assert_eq!(error(line), ErrorKind::ArgumentConflict, "{line}");
    }
    for line in [
        "blockpull guest vda --verbose",
        "blockpull guest vda --timeout 5",
        "blockpull guest vda --async",
        "blockpull guest vda --bytes",
        "blockpull guest vda --keep-relative",
        "event",
        "event --domain guest --loop",
        "secret-event",
        "qemu-monitor-event --regex",
        "call",
        "domstate",
    ] {
        assert_eq!(error(line), ErrorKind::MissingRequiredArgument, "{line}");
    }
    for line in [
        "blockpull guest vda --wait --timeout 0",
        "event --all --timeout 0",
        "event --all --count 0",
        "qemu-monitor-event --timeout 1s",
    ] {
        assert_eq!(error(line), ErrorKind::ValueValidation, "{line}");
    }
    assert_eq!(
        error("blockpull guest vda --bandwidth -1"),
        ErrorKind::UnknownArgument
    );
    assert_eq!(error("shutdown guest --mode fire"), ErrorKind::InvalidValue);
}
