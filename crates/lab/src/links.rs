//! Links, addresses and routes of a lab.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;
use rtnetlink::packet_route::route::{RouteScope, RouteType};
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};

use crate::namespace::Namespace;

const LOOPBACK: u32 = 1;
const LOCAL_TABLE: u32 = 255;

/// An address and its prefix length.
pub type Prefix = (IpAddr, u8);

/// Joins two namespaces by a pair of links with these names.
pub fn join(one: (&Namespace, &'static str), other: (&Namespace, &'static str)) -> Result<()> {
    let far = other.0.fd();
    with_handle(one.0, async move |handle| {
        let context = || format!("join {} and {}", one.1, other.1);
        handle.link().add(LinkVeth::new(one.1, other.1).build()).execute().await.with_context(context)?;
        let moved = LinkUnspec::new_with_name(other.1).setns_by_fd(far).build();
        handle.link().set(moved).execute().await.with_context(context)
    })
}

/// Gives a link its addresses and sets it up.
pub fn address(namespace: &Namespace, link: &'static str, addresses: &[Prefix]) -> Result<()> {
    with_handle(namespace, async move |handle| {
        let index = if_nametoindex(link).with_context(|| format!("find link {link}"))?;
        for index in [LOOPBACK, index] {
            let up = LinkUnspec::new_with_index(index).up().build();
            handle.link().set(up).execute().await.with_context(|| format!("set link {index} up"))?;
        }
        for (address, length) in addresses {
            let added = handle.address().add(index, *address, *length).execute().await;
            added.with_context(|| format!("give {link} the address {address}/{length}"))?;
        }
        Ok(())
    })
}

/// Makes a switch of links that are there, and sets them up.
pub(crate) fn switch(namespace: &Namespace, name: &'static str, ports: &[&'static str]) -> Result<()> {
    with_handle(namespace, async move |handle| {
        let made = handle.link().add(LinkBridge::new(name).build()).execute().await;
        made.with_context(|| format!("make the switch {name}"))?;
        let index = if_nametoindex(name).with_context(|| format!("find link {name}"))?;
        for port in ports {
            let joined = LinkUnspec::new_with_name(port).controller(index).up().build();
            let joined = handle.link().set(joined).execute().await;
            joined.with_context(|| format!("join {port} to the switch {name}"))?;
        }
        Ok(())
    })
}

/// Sends a prefix to a neighbour.
pub(crate) fn route(namespace: &Namespace, prefix: Prefix, gateway: IpAddr) -> Result<()> {
    let message = match (prefix.0, gateway) {
        (IpAddr::V4(address), IpAddr::V4(gateway)) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(address, prefix.1)
            .gateway(gateway)
            .build(),
        (IpAddr::V6(address), IpAddr::V6(gateway)) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(address, prefix.1)
            .gateway(gateway)
            .build(),
        _ => anyhow::bail!("route {} over {gateway}: two families", prefix.0),
    };
    with_handle(namespace, async move |handle| {
        handle
            .route()
            .add(message)
            .execute()
            .await
            .with_context(|| format!("route {} over {gateway}", prefix.0))
    })
}

/// Makes every address of a prefix the namespace's own: a host of many UEs without an address entry for each.
pub(crate) fn own(namespace: &Namespace, prefix: Prefix) -> Result<()> {
    let message = match prefix.0 {
        IpAddr::V4(address) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(address, prefix.1)
            .output_interface(LOOPBACK)
            .table_id(LOCAL_TABLE)
            .scope(RouteScope::Host)
            .kind(RouteType::Local)
            .build(),
        IpAddr::V6(address) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(address, prefix.1)
            .output_interface(LOOPBACK)
            .table_id(LOCAL_TABLE)
            .kind(RouteType::Local)
            .build(),
    };
    with_handle(namespace, async move |handle| {
        handle.route().add(message).execute().await.with_context(|| format!("own {}/{}", prefix.0, prefix.1))
    })
}

/// Runs `work` with a route netlink handle of the namespace.
fn with_handle<F>(namespace: &Namespace, work: impl FnOnce(Handle) -> F + Send) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    namespace.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (connection, handle, _) =
                rtnetlink::new_connection().context("open a route netlink socket")?;
            let connection = tokio::spawn(connection);
            let done = work(handle).await;
            connection.abort();
            done
        })
    })
}
