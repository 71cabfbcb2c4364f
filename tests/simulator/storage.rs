//! Storage pools and volumes, by virsh: on the simulator and, for comparison, on a real daemon.

use std::fs;
use std::path::{Path, PathBuf};

use virtwire_lab::{Daemon, Driver};
use virtwire_sim::Simulator;
use virtwire_tests::deadline;
use virtwire_tests::volume::noise;

use crate::served::{Served, virsh};
use crate::transcript::same_on_both;

/// What is done to pools and volumes; `P` stands for a directory that is not there yet.
const SCRIPT: &str = "
    pool-define-as p dir --target P
    pool-start p
    pool-dumpxml p
    pool-build p
    pool-start p
    pool-start p
    pool-list
    pool-list --all
    pool-list --inactive
    pool-list --transient
    pool-list --type dir
    pool-list --type logical,fs
    pool-list --no-autostart --persistent
    pool-dumpxml p
    pool-name 6695eb01-f6a4-8304-79aa-97f2502e193f
    vol-create-as p raw 1M
    vol-create-as p raw 1M
    vol-create-as p sparse 1000000b --allocation 0
    vol-create-as p cow 1M --format qcow2
    vol-create-as p over 1M --format qcow2 --backing-vol cow --backing-vol-format qcow2
    vol-list p
    vol-list p --details
    vol-info raw p
    vol-info --physical sparse p
    vol-info cow p
    vol-info --physical cow p
    vol-dumpxml raw p
    vol-dumpxml sparse p
    vol-dumpxml over p
    vol-clone raw clone --pool p
    vol-info clone p
    vol-clone raw clone --pool p
    vol-clone cow cowclone --pool p
    vol-info cowclone p
    vol-resize raw 2M --pool p
    vol-resize raw 1M --pool p
    vol-resize raw --delta 1M --pool p
    vol-info raw p
    vol-resize cow 2M --pool p
    vol-info cow p
    vol-resize clone 3M --allocate --pool p
    vol-info clone p
    vol-resize sparse 512K --pool p
    vol-resize sparse 512K --shrink --pool p
    vol-info sparse p
    vol-wipe sparse --pool p
    vol-wipe clone --pool p
    vol-info clone p
    vol-wipe raw --pool p --algorithm trim
    vol-key raw p
    vol-path raw --pool p
    vol-pool P/raw
    vol-name P/raw
    vol-info P/nothing
    vol-delete nothing p
    vol-delete clone p
    vol-create-as p a/b 1M
    vol-create-as p big 100T
    vol-create-as p bad 1M --format nosuch
    vol-create-as p bad 1M --format qcow2 --backing-vol nothing
    pool-refresh p
    vol-list p --details
    vol-dumpxml over p
    pool-undefine p
    pool-destroy p
    pool-destroy p
    pool-refresh p
    vol-list p
    vol-info P/raw
    pool-info nothing
    pool-delete p
    pool-autostart p
    pool-list --all
    pool-autostart p --disable
    pool-undefine p
    pool-undefine p
    pool-create-as t dir --target P
    pool-list --all
    pool-autostart t
    vol-list t
    pool-destroy t
    pool-list --all
    pool-create-as t dir --target P/none
    pool-define-as q dir --target P
    pool-define-as q dir --target P/other
    pool-define-as q2 dir --target P/other
    pool-define-as bad nosuch --target P
    pool-define-as bad dir
    pool-start q --build
    pool-destroy q
    pool-delete q
    pool-undefine q
";

#[tokio::test]
async fn pools_and_volumes_are_those_of_a_real_daemon() {
    deadline(async {
        let daemon = tokio::task::spawn_blocking(Daemon::start);
        let daemon = daemon.await.unwrap().unwrap();
        let served = Served::new(Simulator::builder().start());
        let directory = daemon.images_dir().join("pool");
        let script = SCRIPT.replace('P', directory.to_str().unwrap());
        same_on_both(&daemon.uri(Driver::Qemu), &served.uri("qemu"), &script).await;
    })
    .await;
}

/// A file with data at its start, a hole, data in its midst, and a hole at its end.
fn sparse_file(path: &Path) -> Vec<u8> {
    let mut data = vec![0; (4 << 20) + 1234];
    data[..100_000].copy_from_slice(&noise(100_000));
    data[(2 << 20) + 4096..(2 << 20) + 304_097].copy_from_slice(&noise(300_001));
    fs::write(path, &data).unwrap();
    // Writing zeros makes no hole.
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(0).unwrap();
    file.set_len(data.len() as u64).unwrap();
    use std::os::unix::fs::FileExt;
    file.write_all_at(&data[..100_000], 0).unwrap();
    let middle = (2 << 20) + 4096;
    file.write_all_at(&data[middle..middle + 300_001], middle as u64)
        .unwrap();
    data
}

/// Uploads and downloads in every way.
struct Transfers {
    uri: String,
    /// Where the pool is.
    pool: PathBuf,
    /// Where the tester's files are.
    files: tempfile::TempDir,
}

impl Transfers {
    async fn says(&self, arguments: &str) -> String {
        let arguments = arguments
            .replace("FILES", self.files.path().to_str().unwrap())
            .replace("POOL", self.pool.to_str().unwrap());
        let words: Vec<&str> = arguments.split_whitespace().collect();
        let output = virsh(&self.uri, &words).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "virsh {arguments}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.files.path().join(name)).unwrap()
    }

    async fn run(&self) -> String {
        let data = noise((3 << 20) + 17);
        fs::write(self.files.path().join("data"), &data).unwrap();
        let holes = sparse_file(&self.files.path().join("holes"));
        self.says("pool-create-as p dir --target POOL --build")
            .await;
        self.says("vol-create-as p plain 3145745b").await;
        self.says("vol-upload plain FILES/data --pool p").await;
        self.says("vol-download plain FILES/back --pool p").await;
        assert_eq!(self.read("back"), data);
        let part = "vol-download plain FILES/part --pool p --offset 1001 --length 70001";
        self.says(part).await;
        assert_eq!(self.read("part"), data[1001..71_002]);

        self.says("vol-create-as p holes 1M --allocation 0").await;
        self.says("vol-upload holes FILES/holes --pool p --sparse")
            .await;
        self.says("vol-download holes FILES/back --pool p --sparse")
            .await;
        assert_eq!(self.read("back"), holes);
        self.says("vol-download holes FILES/back --pool p").await;
        assert_eq!(self.read("back"), holes);
        let info = self.says("vol-info holes --pool p --bytes").await;

        // Data in the midst of what was there.
        self.says("vol-upload plain FILES/part --pool p --offset 2000000 --length 70001")
            .await;
        self.says("vol-download plain FILES/back --pool p").await;
        let mut expected = data;
        expected.splice(2_000_000..2_070_001, self.read("part"));
        assert_eq!(self.read("back"), expected);

        // What is uploaded is found out.
        self.says("vol-create-as p cow 5M --format qcow2").await;
        self.says("vol-download cow FILES/image --pool p").await;
        self.says("vol-create-as p copy 1K").await;
        self.says("vol-upload copy FILES/image --pool p").await;
        let copy = self.says("vol-dumpxml copy p").await;
        assert!(copy.contains("<format type='qcow2'/>"), "{copy}");
        assert!(
            copy.contains("<capacity unit='bytes'>5242880</capacity>"),
            "{copy}"
        );
        self.says("pool-destroy p").await;
        info
    }
}

#[tokio::test]
async fn what_is_uploaded_is_downloaded_on_both() {
    deadline(async {
        let daemon = tokio::task::spawn_blocking(Daemon::start);
        let daemon = daemon.await.unwrap().unwrap();
        let served = Served::new(Simulator::builder().start());
        let pool = daemon.images_dir().join("pool");
        let mut infos = Vec::new();
        let uris = [
            served.uri("qemu"),
            served.uri("test"),
            daemon.uri(Driver::Qemu),
        ];
        for (round, uri) in uris.into_iter().enumerate() {
            let transfers = Transfers {
                uri,
                pool: pool.join(round.to_string()),
                files: tempfile::tempdir().unwrap(),
            };
            infos.push(transfers.run().await);
        }
        assert!(infos.iter().all(|info| *info == infos[2]), "{infos:?}");
    })
    .await;
}

#[tokio::test]
async fn image_tool_reads_what_the_simulator_calls_an_image() {
    deadline(async {
        let served = Served::new(Simulator::builder().start());
        let file = served.file("image.qcow2");
        let pool = "pool-create-as p dir --target /p --build";
        served
            .says("qemu", &pool.split(' ').collect::<Vec<_>>())
            .await;
        let make = "vol-create-as p cow 20G --format qcow2";
        served
            .says("qemu", &make.split(' ').collect::<Vec<_>>())
            .await;
        let path = file.to_str().unwrap();
        served
            .says("qemu", &["vol-download", "cow", path, "--pool", "p"])
            .await;
        let info = virtwire_lab::image::info(&file).unwrap();
        assert_eq!(
            (info.format.as_str(), info.virtual_size),
            ("qcow2", 20 << 30)
        );
        let check = std::process::Command::new("qemu-img")
            .args(["check", "-q", path])
            .status();
        assert!(check.unwrap().success());
    })
    .await;
}

#[tokio::test]
async fn pool_events_come_in_order() {
    deadline(async {
        let served = Served::new(Simulator::builder().start());
        let uri = served.uri("qemu");
        let events = tokio::spawn(async move {
            let arguments = [
                "pool-event",
                "--event",
                "lifecycle",
                "--loop",
                "--timeout",
                "4",
            ];
            virsh(&uri, &arguments).await
        });
        while served.simulator.registrations() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        for line in [
            "pool-define-as p dir --target /p",
            "pool-build p",
            "pool-start p",
            "pool-destroy p",
            "pool-delete p",
            "pool-undefine p",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            served.says("qemu", &words).await;
        }
        let output = String::from_utf8(events.await.unwrap().stdout).unwrap();
        let told: Vec<&str> = output
            .lines()
            .filter_map(|line| line.strip_prefix("event 'lifecycle' for storage pool p: "))
            .collect();
        let expected = [
            "Defined",
            "Created",
            "Started",
            "Stopped",
            "Deleted",
            "Undefined",
        ];
        assert_eq!(told, expected, "{output}");
    })
    .await;
}

#[tokio::test]
async fn volumes_are_the_disks_of_domains_and_their_images_are_volumes() {
    deadline(async {
        let served = Served::new(Simulator::builder().start());
        let says = async |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            served.says("qemu", &words).await
        };
        let xml = served.file("guest.xml");
        let domain = "<domain type='qemu'><name>guest</name><memory>1024</memory>\
            <os><type>hvm</type></os><devices><disk type='file'>\
            <driver name='qemu' type='qcow2'/><source file='/p/over'/><target dev='vda'/>\
            </disk></devices></domain>";
        fs::write(&xml, domain).unwrap();
        says("pool-create-as p dir --target /p --build").await;
        says("vol-create-as p base 8M --format qcow2").await;
        let over = "vol-create-as p over 8M --format qcow2 --backing-vol base \
                    --backing-vol-format qcow2";
        says(over).await;
        says(&format!("create {}", xml.display())).await;
        let live = says("dumpxml guest").await;
        assert!(live.contains("<source file='/p/base'"), "{live}");
        assert!(says("domblkinfo guest vda").await.contains("8388608"));

        let snapshot = "snapshot-create-as guest --disk-only --no-metadata \
                        --diskspec vda,file=/p/snap";
        says(snapshot).await;
        assert!(!says("vol-list p").await.contains("snap"));
        says("pool-refresh p").await;
        let snap = says("vol-dumpxml snap p").await;
        assert!(snap.contains("<format type='qcow2'/>"), "{snap}");
        assert!(snap.contains("<path>/p/over</path>"), "{snap}");

        says("blockpull guest vda --wait").await;
        says("pool-refresh p").await;
        let snap = says("vol-dumpxml snap p").await;
        assert!(!snap.contains("backingStore"), "{snap}");
        let over = says("vol-dumpxml over p").await;
        assert!(over.contains("<path>/p/base</path>"), "{over}");
    })
    .await;
}
