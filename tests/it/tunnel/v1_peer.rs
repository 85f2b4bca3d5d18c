//! A client and a server of protocol version 1, as the predecessor's behave, written from the contract's bytes.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::targets::PATIENCE;

pub(super) const CONNECT_REQUEST: u8 = 1;
pub(super) const CONNECT_RESPONSE: u8 = 2;
pub(super) const DATA: u8 = 3;
pub(super) const CLOSE: u8 = 4;
pub(super) const KEEP_ALIVE: u8 = 5;

/// Type and payload.
pub(super) type Frame = (u8, Vec<u8>);

/// The bytes of one frame.
pub(super) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    [&[1, kind][..], &length.to_be_bytes(), payload].concat()
}

/// Reads one frame; an error for what is none, and for the end.
fn read_frame(stream: &mut impl Read) -> io::Result<Frame> {
    let mut header = [0; 6];
    stream.read_exact(&mut header)?;
    let length = u32::from_be_bytes([header[2], header[3], header[4], header[5]]);
    if header[0] != 1 || length > 1_048_576 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{header:?}")));
    }
    let mut payload = vec![0; usize::try_from(length).expect("a length")];
    stream.read_exact(&mut payload)?;
    Ok((header[1], payload))
}

fn id_of(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().expect("four bytes"))
}

/// Writes a header and its payload in two calls, as the predecessor does.
fn write_in_two(stream: &Mutex<TcpStream>, kind: u8, payload: &[u8]) -> io::Result<()> {
    let bytes = frame(kind, payload);
    let mut stream = stream.lock().expect("no panic while it is held");
    stream.write_all(&bytes[..6])?;
    stream.write_all(&bytes[6..])
}

/// A version 1 client. It says nothing until its first keep-alive, dials inside its read loop, and knows no half-close.
pub(super) struct V1Client {
    stream: TcpStream,
    /// Every frame that the server sent, in order.
    heard: Arc<Mutex<Vec<Frame>>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl V1Client {
    /// Connects; the first keep-alive comes after `interval`, and so on.
    pub(super) fn connect(server: SocketAddr, interval: Duration) -> Self {
        let stream = TcpStream::connect(server).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::new(Mutex::new(stream.try_clone().expect("a clone")));
        let (list, mut incoming, outgoing) =
            (Arc::clone(&heard), stream.try_clone().expect("a clone"), Arc::clone(&writer));
        let (ended, wait) = mpsc::channel::<()>();
        thread::spawn(move || {
            while wait.recv_timeout(interval).is_err_and(|error| error == mpsc::RecvTimeoutError::Timeout) {
                if write_in_two(&writer, KEEP_ALIVE, &[]).is_err() {
                    return;
                }
            }
        });
        let reader = thread::spawn(move || {
            let streams = Streams::default();
            while let Ok((kind, payload)) = read_frame(&mut incoming) {
                list.lock().expect("no panic while it is held").push((kind, payload.clone()));
                act(kind, &payload, &streams, &outgoing);
            }
            streams.lock().expect("no panic while it is held").clear();
            drop(ended);
        });
        Self { stream, heard, reader: Some(reader) }
    }

    /// How many frames of this kind arrived.
    pub(super) fn count(&self, kind: u8) -> usize {
        self.heard.lock().expect("no panic while it is held").iter().filter(|(heard, _)| *heard == kind).count()
    }

    /// The payload of the first frame of this kind.
    pub(super) fn first(&self, kind: u8) -> Vec<u8> {
        let heard = self.heard.lock().expect("no panic while it is held");
        heard.iter().find(|frame| frame.0 == kind).expect("such a frame").1.clone()
    }

    /// Whether the server ended the connection.
    pub(super) fn is_over(&self) -> bool {
        self.reader.as_ref().is_none_or(thread::JoinHandle::is_finished)
    }
}

impl Drop for V1Client {
    fn drop(&mut self) {
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            reader.join().expect("a reader that ends");
        }
    }
}

type Streams = Arc<Mutex<HashMap<u32, TcpStream>>>;

/// Does what a frame of the server asks for.
fn act(kind: u8, payload: &[u8], streams: &Streams, writer: &Arc<Mutex<TcpStream>>) {
    match kind {
        CONNECT_REQUEST => {
            // Only the long form: less is ignored.
            let Some((head, host)) = payload.split_at_checked(7) else { return };
            let Some(host) = host.get(..usize::from(head[6])) else { return };
            let (id, port) = (id_of(head), u16::from_be_bytes([head[4], head[5]]));
            let host = std::str::from_utf8(host).expect("a host is text");
            let dialled = TcpStream::connect((host, port));
            let status = [&head[..4], &[u8::from(dialled.is_err())]].concat();
            if let Ok(target) = &dialled {
                let kept = target.try_clone().expect("a clone");
                streams.lock().expect("no panic while it is held").insert(id, kept);
            }
            // The server may be gone; the read loop finds out.
            let _ = write_in_two(writer, CONNECT_RESPONSE, &status);
            if let Ok(target) = dialled {
                let (streams, writer) = (Arc::clone(streams), Arc::clone(writer));
                thread::spawn(move || forward(id, target, &streams, &writer));
            }
        }
        DATA if payload.len() >= 4 => {
            let target =
                streams.lock().expect("no panic while it is held").get(&id_of(payload)).map(TcpStream::try_clone);
            if let Some(Ok(mut target)) = target
                && target.write_all(&payload[4..]).is_err()
            {
                close(id_of(payload), streams, writer);
            }
        }
        CLOSE if payload.len() >= 4 => close(id_of(payload), streams, writer),
        _ => {}
    }
}

/// Closes both directions and says so, whether the stream was open or not.
fn close(id: u32, streams: &Streams, writer: &Mutex<TcpStream>) {
    if let Some(target) = streams.lock().expect("no panic while it is held").remove(&id) {
        // It may be closed already.
        let _ = target.shutdown(Shutdown::Both);
    }
    // The server may be gone; the read loop finds out.
    let _ = write_in_two(writer, CLOSE, &id.to_be_bytes());
}

fn forward(id: u32, mut target: TcpStream, streams: &Streams, writer: &Mutex<TcpStream>) {
    let mut buffer = vec![0; 4 + 32 * 1024];
    buffer[..4].copy_from_slice(&id.to_be_bytes());
    while let Ok(bytes @ 1..) = target.read(&mut buffer[4..]) {
        if write_in_two(writer, DATA, &buffer[..4 + bytes]).is_err() {
            break;
        }
    }
    close(id, streams, writer);
}

/// A version 1 server with one client. Its visitors are the test itself.
pub(super) struct V1Server {
    pub(super) address: SocketAddr,
    listener: TcpListener,
}

/// The server's side of the connection of its client.
pub(super) struct V1Session {
    /// One lock for whoever writes: a frame goes out in two calls, and an answer between them would garble both.
    writer: Arc<Mutex<TcpStream>>,
    frames: Receiver<Frame>,
    /// Keep-alives of the client, each of which was answered once.
    pub(super) keep_alives: Arc<Mutex<usize>>,
}

impl V1Server {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        Self { address: listener.local_addr().expect("an address"), listener }
    }

    /// Waits for the client.
    pub(super) fn accept(&self) -> V1Session {
        let (mut stream, _) = self.listener.accept().expect("a client");
        stream.set_nodelay(true).expect("an option");
        let writer = Arc::new(Mutex::new(stream.try_clone().expect("a clone")));
        let (sender, frames) = mpsc::channel();
        let answers = Arc::clone(&writer);
        let keep_alives = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&keep_alives);
        thread::spawn(move || {
            while let Ok((kind, payload)) = read_frame(&mut stream) {
                if kind == KEEP_ALIVE {
                    *counter.lock().expect("no panic while it is held") += 1;
                    // The client may be gone; the read finds out.
                    let _ = write_in_two(&answers, KEEP_ALIVE, &payload);
                } else if sender.send((kind, payload)).is_err() {
                    return;
                }
            }
        });
        V1Session { writer, frames, keep_alives }
    }
}

impl V1Session {
    /// Asks for a connection; without a host in the short form, whose target is the client's loopback.
    pub(super) fn open(&self, id: u32, port: u16, host: Option<&str>) {
        let mut payload = [&id.to_be_bytes()[..], &port.to_be_bytes()].concat();
        if let Some(host) = host {
            payload.push(u8::try_from(host.len()).expect("a short host"));
            payload.extend(host.as_bytes());
        }
        self.send(CONNECT_REQUEST, &payload);
    }

    pub(super) fn send(&self, kind: u8, payload: &[u8]) {
        write_in_two(&self.writer, kind, payload).expect("a client that reads");
    }

    pub(super) fn data(&self, id: u32, bytes: &[u8]) {
        self.send(DATA, &[&id.to_be_bytes()[..], bytes].concat());
    }

    /// The next frame that is no keep-alive.
    #[track_caller]
    pub(super) fn next(&self) -> Frame {
        self.frames.recv_timeout(PATIENCE).expect("a frame")
    }

    /// The next frame that is neither a keep-alive nor a Close, which the predecessor repeats.
    #[track_caller]
    pub(super) fn next_but_close(&self) -> Frame {
        loop {
            let next = self.next();
            if next.0 != CLOSE {
                return next;
            }
        }
    }

    /// The next frame that is no late Close of another stream.
    #[track_caller]
    pub(super) fn next_of(&self, id: u32) -> Frame {
        loop {
            let (kind, payload) = self.next();
            if kind != CLOSE || id_of(&payload) == id {
                return (kind, payload);
            }
        }
    }

    /// Data of one stream until `length` bytes are there.
    #[track_caller]
    pub(super) fn read(&self, id: u32, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let (kind, payload) = self.next_of(id);
            assert_eq!((kind, id_of(&payload)), (DATA, id), "{} bytes so far", bytes.len());
            bytes.extend_from_slice(&payload[4..]);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::targets::{Target, content};
    use super::{CLOSE, CONNECT_RESPONSE, V1Client, V1Server};
    use std::time::Duration;

    #[test]
    fn the_two_peers_of_version_1_understand_each_other() {
        let server = V1Server::start();
        let client = V1Client::connect(server.address, Duration::from_millis(100));
        let session = server.accept();
        let echo = Target::echo();
        session.open(5, echo.address.port(), None);
        session.open(0, echo.address.port(), Some("127.0.0.1"));
        assert_eq!(session.next(), (CONNECT_RESPONSE, vec![0; 5]), "the short form is not read");
        session.data(0, &content(1, 100_000));
        assert!(session.read(0, 100_000) == content(1, 100_000));
        session.send(CLOSE, &[0; 4]);
        assert_eq!(session.next(), (CLOSE, vec![0; 4]));
        assert!(!client.is_over());
    }
}
