/// 32 octets from the operating system: the seed of a core's generator. Without randomness no challenge and no SPI
/// is safe, so a daemon does not start without it.
pub fn seed() -> Result<[u8; 32], getrandom::Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(seed)
}
