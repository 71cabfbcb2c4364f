//! Which procedures the daemon knows.

use virtwire::constants::{ConnectListAllDomainsFlags, ErrorCode};
use virtwire::{Connection, Procedure, Release, admin, qemu, remote};
use virtwire_lab::Driver;
use virtwire_tests::deadline;

use crate::Stage;

async fn supports<P: Procedure>(connection: &Connection) -> bool {
    connection.supports::<P>().await.unwrap()
}

#[tokio::test]
async fn procedures_of_the_release_and_before_are_there() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let connection = &stage.connection;
        assert!(supports::<remote::ConnectGetHostname>(connection).await);
        assert!(supports::<remote::DomainDestroy>(connection).await);
        let release = connection.library_version().await.unwrap();
        let newest = [
            (
                Release::new(9, 7, 0),
                supports::<remote::NetworkGetMetadata>(connection).await,
            ),
            (
                Release::new(10, 2, 0),
                supports::<remote::DomainGraphicsReload>(connection).await,
            ),
            (
                Release::new(11, 2, 0),
                supports::<remote::DomainGetAutostartOnce>(connection).await,
            ),
            (
                Release::new(12, 5, 0),
                supports::<remote::DomainAnnounceInterface>(connection).await,
            ),
        ];
        assert_eq!(
            newest.map(|(since, _)| since <= release),
            newest.map(|(_, there)| there)
        );
    })
    .await;
}

/// The daemon is asked for these, and has one of the programs.
#[tokio::test]
async fn programs_that_the_daemon_does_not_have_are_not_supported() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let connection = &stage.connection;
        assert!(supports::<qemu::DomainMonitorCommand>(connection).await);
        assert!(supports::<qemu::DomainAgentCommand>(connection).await);
        assert!(!supports::<admin::ServerListClients>(connection).await);
        assert!(!supports::<admin::ConnectGetLibVersion>(connection).await);
        // Nothing was executed, and the connection is as good as before.
        assert!(connection.close_cause().is_none());
        let all = ConnectListAllDomainsFlags::empty();
        assert_eq!(connection.list_domains(all).await.unwrap().len(), 1);
    })
    .await;
}

/// The driver has nothing behind a procedure that the daemon knows.
#[tokio::test]
async fn support_by_the_daemon_is_not_support_by_the_driver() {
    deadline(async {
        let stage = Stage::new(Driver::Test).await;
        let connection = &stage.connection;
        assert!(supports::<remote::NodeSuspendForDuration>(connection).await);
        let args = remote::NodeSuspendForDurationArgs {
            target: 0,
            duration: 60,
            flags: 0,
        };
        let refused = connection
            .call::<remote::NodeSuspendForDuration>(args)
            .await;
        let error = refused.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::NO_SUPPORT), "{error}");
        assert!(error.is_unsupported() && !error.is_retryable());
    })
    .await;
}
