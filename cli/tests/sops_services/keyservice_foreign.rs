//! Key services that do harm, and clients of one that do.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tokio::runtime::Builder;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Response, Status};

use crate::keyservice::start;
use crate::services::Program::{Ours, Theirs};
use crate::services::STAGE;

/// Messages as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Writes field 1, of bytes.
fn field(bytes: &[u8]) -> Vec<u8> {
    tagged(0x0a, bytes)
}

fn tagged(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![tag];
    let mut length = bytes.len();
    while length >= 0x80 {
        message.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(bytes);
    message
}

/// Serves the same answer to every question, until the test ends.
fn serve(answer: Result<Vec<u8>, Status>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
            let service = tower::service_fn(move |request| {
                let answer = answer.clone();
                async move {
                    let answer = tower::service_fn(move |_: Request<Bytes>| {
                        let answer = answer.clone();
                        async move { answer.map(|bytes| Response::new(Bytes::from(bytes))) }
                    });
                    Ok::<_, Infallible>(tonic::server::Grpc::new(Raw).unary(answer, request).await)
                }
            });
            tonic::transport::Server::builder().serve_with_incoming(service, incoming).await.unwrap();
        });
    });
    here
}

/// Answers every connection with the same bytes, until the test ends.
fn say(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Whoever hangs up has seen enough.
            let _ = stream.write_all(bytes).and_then(|()| stream.read(&mut [0; 1024]).map(drop));
        }
    });
    here
}

#[test]
fn a_service_that_is_away_refuses_or_answers_nonsense_is_a_clean_error_without_its_words() {
    let stage = &*STAGE;
    let folder = stage.folder(&[]);
    let own = [("SOPS_AGE_KEY_FILE", "age.txt")];
    let sealed = stage.text(Theirs, folder.path(), &["encrypt", "--age", "<AGE>", "plain.yaml"], &own);
    std::fs::write(folder.path().join("sealed.yaml"), &sealed).unwrap();
    // An address of this machine that no server of a test takes, whose ports come and go.
    let away = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    let mut report = String::new();
    for (what, at) in [
        ("nobody is there", away),
        ("bytes that are no answer", say(b"\xff\x00hunter2\r\n\r\n")),
        ("a web server", say(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nhunter2")),
        ("nothing is said", say(b"")),
        ("it refuses", serve(Err(Status::new(Code::PermissionDenied, "hunter2")))),
        ("it knows nothing", serve(Err(Status::new(Code::Unknown, "hunter2".repeat(300))))),
        ("it has no such question", serve(Err(Status::new(Code::Unimplemented, "hunter2")))),
        ("an empty answer", serve(Ok(Vec::new()))),
        ("a message that is none", serve(Ok(b"\xffhunter2".to_vec()))),
        ("16 bytes", serve(Ok(field(&[7; 16])))),
        ("33 bytes", serve(Ok(field(&[7; 33])))),
        ("another key", serve(Ok(field(&[7; 32])))),
        ("letters that break a line", serve(Ok(field(b"vault:v1:\x1b[2J")))),
        ("a megabyte", serve(Ok(field(&[b'a'; 1 << 20])))),
        ("more than it says", serve(Ok(vec![0x0a, 0xff, 0xff, 0x7f, b'a']))),
    ] {
        let at = format!("tcp://{at}");
        for words in [
            &["decrypt", "--enable-local-keyservice=false", "--keyservice", &at, "sealed.yaml"][..],
            &[
                "encrypt",
                "--enable-local-keyservice=false",
                "--keyservice",
                &at,
                "--hc-vault-transit",
                "<URI1>",
                "plain.yaml",
            ],
        ] {
            let ran = stage.call(Ours, folder.path(), words).run().unwrap();
            let told = stage.names.iter().fold(ran.stderr, |told, (word, name)| told.replace(name.as_str(), word));
            let told = told.replace(&at, "tcp://SERVICE").replace(&stage.bao.address(), "VAULT");
            assert!(!told.contains("hunter2"), "{told}");
            report.push_str(&format!("{what}: {}\n{told}exit code {:?}\n\n", words[0], ran.status.code().unwrap()));
            let is_sealed = what == "16 bytes" || what == "33 bytes" || what == "another key";
            assert!(ran.stdout.is_empty() || is_sealed, "{what}: {}", String::from_utf8_lossy(&ran.stdout));
        }
    }
    insta::assert_snapshot!(report);
    let at = format!("tcp://{away}");
    let opened = stage.text(Ours, folder.path(), &["decrypt", "--keyservice", &at, "sealed.yaml"], &own);
    assert_eq!(opened, crate::services::PLAIN, "whose own key opens a file does not ask");
}

#[test]
fn what_a_client_asks_that_is_not_to_wrap_or_unwrap_a_data_key_is_refused_and_the_service_goes_on() {
    let service = start(Ours, "tcp", &[]);
    let stage = &*STAGE;
    let age = &stage.names.iter().find(|(word, _)| *word == "<AGE>").unwrap().1;
    // Key { age_key: AgeKey { recipient } }
    let of_age = |recipient: &str| field(&tagged(0x32, &field(recipient.as_bytes())));
    let question = |key: Vec<u8>, text: &[u8]| [key, tagged(0x12, text)].concat();
    let folder = stage.folder(&[("short.txt", "hunter2")]);
    std::fs::write(folder.path().join("long.txt"), [b'a'; 4096]).unwrap();
    let oracle = stage.text(Theirs, folder.path(), &["encrypt", "--age", "<AGE>", "plain.yaml"], &[]);
    let enc: String = oracle
        .lines()
        .skip_while(|line| !line.contains("BEGIN AGE"))
        .map(|line| format!("{}\n", line.trim()))
        .take_while(|line| !line.contains("recipient:"))
        .collect();
    let key = b"0123456789abcdef0123456789abcdef";
    let asked = [
        ("an empty message", "/KeyService/Decrypt", Vec::new()),
        ("no key", "/KeyService/Decrypt", tagged(0x12, enc.as_bytes())),
        ("a key of no kind", "/KeyService/Decrypt", question(field(b""), enc.as_bytes())),
        ("a key of another kind", "/KeyService/Encrypt", question(field(&tagged(0x42, b"x")), key)),
        ("a message that is none", "/KeyService/Decrypt", vec![0xff; 32]),
        ("ciphertext that is no text", "/KeyService/Decrypt", question(of_age(age), &[0xff; 64])),
        ("ciphertext of nobody", "/KeyService/Decrypt", question(of_age(age), b"hunter2")),
        ("nobody to wrap for", "/KeyService/Encrypt", question(of_age("age1\x1b[2Jhunter2"), key)),
        ("nothing to wrap", "/KeyService/Encrypt", question(of_age(age), b"")),
        ("a password to wrap", "/KeyService/Encrypt", question(of_age(age), b"hunter2")),
        ("a file to wrap", "/KeyService/Encrypt", question(of_age(age), &[b'a'; 4096])),
        ("a megabyte", "/KeyService/Encrypt", question(of_age(age), &[b'a'; 1 << 20])),
        ("another question", "/KeyService/Shutdown", Vec::new()),
        ("a data key to wrap", "/KeyService/Encrypt", question(of_age(age), key)),
        ("a data key to unwrap", "/KeyService/Decrypt", question(of_age(age), enc.as_bytes())),
    ];
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let uri = service.address.replace("tcp://", "http://");
    let answers = runtime.block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(uri).unwrap().connect().await.unwrap();
        let mut answers = String::new();
        for (what, path, message) in asked {
            let mut client = tonic::client::Grpc::new(channel.clone());
            client.ready().await.unwrap();
            let request = Request::new(Bytes::from(message));
            let answer = client.unary(request, PathAndQuery::from_static(path), Raw).await;
            let answer = match answer {
                Ok(_) => "it is done".to_owned(),
                Err(status) => format!("{:?}: {}", status.code(), status.message()),
            };
            answers.push_str(&format!("{what}: {answer}\n"));
        }
        answers
    });
    let log = service.log().replace(age, "<AGE>").replace(&service.address, "tcp://SERVICE");
    let shown = |bytes: &[u8]| log.contains(&*String::from_utf8_lossy(bytes));
    assert!(!shown(key) && !log.contains("hunter2\n") && !log.contains('\x1b'), "{log}");
    insta::assert_snapshot!(format!("{answers}\nwhat the service says:\n{log}"));
}
