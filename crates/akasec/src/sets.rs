//! `cargo xtask bench`: how many sets of four states the kernel takes a second, one at a time and in batches.

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lab::Namespace;
use sec_agree::{Algorithms, Associations, End, EspKeys, Policy, Port, SaSet, Setup, Spi};
use xfrm::{Engine, Install, Lifetime};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Sets to install in each way.
    #[arg(long, default_value_t = 2000)]
    sets: u16,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let algorithms =
        Policy::default().algorithms().first().copied().context("find the default algorithms")?;
    for (name, batch) in [("one at a time", 1), ("in batches of 32", Engine::BATCH)] {
        let (install, remove) = Namespace::new("bench")?.run(|| measure(algorithms, options.sets, batch))?;
        let rate = |time: Duration| f64::from(options.sets) / time.as_secs_f64();
        crate::print(&format!(
            "SA sets ({algorithms}) {name:<17} {:>8.0} installed/s  {:>8.0} removed/s  ({} sets)\n",
            rate(install),
            rate(remove),
            options.sets
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(algorithms: Algorithms, sets: u16, batch: usize) -> Result<(Duration, Duration)> {
    let mut engine = Engine::open()?;
    // The first state of a pair makes the kernel load and test the ciphers: seconds that no later one costs. It stays,
    // as the states of other UEs would.
    let first = SaSet::new(associations(u16::MAX, algorithms)?, EspKeys::placeholder(algorithms));
    let first = Install { set: first, lifetime: Lifetime::new(Duration::from_secs(3600)) };
    engine.install(&[first]).remove(0)?;
    let mut installs = Vec::new();
    for n in 0..sets {
        let set = SaSet::new(associations(n, algorithms)?, EspKeys::placeholder(algorithms));
        installs.push(Install { set, lifetime: Lifetime::new(Duration::from_secs(3600)) });
    }
    let all: Vec<Associations> = installs.iter().map(|install| install.set.associations).collect();
    let started = Instant::now();
    for chunk in installs.chunks(batch) {
        engine.install(chunk).into_iter().collect::<Result<Vec<()>, _>>()?;
    }
    let installed = started.elapsed();
    let started = Instant::now();
    for chunk in all.chunks(batch) {
        engine.remove(chunk).into_iter().collect::<Result<Vec<()>, _>>()?;
    }
    Ok((installed, started.elapsed()))
}

fn associations(n: u16, algorithms: Algorithms) -> Result<Associations> {
    let [high, low] = n.to_be_bytes();
    let end = |address, port: u16, spi: u32| -> Result<End> {
        let (spi_c, spi_s) = (Spi::new(spi)?, Spi::new(spi + 1)?);
        let setup = Setup { spi_c, spi_s, port_c: Port::new(port)?, port_s: Port::new(port + 1)? };
        Ok(End { address: IpAddr::V4(address), setup })
    };
    let ue = end(Ipv4Addr::new(10, 20, high, low), 7000, 1000)?;
    let p_cscf = end(Ipv4Addr::new(10, 10, 0, 1), 6000, 0x0100_0000 + u32::from(n) * 2)?;
    Ok(Associations::new(&ue, &p_cscf, algorithms)?)
}
