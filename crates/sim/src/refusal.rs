//! The errors that libvirt answers with.

use virtwire_protocol::RemoteError;
use virtwire_protocol::constants::{ErrorCode, ErrorDomain};

/// What a handler gives: what the procedure returns, or libvirt's error.
pub type Result<T, E = RemoteError> = std::result::Result<T, E>;

/// An error of the hypervisor driver: libvirt's words for the code, then what it is about.
pub(crate) fn refusal(code: ErrorCode, about: impl AsRef<str>) -> RemoteError {
    from_domain(ErrorDomain::QEMU, code, about.as_ref())
}

/// An error of another part of libvirt.
pub(crate) fn from_domain(domain: ErrorDomain, code: ErrorCode, about: &str) -> RemoteError {
    let words = match code {
        ErrorCode::INTERNAL_ERROR => "internal error",
        ErrorCode::NO_SUPPORT => "this function is not supported by the connection driver",
        ErrorCode::NO_CONNECT => "no connection driver available for",
        ErrorCode::INVALID_ARG => "invalid argument",
        ErrorCode::OPERATION_FAILED => "operation failed",
        ErrorCode::OPERATION_DENIED => "operation forbidden",
        ErrorCode::OPERATION_INVALID => "Requested operation is not valid",
        ErrorCode::OPERATION_TIMEOUT => "Timed out during operation",
        ErrorCode::OPERATION_UNSUPPORTED => "Operation not supported",
        ErrorCode::BLOCK_COPY_ACTIVE => "block copy still active",
        ErrorCode::NO_DOMAIN => "Domain not found",
        ErrorCode::NO_DOMAIN_METADATA | ErrorCode::NO_NETWORK_METADATA => "metadata not found",
        ErrorCode::NO_NETWORK => "Network not found",
        ErrorCode::NO_STORAGE_POOL => "Storage pool not found",
        ErrorCode::NO_STORAGE_VOL => "Storage volume not found",
        ErrorCode::NO_DOMAIN_SNAPSHOT => "Domain snapshot not found",
        ErrorCode::NO_DOMAIN_CHECKPOINT => "Domain checkpoint not found",
        ErrorCode::NO_DOMAIN_BACKUP => "Domain backup job id not found",
        ErrorCode::XML_ERROR => "XML error",
        ErrorCode::XML_INVALID_SCHEMA => "XML document failed to validate against schema",
        ErrorCode::CONFIG_UNSUPPORTED => "unsupported configuration",
        ErrorCode::ARGUMENT_UNSUPPORTED => "argument unsupported",
        ErrorCode::DEVICE_MISSING => "device not found",
        ErrorCode::CHECKPOINT_INCONSISTENT => "checkpoint inconsistent",
        ErrorCode::OVERFLOW => "numerical overflow",
        _ => "",
    };
    let message = match (words, about) {
        ("", about) => about.to_owned(),
        (words, "") => words.to_owned(),
        (words, about) => format!("{words}: {about}"),
    };
    let mut error = RemoteError::new(code, domain, message);
    if !words.is_empty() {
        error.str1 = Some(format!("{words}: %s"));
        error.str2 = Some(about.to_owned());
    }
    error
}

/// The argument is wrong.
pub(crate) fn invalid(about: impl AsRef<str>) -> RemoteError {
    refusal(ErrorCode::INVALID_ARG, about)
}

/// Not in this state.
pub(crate) fn not_valid_now(about: impl AsRef<str>) -> RemoteError {
    refusal(ErrorCode::OPERATION_INVALID, about)
}

/// Refuses flags that a function of the hypervisor driver does not know.
pub(crate) fn check_flags(flags: u32, known: u32, function: &str) -> Result<()> {
    check_flags_of(ErrorDomain::QEMU, flags, known, function)
}

/// Refuses flags that a function of another part of libvirt does not know.
pub(crate) fn check_flags_of(
    domain: ErrorDomain,
    flags: u32,
    known: u32,
    function: &str,
) -> Result<()> {
    match flags & !known {
        0 => Ok(()),
        unknown => {
            let words = format!("unsupported flags (0x{unknown:x}) in function {function}");
            Err(bad_argument(domain, function, "flags", words))
        }
    }
}

/// An argument that a function of libvirt refuses before it does anything: without libvirt's words
/// for the code.
pub(crate) fn bad_argument(
    domain: ErrorDomain,
    function: &str,
    argument: &str,
    words: impl Into<String>,
) -> RemoteError {
    let mut error = RemoteError::new(ErrorCode::INVALID_ARG, domain, words);
    error.str1 = Some(function.to_owned());
    error.str2 = Some(argument.to_owned());
    error
}
