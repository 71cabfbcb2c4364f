//! Filesystems of guests that have an agent.

use virtwire::Connection;
use virtwire::constants::ErrorCode;
use virtwire_sim::Simulator;
use virtwire_tests::deadline;

const GUEST: &str = "<domain type='kvm'><name>guest</name><memory>32768</memory>\
    <os><type>hvm</type></os><devices>\
    <disk type='file'><driver name='qemu' type='qcow2'/><source file='/a'/><target dev='vda'/></disk>\
    <disk type='file'><driver name='qemu' type='qcow2'/><source file='/b'/><target dev='vdb'/></disk>\
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>\
    </devices></domain>";

#[tokio::test]
async fn frozen_filesystems_are_counted_and_thawed() {
    deadline(async {
        let simulator = Simulator::builder().domain(GUEST).unwrap().start();
        let builder = Connection::builder().uri("qemu:///system");
        let opened = builder.connect_with_io(simulator.connect()).await;
        let (connection, driver) = opened.unwrap();
        tokio::spawn(driver);
        let guest = connection.lookup_domain_by_name("guest").await.unwrap();
        let everything = [] as [&str; 0];
        assert_eq!(guest.fs_freeze(["/"]).await.unwrap(), 1);
        let error = guest.fs_freeze(everything).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::INTERNAL_ERROR));
        let error = guest.fs_thaw(["/"]).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::ARGUMENT_UNSUPPORTED));
        assert_eq!(guest.fs_thaw(everything).await.unwrap(), 1);
        assert_eq!(guest.fs_thaw(everything).await.unwrap(), 0);
        assert_eq!(guest.fs_freeze(everything).await.unwrap(), 2);
        guest.suspend().await.unwrap();
        let error = guest.fs_thaw(everything).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::OPERATION_INVALID));
    })
    .await;
}
