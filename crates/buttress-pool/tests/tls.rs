//! Connections that are encrypted, to real servers whose certificate is made here.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use buttress_pool::postgres::Postgres;
use buttress_pool::redis::Redis;
use buttress_pool::{Config, Error, Manager, Pool};
use buttress_testkit::servers;
use redis::{Client, TlsCertificates, cmd};
use rustls::pki_types::CertificateDer;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};
use tokio::time::timeout;
use tokio_postgres::NoTls;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// What takes this long does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Of somebody who vouches for nobody but itself.
struct Certificate {
    pem: String,
    der: CertificateDer<'static>,
}

/// Makes one for this machine, and leaves it with its key where a server finds it.
fn certificate(directory: &Path) -> Certificate {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let owner = fs::metadata(directory).unwrap();
    let files = [("server.crt", made.cert.pem()), ("server.key", made.signing_key.serialize_pem())];
    for (name, content) in files {
        let path = directory.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    Certificate { pem: made.cert.pem(), der: made.cert.der().clone() }
}

fn pool<M: Manager>(manager: M) -> Pool<M> {
    Pool::new("tls", Config::default().acquire_timeout(PATIENCE), manager)
}

async fn cause<M: Manager>(manager: M) -> String {
    let Error::Down { cause, .. } = pool(manager).get().await.unwrap_err() else { panic!("it was refused") };
    let causes = std::iter::successors(Some(&*cause as &dyn std::error::Error), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn postgres_is_encrypted_and_one_whom_nobody_vouches_for_is_not_connected_to() {
    let server = servers::Postgres::start().await;
    let Certificate { der, .. } = certificate(&server.directory().join("data"));
    let mut settings: tokio_postgres::Config = server.url().parse().unwrap();
    let admin = pool(Postgres::new(settings.clone())).get().await.unwrap();
    admin.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
    admin.query_one("SELECT pg_reload_conf()", &[]).await.unwrap();
    settings.ssl_mode(SslMode::Require);
    let is_on = async { while settings.connect(trusting(&der)).await.is_err() {} };
    timeout(PATIENCE, is_on).await.expect("it reads its settings");

    let encrypted = pool(Postgres::new(settings.clone()).tls(trusting(&der)));
    let ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert!(encrypted.get().await.unwrap().query_one(ssl, &[]).await.unwrap().get::<_, bool>(0));
    assert!(!admin.query_one(ssl, &[]).await.unwrap().get::<_, bool>(0));

    match Postgres::new(settings.clone()).rustls() {
        Ok(manager) => assert!(cause(manager).await.contains("certificate")),
        // There are systems that trust nobody.
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
    }
    let cause = cause(Postgres::new(settings).tls(NoTls)).await;
    assert!(cause.contains("TLS"), "{cause}");
}

/// Trusts this one alone.
fn trusting(certificate: &CertificateDer<'static>) -> MakeRustlsConnect {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    MakeRustlsConnect::new(config.with_no_client_auth())
}

#[tokio::test]
async fn redis_is_encrypted_and_one_whom_nobody_vouches_for_is_not_connected_to() {
    let server = servers::Redis::start().await;
    let Certificate { pem, .. } = certificate(server.directory());
    let mut admin = pool(Redis::new(Client::open(server.url()).unwrap())).get().await.unwrap();
    // It was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = |name: &str| server.directory().join(name).to_str().unwrap().to_owned();
    let mut set = cmd("CONFIG");
    set.arg("SET").arg("tls-cert-file").arg(path("server.crt")).arg("tls-key-file").arg(path("server.key"));
    set.arg("tls-ca-cert-file").arg(path("server.crt")).arg("tls-auth-clients").arg("no");
    set.arg("tls-port").arg(port).exec_async(&mut *admin).await.unwrap();

    let url = format!("rediss://127.0.0.1:{port}");
    let trusted = TlsCertificates { client_tls: None, root_cert: Some(pem.into_bytes()) };
    let manager = Redis::new(Client::build_with_tls(url.as_str(), trusted).unwrap());
    let mut lease = pool(manager).get().await.unwrap();
    assert_eq!(cmd("ECHO").arg(7).query_async::<u64>(&mut *lease).await, Ok(7));

    let leaked: &'static str = url.leak();
    let manager = Redis::from_vars(|name| match name {
        "REDIS_URL" => Ok(leaked.to_owned()),
        _ => Err(std::env::VarError::NotPresent),
    });
    let cause = cause(manager.unwrap()).await;
    assert!(cause.contains("certificate"), "{cause}");
}
