//! Listing the domains of a host.

use futures_util::stream::{StreamExt, TryStreamExt, iter};
use virtwire_protocol::constants::ConnectListAllDomainsFlags;
use virtwire_protocol::remote;

use crate::{Connection, Domain, DomainStatus, Error};

/// How many questions are under way at once. The connection's own limit comes on top.
const PIPELINE: usize = 64;

/// A domain together with its state, as [`Connection::list_domains_with_status`] gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedDomain {
    /// The handle.
    pub domain: Domain,
    /// Its state; `None` when it went away between the two questions.
    pub status: Option<DomainStatus>,
}

impl Connection {
    /// The domains that match: flags of one group (running, paused, …) add up, groups narrow each
    /// other, and no flag means every domain.
    ///
    /// # Errors
    ///
    /// Those of any call.
    #[doc(alias = "virConnectListAllDomains")]
    pub async fn list_domains(
        &self,
        flags: ConnectListAllDomainsFlags,
    ) -> Result<Vec<Domain>, Error> {
        let args = remote::ConnectListAllDomainsArgs {
            need_results: 1,
            flags: flags.bits(),
        };
        let reply = self.call::<remote::ConnectListAllDomains>(args).await?;
        let listed = reply.decode()?;
        Ok(listed
            .domains
            .iter()
            .map(|wire| Domain::from_wire(self, wire))
            .collect())
    }

    /// The domains that match, each with its state. The questions for the states are pipelined.
    ///
    /// # Errors
    ///
    /// Those of any call; a domain that goes away meanwhile is no error.
    pub async fn list_domains_with_status(
        &self,
        flags: ConnectListAllDomainsFlags,
    ) -> Result<Vec<ListedDomain>, Error> {
        let domains = self.list_domains(flags).await?;
        let questions = domains.into_iter().map(async |domain: Domain| {
            let status = match domain.status().await {
                Ok(status) => Some(status),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            };
            Ok(ListedDomain { domain, status })
        });
        iter(questions).buffered(PIPELINE).try_collect().await
    }
}
