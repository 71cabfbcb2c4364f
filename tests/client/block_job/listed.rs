//! The jobs of a domain, of all its disks.

use virtwire::constants::{DomainBlockJobType as Kind, ErrorCode};
use virtwire::remote;
use virtwire::xdr::Str;
use virtwire_protocol::session::Request;
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::{Guest as _, Peer, Pipe, connected};

use super::host::{Info, info};

type Asks = remote::DomainGetBlockJobInfo;

const DISKS: [&str; 3] = ["vda", "vdb", "vdc"];

fn xml() -> String {
    let disk = |target| {
        format!(
            "<disk type='file'><source file='/{target}'/><backingStore/>\
             <target dev='{target}'/></disk>"
        )
    };
    let disks: String = DISKS.map(disk).concat();
    format!("<domain id='1'><name>guest</name><devices>{disks}</devices></domain>")
}

/// Answers no question about a disk before all have been asked.
async fn serve(mut peer: Peer<Pipe>) {
    let mut asked: Vec<Request> = Vec::new();
    while let Some(request) = peer.request().await.unwrap() {
        if request.is::<remote::DomainGetXmlDesc>() {
            let xml = xml();
            let ret = remote::DomainGetXmlDescRet {
                xml: Str::from(&xml),
            };
            let said = peer.reply_to::<remote::DomainGetXmlDesc>(request.route, &ret);
            said.await.unwrap();
        } else if request.is::<Asks>() {
            asked.push(request);
        } else {
            peer.respond(&request).await;
        }
        if asked.len() == DISKS.len() {
            for request in asked.drain(..) {
                let ret = match &*request.args::<Asks>().unwrap().path.to_string_lossy() {
                    "vda" => Info::default(),
                    "vdb" => info(Kind::COPY, 1),
                    // It has been taken away since.
                    _ => {
                        peer.refuse(&request, ErrorCode::INVALID_ARG).await;
                        continue;
                    }
                };
                peer.reply_to::<Asks>(request.route, &ret).await.unwrap();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn disks_are_asked_about_all_at_once() {
    paused_deadline(async {
        let (connection, peer) = connected().await;
        tokio::spawn(serve(peer));
        let guest = connection.lookup_domain_by_name("guest").await.unwrap();
        let jobs = guest.block_jobs().await.unwrap();
        let jobs: Vec<_> = jobs
            .iter()
            .map(|job| (job.disk.path(), job.info.kind))
            .collect();
        assert_eq!(jobs, [("vdb", Kind::COPY)]);
    })
    .await;
}
