//! Which procedures a daemon knows: what is asked, and that nothing is executed by asking.

use virtwire::constants::{ErrorCode, ErrorDomain};
use virtwire::{Connection, Error, Procedure, RemoteError, admin, qemu, remote};
use virtwire_protocol::session::Request;
use virtwire_tests::deadline;
use virtwire_tests::peer::{Guest as _, Peer, Pipe, connected};

/// Newer than the scripted daemon, which passes for 9.0.0.
type Newer = remote::DomainGraphicsReload;

/// What a daemon says, with the number that it was asked for.
type Words = fn(i32) -> String;

async fn answer(peer: &mut Peer<Pipe>, question: &Request, words: Words) {
    let text = words(question.route.procedure);
    let error = RemoteError::new(ErrorCode::RPC, ErrorDomain::RPC, text);
    peer.error(question.route, &error).await.unwrap();
}

/// The next question, which has no arguments.
async fn question(peer: &mut Peer<Pipe>) -> Request {
    let question = peer.request().await.unwrap().unwrap();
    assert!(question.payload.is_empty());
    question
}

/// Whether the client finds that the daemon, of 9.0.0, knows `P`. Of the number that nobody has
/// the daemon says `nobody`, of `P` it says `it`.
async fn asked<P: Procedure>(nobody: Words, it: Words) -> bool {
    let (connection, mut peer) = connected().await;
    let daemon = async {
        peer.until::<remote::ConnectGetLibVersion>().await;
        let first = question(&mut peer).await;
        assert_eq!(first.route.program, P::PROGRAM);
        assert_ne!(first.route.procedure, P::NUMBER);
        answer(&mut peer, &first, nobody).await;
        let second = question(&mut peer).await;
        assert!(second.is::<P>());
        answer(&mut peer, &second, it).await;
    };
    let (supported, ()) = tokio::join!(connection.supports::<P>(), daemon);
    supported.unwrap()
}

#[tokio::test]
async fn answers_are_compared_and_not_read() {
    deadline(async {
        let unknown: Words = |number| format!("Prozedur {number} ist unbekannt");
        let undecodable: Words = |_| "Die Nachricht kann nicht gelesen werden".to_owned();
        let no_program: Words = |_| "Programm 536903815 Version 1 gibt es nicht".to_owned();
        assert!(asked::<Newer>(unknown, undecodable).await);
        assert!(!asked::<Newer>(unknown, unknown).await);
        assert!(asked::<qemu::DomainMonitorCommand>(unknown, undecodable).await);
        assert!(!asked::<qemu::DomainMonitorCommand>(no_program, no_program).await);
    })
    .await;
}

#[tokio::test]
async fn release_is_asked_once_and_says_enough_of_what_is_older() {
    deadline(async {
        let (connection, mut peer) = connected().await;
        let daemon = tokio::spawn(async move {
            peer.until::<remote::ConnectGetLibVersion>().await;
            peer.request().await.unwrap()
        });
        for _ in 0..3 {
            assert!(
                connection
                    .supports::<remote::DomainGetInfo>()
                    .await
                    .unwrap()
            );
            assert!(connection.supports::<remote::AuthList>().await.unwrap());
        }
        drop(connection);
        assert!(daemon.await.unwrap().is_none());
    })
    .await;
}

/// The numbers of `P`'s program that the daemon is asked for, and what the client makes of it if
/// the daemon has that program or not.
async fn asked_around<P: Procedure>(has_program: bool) -> (Result<bool, Error>, Vec<i32>) {
    let (connection, mut peer) = connected().await;
    let daemon = tokio::spawn(async move {
        peer.until::<remote::ConnectGetLibVersion>().await;
        let mut numbers = Vec::new();
        while let Some(question) = peer.request().await.unwrap() {
            let here = has_program || question.route.program == remote::PROGRAM;
            if question.route.program == P::PROGRAM {
                numbers.push(question.route.procedure);
            }
            let words: Words = if here {
                |number| format!("unknown procedure: {number}")
            } else {
                |_| "Cannot find program 110102416 version 1".to_owned()
            };
            answer(&mut peer, &question, words).await;
        }
        numbers
    });
    let supported = Connection::supports::<P>(&connection).await;
    drop(connection);
    (supported, daemon.await.unwrap())
}

#[tokio::test]
async fn procedure_without_arguments_is_never_called_to_ask_for_it() {
    deadline(async {
        // This one would have closed the connection.
        for has_program in [true, false] {
            let (supported, numbers) = asked_around::<admin::ConnectClose>(has_program).await;
            assert_eq!(supported.unwrap(), has_program);
            assert_eq!(numbers, [i32::MAX]);
        }
    })
    .await;
}
