//! virsh's backup and checkpoint commands on a real guest and on a simulated one.

use std::fs;

use virtwire_tests::deadline;

use crate::both::Both;

#[tokio::test]
async fn checkpoints_are_the_same_by_virsh() {
    deadline(async {
        let both = Both::new().await;
        both.guest("check");
        both.run(
            "define DIR/check.xml
             checkpoint-create-as check one
             start check
             checkpoint-create-as check one
             checkpoint-create-as check two --diskspec vda,bitmap=two
             checkpoint-create-as check two
             checkpoint-create-as check three --diskspec vdz
             checkpoint-create-as check three --diskspec vda,bitmap=x
             checkpoint-list check
             checkpoint-list check --tree
             checkpoint-list check --parent
             checkpoint-list check --roots
             checkpoint-list check --leaves
             checkpoint-list check --from one
             checkpoint-info check one
             checkpoint-info check two
             checkpoint-dumpxml check two --no-domain
             checkpoint-dumpxml check two --no-domain --size
             checkpoint-dumpxml check one
             checkpoint-parent check two
             checkpoint-parent check one
             checkpoint-delete check nope
             checkpoint-create-as check three
             checkpoint-delete check one
             checkpoint-list check --tree
             checkpoint-delete check two --children-only
             checkpoint-list check --tree
             checkpoint-delete check two --children
             checkpoint-list check --tree
             checkpoint-create-as check four
             blockpull check vda --wait
             destroy check
             undefine check
             checkpoint-delete check four
             checkpoint-dumpxml check four --size
             undefine check --checkpoints-metadata",
        )
        .await;
        both.events().await;
    })
    .await;
}

#[tokio::test]
async fn push_backups_are_the_same_by_virsh() {
    deadline(async {
        let both = Both::new().await;
        both.guest("push");
        let write = |name: &str, xml: String| {
            let directory = both
                .path("")
                .to_str()
                .unwrap()
                .trim_end_matches('/')
                .to_owned();
            fs::write(both.path(name), xml.replace("DIR", &directory)).unwrap();
        };
        let push = "<domainbackup><disks><disk name='vda' backup='yes' type='file'>\
                    <driver type='qcow2'/><target file='DIR/push-1.qcow2'/></disk></disks>\
                    </domainbackup>";
        write("1.xml", push.to_owned());
        write("2.xml", push.replace("push-1", "push-2"));
        let since = "<domainbackup><incremental>one</incremental><disks>";
        let incremental = push.replace("<domainbackup><disks>", since);
        write("3.xml", incremental.replace("push-1", "push-3"));
        let unknown = incremental.replace("one", "nope");
        write("4.xml", unknown.replace("push-1", "push-4"));
        write("5.xml", push.replace("vda", "vdz"));
        let nothing = "<disk name='vda' backup='no'/>";
        write(
            "6.xml",
            format!("<domainbackup><disks>{nothing}</disks></domainbackup>"),
        );
        both.run(
            "define DIR/push.xml
             backup-begin push DIR/1.xml
             domjobinfo push
             domjobinfo push --completed
             domjobabort push
             start push
             backup-dumpxml push
             domjobinfo push
             domjobabort push
             checkpoint-create-as push one
             backup-begin push DIR/1.xml
             sleep
             domjobinfo push
             domjobinfo push --completed --keep-completed
             domjobinfo push --completed --rawstats
             domjobinfo push --completed
             backup-begin push DIR/1.xml
             backup-begin push DIR/4.xml
             backup-begin push DIR/5.xml
             backup-begin push DIR/6.xml
             backup-begin push DIR/3.xml
             sleep
             domjobinfo push --completed --rawstats
             blockpull push vda --bandwidth 1
             backup-begin push DIR/2.xml
             blockjob push vda --abort
             destroy push
             undefine push --checkpoints-metadata",
        )
        .await;
        both.events().await;
    })
    .await;
}

#[tokio::test]
async fn pull_backups_are_the_same_by_virsh() {
    deadline(async {
        let both = Both::new().await;
        both.guest("pull");
        let directory = both
            .path("")
            .to_str()
            .unwrap()
            .trim_end_matches('/')
            .to_owned();
        let pull = "<domainbackup mode='pull'><server transport='unix' socket='DIR/nbd'/><disks>\
                    <disk name='vda' backup='yes' type='file'><scratch file='DIR/scratch.qcow2'/>\
                    </disk></disks></domainbackup>";
        let pull = pull.replace("DIR", &directory);
        fs::write(both.path("1.xml"), &pull).unwrap();
        let tcp = "<server transport='tcp' name='localhost'/>";
        let server = format!("<server transport='unix' socket='{directory}/nbd'/>");
        fs::write(both.path("2.xml"), pull.replace(&server, tcp)).unwrap();
        let checkpoint = "<domaincheckpoint><name>one</name></domaincheckpoint>";
        fs::write(both.path("one.xml"), checkpoint).unwrap();
        both.run(
            "create DIR/pull.xml
             backup-begin pull DIR/2.xml
             backup-begin pull DIR/1.xml DIR/one.xml
             backup-dumpxml pull
             domjobinfo pull
             domjobinfo pull --rawstats
             domjobinfo pull --completed
             blockjob pull vda --info
             blockjob pull vda --info --raw
             blockjob pull vda --pivot
             blockpull pull vda
             domjobabort pull
             sleep
             domjobinfo pull
             domjobinfo pull --completed --rawstats
             checkpoint-list pull --tree
             backup-begin pull DIR/1.xml
             blockjob pull vda --abort
             domjobinfo pull --completed
             backup-begin pull DIR/1.xml
             destroy pull",
        )
        .await;
        assert!(!both.path("scratch.qcow2").exists());
        both.events().await;
    })
    .await;
}
