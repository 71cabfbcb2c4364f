//! What may be said, and what may not.

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    let words = ["virtwire"].into_iter().chain(line.split_whitespace());
    Arguments::try_parse_from(in_place(words.map(Into::into).collect()))
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

/// What is taken.
const UNDERSTOOD: &[&str] = &[
    "version",
    "list --all --state-running --with-managed-save --title",
    "list --uuid --name --id --inactive",
    "domstate guest --reason",
    "dumpxml guest --inactive --security-info --update-cpu --migratable",
    "define guest.xml --validate",
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
    "blockpull guest vda vdb --wait",
    "blockcommit guest vda --active --shallow --delete --keep-relative --wait --verbose --async",
    "blockcommit guest vda --base vda[3] --top vda[1] --bandwidth 9 --bytes --timeout 5",
    "blockcommit guest vda vdb --pivot --verbose --quiesce",
    "blockcommit guest vda --keep-overlay --async",
    "blockcopy guest vda /copy --wait --verbose --shallow --reuse-external --raw",
    "blockcopy guest vda --dest /dev/x --blockdev --format raw --pivot --transient-job",
    "blockcopy guest vda --xml /x.xml --finish --granularity 65536 --buf-size 1048576",
    "blockcopy guest vda --dest /x --synchronous-writes --timeout 5 --async --bytes --bandwidth 1",
    "blockcopy guest vda --dest /x --print-xml",
    "blockcopy guest vda /a vdb /b --pivot",
    "blockcommit --domain guest --path vda --active --pivot",
    "domblkthreshold --threshold 1G --dev vda --domain guest",
    "snapshot-create-as --domain guest --name one --disk-only",
    "blockjobs",
    "blockjobs --domain guest --watch --interval 2 --timeout 60",
    "blockresize guest vda 10G",
    "domblkinfo guest vda --human",
    "domblkinfo guest --device vda",
    "domblkinfo guest --all --human",
    "domblkthreshold guest vda[1] 100MB",
    "domfsfreeze guest",
    "domfsthaw guest / --mountpoint /home",
    "domjobabort guest",
    "backup-begin guest",
    "backup-begin guest b.xml c.xml --reuse-external",
    "backup-begin guest --backupxml b.xml --checkpointxml c.xml --wait --verbose --timeout 9",
    "backup-dumpxml guest",
    "checkpoint-create guest c.xml --redefine --redefine-validate",
    "checkpoint-create guest --xmlfile c.xml --quiesce",
    "checkpoint-create-as guest",
    "checkpoint-create-as guest one text vda vdb,checkpoint=no --print-xml",
    "checkpoint-create-as guest --name one --diskspec vda --diskspec vdb --quiesce",
    "checkpoint-list guest --parent --leaves --topological",
    "checkpoint-list guest --tree --from one",
    "checkpoint-list guest --name --roots --no-leaves",
    "checkpoint-list guest --from one --descendants",
    "checkpoint-info guest one",
    "checkpoint-dumpxml guest --checkpointname one --no-domain --size --security-info",
    "checkpoint-parent guest one",
    "checkpoint-delete guest one --children --metadata",
    "snapshot-create-as guest one text --disk-only --atomic --no-metadata --reuse-external",
    "snapshot-create-as guest --name one --diskspec vda,file=/x --quiesce --live --halt",
    "snapshot-create-as guest --memspec /m --print-xml --validate",
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
];

#[test]
fn virsh_words_are_understood() {
    for line in UNDERSTOOD {
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
        "blockcommit guest vda --pivot --keep-overlay",
        "blockcommit guest vda --shallow --base x",
        "blockcopy guest vda --dest /x --xml x.xml",
        "blockcopy guest vda --xml x.xml --format raw",
        "blockcopy guest vda --xml x.xml --blockdev",
        "blockcopy guest vda --dest /x --pivot --finish",
        "blockcopy guest vda --dest /x --raw --format qcow2",
        "domblkinfo guest vda --all",
        "checkpoint-list guest --tree --name",
        "checkpoint-list guest --parent --roots",
        "checkpoint-list guest --tree --leaves",
        "checkpoint-list guest --roots --from one",
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
        "blockpull guest",
        "blockcommit guest vda --active --verbose",
        "blockcommit guest vda --active --async",
        "blockcommit guest vda --active --quiesce",
        "blockcopy guest vda --dest /x --verbose",
        "blockcopy guest vda --dest /x --async",
        "blockjobs --interval 2",
        "blockjobs --timeout 2",
        "backup-begin guest --verbose",
        "checkpoint-create guest --redefine-validate",
        "checkpoint-list guest --descendants",
        "checkpoint-info guest",
        "domblkinfo guest",
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
        "blockresize guest vda 10X",
        "blockjobs --watch --interval 0",
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
