//! Lists the domains of a host with their states: `list_domains [URI]`.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use virtwire::Connection;
use virtwire::constants::ConnectListAllDomainsFlags;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let uri = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "qemu:///system".to_owned());
    let connection = Connection::open(&uri).await?;
    let every = ConnectListAllDomainsFlags::empty();
    for listed in connection.list_domains_with_status(every).await? {
        let state = listed.status.and_then(|status| status.state.name());
        println!(
            "{:36} {:30} {}",
            listed.domain.uuid(),
            listed.domain.name(),
            state.unwrap_or("-")
        );
    }
    connection.close().await;
    Ok(())
}
