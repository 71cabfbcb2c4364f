//! A copy to an image on the network, which a server on this host offers.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use virtwire::{CopyDestination, NetworkHost, NextStart, Outcome, Source};
use virtwire_lab::{Driver, image};
use virtwire_tests::deadline;

use crate::Stage;
use crate::hypervisor::images::vda;

/// A server that offers one image, gone when it is dropped.
struct Server(Child);

impl Server {
    async fn start(socket: &Path, image: &Path) -> Self {
        let mut command = Command::new("qemu-nbd");
        command.args(["--format=raw", "--persistent", "--export-name=disk"]);
        command.arg("--socket").arg(socket).arg(image);
        let server = Self(command.spawn().unwrap());
        while !socket.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn guest_is_pivoted_to_an_image_on_the_network() {
    deadline(async {
        let stage = Stage::new(Driver::Qemu).await;
        let guest = stage.guest("network", 4).await;
        let directory = stage.images_dir();
        let (socket, raw) = (directory.join("nbd"), directory.join("network.raw"));
        std::fs::File::create(&raw)
            .unwrap()
            .set_len(4 << 20)
            .unwrap();
        let _server = Server::start(&socket, &raw).await;
        stage.daemon.hand_over(&socket).unwrap();

        let host = NetworkHost::unix(socket.to_str().unwrap());
        let to = CopyDestination::network("nbd", Some("disk".to_owned()), [host]).format("raw");
        let copy = guest.disk().copy(to).reuse_external();
        let plan = copy.plan().await.unwrap();
        assert!(plan.is_clear(), "{:?}", plan.obstacles);
        let job = copy.start().await.unwrap();
        let outcome = job.pivot().await.unwrap();
        assert_eq!(outcome, Outcome::Pivoted(NextStart::NoDefinition));
        let source = vda(&guest.domain).await.source.unwrap();
        let Source::Network {
            protocol, hosts, ..
        } = &source
        else {
            panic!("{source:?}");
        };
        assert_eq!((protocol.as_str(), hosts.len()), ("nbd", 1));
        let flags = virtwire::constants::DomainDestroyFlags::empty();
        guest.domain.destroy(flags).await.unwrap();
        assert!(image::compare(&raw, &guest.base).unwrap());
    })
    .await;
}
