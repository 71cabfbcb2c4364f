//! The calls that open a connection, in the order that the daemon wants them, each awaited.

use virtwire_protocol::remote::{self, AuthType};
use virtwire_xdr::Str;

use super::Connection;
use crate::Error;
use crate::error::Cause;
use crate::uri::Authentication;

/// `VIR_DRV_FEATURE_PROGRAM_KEEPALIVE` of libvirt's internal header: asking for it starts the
/// daemon's own pings.
const FEATURE_KEEPALIVE: i32 = 10;

/// `VIR_DRV_FEATURE_REMOTE_EVENT_CALLBACK`: events of domains can have callback IDs.
pub(super) const FEATURE_EVENT_CALLBACK: i32 = 14;

/// The flag of `CONNECT_OPEN` that asks for a read-only connection.
const OPEN_READ_ONLY: u32 = 1;

/// What to open.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    pub(super) name: String,
    pub(super) read_only: bool,
    pub(super) preference: Option<Authentication>,
}

/// Authenticates and opens the hypervisor connection. Returns whether the daemon speaks
/// keepalive.
pub(super) async fn open(connection: &Connection, opening: &Opening) -> Result<bool, Error> {
    authenticate(connection, opening.preference.as_ref()).await?;
    let keepalive = supports(connection, FEATURE_KEEPALIVE).await?;
    let args = remote::ConnectOpenArgs {
        name: Some(Str::from(&opening.name)),
        flags: if opening.read_only { OPEN_READ_ONLY } else { 0 },
    };
    connection.call::<remote::ConnectOpen>(args).await?;
    Ok(keepalive)
}

/// Not optional even where no authentication is wanted: a daemon with polkit lets root in as a
/// side effect of this question.
async fn authenticate(
    connection: &Connection,
    wanted: Option<&Authentication>,
) -> Result<(), Error> {
    let reply = connection.call::<remote::AuthList>(()).await?;
    let offered = reply.decode()?.types;
    let first = offered.first().copied().unwrap_or(AuthType::NONE);
    match wanted {
        None if first == AuthType::NONE => Ok(()),
        None | Some(Authentication::Polkit) if first == AuthType::POLKIT => {
            polkit(connection).await
        }
        Some(Authentication::Polkit) => Err(mismatch(&offered, "polkit")),
        Some(_) => Err(Cause::Unsupported("authentication by SASL").into()),
        None => Err(mismatch(&offered, "none and polkit")),
    }
}

/// The daemon asks polkit about this process; that may take as long as a person needs to type a
/// password.
async fn polkit(connection: &Connection) -> Result<(), Error> {
    let reply = connection
        .call::<remote::AuthPolkit>(())
        .await
        .map_err(Error::of_authentication)?;
    match reply.decode()?.complete {
        0 => Err(reply.useless(Cause::BadReply(
            "polkit authentication is neither done nor refused",
        ))),
        _ => Ok(()),
    }
}

/// Whether the daemon has a feature.
pub(super) async fn supports(connection: &Connection, feature: i32) -> Result<bool, Error> {
    let args = remote::ConnectSupportsFeatureArgs { feature };
    let reply = connection
        .call::<remote::ConnectSupportsFeature>(args)
        .await?;
    Ok(reply.decode()?.supported != 0)
}

fn mismatch(offered: &[AuthType], wanted: &'static str) -> Error {
    let offered: Vec<String> = offered
        .iter()
        .map(|kind| {
            kind.name()
                .map_or_else(|| kind.0.to_string(), str::to_lowercase)
        })
        .collect();
    Cause::AuthMismatch {
        offered: offered.join(", "),
        wanted,
    }
    .into()
}
