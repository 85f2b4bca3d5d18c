//! The values of the registry that `tune` writes. One test, because all tests share the registry of the machine.

use std::process::Command;

use serde_json::{Value, json};
use windows_permissions::constants::{SeObjectType, SecurityInformation};
use windows_permissions::wrappers::SetNamedSecurityInfo;
use windows_permissions::{LocalBox, SecurityDescriptor};

use crate::machine::Machine;

const PARAMETERS: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters";
const VALUES: [(&str, &str); 3] =
    [("MaxUserPort", "0xfffe"), ("TcpFinWait2Delay", "0x1e"), ("TcpTimedWaitDelay", "0x1e")];

/// What the system's own program says of a value; `None` where there is none.
fn queried(name: &str) -> Option<String> {
    let output = Command::new("reg").args(["query", PARAMETERS, "/v", name]).output().expect("reg runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.contains(name))?;
    line.split_whitespace().last().map(str::to_owned)
}

/// Takes the right to write from everybody while it lives.
struct ReadOnly;

impl ReadOnly {
    const KEY: &'static str = r"MACHINE\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters";

    fn new() -> Self {
        Self::give("D:(A;;KR;;;BA)(A;;KR;;;SY)(A;;KR;;;WD)");
        Self
    }

    fn give(rights: &str) {
        let descriptor: LocalBox<SecurityDescriptor> = rights.parse().expect("rights");
        let (kind, what) = (SeObjectType::SE_REGISTRY_KEY, SecurityInformation::Dacl);
        SetNamedSecurityInfo(Self::KEY, kind, what, None, None, descriptor.dacl(), None).expect("the rights are set");
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        Self::give("D:(A;;KA;;;BA)(A;;KA;;;SY)(A;;KR;;;WD)");
    }
}

fn state(document: &Value, key: &str) -> Value {
    let settings = document["settings"].as_array().expect("settings");
    settings.iter().find(|one| one["key"] == key).unwrap_or_else(|| panic!("no {key} in {document}"))["state"].clone()
}

#[test]
fn the_values_of_the_legacy_profile_are_written_and_put_back_also_those_that_were_absent() {
    let machine = Machine::new();
    let set = ["add", PARAMETERS, "/v", "TcpTimedWaitDelay", "/t", "REG_DWORD", "/d", "120", "/f"];
    assert!(Command::new("reg").args(set).output().expect("reg runs").status.success());
    let plain = machine.run(&["tune", "--json"]).expect(0).json();
    assert_eq!(plain["os"], "windows");
    for (name, ..) in VALUES {
        assert_eq!(state(&plain, name), "ok", "nobody needs {name} by default");
    }
    // Nobody can be asked, so nothing is changed.
    machine.run(&["tune", "apply", "--profile", "legacy"]).expect(2);
    assert_eq!(queried("MaxUserPort"), None);

    let done = machine.run(&["tune", "apply", "--profile", "legacy", "--yes", "--json"]).expect(0).json();
    for (name, hexadecimal) in VALUES {
        assert_eq!(state(&done, name), "applied");
        assert_eq!(queried(name).as_deref(), Some(hexadecimal), "{name}");
    }
    let again = machine.run(&["tune", "--profile", "legacy", "--json"]).expect(0).json();
    assert!(VALUES.iter().all(|(name, ..)| state(&again, name) == "applied"), "{again}");

    let back = machine.run(&["tune", "revert", "--yes", "--json"]).expect(0).json();
    assert_eq!(back["reverted"]["restored"], json!(VALUES.map(|(name, ..)| name)));
    assert_eq!(queried("TcpTimedWaitDelay").as_deref(), Some("0x78"));
    assert_eq!((queried("MaxUserPort"), queried("TcpFinWait2Delay")), (None, None));

    // A value that somebody changed since is said, and put back with consent alone.
    machine.run(&["tune", "apply", "--profile", "legacy", "--yes"]).expect(0);
    let set = ["add", PARAMETERS, "/v", "MaxUserPort", "/t", "REG_DWORD", "/d", "60000", "/f"];
    assert!(Command::new("reg").args(set).output().expect("reg runs").status.success());
    let asked = machine.run(&["tune", "revert"]).expect(2);
    assert!(asked.stderr.contains("MaxUserPort is 60000, which somebody set since"), "{}", asked.stderr);
    assert_eq!(queried("MaxUserPort").as_deref(), Some("0xea60"));
    machine.run(&["tune", "revert", "--yes"]).expect(0);
    assert_eq!((queried("MaxUserPort"), queried("TcpTimedWaitDelay").as_deref()), (None, Some("0x78")));

    let read_only = ReadOnly::new();
    let denied = machine.run(&["tune", "apply", "--profile", "legacy", "--yes"]).expect(5);
    assert!(denied.stderr.contains("administrator"), "{}", denied.stderr);
    assert_eq!((queried("MaxUserPort"), queried("TcpTimedWaitDelay").as_deref()), (None, Some("0x78")));
    // What was applied before the right was taken away is reverted once it is back.
    drop(read_only);
    machine.run(&["tune", "apply", "--profile", "legacy", "--yes"]).expect(0);
    let read_only = ReadOnly::new();
    machine.run(&["tune", "revert", "--yes"]).expect(5);
    assert_eq!(queried("MaxUserPort").as_deref(), Some("0xfffe"));
    drop(read_only);
    machine.run(&["tune", "revert", "--yes"]).expect(0);
    assert_eq!((queried("MaxUserPort"), queried("TcpTimedWaitDelay").as_deref()), (None, Some("0x78")));
}
