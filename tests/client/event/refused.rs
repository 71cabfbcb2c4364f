//! Registrations that the daemon refuses.

use virtwire::constants::{DomainEventId as Id, ErrorCode, NetworkEventId};
use virtwire::event::EventId;
use virtwire::{ErrorKind, Execution, Procedure as _, remote};
use virtwire_protocol::header::Status;
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::reply_header;

use super::{Daemon, number, start};

type Register = remote::ConnectDomainEventCallbackRegisterAny;

#[tokio::test(start_paused = true)]
async fn refusal_is_told_as_the_daemon_says_it_and_the_rest_is_given_up() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        daemon.refuse(Id::WATCHDOG);
        let ids = [Id::LIFECYCLE, Id::WATCHDOG, Id::REBOOT];
        let error = daemon
            .during(connection.domain_events(ids))
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::INVALID_ARG));
        assert_eq!(error.kind(), ErrorKind::Remote);
        assert!(error.remote().unwrap().message.is_some());
        daemon.rest().await;
        assert!(daemon.wanted().is_empty());
        let mut events = daemon
            .during(connection.domain_events([Id::LIFECYCLE]))
            .await
            .unwrap();
        let callback = daemon.callback("domain event LIFECYCLE");
        daemon.tell(&start(callback, 1)).await;
        assert_eq!(number(events.recv().await), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn refusal_takes_nothing_from_those_who_have_what_they_want() {
    paused_deadline(async {
        let (connection, mut daemon, mut events) = Daemon::subscribed().await;
        daemon.refuse(Id::REBOOT);
        let ids = [Id::LIFECYCLE, Id::REBOOT];
        daemon
            .during(connection.domain_events(ids))
            .await
            .unwrap_err();
        daemon.rest().await;
        assert_eq!(daemon.wanted(), ["domain event LIFECYCLE"]);
        daemon.tell(&start(0, 1)).await;
        assert_eq!(number(events.recv().await), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn whoever_can_do_without_is_told_what_there_is_not() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let missing: [EventId; 3] = [
            Id::WATCHDOG.into(),
            Id::REBOOT.into(),
            NetworkEventId::LIFECYCLE.into(),
        ];
        for id in missing {
            daemon.refuse(id);
        }
        let builder = connection
            .events()
            .events([Id::WATCHDOG, Id::LIFECYCLE, Id::REBOOT]);
        let builder = builder.event(NetworkEventId::LIFECYCLE).skip_unsupported();
        let mut events = daemon.during(builder.subscribe()).await.unwrap();
        let refused: Vec<_> = events.refused().collect();
        assert!(
            refused
                .iter()
                .all(|(_, error)| error.code == ErrorCode::INVALID_ARG)
        );
        assert_eq!(
            refused.into_iter().map(|(id, _)| id).collect::<Vec<_>>(),
            missing
        );
        daemon.tell(&start(0, 1)).await;
        assert_eq!(
            events.recv().await.unwrap().id(),
            Some(Id::LIFECYCLE.into())
        );
        daemon.during(events.unsubscribe()).await.unwrap();
        assert!(daemon.wanted().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn subscription_with_nothing_left_fails() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        daemon.refuse(Id::WATCHDOG);
        daemon.refuse(Id::REBOOT);
        let builder = connection
            .events()
            .events([Id::WATCHDOG, Id::REBOOT])
            .skip_unsupported();
        let error = daemon.during(builder.subscribe()).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::INVALID_ARG));
        assert_eq!(error.execution(), Some(Execution::Rejected));
        assert_eq!(error.procedure(), Some(Register::NAME));
        daemon.rest().await;
        assert!(daemon.wanted().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn everything_is_everything_that_the_daemon_has() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let old = |id: &EventId| id.number() % 2 == 0;
        for id in EventId::known().filter(|id| !old(id)) {
            daemon.refuse(id);
        }
        let events = daemon.during(connection.all_events()).await.unwrap();
        let refused: Vec<_> = events.refused().map(|(id, _)| id).collect();
        assert_eq!(
            refused,
            EventId::known().filter(|id| !old(id)).collect::<Vec<_>>()
        );
        assert_eq!(daemon.wanted().len(), EventId::known().filter(old).count());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn refusal_is_told_to_everybody_who_waited_for_it() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        daemon.refuse(Id::REBOOT);
        let tolerant = connection
            .events()
            .events([Id::REBOOT, Id::LIFECYCLE])
            .skip_unsupported();
        let all = async {
            tokio::join!(
                connection.domain_events([Id::REBOOT]),
                connection.domain_events([Id::REBOOT, Id::LIFECYCLE]),
                tolerant.subscribe(),
            )
        };
        let (one, two, three) = daemon.during(all).await;
        assert!(one.unwrap_err().has_code(ErrorCode::INVALID_ARG));
        assert!(two.unwrap_err().has_code(ErrorCode::INVALID_ARG));
        assert_eq!(three.unwrap().refused().len(), 1);
        let asked = daemon
            .log()
            .into_iter()
            .filter(|asked| asked == "+domain event REBOOT");
        assert_eq!(asked.count(), 1);
        daemon.rest().await;
        assert!(daemon.wanted().is_empty());
        // What was refused is asked for again: the daemon may be of another mind.
        daemon
            .during(connection.domain_events([Id::REBOOT]))
            .await
            .unwrap_err();
        assert_eq!(daemon.log().last().unwrap(), "+domain event REBOOT");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_held_for_nobody_may_be_refused() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        daemon.refuse(Id::LIFECYCLE);
        let events = daemon
            .during(connection.domain_events([Id::REBOOT]))
            .await
            .unwrap();
        assert_eq!(events.refused().len(), 0);
        assert_eq!(daemon.registered(), ["domain event REBOOT"]);
        daemon.during(events.unsubscribe()).await.unwrap();
        assert!(daemon.registered().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn answer_that_cannot_be_read_fails_the_subscription_alone() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let subscribing = {
            let connection = connection.clone();
            tokio::spawn(async move { connection.domain_events([Id::LIFECYCLE, Id::REBOOT]).await })
        };
        daemon.tell_style().await;
        let register = daemon.peer.expect::<Register>().await.unwrap();
        let header = reply_header(&register, Status::Ok);
        daemon.peer.send(&header, &[0; 3]).await.unwrap();
        let error = daemon.during(subscribing).await.unwrap().unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::Protocol,
            "{} {error}",
            Register::NAME
        );
        daemon.rest().await;
        assert!(daemon.wanted().is_empty());
        daemon
            .during(connection.domain_events([Id::LIFECYCLE]))
            .await
            .unwrap();
    })
    .await;
}
