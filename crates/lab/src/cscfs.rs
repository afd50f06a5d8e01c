//! The CSCFs of one operator, each started in its namespace.

use std::sync::Arc;

use anyhow::Result;
use cx::{Server, ServerName};
use scscf::shell::CxRequests;
use sec_agree::{Policy, Spi};

use crate::cx_link::{self, MeteredLink, Spent};
use crate::lab::Options;
use crate::network::Network;
use crate::plan::{self, Family};
use crate::role::Role;

pub(crate) fn start_scscf(
    network: &Network,
    options: &Options,
    hss: Arc<dyn Server>,
    requests: CxRequests,
) -> Result<(Role, Spent)> {
    let operator = network.operator;
    let domain = operator.home_domain();
    let (link, spent) = MeteredLink::new(cx_link::S_CSCF, &domain, hss);
    let config = scscf::Config {
        trusted_peers: vec![operator.i_cscf().ip(), operator.p_cscf_mw().ip()],
        icscf: Some(operator.i_cscf()),
        algorithm: options.digest,
        qop: options.qop,
        reauthenticate: options.reauthenticate,
        ..scscf::Config::new(ServerName::new(&operator.s_cscf_name())?, &domain)
    };
    let control = options.scscf_control.clone();
    let start = move || {
        let shell = scscf::shell::Shell::start(config, operator.s_cscf(), Arc::new(link))?;
        let shell = shell.with_cx_requests(requests);
        match control {
            Some(path) => shell.with_control(&path),
            None => Ok(shell),
        }
    };
    Ok((Role::start("S-CSCF", &network.core, start, scscf::shell::Shell::run)?, spent))
}

pub(crate) fn start_icscf(
    network: &Network,
    options: &Options,
    hss: Arc<dyn Server>,
) -> Result<(Role, Spent)> {
    let operator = network.operator;
    let domain = operator.home_domain();
    let (link, spent) = MeteredLink::new("I-CSCF", &domain, hss);
    let name = ServerName::new(&operator.s_cscf_name())?;
    let (border, tls) = match &options.border {
        Some(border) => {
            let (border, tls) = border.config(operator)?;
            (Some(border), tls)
        }
        None => (None, Vec::new()),
    };
    let config = icscf::Config {
        trusted_peers: vec![operator.p_cscf_mw().ip(), operator.s_cscf().ip()],
        border,
        s_cscfs: vec![icscf::SCscf::new(name, operator.s_cscf())],
        ..icscf::Config::new(operator.i_cscf(), &domain)
    };
    let start = move || icscf::shell::Shell::start(config, tls, Arc::new(link));
    Ok((Role::start("I-CSCF", &network.icscf, start, icscf::shell::Shell::run)?, spent))
}

pub(crate) fn start_pcscf(network: &Network, options: &Options) -> Result<Role> {
    let operator = network.operator;
    let (server_port, client_ports) = plan::p_cscf_ports();
    let gm = [Family::V4, Family::V6].map(|family| pcscf::core::GmAddress {
        clear: operator.p_cscf(family),
        server_port,
        client_ports,
    });
    let domain: Box<str> = operator.home_domain().into();
    let config = pcscf::core::Config {
        host: operator.p_cscf_name().into(),
        network: domain.clone(),
        gm: gm.to_vec(),
        mw: operator.p_cscf_mw(),
        entry_points: vec![(domain, operator.i_cscf())],
        neighbours: vec![(operator.s_cscf_host().into(), operator.s_cscf())],
        policy: p_cscf_policy(options)?,
        spi_first: Spi::new(options.p_cscf_spis.0)?,
        spi_last: Spi::new(options.p_cscf_spis.1)?,
        reg_await_auth: options.reg_await_auth,
        limits: pcscf::core::Limits::default(),
    };
    let start = move || pcscf::shell::Shell::start(config, None);
    Role::start("P-CSCF", &network.access, start, pcscf::shell::Shell::run)
}

fn p_cscf_policy(options: &Options) -> Result<Policy> {
    let policy = Policy::new(&options.policy)?;
    Ok(if options.p_cscf_nat_traversal { policy.with_nat_traversal() } else { policy })
}
