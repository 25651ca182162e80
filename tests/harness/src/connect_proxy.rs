//! An HTTP proxy on loopback that leads names of hosts to servers of a test (`CONNECT`, RFC 9110, section 9.3.6), so that a program
//! meets them under the names that it knows. It leads nowhere else.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::failure::Failure;

/// The most bytes that are read of what a client wants.
const MAX_HEAD: usize = 8 * 1024;

/// Is a proxy that ends when this value is dropped.
pub struct ConnectProxy {
    port: u16,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl ConnectProxy {
    /// Starts a proxy that leads each of these hosts, at its port 443, to a port of this machine.
    ///
    /// # Errors
    /// [`Failure::Io`] when it can't listen.
    pub fn start(hosts: impl IntoIterator<Item = (String, u16)>) -> Result<Self, Failure> {
        let hosts: Arc<BTreeMap<String, u16>> = Arc::new(hosts.into_iter().collect());
        let failed = |what: &'static str| Failure::io(what);
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed("listen on 127.0.0.1"))?;
        let port = listener.local_addr().map_err(failed("listen on 127.0.0.1"))?.port();
        listener.set_nonblocking(true).map_err(failed("listen on 127.0.0.1"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed("start an async runtime"))?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || runtime.block_on(serve(listener, hosts, stopped)));
        Ok(Self { port, running: Some((stop, thread)) })
    }

    /// Returns its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            stop.send(()).ok();
            thread.join().ok();
        }
    }
}

async fn serve(listener: StdListener, hosts: Arc<BTreeMap<String, u16>>, stopped: oneshot::Receiver<()>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let accept = async {
        loop {
            if let Ok((client, _)) = listener.accept().await {
                let hosts = hosts.clone();
                tokio::spawn(async move { lead(client, &hosts).await.ok() });
            }
        }
    };
    tokio::select! {
        () = accept => {}
        _ = stopped => {}
    }
}

async fn lead(mut client: TcpStream, hosts: &BTreeMap<String, u16>) -> io::Result<()> {
    let head = head(&mut client).await?;
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let port = target.strip_suffix(":443").and_then(|host| hosts.get(host));
    let server = match port {
        Some(port) => TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).await.ok(),
        None => None,
    };
    let Some(mut server) = server else {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    };
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

async fn head(client: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD {
        head.push(client.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
