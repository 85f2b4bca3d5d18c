//! Windows: `netsh` for ports and auto-tuning, the registry for the rest. `netsh` is never believed: every value is read
//! again after it was set.

use std::env;
use std::io;
use std::path::PathBuf;

use winreg::RegKey;
use winreg::enums::{HKEY_LOCAL_MACHINE, KEY_QUERY_VALUE, KEY_SET_VALUE};

use super::netsh::{self, Place};
use crate::host::tool::output_of;
use crate::host::windows::{dynamic_ports, excluded_ports};
use crate::model::{Observed, TuneSigns};

/// No file sets values at the start of the system: each lasts by itself.
pub(super) const BOOT_FILE: Option<&str> = None;

/// Where the values of TCP/IP are.
const PARAMETERS: &str = r"SYSTEM\CurrentControlSet\Services\Tcpip\Parameters";
/// `netsh` prints the level in the language of the system; this prints the name of the value.
const LEVEL: &str = "(Get-NetTCPSetting -SettingName Internet).AutoTuningLevelLocal";

fn system32(name: &str) -> PathBuf {
    env::var_os("SystemRoot").map_or_else(|| PathBuf::from(r"C:\Windows"), PathBuf::from).join("System32").join(name)
}

fn ask_netsh(arguments: &[String]) -> io::Result<String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    output_of(&system32("netsh.exe"), &words)
}

/// Reads a value; what prints nothing is not believed.
pub(super) fn read(key: &str) -> Observed {
    let shown = |text: io::Result<String>, value: fn(&str) -> Option<String>| match text {
        Ok(text) => value(&text).map_or_else(|| Observed::Unknown("no output".to_owned()), Observed::Value),
        Err(error) => Observed::Unknown(error.to_string()),
    };
    match Place::of(key) {
        Place::Dynamic { .. } => shown(ask_netsh(&netsh::show(key)), |text| Some(dynamic_ports(text)?.to_string())),
        Place::Excluded => shown(ask_netsh(&netsh::show(key)), |text| {
            let administered = excluded_ports(text).by_administrator;
            (!text.trim().is_empty()).then(|| netsh::list(&administered))
        }),
        Place::AutoTuning => {
            let powershell = system32(r"WindowsPowerShell\v1.0\powershell.exe");
            shown(output_of(&powershell, &["-NoProfile", "-NonInteractive", "-Command", LEVEL]), netsh::level)
        }
        Place::Registry => match open(KEY_QUERY_VALUE).and_then(|parameters| parameters.get_value::<u32, _>(key)) {
            Ok(number) => Observed::Value(number.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Observed::Absent,
            Err(error) => Observed::Unknown(error.to_string()),
        },
    }
}

/// Writes a value.
pub(super) fn write(key: &str, value: &str) -> io::Result<()> {
    let nonsense = || io::Error::from(io::ErrorKind::InvalidInput);
    let commands = match Place::of(key) {
        Place::Registry => {
            let number: u32 = value.parse().map_err(|_| nonsense())?;
            return open(KEY_SET_VALUE)?.set_value(key, &number);
        }
        Place::Excluded => {
            let now = excluded_ports(&ask_netsh(&netsh::show(key))?).by_administrator;
            netsh::exclude(&now, value)
        }
        Place::Dynamic { .. } | Place::AutoTuning => vec![netsh::set(key, value).ok_or_else(nonsense)?],
    };
    commands.iter().try_for_each(|command| ask_netsh(command).map(drop))
}

/// Removes a value of the registry; one that is not there is as good as removed.
pub(super) fn clear(key: &str) -> io::Result<()> {
    if Place::of(key) != Place::Registry {
        return Err(io::ErrorKind::Unsupported.into());
    }
    match open(KEY_SET_VALUE)?.delete_value(key) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn open(access: u32) -> io::Result<RegKey> {
    RegKey::predef(HKEY_LOCAL_MACHINE).open_subkey_with_flags(PARAMETERS, access)
}

/// Nothing beside the sockets and the ranges is counted.
pub(super) fn signs() -> TuneSigns {
    TuneSigns::default()
}

/// Tells whether the key of the registry may be written, which an administrator may.
pub(super) fn may_change() -> bool {
    open(KEY_SET_VALUE).is_ok()
}
