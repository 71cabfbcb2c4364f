//! The example that asks many hosts.

use std::collections::HashMap;
use std::os::unix::net::UnixListener;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use virtwire_sim::Simulator;
use virtwire_tests::deadline;

use crate::served::Served;

#[path = "../../crates/client/examples/fan_out.rs"]
#[expect(dead_code, reason = "nobody calls the example's main")]
mod example;

#[tokio::test]
async fn hosts_that_fail_cost_the_others_nothing() {
    deadline(async {
        let fleet = |domains| Simulator::builder().fleet(domains).unwrap().start();
        let hosts: Vec<Served> = (0..20).map(|host| Served::new(fleet(host))).collect();
        let mut uris: Vec<String> = hosts.iter().map(|host| host.uri("test")).collect();

        let directory = tempfile::tempdir().unwrap();
        let uri = |name: &str| {
            let socket = directory.path().join(name);
            format!("test+unix:///default?socket={}", socket.display())
        };
        let _silent = UnixListener::bind(directory.path().join("silent")).unwrap();
        uris.insert(3, uri("silent"));
        uris.insert(7, uri("absent"));
        uris.insert(11, "nonsense".to_owned());

        let uris_asked = uris.clone().into_iter();
        let answers = pin!(example::ask(uris_asked, 4, Duration::from_secs(2)));
        let mut answers: HashMap<_, _> = answers.collect().await;
        assert_eq!(answers.len(), uris.len());
        for (domains, host) in hosts.iter().enumerate() {
            let answer = answers.remove(&host.uri("test")).unwrap();
            assert_eq!(answer.unwrap().len(), domains);
        }
        let mut why = |uri: &str| example::explain(&*answers.remove(uri).unwrap().unwrap_err());
        assert_eq!(why(&uri("silent")), "deadline has elapsed");
        assert!(why(&uri("absent")).contains("No such file"));
        assert!(why("nonsense").contains("nonsense"));
    })
    .await;
}
