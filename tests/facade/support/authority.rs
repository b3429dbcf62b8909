//! A CA of the test's own, and the folder with its files and those of the certificates that it signs.

use std::{
    fs,
    path::PathBuf,
    process::id,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};

/// A folder that is removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let path = std::env::temp_dir().join(format!("rlay-certificates-{}-{}", id(), NEXT.fetch_add(1, Relaxed)));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        fs::write(&file, text).expect("writes");
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Until when a certificate lasts, or since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Years {
    Good,
    Expired,
    NotYet,
}

/// A CA.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA"))
    }

    /// Its certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// The CA's certificate with its key, as if it were an end's own.
    pub(crate) fn own(&self, folder: &Folder) -> Paper {
        let (pem, key) = (self.0.pem(), self.0.key().serialize_pem());
        Paper { file: folder.write("authority.pem", &format!("{pem}{key}")), pin: String::new(), pem, key }
    }

    /// A certificate for `name`, a listener's or a dialer's, with its key in a file as the option `cert` takes it.
    pub(crate) fn vouch(&self, folder: &Folder, file: &str, name: &str, years: Years) -> Paper {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = match years {
            Years::Good => (date_time_ymd(2000, 1, 1), date_time_ymd(3000, 1, 1)),
            Years::Expired => (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1)),
            Years::NotYet => (date_time_ymd(2999, 1, 1), date_time_ymd(3000, 1, 1)),
        };
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let (pem, key) = (certificate.pem(), key.serialize_pem());
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate.der());
        let digits: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Paper { file: folder.write(file, &format!("{pem}{key}")), pin: format!("sha256:{digits}"), pem, key }
    }
}

/// A certificate and its key.
pub(crate) struct Paper {
    /// Holds both.
    pub(crate) file: PathBuf,
    pub(crate) pin: String,
    pub(crate) pem: String,
    pub(crate) key: String,
}

impl Paper {
    /// As a value of an option.
    pub(crate) fn path(&self) -> std::path::Display<'_> {
        self.file.display()
    }
}
