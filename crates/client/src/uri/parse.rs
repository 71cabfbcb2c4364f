//! Text to [`Uri`].

use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;

use super::parameter::{self, Authentication, SocketMode};
use super::{TransportKind, Uri, UriError};

/// What libvirt takes `xen` and `xen://` for.
const XEN: &str = "xen:///system";

pub(super) fn uri(text: &str) -> Result<Uri, UriError> {
    if text.is_empty() {
        return Err(UriError::Empty);
    }
    if text.eq_ignore_ascii_case("xen") {
        return uri(XEN);
    }
    check_characters(text)?;
    let (scheme, rest) = text
        .split_once(':')
        .ok_or_else(|| UriError::MissingScheme {
            text: text.to_owned(),
        })?;
    let (driver, transport) = split_scheme(scheme)?;
    let (rest, fragment) = split_optional(rest, '#');
    let (hierarchy, query) = split_optional(rest, '?');
    let (authority, path) = split_hierarchy(hierarchy).ok_or_else(|| UriError::MissingSlashes {
        text: text.to_owned(),
        driver: driver.to_owned(),
    })?;
    let (user, host, port) = split_authority(authority)?;
    let mut uri = Uri {
        driver: driver.to_owned(),
        transport,
        user,
        port: port.filter(|_| host.is_some()),
        host,
        path: decode(path)?,
        params: split_query(query.unwrap_or_default())?,
        fragment: fragment.map(decode).transpose()?,
        mode: None,
        auth: None,
    };
    if uri.to_string().eq_ignore_ascii_case("xen://") {
        return self::uri(XEN);
    }
    check_host(&uri)?;
    uri.mode = uri.param("mode").map(SocketMode::parse).transpose()?;
    uri.auth = uri.param("auth").map(Authentication::parse).transpose()?;
    for name in ["no_verify", "no_sanity", "no_tty"] {
        parameter::boolean(&uri, name)?;
    }
    Ok(uri)
}

fn check_characters(text: &str) -> Result<(), UriError> {
    match text
        .char_indices()
        .find(|(_, c)| c.is_whitespace() || c.is_control())
    {
        Some((offset, character)) => Err(UriError::InvalidCharacter { character, offset }),
        None => Ok(()),
    }
}

fn split_scheme(scheme: &str) -> Result<(&str, Option<TransportKind>), UriError> {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    let (driver, transport) = match scheme.split_once('+') {
        Some((driver, transport)) => (driver, Some(transport)),
        None => (scheme, None),
    };
    if !driver.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(valid) {
        return Err(UriError::InvalidScheme {
            scheme: scheme.to_owned(),
        });
    }
    Ok((driver, transport.map(TransportKind::parse).transpose()?))
}

fn split_optional(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// Splits `//authority/path` or `/path`; anything else is no way to name a hypervisor.
fn split_hierarchy(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix("//") {
        Some(rest) => Some(rest.split_at(rest.find('/').unwrap_or(rest.len()))),
        None => text.starts_with('/').then_some(("", text)),
    }
}

type Authority = (Option<String>, Option<String>, Option<u16>);

fn split_authority(authority: &str) -> Result<Authority, UriError> {
    let (user, address) = match authority.rsplit_once('@') {
        Some((user, address)) => (Some(decode(user)?), address),
        None => (None, authority),
    };
    let (host, port) = match address.strip_prefix('[') {
        Some(bracketed) => split_ipv6(bracketed)?,
        None => {
            let (host, port) = split_optional(address, ':');
            (plain_host(host)?, port)
        }
    };
    let port = port
        .filter(|port| !port.is_empty())
        .map(parse_port)
        .transpose()?;
    // Port 0 is how libvirt spells "the transport's own".
    Ok((
        user,
        Some(host).filter(|host| !host.is_empty()),
        port.filter(|&port| port != 0),
    ))
}

fn split_ipv6(bracketed: &str) -> Result<(String, Option<&str>), UriError> {
    let invalid = || UriError::InvalidHost {
        host: format!("[{bracketed}"),
    };
    let (address, after) = bracketed.split_once(']').ok_or_else(invalid)?;
    let address = decode(address)?;
    let number = address.split('%').next().unwrap_or_default();
    number.parse::<Ipv6Addr>().map_err(|_| invalid())?;
    match after.strip_prefix(':') {
        Some(port) => Ok((address, Some(port))),
        None if after.is_empty() => Ok((address, None)),
        None => Err(invalid()),
    }
}

fn plain_host(host: &str) -> Result<String, UriError> {
    let decoded = decode(host)?;
    if decoded.contains(['[', ']', ':', '/', '%']) {
        return Err(UriError::InvalidHost { host: decoded });
    }
    Ok(decoded)
}

fn parse_port(port: &str) -> Result<u16, UriError> {
    // `u16::from_str` would take a leading `+`.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| UriError::InvalidPort {
            port: port.to_owned(),
        })
}

/// Splits the query as libvirt does: `;` separates only where no `&` follows any more.
fn split_query(query: &str) -> Result<Vec<(String, String)>, UriError> {
    let (head, tail) = query.rsplit_once('&').unwrap_or(("", query));
    let mut params = Vec::new();
    for section in head.split('&').chain(tail.split(';')) {
        let (name, value) = split_optional(section, '=');
        if !name.is_empty() {
            params.push((decode(name)?, decode(value.unwrap_or_default())?));
        }
    }
    Ok(params)
}

/// Decodes `%XX`; `+` stays what it is.
fn decode(component: &str) -> Result<String, UriError> {
    let invalid = || UriError::InvalidEscape {
        component: component.to_owned(),
    };
    let escaped = component.split('%').skip(1);
    let well_formed = |after: &str| {
        after
            .get(..2)
            .is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    if !escaped.into_iter().all(well_formed) {
        return Err(invalid());
    }
    let decoded = percent_decode_str(component)
        .decode_utf8()
        .map_err(|_| invalid())?;
    if decoded.contains('\0') {
        return Err(invalid());
    }
    Ok(decoded.into_owned())
}

fn check_host(uri: &Uri) -> Result<(), UriError> {
    let Some(host) = uri.host.clone() else {
        return Ok(());
    };
    if uri.transport == Some(TransportKind::Unix) {
        return Err(UriError::HostWithUnix { host });
    }
    let local_paths = matches!(uri.driver.as_str(), "qemu" | "vbox" | "vz");
    if local_paths && matches!(host.as_str(), "system" | "session") {
        return Err(UriError::PathAsHost {
            host,
            driver: uri.driver.clone(),
        });
    }
    Ok(())
}
