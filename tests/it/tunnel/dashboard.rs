//! The dashboard in a real browser: every view, both languages, a narrow window, the keyboard, and hostile names.

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::running::{KEY, Link, PATIENCE, Tunnel, fresh_port, wait_until};
use super::targets::{Target, content, expect_echo, read_all, visit};
use crate::browser::Browser;

const VIEWS: [&str; 8] = ["overview", "mappings", "connections", "traffic", "clients", "tokens", "audit", "logs"];

/// Keys of the `WebDriver` protocol that have no sign.
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

/// A name that would run if any of it were read as markup.
const HOSTILE: &str = "<img src=x onerror=document.title='owned'>";

/// Where pictures of every view go, when somebody wants to look at them.
fn pictures() -> Option<PathBuf> {
    std::env::var_os("PORTWRIGHT_PICTURES").map(PathBuf::from)
}

fn page(tunnel: &Tunnel, view: &str) -> String {
    format!("http://{}/#/{view}", tunnel.server.api)
}

#[track_caller]
fn sign_in(browser: &Browser, tunnel: &Tunnel) {
    browser.open(&page(tunnel, "overview"));
    browser.fill("#key", KEY);
    browser.click("form button.main");
    browser.wait_for("Sign out");
}

#[track_caller]
fn go(browser: &Browser, view: &str) {
    browser.click(&format!("nav a[href='#/{view}']"));
    browser.wait_until(view, || {
        let loaded = "return location.hash === arguments[0] && !document.querySelector('#view > .quiet:only-child')";
        browser.run(&loaded.replace("arguments[0]", &format!("'#/{view}'"))) == true
    });
}

/// A tunnel with a visitor, some traffic and a mapping that is in trouble.
fn busy_tunnel() -> (Tunnel, Vec<Target>, std::net::TcpStream) {
    let tunnel = Tunnel::start(Link::Tls);
    let (echo, source) = (Target::echo(), Target::source(1, 3_000_000));
    let public = tunnel.server.map_with(echo.address, &json!({ "name": HOSTILE, "client": "home" }));
    assert!(read_all(&mut visit(tunnel.map(source.address))) == content(1, 3_000_000));
    tunnel.server.map_with(echo.address, &json!({ "client": "nobody", "name": "backup" }));
    let mut visitor = visit(public);
    expect_echo(&mut visitor);
    (tunnel, vec![echo, source], visitor)
}

#[test]
fn every_view_shows_what_it_is_for_in_both_languages_and_at_two_widths() {
    let Some(browser) = Browser::start(1280, 900) else { return };
    let (tunnel, _targets, _visitor) = busy_tunnel();
    sign_in(&browser, &tunnel);
    let shows = |view: &str| match view {
        "overview" => vec!["backup", "waiting"],
        "mappings" => vec![HOSTILE, "served", "through home"],
        "connections" => vec!["127.0.0.1:"],
        "traffic" => vec!["Totals", "2.9 MiB"],
        "clients" => vec!["home", "portwright"],
        "tokens" => vec!["home", "valid"],
        "audit" => vec!["mapping"],
        "logs" => vec!["client connected"],
        _ => vec![],
    };
    for view in VIEWS {
        go(&browser, view);
        for text in shows(view) {
            browser.wait_for(text);
        }
    }
    for (width, height) in [(1280, 900), (360, 740)] {
        browser.resize(width, height);
        for lang in ["en", "zh-CN"] {
            browser.run(&format!(
                "const select = document.querySelector('header select'); select.value = '{lang}';
                 select.dispatchEvent(new Event('change'));"
            ));
            browser.wait_for(if lang == "en" { "Sign out" } else { "退出" });
            for view in VIEWS {
                go(&browser, view);
                let wide = browser.run("return document.documentElement.scrollWidth - window.innerWidth");
                assert!(
                    wide.as_i64().is_some_and(|wide| wide <= 0),
                    "{view} in {lang} is {wide} px too wide at {width}"
                );
                let title = browser.run("return document.title");
                assert!(title.as_str().is_some_and(|title| !title.contains("owned")), "a name was read as markup");
                if let Some(folder) = pictures() {
                    browser.picture(&folder.join(format!("{view}-{lang}-{width}.png")));
                }
            }
        }
    }
    if let Some(folder) = pictures() {
        browser.run("document.documentElement.setAttribute('data-theme', 'dark')");
        browser.picture(&folder.join("dark.png"));
    }
    assert_eq!(browser.complaints(), Vec::<String>::new(), "nothing is refused and nothing breaks");
    let kept =
        browser.run("return [Object.keys(localStorage).length, Object.keys(sessionStorage).length, document.cookie]");
    assert_eq!(kept, json!([0, 0, ""]), "the key is in memory alone");
    browser.open(&page(&tunnel, "mappings"));
    browser.run("location.reload()");
    browser.wait_until("the question for the key", || browser.run("return !!document.querySelector('#key')") == true);
}

#[test]
fn mappings_are_made_changed_loaded_anew_and_removed() {
    let Some(browser) = Browser::start(1000, 900) else { return };
    let tunnel = Tunnel::start(Link::Tls);
    let echo = Target::echo();
    sign_in(&browser, &tunnel);
    go(&browser, "mappings");
    let port = fresh_port();
    browser.click("[data-focus=create]");
    browser.fill("dialog [name=source_port]", &port.to_string());
    browser.fill("dialog [name=name]", "desk");
    browser.fill("dialog [name=target_port]", &echo.address.port().to_string());
    browser.fill("dialog [name=access_ips]", "not a network");
    browser.run("document.querySelector('dialog [name=access_rule]').value = 'whitelist'");
    browser.click("dialog button.main");
    browser.wait_until("the refusal beside its field", || {
        browser.run("return document.querySelector('dialog [data-field=access_ips] .problem').textContent !== ''")
            == true
    });
    browser.fill("dialog [name=access_ips]", "127.0.0.0/8");
    browser.click("dialog button.main");
    browser.wait_for("The mapping was created.");
    let public = super::running::loopback(port);
    let mut visitor = visit(public);
    expect_echo(&mut visitor);

    browser.click(&format!("[data-focus=edit-{port}]"));
    browser.fill("dialog [name=bandwidth_limit]", "1048576");
    browser.click("dialog button.main");
    browser.wait_for("Saved.");
    browser.wait_for("1 MiB/s");
    browser.wait_for("only these: 127.0.0.0/8");
    visitor.write_all(b"x").expect("the visitor was not cut");

    let elsewhere = Target::source(7, 1000);
    browser.click(&format!("[data-focus=edit-{port}]"));
    browser.wait_for("ends the visitors who are there");
    if let Some(folder) = pictures() {
        browser.picture(&folder.join("edit.png"));
    }
    browser.fill("dialog [name=target_port]", &elsewhere.address.port().to_string());
    browser.click("dialog button.main");
    browser.wait_for(&format!("127.0.0.1:{}", elsewhere.address.port()));
    assert!(read_all(&mut visit(public)) == content(7, 1000), "led elsewhere");
    browser.wait_for("1 MiB/s");
    browser.click(&format!("[data-focus=edit-{port}]"));
    browser.fill("dialog [name=target_port]", &echo.address.port().to_string());
    browser.click("dialog button.main");
    browser.wait_for(&format!("127.0.0.1:{}", echo.address.port()));

    browser.click(&format!("[data-focus=reload-{port}]"));
    browser.click("dialog button.danger");
    browser.wait_for("Loaded anew.");
    expect_echo(&mut visit(public));

    browser.click(&format!("[data-focus=remove-{port}]"));
    browser.wait_for("will no longer lead to");
    browser.press(ESCAPE);
    browser.wait_until("the dialog to go", || browser.run("return !document.querySelector('dialog')") == true);
    expect_echo(&mut visit(public));
    browser.click(&format!("[data-focus=remove-{port}]"));
    browser.click("dialog button.danger");
    browser.wait_for("The mapping was removed.");
    wait_until("the end of the mapping", PATIENCE, || std::net::TcpStream::connect(public).is_err());
    browser.wait_for("There are no mappings yet.");
    // The browser itself notes the answer that was a refusal.
    let complaints: Vec<_> = browser.complaints().into_iter().filter(|line| !line.contains("status of 4")).collect();
    assert_eq!(complaints, Vec::<String>::new());
}

#[test]
fn tokens_are_shown_once_and_revoked_and_the_keyboard_suffices() {
    let Some(browser) = Browser::start(1000, 900) else { return };
    let tunnel = Tunnel::start(Link::Tls);
    browser.open(&page(&tunnel, "tokens"));
    browser.wait_until("the field for the key", || browser.run("return document.activeElement.id === 'key'") == true);
    browser.press("wrong");
    browser.press(ENTER);
    browser.wait_until("the refusal", || {
        browser.run("return document.querySelector('.problem').textContent !== ''") == true
    });
    browser.press(KEY);
    browser.press(ENTER);
    browser.wait_for("Sign out");
    browser.wait_for("home");
    for _ in 0..30 {
        if browser.run("return document.activeElement.dataset.focus") == "create" {
            break;
        }
        browser.press(TAB);
    }
    browser.press(ENTER);
    browser.wait_until("the form", || browser.run("return document.activeElement.name === 'name'") == true);
    browser.press("tablet");
    browser.press(ENTER);
    browser.wait_for("portwright tunnel client --join pwj_");
    browser.press(ESCAPE);
    browser.wait_for("tablet");
    assert!(!browser.text().contains("pwj_"), "a token is shown once");
    let id = browser.run(
        "return [...document.querySelectorAll('tr')].find((row) => row.innerText.includes('tablet'))
        .querySelector('[data-focus]').dataset.focus",
    );
    browser.click(&format!("[data-focus='{}']", id.as_str().expect("its button")));
    browser.wait_for("are cut off at once");
    browser.click("dialog button.danger");
    browser.wait_for("The token was revoked.");
    browser.wait_for("revoked");
    assert!(tunnel.server.clients() == 1, "the other token's client stays");
}
