//! Sizes of disks, as virsh shows and sets them.

use serde_json::json;

use crate::twins::{MIB, Twins};

#[test]
fn sizes_are_shown_and_set_as_with_virsh() {
    let twins = Twins::start();
    twins.do_the_same(
        "domblkinfo guest vda
         domblkinfo guest --device vdb
         domblkinfo guest vda --human
         domblkinfo guest --all
         domblkinfo guest --all --human
         domblkinfo guest vdz
         blockresize guest vda 128M
         blockresize guest vda 131073
         blockresize guest vda 70000001b
         blockresize guest vdz 1G
         domblkinfo guest vda
         domblkthreshold guest vda 32M
         domblkthreshold guest vda[3] 4096
         domblkthreshold guest vdz 1
         domfsfreeze guest
         domfsfreeze guest
         domfsthaw guest
         domfsfreeze guest --mountpoint /
         domfsthaw guest
         domfsthaw guest /",
    );
}

#[test]
fn sizes_are_numbers_for_programs() {
    let twins = Twins::start();
    let document = twins.ours.run("--json domblkinfo guest vda").json();
    assert_eq!(document["disk"], "vda");
    assert_eq!(document["sizes"]["capacity"], 64 * MIB);
    let document = twins.ours.run("--json domblkinfo guest --all").json();
    assert_eq!(
        document["disks"][2],
        json!({ "disk": "sda", "sizes": null })
    );
    let document = twins.ours.run("--json blockresize guest vda 128M").json();
    assert_eq!(document["capacity"], 128 * MIB);
}
