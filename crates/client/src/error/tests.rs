use super::*;

/// All codes that libvirt 12.8.0 has, and two that it has not.
fn codes() -> impl Iterator<Item = ErrorCode> {
    (-1..=115).map(ErrorCode)
}

fn of_call(cause: Cause, execution: Execution, repeatable: bool) -> Error {
    let call = CallContext {
        procedure: "DOMAIN_CREATE",
        serial: None,
        elapsed: Duration::from_secs(1),
        execution,
        repeatable,
    };
    Error::of_call(cause, call)
}

fn remote(code: ErrorCode, domain: ErrorDomain) -> Error {
    // What the text says does not matter.
    let error = RemoteError::new(
        code,
        domain,
        "cannot acquire state change lock, access denied",
    );
    of_call(Cause::Remote(Box::new(error)), Execution::Rejected, false)
}

fn names(domain: ErrorDomain, is: fn(&Error) -> bool) -> Vec<&'static str> {
    codes()
        .filter(|code| is(&remote(*code, domain)))
        .map(|code| code.name().unwrap())
        .collect()
}

fn closed(cause: CloseCause) -> Cause {
    Cause::Closed(Arc::new(cause))
}

#[test]
fn every_code_and_domain_of_libvirt_has_a_name() {
    let unnamed: Vec<ErrorCode> = codes().filter(|code| code.name().is_none()).collect();
    assert_eq!(unnamed, [ErrorCode(-1), ErrorCode(115)]);
    assert!((0..=72).all(|domain| ErrorDomain(domain).name().is_some()));
    assert!(ErrorDomain(73).name().is_none());
}

#[test]
fn busy_is_who_waits_for_a_lock() {
    let busy = ["OPERATION_TIMEOUT", "RESOURCE_BUSY"];
    assert_eq!(names(ErrorDomain::NONE, Error::is_busy), busy);
    // A processor that was told to go may still go.
    assert_eq!(names(ErrorDomain::QEMU, Error::is_busy), ["RESOURCE_BUSY"]);
}

#[test]
fn what_the_daemon_refused_is_retryable_if_it_was_busy() {
    for domain in [ErrorDomain::NONE, ErrorDomain::QEMU, ErrorDomain::RPC] {
        let busy = names(domain, Error::is_busy);
        assert_eq!(names(domain, Error::is_retryable), busy);
    }
}

#[test]
fn auth_is_about_who_asks() {
    let auth = [
        "AUTH_FAILED",
        "AUTH_CANCELLED",
        "ACCESS_DENIED",
        "AUTH_UNAVAILABLE",
    ];
    for domain in [ErrorDomain::NONE, ErrorDomain::POLKIT, ErrorDomain::QEMU] {
        assert_eq!(names(domain, Error::is_auth), auth);
    }
    let refused = RemoteError::new(ErrorCode::RPC, ErrorDomain::RPC, "");
    let refused = Error::new(Cause::AuthRefused(Box::new(refused)));
    assert!(refused.is_auth() && !refused.is_retryable());
    let wanted = "none and polkit";
    let offered = "sasl".to_owned();
    assert!(Error::new(Cause::AuthMismatch { offered, wanted }).is_auth());
}

#[test]
fn not_found_is_what_is_named_so() {
    let not_found = names(ErrorDomain::QEMU, Error::is_not_found);
    // A warning of old, and what is missing at the host and not at the daemon.
    let others = [
        "NO_MEMORY",
        "NO_SUPPORT",
        "NO_CONNECT",
        "NO_XEN",
        "NO_KERNEL",
        "NO_ROOT",
        "NO_SOURCE",
        "NO_TARGET",
        "NO_NAME",
        "NO_OS",
        "NO_DEVICE",
        "NO_XENSTORE",
        "NO_SECURITY_MODEL",
        "NO_SERVER",
        "NO_CLIENT",
        "NO_HOSTNAME",
    ];
    let named = codes().filter_map(ErrorCode::name);
    let named = named.filter(|name| name.starts_with("NO_") && !others.contains(name));
    assert_eq!(not_found, named.collect::<Vec<_>>());
}

#[test]
fn unsupported_is_told_by_codes() {
    let of = |domain| names(domain, Error::is_unsupported);
    assert_eq!(of(ErrorDomain::QEMU), ["NO_SUPPORT"]);
    assert_eq!(of(ErrorDomain::RPC), ["NO_SUPPORT", "RPC"]);
}

#[test]
fn what_may_have_been_executed_is_retryable_if_it_only_reads() {
    use Execution::{Executed, MaybeExecuted, NotSent};
    let lost = || closed(CloseCause::EndOfFile);
    let late = || Cause::Timeout(Duration::from_secs(1));
    for cause in [lost, late] {
        let retryable = |execution, repeatable| {
            let error = of_call(cause(), execution, repeatable);
            error.is_retryable()
        };
        assert!(retryable(NotSent, false));
        assert!(retryable(MaybeExecuted, true));
        assert!(!retryable(MaybeExecuted, false));
        assert!(!retryable(Executed, true));
    }
}

#[test]
fn repeating_must_have_a_chance() {
    let hopeless = [
        closed(CloseCause::Requested),
        Cause::Unsupported("a stream"),
        Cause::BadReply("it is odd"),
    ];
    for cause in hopeless {
        assert!(!of_call(cause, Execution::NotSent, true).is_retryable());
    }
}

#[test]
fn connecting_may_be_tried_again() {
    let source = io::Error::from(io::ErrorKind::ConnectionRefused);
    let endpoint = "somewhere".to_owned();
    assert!(Error::new(Cause::Connect { endpoint, source }).is_retryable());
    assert!(Error::new(Cause::ConnectTimeout(Duration::from_secs(30))).is_retryable());
    let lost = closed(CloseCause::EndOfFile);
    let opening = of_call(lost, Execution::MaybeExecuted, false);
    assert!(!opening.is_retryable());
    assert!(Error::while_opening(opening).is_retryable());
}
