use tokio::sync::watch;

/// Says when a role must end: at SIGTERM or SIGINT in a daemon, at the handle's word in a lab.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// Ends every role that holds the [`Shutdown`]; also when it is dropped.
#[derive(Debug)]
pub struct ShutdownHandle(watch::Sender<bool>);

impl Shutdown {
    pub fn new() -> (ShutdownHandle, Self) {
        let (sender, receiver) = watch::channel(false);
        (ShutdownHandle(sender), Self(receiver))
    }

    /// Ends at SIGTERM or SIGINT. Call inside a runtime.
    pub fn on_signal() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (handle, shutdown) = Self::new();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            tracing::info!(signal = name, "shutting down");
            handle.trigger();
        });
        Ok(shutdown)
    }

    pub async fn requested(&mut self) {
        // An error means that the handle is gone, which says the same.
        let _ = self.0.wait_for(|requested| *requested).await;
    }
}

impl ShutdownHandle {
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }
}
