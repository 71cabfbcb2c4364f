//! Events of one object, or of some names.

use virtwire::constants::{
    ConnectDomainQemuMonitorEventRegisterFlags as MonitorFlags, DomainEventId as Id,
    NetworkEventId, NodeDeviceEventId, SecretEventId, StoragePoolEventId,
};
use virtwire::event::MonitorFilter;
use virtwire::{Connection, Error, Uuid, qemu};
use virtwire_tests::paused_deadline;
use virtwire_tests::peer::secret;

use super::{Daemon, number, start};

async fn subscribe_to_objects(on: &Connection) -> Result<(), Error> {
    let guest = on.lookup_domain_by_name("guest").await?;
    let _guest = guest.lifecycle_events().await?;
    let network = on.lookup_network_by_name("net").await?;
    let events = on.events().network(&network);
    let _network = events.event(NetworkEventId::LIFECYCLE).subscribe().await?;
    let pool = on.lookup_storage_pool_by_name("pool").await?;
    let events = on.events().storage_pool(&pool);
    let _pool = events
        .event(StoragePoolEventId::REFRESH)
        .subscribe()
        .await?;
    let device = on.lookup_node_device_by_name("device").await?;
    let events = on.events().node_device(&device);
    let _device = events.event(NodeDeviceEventId::UPDATE).subscribe().await?;
    let secret = on.lookup_secret_by_uuid(Uuid::from(secret().uuid)).await?;
    let events = on.events().secret(&secret);
    let _secret = events
        .event(SecretEventId::VALUE_CHANGED)
        .subscribe()
        .await?;
    let events = on
        .events()
        .domain(&guest)
        .qemu_monitor(MonitorFilter::all());
    let _monitor = events.subscribe().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn object_that_was_chosen_is_told_to_the_daemon() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        daemon
            .during(subscribe_to_objects(&connection))
            .await
            .unwrap();
        let registered = daemon.log();
        let registered = registered.iter().filter(|asked| asked.starts_with('+'));
        let expected = [
            "+domain event LIFECYCLE of guest",
            "+domain event LIFECYCLE of nobody",
            "+network event LIFECYCLE of net",
            "+network event LIFECYCLE of nobody",
            "+storage pool event REFRESH of pool",
            "+storage pool event LIFECYCLE of nobody",
            "+node device event UPDATE of device",
            "+node device event LIFECYCLE of nobody",
            "+secret event VALUE_CHANGED of secret",
            "+secret event LIFECYCLE of nobody",
            "+QEMU monitor event of guest",
        ];
        assert_eq!(
            registered.collect::<Vec<_>>(),
            expected.iter().collect::<Vec<_>>()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn domain_and_all_domains_may_be_subscribed_to_at_once() {
    paused_deadline(async {
        let (connection, mut daemon) = Daemon::connected().await;
        let guest = daemon
            .during(connection.lookup_domain_by_name("guest"))
            .await
            .unwrap();
        let mut all = daemon
            .during(connection.domain_events([Id::LIFECYCLE]))
            .await
            .unwrap();
        let mut one = daemon.during(guest.events([Id::LIFECYCLE])).await.unwrap();
        let wanted = ["domain event LIFECYCLE", "domain event LIFECYCLE of guest"];
        assert_eq!(daemon.wanted(), wanted);
        // A daemon tells it to each: the one for nobody has the ID 1.
        daemon.tell(&start(0, 1)).await;
        daemon.tell(&start(2, 2)).await;
        assert_eq!(number(all.recv().await), 1);
        assert_eq!(number(one.recv().await), 2);
        drop(all);
        daemon.rest().await;
        assert_eq!(daemon.wanted(), ["domain event LIFECYCLE of guest"]);
        daemon.tell(&start(2, 3)).await;
        assert_eq!(number(one.recv().await), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn filters_of_monitor_events_are_told_to_the_daemon() {
    type Register = qemu::ConnectDomainMonitorEventRegister;
    paused_deadline(async {
        let (regex, any_case) = (MonitorFlags::REGEX.bits(), MonitorFlags::NOCASE.bits());
        let (connection, mut daemon) = Daemon::connected().await;
        for (filter, name, flags) in [
            (MonitorFilter::all(), None, 0),
            (MonitorFilter::name("RTC_CHANGE"), Some("RTC_CHANGE"), 0),
            (
                MonitorFilter::name("rtc").ignore_case(),
                Some("rtc"),
                any_case,
            ),
            (MonitorFilter::regex("^RTC"), Some("^RTC"), regex),
            (
                MonitorFilter::regex("^rtc").ignore_case(),
                Some("^rtc"),
                regex | any_case,
            ),
        ] {
            let events = connection.events().qemu_monitor(filter);
            let subscribing = tokio::spawn(events.subscribe());
            let call = daemon.peer.expect::<Register>().await.unwrap();
            let heard = call.args.event.as_ref().map(|name| name.to_string_lossy());
            assert_eq!((heard.as_deref(), call.args.flags), (name, flags));
            assert!(call.args.dom.is_none());
            daemon.answer(&call).await;
            daemon.during(subscribing).await.unwrap().unwrap();
            daemon.rest().await;
        }
        // The daemon takes any number of them, so that each has a registration of its own.
        let one = connection
            .events()
            .qemu_monitor(MonitorFilter::name("STOP"));
        let two = one.clone().qemu_monitor(MonitorFilter::name("RESUME"));
        let _one = daemon.during(one.subscribe()).await.unwrap();
        let _two = daemon.during(two.subscribe()).await.unwrap();
        let wanted = [
            r#"QEMU monitor event of "STOP"/0"#,
            r#"QEMU monitor event of "RESUME"/0"#,
        ];
        assert_eq!(daemon.wanted(), wanted);
    })
    .await;
}
