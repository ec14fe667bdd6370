//! A registry server on a world's host: Debian's `docker-registry`.

use std::fs;
use std::process::{Child, Command};

use crate::world::{World, eventually};

/// An address of the world's host that is no loopback, so that nothing is taken on trust.
const HOST: &str = "10.99.0.1";

/// `bob:s3cret`, as bcrypt.
const HTPASSWD: &str = "bob:$2y$05$HARhaEAEYkloxZJUo.Z0Uu76QzLpYbs/yngCrgzuM77dN.g5MDXWq\n";

/// A running server.
pub struct Registry {
    child: Child,
    /// Host and port.
    pub domain: String,
}

impl Registry {
    /// In the clear, on the loopback.
    pub fn plain(world: &World) -> Self {
        Self::start(world, "127.0.0.1", "")
    }

    /// With TLS by a certificate of its own and a password. Nobody trusts it yet.
    pub fn guarded(world: &World) -> Self {
        world
            .run("ip", &["addr", "add", &format!("{HOST}/32"), "dev", "lo"])
            .ok();
        let files = world.root("registry");
        fs::create_dir_all(&files).unwrap();
        let path = |name: &str| files.join(name).to_str().unwrap().to_owned();
        let subject = format!("subjectAltName=IP:{HOST}");
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args([
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=registry",
                "-addext",
                &subject,
            ])
            .args(["-keyout", &path("key.pem"), "-out", &path("cert.pem")])
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        fs::write(path("htpasswd"), HTPASSWD).unwrap();
        let more = format!(
            "  tls: {{certificate: {}, key: {}}}\nauth: {{htpasswd: {{realm: r, path: {}}}}}\n",
            path("cert.pem"),
            path("key.pem"),
            path("htpasswd")
        );
        Self::start(world, HOST, &more)
    }

    fn start(world: &World, host: &str, more: &str) -> Self {
        let files = world.root("registry");
        fs::create_dir_all(&files).unwrap();
        let config = files.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: warn, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp:\n  addr: {host}:5000\n{more}",
            files.join("data").display()
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(files.join("log")).unwrap();
        let child = world
            .command("docker-registry", &["serve", config.to_str().unwrap()])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("docker-registry is installed");
        let domain = format!("{host}:5000");
        let address = format!("{domain}/v2/");
        eventually("the registry answers", || {
            let code = ["-s", "-k", "-o", "/dev/null", "-w", "%{http_code}"];
            let scheme = if more.is_empty() { "http" } else { "https" };
            let url = format!("{scheme}://{address}");
            let answer = world.run("curl", &[&code[..], &[&url]].concat()).stdout;
            answer == "200" || answer == "401"
        });
        Self { child, domain }
    }

    /// Puts the server's certificate where ketch looks for it.
    pub fn trust(&self, world: &World) {
        let directory = world.root("docker").join("certs.d").join(&self.domain);
        fs::create_dir_all(&directory).unwrap();
        fs::copy(
            world.root("registry").join("cert.pem"),
            directory.join("ca.crt"),
        )
        .unwrap();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
