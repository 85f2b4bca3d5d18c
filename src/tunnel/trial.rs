//! Temporary: the data plane without handshakes.
use super::*;
use std::rc::Rc;
use std::sync::Arc;
use bytes::BytesMut;
use tokio::net::{TcpListener, TcpStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{LocalSet, spawn_local};
use crate::tunnel::proto::*;
use crate::tunnel::link::*;
use crate::tunnel::wire::Wire;
struct Nothing;
impl Role for Nothing { fn open(&self, _: &Rc<Link>, _: StreamId, _: Open) {} fn lift(&self, _: &Rc<Link>, _: StreamId) {} fn heard(&self) {} }
/// x
pub fn server(control: String, public: String, target: u16) {
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&rt, async move {
        let c = TcpListener::bind(&control).await.unwrap();
        let (s, _) = c.accept().await.unwrap();
        crate::host::prepare_connected(&s);
        let yard = Rc::new(yard::Yard::default());
        let link = Link::new(Session::new(Side::Server, Limits::OURS, Limits::OURS, std::time::Instant::now()), Box::new(Nothing));
        yard.enter("x".into(), link.clone());
        let l2 = link.clone();
        spawn_local(async move { let p = l2.run(Wire::Plain(s), BytesMut::new()).await; eprintln!("{p:?}"); });
        let l2 = link.clone();
        spawn_local(async move { loop { let (mut d, _) = c.accept().await.unwrap(); crate::host::prepare_connected(&d); let id = d.read_u32().await.unwrap(); l2.bring(StreamId::new(id), Wire::Plain(d)); } });
        let l = TcpListener::bind(&public).await.unwrap();
        crate::host::prepare_listener(&l).unwrap();
        let terms = relay::Terms { patience: relay::Patience::DEFAULT, throttles: None, traffic: relay::Traffic::default() };
        let e = entry::Entry { port: crate::model::Port::new(1).unwrap(), client: String::new(), host: "127.0.0.1".into(), target_port: crate::model::Port::new(target).unwrap(), proxy: Proxy::Off, access: policy::Access::Open, terms: Arc::new(terms), accepts: Arc::default(), trouble: forward::Pace::default() };
        entry::trial(&yard, l, e).await;
    });
}
/// x
pub fn client(control: String) {
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&rt, async move {
        let s = TcpStream::connect(&control).await.unwrap();
        crate::host::prepare_connected(&s);
        let c2 = control.clone();
        let connect: target::Connect = Rc::new(move |id| { let c = c2.clone(); Box::pin(async move { let mut s = TcpStream::connect(&c).await?; crate::host::prepare_connected(&s); s.write_u32(id.get()).await?; Ok(Wire::Plain(s)) }) });
        let role = target::Targets::new(Arc::default(), connect);
        let link = Link::new(Session::new(Side::Client, Limits::OURS, Limits::OURS, std::time::Instant::now()), Box::new(role));
        let p = link.run(Wire::Plain(s), BytesMut::new()).await; eprintln!("{p:?}");
    });
}
