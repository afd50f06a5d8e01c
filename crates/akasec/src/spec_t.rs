//! `akasec spec-t`: what the configuration files of an operator declare about its trust domain.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use node::config::load;
use trust::declaration::{Access, Facts, SpecT};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The file of the I-CSCF, which has the trust domain: `[trust]` and `[[partner]]`.
    #[arg(value_name = "ICSCF.TOML")]
    icscf: PathBuf,
    /// The file of the P-CSCF, for the protection of UEs.
    #[arg(long, value_name = "FILE")]
    pcscf: Option<PathBuf>,
    /// The file of the S-CSCF, for the algorithm of challenges.
    #[arg(long, value_name = "FILE")]
    scscf: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let spec = declare(options)?;
    let text = if options.json { format!("{}\n", serde_json::to_string(&spec)?) } else { spec.to_string() };
    crate::print(&text)?;
    check(options, &spec)?;
    Ok(ExitCode::SUCCESS)
}

fn check(options: &Options, spec: &SpecT) -> anyhow::Result<()> {
    let faults: Vec<_> = spec.faults().map(|fault| fault.text.as_str()).collect();
    anyhow::ensure!(
        faults.is_empty(),
        "{} cannot be a trust domain: {}",
        options.icscf.display(),
        faults.join("; ")
    );
    Ok(())
}

fn declare(options: &Options) -> anyhow::Result<SpecT> {
    let icscf: icscf::file::File = read(&options.icscf)?;
    let trust = icscf.trust.as_ref().with_context(|| {
        format!(
            "{} cannot be a trust domain: it has no [trust]; write one with a [[trust.interface]] for each address \
             and what lies behind it",
            options.icscf.display()
        )
    })?;
    let pcscf: Option<pcscf::config::Config> = options.pcscf.as_deref().map(read).transpose()?;
    let scscf: Option<scscf::file::File> = options.scscf.as_deref().map(read).transpose()?;
    let encryption = pcscf.as_ref().map(|file| serde_json::to_value(file.ipsec.encryption)).transpose()?;
    let domain = trust.domain(&icscf.partner);
    let partners: Vec<_> =
        icscf.partner.iter().map(|partner| (partner.domain.as_str().into(), partner.class)).collect();
    Ok(SpecT::of(&Facts {
        operator: &icscf.home_domain,
        domain: &domain,
        border: trust.policy(),
        partners: &partners,
        digest_algorithm: scscf.as_ref().map(|file| file.digest_algorithm.as_str()),
        access: pcscf.as_ref().map(|file| Access {
            algorithms: &file.ipsec.algorithms,
            encryption: encryption.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default(),
        }),
    }))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    load(path).map_err(|error| anyhow::anyhow!("failed to {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ICSCF: &str = r#"
        address = "10.30.0.2:5060"
        home_domain = "home.example"
        trusted_peers = ["10.30.0.1"]
        [cx]
        peer = "10.30.0.9:3868"
        origin_host = "icscf.home.example"
        origin_realm = "home.example"
        destination_realm = "home.example"
        [[s_cscf]]
        name = "sip:10.30.0.3:5060"
    "#;

    fn options(folder: &Path, extra: &str) -> Options {
        let icscf = folder.join("icscf.toml");
        std::fs::write(&icscf, format!("{ICSCF}\n{extra}")).unwrap();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/testbed");
        Options {
            icscf,
            pcscf: Some(examples.join("pcscf.toml")),
            scscf: Some(examples.join("scscf.toml")),
            json: false,
        }
    }

    #[test]
    fn prv_18_the_files_of_an_operator_make_the_declaration() {
        let folder = tempfile::tempdir().unwrap();
        let trust = r#"
            [trust]
            without_privacy = "send"
            [[trust.interface]]
            address = "10.30.0.2:5060"
            protection = "Zb"
            role = "own"
            [[partner]]
            domain = "partner.example"
            certificate = "icscf.partner.example"
        "#;
        let options = options(folder.path(), trust);
        let spec = declare(&options).unwrap();
        assert!(check(&options, &spec).is_ok(), "{spec}");
        let text = spec.to_string();
        for part in [
            "SPEC(T) of home.example",
            "digest AKAv1-MD5",
            "encryption: optional",
            "10.30.0.2:5060: Zb",
            "certificate icscf.partner.example: other",
            "untrusted networks: send",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn prv_18_what_is_no_trust_domain_is_told_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |extra: &str| {
            let options = options(folder.path(), extra);
            declare(&options).and_then(|spec| check(&options, &spec)).unwrap_err().to_string()
        };
        let error = refused("");
        assert!(
            error.contains("cannot be a trust domain") && error.contains("[[trust.interface]]"),
            "{error}"
        );
        let error = refused("[trust]\n");
        assert!(error.contains("incoming: no method can vouch for anybody"), "{error}");
        let error = refused("[trust]\nincoming = [\"dns\"]\n");
        assert!(error.contains("icscf.toml:14:12:") && error.contains("reverse DNS"), "{error}");
    }
}
