//! A server on loopback that writes down what it is asked and answers with texts that were given to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The server. It runs until the test process ends.
pub struct Canned {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Canned {
    /// Answers with each of these texts once, and with the last of them from then on; they are whole answers of HTTP.
    pub fn serve(answers: &[&str]) -> Self {
        let answers: Vec<String> = answers.iter().map(|&text| text.to_owned()).collect();
        Self::answering(move |_, number| answers.get(number).or(answers.last()).cloned().unwrap_or_default())
    }

    /// Answers each request, of which the path and how many came before are told.
    pub fn answering(answers: impl Fn(&str, usize) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for (stream, number) in listener.incoming().flatten().zip(0..) {
                // Who hangs up early is a client that a test lets refuse the server.
                exchange(stream, |path| answers(path, number), &log).ok();
            }
        });
        Self { port, asked }
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the requests, with headers and bodies.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Makes an answer with a body.
pub fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// What is asked is written down before it is answered, so that who has the answer finds it.
fn exchange(stream: TcpStream, answer: impl Fn(&str) -> String, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
        request.push_str(&line);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    request.push_str(&String::from_utf8_lossy(&body));
    let answer = answer(request.split(' ').nth(1).unwrap_or_default());
    log.lock().unwrap().push(request);
    stream.get_mut().write_all(answer.as_bytes())
}
