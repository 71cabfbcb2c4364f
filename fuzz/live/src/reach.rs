//! Which procedures are not called, and why: the reviewed list of what reaches too far.
//!
//! The cage alone would stop all of these from doing harm. The list is the second wall: what is
//! meant to act on the machine, to run what its caller names, or to take a guest's innards apart
//! has no business in a random call.

use virtwire_protocol::{Procedure, Program, lxc, qemu, remote};

use crate::script::Callable;

/// Why a procedure is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It puts the machine to sleep.
    Power,
    /// It changes the machine's network interfaces.
    Interface,
    /// It creates, removes or takes over the machine's devices.
    Device,
    /// It changes how the machine uses its memory.
    Memory,
    /// It has the daemon connect to, or run, what an argument names.
    Elsewhere,
    /// It hands words to the emulator or takes over a process, past all that libvirt checks.
    Emulator,
    /// It hands words to a program in the guest.
    Agent,
    /// It enters the namespaces of another process.
    Namespace,
    /// It opens and closes connections, which the fuzzer itself does.
    Connection,
}

impl Reason {
    /// The reason in words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Power => "puts the machine to sleep",
            Self::Interface => "changes the machine's network interfaces",
            Self::Device => "creates, removes or takes over devices of the machine",
            Self::Memory => "changes how the machine uses its memory",
            Self::Elsewhere => "has the daemon connect to, or run, what an argument names",
            Self::Emulator => "goes past libvirt to the emulator, or takes over a process",
            Self::Agent => "hands words to a program in the guest",
            Self::Namespace => "enters the namespaces of another process",
            Self::Connection => "opens and closes connections, which the fuzzer itself does",
        }
    }
}

/// A procedure that is not called.
#[derive(Debug, Clone, Copy)]
pub struct Off {
    /// The program.
    pub program: Program,
    /// The number in it.
    pub number: i32,
    /// Why.
    pub reason: Reason,
}

const fn off<P: Procedure>(reason: Reason) -> Off {
    Off {
        program: P::PROGRAM,
        number: P::NUMBER,
        reason,
    }
}

/// Every procedure that is not called.
pub const OFF: &[Off] = &[
    off::<remote::NodeSuspendForDuration>(Reason::Power),
    off::<remote::InterfaceDefineXml>(Reason::Interface),
    off::<remote::InterfaceUndefine>(Reason::Interface),
    off::<remote::InterfaceCreate>(Reason::Interface),
    off::<remote::InterfaceDestroy>(Reason::Interface),
    off::<remote::InterfaceChangeBegin>(Reason::Interface),
    off::<remote::InterfaceChangeCommit>(Reason::Interface),
    off::<remote::InterfaceChangeRollback>(Reason::Interface),
    off::<remote::NodeDeviceDettach>(Reason::Device),
    off::<remote::NodeDeviceDetachFlags>(Reason::Device),
    off::<remote::NodeDeviceReAttach>(Reason::Device),
    off::<remote::NodeDeviceReset>(Reason::Device),
    off::<remote::NodeDeviceCreateXml>(Reason::Device),
    off::<remote::NodeDeviceDestroy>(Reason::Device),
    off::<remote::NodeDeviceDefineXml>(Reason::Device),
    off::<remote::NodeDeviceUndefine>(Reason::Device),
    off::<remote::NodeDeviceCreate>(Reason::Device),
    off::<remote::NodeDeviceSetAutostart>(Reason::Device),
    off::<remote::NodeDeviceUpdate>(Reason::Device),
    off::<remote::NodeSetMemoryParameters>(Reason::Memory),
    off::<remote::NodeAllocPages>(Reason::Memory),
    off::<remote::DomainMigratePerform>(Reason::Elsewhere),
    off::<remote::DomainMigratePerform3>(Reason::Elsewhere),
    off::<remote::DomainMigratePerform3Params>(Reason::Elsewhere),
    off::<qemu::DomainMonitorCommand>(Reason::Emulator),
    off::<qemu::DomainMonitorCommandWithFiles>(Reason::Emulator),
    off::<qemu::DomainAttach>(Reason::Emulator),
    // Arguments of the emulator's command line, written out as XML that could be defined.
    off::<remote::ConnectDomainXmlFromNative>(Reason::Emulator),
    off::<qemu::DomainAgentCommand>(Reason::Agent),
    off::<remote::DomainSetUserPassword>(Reason::Agent),
    off::<remote::DomainAuthorizedSshKeysGet>(Reason::Agent),
    off::<remote::DomainAuthorizedSshKeysSet>(Reason::Agent),
    off::<lxc::DomainOpenNamespace>(Reason::Namespace),
    off::<remote::ConnectOpen>(Reason::Connection),
    off::<remote::ConnectClose>(Reason::Connection),
];

/// Why this procedure is not called; `None` when it is.
#[must_use]
pub fn why_off(callable: Callable) -> Option<Reason> {
    let this = |off: &&Off| off.program == callable.0.id && off.number == callable.0.number;
    OFF.iter().find(this).map(|off| off.reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::all;

    /// The permissions that reach beyond a guest, by the access checks of the daemon.
    const BEYOND: [&str; 15] = [
        "connect:pm_control",
        "connect:interface_transaction",
        "interface:write",
        "interface:save",
        "interface:delete",
        "interface:start",
        "interface:stop",
        "node_device:write",
        "node_device:save",
        "node_device:start",
        "node_device:stop",
        "node_device:delete",
        "node_device:detach",
        "domain:open_namespace",
        "domain:set_password",
    ];

    /// What may change something of the connection as a whole and is nevertheless called: it only
    /// reads or computes, or changes what belongs to the connection.
    fn is_harmless_write(callable: Callable) -> bool {
        callable.is::<remote::ConnectDomainXmlToNative>()
            || callable.is::<remote::ConnectGetDomainCapabilities>()
            || callable.is::<remote::ConnectCompareHypervisorCpu>()
            || callable.is::<remote::ConnectBaselineHypervisorCpu>()
            || callable.is::<remote::ConnectSetIdentity>()
            || callable.is::<qemu::ConnectDomainMonitorEventRegister>()
            || callable.is::<qemu::ConnectDomainMonitorEventDeregister>()
    }

    #[test]
    fn what_needs_a_permission_beyond_a_guest_is_off() {
        for callable in all() {
            let beyond = callable.0.access.iter().any(|access| {
                let permission = access.splitn(3, ':').take(2).collect::<Vec<_>>().join(":");
                BEYOND.contains(&permission.as_str())
                    || (permission == "connect:write" && !is_harmless_write(callable))
            });
            assert!(
                !beyond || why_off(callable).is_some(),
                "{}",
                callable.0.name
            );
        }
    }

    #[test]
    fn the_machine_itself_is_only_read() {
        for callable in all().filter(|callable| callable.0.name.starts_with("NODE_")) {
            let reads = ["_GET_", "_LIST_", "_LOOKUP_", "_NUM_OF_", "_IS_"];
            let reading = reads.iter().any(|verb| callable.0.name.contains(verb));
            assert!(
                reading || why_off(callable).is_some(),
                "{}",
                callable.0.name
            );
        }
    }

    #[test]
    fn no_program_but_libvirts_own_is_called_unreviewed() {
        for callable in all().filter(|callable| callable.0.program != "remote") {
            let known = is_harmless_write(callable) || why_off(callable).is_some();
            assert!(known, "{}", callable.0.name);
        }
    }

    #[test]
    fn nothing_is_listed_twice_and_most_is_on() {
        for (at, one) in OFF.iter().enumerate() {
            let rest = OFF.iter().skip(at + 1);
            let same = |other: &&Off| (other.program, other.number) == (one.program, one.number);
            assert!(rest.clone().all(|other| !same(&other)));
        }
        assert!(
            all()
                .filter(|callable| why_off(*callable).is_none())
                .count()
                > 350
        );
    }
}
