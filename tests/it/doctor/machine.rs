//! Machines without room, memory, rights, names or a loopback: what is told of them is put in the place of the real
//! files in a mount namespace, or is real in a network namespace.

use super::{Diagnosis, NO_ENGINE, broken_by, have_namespaces, script};
use crate::docker_fake::{VERSION, fake, reply};
use crate::support::Sandbox;

/// Diagnoses a sandbox in a mount and network namespace with a loopback, after `script`.
fn after(sandbox: &Sandbox, script: &str) -> Diagnosis {
    let usual = "ip link set lo up";
    Diagnosis::of(&mut broken_by(sandbox, &["-m", "-n"], &format!("{usual}\n{script}")))
}

/// The commands that put `text` in the place of a file.
fn stand_in(sandbox: &Sandbox, file: &str, text: &str) -> String {
    let name = format!("stand-in{}", file.replace('/', "-"));
    std::fs::write(sandbox.home().join(&name), text).expect("a stand-in");
    format!("mount --bind {} {file}", sandbox.home().join(name).display())
}

#[test]
fn nothing_is_wrong_in_a_namespace_by_itself() {
    if have_namespaces() {
        let seen = after(&Sandbox::new(&[]), "true");
        assert_eq!(seen.alarms(), [] as [String; 0], "{}", seen.document);
    }
}

#[test]
fn a_disk_that_is_full_of_bytes_or_of_files_or_read_only_is_named() {
    if !have_namespaces() {
        return;
    }
    let sandbox = Sandbox::new(&[]);
    let home = sandbox.home().display().to_string();
    let small = |option: &str| format!("mount -t tmpfs -o {option} tmpfs {home}");
    after(&sandbox, &small("size=1M")).finds("disk-space", "fail", &home, "du -xh");
    after(&sandbox, &small("size=100M")).finds("disk-space", "warn", &home, "docker system prune");
    after(&sandbox, &small("nr_inodes=20")).finds("disk-files", "fail", &home, "df -i");
    let read_only = format!("mount --bind {home} {home}\nmount -o remount,bind,ro {home}");
    after(&sandbox, &read_only).finds("folders-writable", "fail", &home, "ls -ld");
}

#[test]
fn memory_files_tasks_and_connections_that_are_used_up_are_told() {
    if !have_namespaces() {
        return;
    }
    let sandbox = Sandbox::new(&[]);
    let with = |file: &str, text: &str| after(&sandbox, &stand_in(&sandbox, file, text));
    let memory = "MemTotal: 1000000 kB\nMemFree: 1000 kB\nMemAvailable: 9000 kB\n";
    with("/proc/meminfo", memory).finds("memory", "fail", "8 of", "ps aux");
    with("/proc/meminfo", &memory.replace(" 9000", " 99000")).finds("memory", "warn", "96 of", "ps aux");
    with("/proc/sys/fs/file-nr", "99000\t0\t100000\n").finds("system-files", "fail", "99000 of", "fs.file-max");
    after(&sandbox, "ulimit -n 128").finds("descriptors", "fail", "128", "limits.conf");
    after(&sandbox, "ulimit -n 512").finds("descriptors", "warn", "512", "LimitNOFILE");
    let backlog = "echo 16 > /proc/sys/net/core/somaxconn";
    after(&sandbox, backlog).finds("backlog", "warn", "16", "net.core.somaxconn");
    let ports = "echo '60000 60100' > /proc/sys/net/ipv4/ip_local_port_range";
    after(&sandbox, ports).finds("outgoing-ports", "fail", "101", "ip_local_port_range");
    if std::path::Path::new("/proc/sys/net/netfilter/nf_conntrack_count").exists() {
        let connections = stand_in(&sandbox, "/proc/sys/net/netfilter/nf_conntrack_count", "99999999\n");
        after(&sandbox, &connections).finds("connections", "fail", "99999999 of", "nf_conntrack_max");
    }
}

#[test]
fn a_kernel_that_does_not_forward_is_told_where_an_engine_needs_it() {
    if !have_namespaces() {
        return;
    }
    let sandbox = Sandbox::new(&[]);
    let version = VERSION.replace("amd64", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
    let (_folder, path) = fake(move |line, stream| match line {
        line if line.contains("/version") => reply(stream, "200 OK", &version),
        line if line.contains("/containers/json") => reply(stream, "200 OK", "[]"),
        _ => reply(stream, "404 Not Found", r#"{"message":"page not found"}"#),
    });
    let broken = "ip link set lo up\necho 0 > /proc/sys/net/ipv4/ip_forward";
    let mut command = broken_by(&sandbox, &["-n"], broken);
    let seen = Diagnosis::of(command.env("DOCKER_HOST", format!("unix://{}", path.display())));
    seen.finds("forwarding", "fail", "ip_forward is 0", "sysctl -w net.ipv4.ip_forward=1");
}

#[test]
fn names_and_loopback_that_lead_nowhere_are_told() {
    if !have_namespaces() {
        return;
    }
    let sandbox = Sandbox::new(&[]);
    let down = Diagnosis::of(&mut broken_by(&sandbox, &["-n"], "true"));
    down.finds("loopback", "fail", "127.0.0.1", "ip link set lo up");
    let hosts = stand_in(&sandbox, "/etc/hosts", "192.0.2.7 localhost\n");
    after(&sandbox, &hosts).finds("localhost", "fail", "192.0.2.7", "/etc/hosts");
    let resolver = stand_in(&sandbox, "/etc/resolv.conf", "# nothing\n");
    after(&sandbox, &resolver).finds("name-servers", "warn", "/etc/resolv.conf", "nameserver");
}

#[test]
fn a_user_without_a_home_and_a_misspelt_variable_are_told() {
    let sandbox = Sandbox::new(&[]);
    let mut command = sandbox.command(&["doctor", "--json"]);
    Diagnosis::of(command.env_remove("HOME").env("DOCKER_HOST", NO_ENGINE)).finds("home", "fail", "no home", "HOME");
    let mut command = sandbox.command(&["doctor", "--json"]);
    let seen = Diagnosis::of(command.env("PORTWRIGHT_API_LISTENPORT", "1").env("DOCKER_HOST", NO_ENGINE));
    seen.finds("variables", "warn", "PORTWRIGHT_API_LISTENPORT", "PORTWRIGHT_API_LISTEN_PORT");
}

#[test]
fn services_that_have_failed_or_are_not_started_with_the_machine_are_told() {
    if !have_namespaces() {
        return;
    }
    let sandbox = Sandbox::new(&[]);
    let with = |answer: &str| {
        script(&sandbox.home(), "systemctl", &format!("#!/bin/sh\nprintf '{answer}'\n"));
        let tool = sandbox.home().join("systemctl").display().to_string();
        let place = "mount -t tmpfs tmpfs /run/systemd\nmkdir /run/systemd/system";
        after(&sandbox, &format!("{place}\nmount --bind {tool} /usr/bin/systemctl"))
    };
    if !std::path::Path::new("/usr/bin/systemctl").exists() || !std::path::Path::new("/run/systemd").is_dir() {
        return;
    }
    let unit = |active: &str, restarts: u32| {
        format!(
            "Id=docker.service\\nLoadState=loaded\\nActiveState={active}\\nUnitFileState=enabled\\nNRestarts={restarts}\\n"
        )
    };
    with(&unit("failed", 0)).finds("services", "fail", "docker.service", "journalctl -u docker.service");
    with(&unit("active", 9)).finds("services", "warn", "9 times", "systemctl restart docker.service");
    assert_eq!(with(&unit("active", 0)).outcome("services"), "pass");
}
