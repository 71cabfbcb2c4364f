//! What answers may hold: errors with all their fields, lists up to their bound, the longest packet.

use bytes::BytesMut;
use virtwire::constants::{ConnectListAllDomainsFlags, ErrorCode, ErrorDomain, ErrorLevel};
use virtwire::xdr::{Encode, Writer};
use virtwire::{Connection, Domain, Error, ErrorKind, RemoteError, remote};
use virtwire_protocol::frame::MAX_PAYLOAD_LEN;
use virtwire_protocol::header::Status;
use virtwire_tests::deadline;
use virtwire_tests::peer::{Guest as _, Peer, connected, domain, reply_header};

use crate::{ask, asker};

type Ask = remote::ConnectSupportsFeature;
type List = remote::ConnectListAllDomains;

/// The most domains that a list may have (`REMOTE_DOMAIN_LIST_MAX`).
const MAX: u32 = 16_384;

/// The failure of a call that the daemon answers by this error.
async fn failure(error: &RemoteError) -> Error {
    let (connection, mut peer) = connected().await;
    let asker = asker(&connection, 1);
    let call = peer.expect::<Ask>().await.unwrap();
    peer.error(call.route, error).await.unwrap();
    asker.await.unwrap().unwrap_err()
}

#[tokio::test]
async fn error_keeps_every_field_that_the_daemon_sent() {
    deadline(async {
        let mut sent = RemoteError::new(ErrorCode::SYSTEM_ERROR, ErrorDomain::STORAGE, "voll");
        sent.level = ErrorLevel::WARNING;
        sent.str1 = Some("%s".to_owned());
        sent.str2 = Some("No space left on device".to_owned());
        sent.str3 = Some("\u{1b}[31m".to_owned());
        sent.int1 = 28;
        sent.int2 = i32::MIN;
        assert_eq!(failure(&sent).await.remote(), Some(&sent));
        // Of a newer daemon, in any language.
        let newer = RemoteError::new(ErrorCode(4711), ErrorDomain(-1), "何かがおかしい");
        let error = failure(&newer).await;
        assert_eq!(error.remote(), Some(&newer));
        assert_eq!(error.kind(), ErrorKind::Remote);
    })
    .await;
}

#[tokio::test]
async fn unknown_procedure_is_told_by_its_code_in_any_language() {
    deadline(async {
        let text = "Unbekannte Prozedur: 9999";
        let unknown = RemoteError::new(ErrorCode::RPC, ErrorDomain::RPC, text);
        assert!(failure(&unknown).await.is_unsupported());
        let unsupported = RemoteError::new(ErrorCode::NO_SUPPORT, ErrorDomain::QEMU, text);
        assert!(failure(&unsupported).await.is_unsupported());
        let text = "unknown procedure: 9999";
        let something_else = RemoteError::new(ErrorCode::INTERNAL_ERROR, ErrorDomain::QEMU, text);
        assert!(!failure(&something_else).await.is_unsupported());
    })
    .await;
}

/// The list that the client makes of an answer with this count, followed by that many domains.
async fn list(
    connection: &Connection,
    peer: &mut Peer,
    count: u32,
    domains: u32,
) -> Result<Vec<Domain>, Error> {
    let mut answer = BytesMut::new();
    let mut writer = Writer::new(&mut answer);
    writer.u32(count);
    for _ in 0..domains {
        domain().encode(&mut writer).unwrap();
    }
    writer.u32(domains);
    let daemon = async {
        let call = peer.expect::<List>().await.unwrap();
        let header = reply_header(&call, Status::Ok);
        peer.send(&header, &answer).await.unwrap();
    };
    let list = connection.list_domains(ConnectListAllDomainsFlags::empty());
    tokio::join!(list, daemon).0
}

#[tokio::test]
async fn list_is_read_up_to_its_bound_and_no_further() {
    deadline(async {
        let (connection, mut peer) = connected().await;
        for count in [0, 1, MAX] {
            let list = list(&connection, &mut peer, count, count).await.unwrap();
            assert_eq!(list.len(), count as usize);
        }
        // One too many, fewer than announced, and counts that are negative in C.
        for (count, domains) in [(MAX + 1, MAX + 1), (MAX, 3), (u32::MAX, 1), (1 << 31, 1)] {
            let error = list(&connection, &mut peer, count, domains)
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
        }
        let (answer, _) = tokio::join!(ask(&connection, 1), peer.until::<Ask>());
        assert_eq!(answer.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn longest_answer_is_taken() {
    deadline(async {
        let (connection, mut peer) = connected().await;
        let asker = asker(&connection, 1);
        let call = peer.expect::<Ask>().await.unwrap();
        let mut answer = vec![0; MAX_PAYLOAD_LEN];
        answer[3] = 7;
        peer.send(&reply_header(&call, Status::Ok), &answer)
            .await
            .unwrap();
        assert_eq!(asker.await.unwrap().unwrap(), 7);
    })
    .await;
}
