//! The examples do what their READMEs say. They need a way out, so they run on the real host.

use std::net::TcpListener;
use std::path::Path;

use crate::world::World;

#[test]
fn the_guestbook_keeps_its_entries() {
    let world = World::on_the_host();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/guestbook/try.sh");
    // A free port: bound for a moment, so that the kernel picks one.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let output = world
        .command(script.to_str().unwrap(), &[])
        .env("KETCH", env!("CARGO_BIN_EXE_ketch"))
        .env("GUESTBOOK_PORT", port.to_string())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("The entry survived."), "{stdout}");
    world.assert_clean();
}
