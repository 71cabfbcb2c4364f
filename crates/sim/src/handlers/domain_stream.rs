//! Streams of domains: pictures of their screens, and their consoles.

use bytes::{BufMut, Bytes, BytesMut};
use virtwire_protocol::constants::{DomainConsoleFlags, ErrorCode};
use virtwire_protocol::remote;
use virtwire_protocol::session::StreamBody;
use virtwire_xdr::Str;

use crate::call::Call;
use crate::hypervisor::Domain;
use crate::refusal::{Result, check_flags, refusal};
use crate::router::Router;
use crate::stream::{Stream, Turn};
use crate::xml::Element;

/// How wide and how high the picture of a screen is.
const WIDTH: u8 = 64;
const HEIGHT: u8 = 48;

pub(super) fn routes(router: &mut Router) {
    router.on::<remote::DomainScreenshot>(|call, args| {
        check_flags(args.flags, 0, "qemuDomainScreenshot")?;
        let hypervisor = call.hypervisor();
        let domain = hypervisor.domain(&args.dom)?;
        domain.live()?;
        let picture = picture(&domain.uuid);
        drop(hypervisor);
        call.open_stream(|stream| show(stream, picture));
        Ok(remote::DomainScreenshotRet {
            mime: Some(Str::from("image/x-portable-pixmap")),
        })
    });
    router.on::<remote::DomainOpenConsole>(open_console);
}

/// A picture that is the same whenever the domain is.
fn picture(uuid: &[u8; 16]) -> Bytes {
    let mut picture = BytesMut::from(format!("P6\n{WIDTH} {HEIGHT}\n255\n").as_str());
    let [red, green, blue, ..] = uuid;
    for y in 0..HEIGHT {
        for x in 0..WIDTH {
            let checks = if (x / 8 + y / 8) % 2 == 0 { 0xff } else { 0 };
            picture.put_slice(&[red ^ (x * 4), green ^ (y * 5), blue ^ checks]);
        }
    }
    picture.freeze()
}

/// Sends what there is, and waits for the client to be content with it.
async fn show(mut stream: Stream, picture: Bytes) {
    let mut pieces = vec![Bytes::new(), picture];
    loop {
        let turn = match pieces.is_empty() {
            true => stream.receive().await.map_or(Turn::Gone, Turn::Received),
            false => stream.turn().await,
        };
        match turn {
            Turn::Room => match pieces.pop() {
                Some(piece) => stream.send(piece).await,
                None => return,
            },
            Turn::Received(StreamBody::Finish | StreamBody::Abort) => return stream.confirm(),
            Turn::Received(_) => {}
            Turn::Gone => return,
        }
    }
}

fn open_console(call: &Call, args: remote::DomainOpenConsoleArgs<'static>) -> Result<()> {
    let known = DomainConsoleFlags::FORCE | DomainConsoleFlags::SAFE;
    check_flags(args.flags, known.bits(), "qemuDomainOpenConsole")?;
    let hypervisor = call.hypervisor();
    let domain = hypervisor.domain(&args.dom)?;
    let wanted = args
        .dev_name
        .map(|name| name.to_string_lossy().into_owned());
    find_console(domain, wanted.as_deref())?;
    drop(hypervisor);
    call.open_stream(echo);
    Ok(())
}

/// Checks that there is such a device: the first console or serial port, or one of that alias.
fn find_console(domain: &Domain, alias: Option<&str>) -> Result<()> {
    let config = &domain.live()?.config;
    let mut devices = config
        .child("devices")
        .into_iter()
        .flat_map(Element::elements);
    let found = devices.find(|device| {
        let named = |alias| {
            let found = device.child("alias").and_then(|it| it.attribute("name"));
            found == Some(alias)
        };
        let is_console = matches!(device.name.as_str(), "console" | "serial" | "parallel");
        is_console && alias.is_none_or(named)
    });
    let name = alias.unwrap_or("<null>");
    let device = found.ok_or_else(|| {
        let what = format!("cannot find character device {name}");
        refusal(ErrorCode::INTERNAL_ERROR, what)
    })?;
    if !matches!(device.attribute("type"), None | Some("pty" | "unix")) {
        let what = format!("character device {name} is not using a PTY");
        return Err(refusal(ErrorCode::INTERNAL_ERROR, what));
    }
    Ok(())
}

/// Sends back whatever comes.
async fn echo(mut stream: Stream) {
    while let Some(body) = stream.receive().await {
        match body {
            // No data would mean the end.
            StreamBody::Data(data) if data.is_empty() => {}
            StreamBody::Data(data) => stream.send(data).await,
            StreamBody::Finish | StreamBody::Abort => return stream.confirm(),
            _ => {}
        }
    }
}
