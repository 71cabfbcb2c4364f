"""Prints each event that the C library reports, through its own Python binding.

`witness.py URI` asks for every event that the library and the driver behind the URI know, prints
`{"ready": [...]}` with their names, and then one JSON object a line for each event: what it is
about, which event it is, and its fields, all numbers as numbers. It ends when its standard input
does, or when its connection is lost.
"""

import json
import os
import sys
import threading

import libvirt
import libvirt_qemu

# For each domain event its fields after the domain, in the order of the callback's arguments.
DOMAIN = {
    "lifecycle": ("event", "detail"),
    "reboot": (),
    "rtc-change": ("offset",),
    "watchdog": ("action",),
    "io-error": ("source", "device", "action"),
    "graphics": ("phase", "local", "remote", "auth_scheme", "subject"),
    "io-error-reason": ("source", "device", "action", "reason"),
    "control-error": (),
    "block-job": ("path", "type", "status"),
    "disk-change": ("old_source", "new_source", "device", "reason"),
    "tray-change": ("device", "reason"),
    "pm-wakeup": ("reason",),
    "pm-suspend": ("reason",),
    "balloon-change": ("actual",),
    "pm-suspend-disk": ("reason",),
    "device-removed": ("device",),
    "block-job-2": ("path", "type", "status"),
    "tunable": ("params",),
    "agent-lifecycle": ("state", "reason"),
    "device-added": ("device",),
    "migration-iteration": ("iteration",),
    "job-completed": ("params",),
    "device-removal-failed": ("device",),
    "metadata-change": ("type", "ns_uri"),
    "block-threshold": ("device", "path", "threshold", "excess"),
    "memory-failure": ("recipient", "action", "flags"),
    "memory-device-size-change": ("device", "size"),
}
# The other classes have a lifecycle with two numbers, and one event without fields, if any.
OTHERS = {
    "network": ("lifecycle",),
    "storage-pool": ("lifecycle", "refresh"),
    "node-device": ("lifecycle", "update"),
    "secret": ("lifecycle", "value-changed"),
}
REGISTER = {
    "network": "networkEventRegisterAny",
    "storage-pool": "storagePoolEventRegisterAny",
    "node-device": "nodeDeviceEventRegisterAny",
    "secret": "secretEventRegisterAny",
}


def subject(object_):
    """Everything that names the object."""
    if isinstance(object_, libvirt.virDomain):
        return {"name": object_.name(), "uuid": object_.UUIDString(), "id": object_.ID()}
    if isinstance(object_, libvirt.virSecret):
        return {
            "uuid": object_.UUIDString(),
            "usage_type": object_.usageType(),
            "usage_id": object_.usageID(),
        }
    if isinstance(object_, libvirt.virNodeDevice):
        return {"name": object_.name()}
    return {"name": object_.name(), "uuid": object_.UUIDString()}


def say(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def reporter(class_, event, fields):
    """A callback that prints what it is called with."""

    def report(_connection, object_, *arguments):
        *values, _opaque = arguments
        assert len(values) == len(fields), (class_, event, values)
        said = {"class": class_, "event": event, "subject": subject(object_)}
        say({**said, "fields": dict(zip(fields, values))})

    return report


def attempt(registered, name, register, *arguments):
    """Registers a callback, unless the driver has no events of that kind."""
    try:
        register(*arguments)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
    else:
        registered.append(name)


def register_all(connection):
    registered = []
    for number, (event, fields) in enumerate(DOMAIN.items()):
        report = reporter("domain", event, fields)
        register = connection.domainEventRegisterAny
        attempt(registered, f"domain {event}", register, None, number, report, None)
    for class_, events in OTHERS.items():
        for number, event in enumerate(events):
            fields = ("event", "detail") if event == "lifecycle" else ()
            report = reporter(class_, event, fields)
            register = getattr(connection, REGISTER[class_])
            attempt(registered, f"{class_} {event}", register, None, number, report, None)
    fields = ("name", "seconds", "micros", "details")
    report = reporter("qemu-monitor", "event", fields)
    register = libvirt_qemu.qemuMonitorEventRegister
    attempt(registered, "qemu-monitor event", register, connection, None, None, report, None)
    return registered


def closed(_connection, reason, _opaque):
    say({"class": "connection", "event": "closed", "subject": {}, "fields": {"reason": reason}})


def end_with_input():
    sys.stdin.read()
    os._exit(0)


def main():
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    libvirt.virEventRegisterDefaultImpl()
    connection = libvirt.open(sys.argv[1])
    connection.registerCloseCallback(closed, None)
    say({"ready": register_all(connection)})
    threading.Thread(target=end_with_input, daemon=True).start()
    while True:
        libvirt.virEventRunDefaultImpl()


main()
