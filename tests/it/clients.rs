//! A client that knows nothing of us: Python's `websockets`. Node's `ws` and xterm.js's attach addon are in
//! `tests/browser/clients.test.mjs`.

use std::process::Command;

use fake_engine::FakeEngine;

use crate::site::Site;

/// Debian's own, for which its package `python3-websockets` is.
const PYTHON: &str = "/usr/bin/python3";
const SCRIPT: &str = r#"
import asyncio, sys, websockets

async def play(url):
    seen = b""
    async with websockets.connect(url) as socket:
        async def expect(text):
            nonlocal seen
            while text not in seen:
                message = await socket.recv()
                assert isinstance(message, bytes), "a raw client hears nothing but output: %r" % message
                seen += message
            seen = seen[seen.index(text) + len(text):]
        await expect(b"$ ")
        await socket.send("echo text")
        await socket.send(b" and bytes \xff\n")
        await expect(b"\r\ntext and bytes \xff\r\n")
        await (await socket.ping(b"alive"))
        # Longer than one frame, and more than one read on the way back.
        await socket.send(b"flood 20000\n")
        await expect(b"\r\n19999\r\n20000\r\n")
        await socket.send(b"exit 3\n")
        try:
            while True:
                await socket.recv()
        except websockets.ConnectionClosed:
            pass
    print(socket.close_code, socket.close_reason)

asyncio.run(asyncio.wait_for(play(sys.argv[1]), 30))
"#;

#[test]
fn python_s_websockets_plays_a_game() {
    let engine = FakeEngine::start();
    let site = Site::start(&engine.docker_host(), &[]);
    let created = site.post("/session", "").json();
    // It needs nothing but the address: a ticket is in it.
    let url = created["ws_url"].as_str().expect("an address");
    let output = Command::new(PYTHON).args(["-c", SCRIPT, url]).output();
    let output = output.unwrap_or_else(|error| panic!("{PYTHON}: {error}; install python3"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{told}; is python3-websockets installed?"
    );
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(told.trim(), "1000 the shell has ended");
}
