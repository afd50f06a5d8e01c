//! A module loader for the guest kernel: Debian's base has none (kmod is an extra package).

use std::collections::HashSet;
use std::ffi::CString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

/// Called by the kernel as `modprobe -q -- NAME`.
pub fn modprobe(modules: &Path, arguments: &[String]) -> Result<()> {
    let name = arguments.iter().rfind(|argument| !argument.starts_with('-')).context("no module named")?;
    load(modules, name)
}

/// Loads a module, given by name or alias, after those it needs.
pub fn load(modules: &Path, name: &str) -> Result<()> {
    let dependencies = fs::read_to_string(modules.join("modules.dep")).context("read modules.dep")?;
    let aliases = fs::read_to_string(modules.join("modules.alias")).context("read modules.alias")?;
    let wanted = resolve(&dependencies, &aliases, name);
    if wanted.is_empty() {
        bail!("no module or alias {name}");
    }
    let mut done = HashSet::new();
    for line in wanted {
        let (file, needed) = line.split_once(':').unwrap_or((line, ""));
        // modules.dep lists the nearest first; the farthest must be loaded first.
        for file in needed.split_whitespace().rev().chain([file]) {
            if done.insert(file) {
                insert(&modules.join(file))?;
            }
        }
    }
    Ok(())
}

fn resolve<'a>(dependencies: &'a str, aliases: &str, name: &str) -> Vec<&'a str> {
    let by_name = |name: &str| dependencies.lines().find(|line| module_name(line) == normal(name));
    if let Some(line) = by_name(name) {
        return vec![line];
    }
    aliases
        .lines()
        .filter_map(|line| line.strip_prefix("alias ")?.rsplit_once(' '))
        .filter(|(pattern, _)| matches(normal(pattern).as_bytes(), normal(name).as_bytes()))
        .filter_map(|(_, module)| by_name(module))
        .collect()
}

/// Hyphen and underscore are the same to the kernel.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

fn module_name(line: &str) -> String {
    let file = line.split(':').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    normal(file.strip_suffix(".ko").unwrap_or(file))
}

/// `*` and `?`, as aliases use them.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            matches(rest, text) || text.split_first().is_some_and(|(_, text)| matches(pattern, text))
        }
        (Some((b'?', pattern)), Some((_, text))) => matches(pattern, text),
        (Some((expected, pattern)), Some((found, text))) => expected == found && matches(pattern, text),
        _ => false,
    }
}

fn insert(file: &Path) -> Result<()> {
    let opened = fs::File::open(file).with_context(|| format!("open {}", file.display()))?;
    match finit_module(&opened, &CString::default(), ModuleInitFlags::empty()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("load {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPENDENCIES: &str = "kernel/net/ipv4/esp4.ko: kernel/net/xfrm/xfrm_algo.ko\n\
                                kernel/net/xfrm/xfrm_algo.ko:\nkernel/crypto/des_generic.ko: kernel/lib/libdes.ko\n";
    const ALIASES: &str =
        "alias crypto-des3_ede des_generic\nalias xfrm-type-2-50 esp4\nalias pci:v*d0001 esp4\n";

    #[test]
    fn names_and_aliases_are_found_whichever_hyphen_they_use() {
        let esp4 = DEPENDENCIES.lines().next().unwrap();
        assert_eq!(resolve(DEPENDENCIES, ALIASES, "esp4"), [esp4]);
        assert_eq!(resolve(DEPENDENCIES, ALIASES, "xfrm-type-2-50"), [esp4]);
        assert_eq!(resolve(DEPENDENCIES, ALIASES, "xfrm-algo").len(), 1);
        assert_eq!(resolve(DEPENDENCIES, ALIASES, "crypto-des3-ede").len(), 1);
        assert_eq!(resolve(DEPENDENCIES, ALIASES, "pci:v0abcd0001"), [esp4]);
        assert!(resolve(DEPENDENCIES, ALIASES, "crypto-des3_edex").is_empty());
    }
}
