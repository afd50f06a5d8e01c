//! What a demo has shown: the document of `--json`, and the same in words.

use std::collections::BTreeMap;
use std::fmt::Write;

use lab::plan;
use lab::{Traffic, Wire};
use sec_agree::{Associations, Role};
use serde::Serialize;
use ue::core::{Registration, Step};
use xfrm::{KernelState, Statistics};

/// The whole document.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// `pass` or `fail`.
    pub(crate) verdict: &'static str,
    /// Why it is a failure; empty for a pass.
    pub(crate) reasons: Vec<String>,
    pub(crate) kernel: Kernel,
    pub(crate) registrations: Vec<RegistrationReport>,
    /// XFRM error counters that are not zero, by namespace.
    pub(crate) kernel_errors: BTreeMap<&'static str, BTreeMap<String, u64>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Kernel {
    pub(crate) release: String,
    pub(crate) guest: bool,
    pub(crate) esp: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct RegistrationReport {
    pub(crate) impi: String,
    pub(crate) impu: String,
    pub(crate) transport: String,
    pub(crate) family: &'static str,
    pub(crate) alg: String,
    pub(crate) ealg: String,
    /// Of the final answer: 200, or what the network said; 0 when it said nothing.
    pub(crate) status: u16,
    pub(crate) outcome: String,
    /// One entry a role, joined from the states of both ends.
    pub(crate) sas: Vec<Sa>,
    pub(crate) esp_packets: u64,
    pub(crate) clear_sip_messages: usize,
    /// Their first lines.
    pub(crate) clear_sip: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Sa {
    pub(crate) role: &'static str,
    pub(crate) src: String,
    pub(crate) dst: String,
    pub(crate) sport: u16,
    pub(crate) dport: u16,
    pub(crate) spi: u32,
    /// Packets that the receiving end has accepted.
    pub(crate) packets: u64,
    /// Packets that each end's state has counted; absent where that kernel holds no such state.
    pub(crate) packets_at_ue: Option<u64>,
    pub(crate) packets_at_p_cscf: Option<u64>,
}

/// What the evidence is drawn from.
pub(crate) struct Evidence<'a> {
    pub(crate) wire: &'a Wire,
    pub(crate) at_ue: &'a [KernelState],
    pub(crate) at_p_cscf: &'a [KernelState],
}

impl RegistrationReport {
    pub(crate) fn new(
        n: u16,
        options: &lab::Options,
        transport: &str,
        steps: &[Step],
        evidence: &Evidence<'_>,
    ) -> Self {
        let registration = steps.iter().rev().find_map(|step| match step {
            Step::Registered(registration) => Some(&**registration),
            _ => None,
        });
        let traffic = evidence.wire.get(&plan::ue_address(options.family, n)).cloned().unwrap_or_default();
        let Traffic { esp_packets, clear_sip, .. } = traffic;
        let algorithms = registration.map(|registration| registration.associations.algorithms);
        Self {
            impi: plan::impi(n),
            impu: registration.and_then(default_impu).unwrap_or_else(|| plan::impu(n)),
            transport: transport.to_owned(),
            family: options.family.as_str(),
            alg: algorithms.map(|pair| pair.alg().to_string()).unwrap_or_default(),
            ealg: algorithms.map(|pair| pair.ealg().to_string()).unwrap_or_default(),
            status: status(steps),
            outcome: steps.last().map(ToString::to_string).unwrap_or_default(),
            sas: registration
                .map(|registration| sas(&registration.associations, evidence))
                .unwrap_or_default(),
            esp_packets,
            clear_sip_messages: clear_sip.len(),
            clear_sip,
        }
    }

    /// What speaks against "registered over ESP".
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.status != 200 {
            faults.push(format!("{}: {}", self.impi, self.outcome));
        }
        let held = self.sas.iter().filter(|sa| sa.packets_at_ue.is_some() && sa.packets_at_p_cscf.is_some());
        if held.count() != 4 {
            faults.push(format!("{}: not all eight kernel states are there", self.impi));
        }
        let carried = |role: Role| self.sas.iter().any(|sa| sa.role == role.as_str() && sa.packets > 0);
        let answers = if self.transport == "tcp" { Role::PsToUc } else { Role::PcToUs };
        if !carried(Role::UcToPs) || !(carried(answers) || carried(Role::PsToUc)) {
            faults.push(format!("{}: the SAs carried no REGISTER or no answer", self.impi));
        }
        if self.esp_packets == 0 {
            faults.push(format!("{}: no ESP packet on the wire", self.impi));
        }
        let first_words: Vec<&str> =
            self.clear_sip.iter().map(|line| line.strip_prefix("SIP/2.0 ").unwrap_or(line)).collect();
        if !matches!(first_words.as_slice(), [request, answer] if request.starts_with("REGISTER ") && answer.starts_with("401 "))
        {
            faults.push(format!(
                "{}: in clear crossed {:?}, not one REGISTER and one 401",
                self.impi, self.clear_sip
            ));
        }
        faults
    }
}

fn default_impu(registration: &Registration) -> Option<String> {
    registration.associated_uris.first().map(|uri| uri.to_string())
}

fn status(steps: &[Step]) -> u16 {
    match steps.last() {
        Some(Step::Registered(_) | Step::Deregistered) => 200,
        Some(Step::Failed(ue::core::Failure::Rejected { status, .. })) => *status,
        _ => 0,
    }
}

fn sas(associations: &Associations, evidence: &Evidence<'_>) -> Vec<Sa> {
    associations
        .iter()
        .map(|sa| {
            let packets = |states: &[KernelState]| {
                let mine = |state: &&KernelState| {
                    (state.spi, state.source, state.destination) == (sa.spi.get(), sa.source, sa.destination)
                };
                states.iter().find(mine).map(|state| state.packets)
            };
            let (at_ue, at_p_cscf) = (packets(evidence.at_ue), packets(evidence.at_p_cscf));
            Sa {
                role: sa.role.as_str(),
                src: sa.source.ip().to_string(),
                dst: sa.destination.ip().to_string(),
                sport: sa.source.port(),
                dport: sa.destination.port(),
                spi: sa.spi.get(),
                packets: if sa.role.towards_ue() { at_ue } else { at_p_cscf }.unwrap_or(0),
                packets_at_ue: at_ue,
                packets_at_p_cscf: at_p_cscf,
            }
        })
        .collect()
}

pub(crate) fn errors(statistics: &Statistics) -> BTreeMap<String, u64> {
    statistics.errors().map(|(name, count)| (name.to_owned(), count)).collect()
}

impl Report {
    pub(crate) fn in_words(&self) -> String {
        let mut out = String::new();
        let where_from = if self.kernel.guest { "guest kernel" } else { "the host's kernel" };
        let _ = writeln!(out, "kernel    {} ({where_from}), ESP works\n", self.kernel.release);
        for registration in self.registrations.iter().take(3) {
            let _ = writeln!(
                out,
                "{}  {} {}  {}/{}  {}",
                registration.impi,
                registration.family,
                registration.transport,
                registration.alg,
                registration.ealg,
                registration.outcome
            );
            let _ = writeln!(
                out,
                "  {:<10} {:<26} {:<26} {:>10}  {:>6} {:>6}",
                "SA", "from", "to", "SPI", "UE", "P-CSCF"
            );
            for sa in &registration.sas {
                let count =
                    |packets: Option<u64>| packets.map_or("none".to_owned(), |packets| packets.to_string());
                let end = |address: &str, port: u16| match address.contains(':') {
                    true => format!("[{address}]:{port}"),
                    false => format!("{address}:{port}"),
                };
                let _ = writeln!(
                    out,
                    "  {:<10} {:<26} {:<26} {:>#10x}  {:>6} {:>6}",
                    sa.role,
                    end(&sa.src, sa.sport),
                    end(&sa.dst, sa.dport),
                    sa.spi,
                    count(sa.packets_at_ue),
                    count(sa.packets_at_p_cscf)
                );
            }
            let _ = writeln!(
                out,
                "  on the wire: {} ESP packets; in clear: {}\n",
                registration.esp_packets,
                registration.clear_sip.join(" | ")
            );
        }
        if self.registrations.len() > 3 {
            let registered =
                self.registrations.iter().filter(|registration| registration.status == 200).count();
            let _ = writeln!(out, "... {registered} of {} UEs registered\n", self.registrations.len());
        }
        for (namespace, errors) in &self.kernel_errors {
            let errors: Vec<String> = errors.iter().map(|(name, count)| format!("{name} {count}")).collect();
            let shown = if errors.is_empty() { "none".to_owned() } else { errors.join(", ") };
            let _ = writeln!(out, "kernel errors ({namespace}): {shown}");
        }
        for reason in &self.reasons {
            let _ = writeln!(out, "FAULT: {reason}");
        }
        let _ = writeln!(out, "\nverdict: {}", self.verdict);
        out
    }
}
