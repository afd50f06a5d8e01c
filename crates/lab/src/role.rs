//! A role in a thread of its own, in its namespace.

use std::sync::mpsc as blocking;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use node::{Shutdown, ShutdownHandle};
use tokio::sync::mpsc;

use crate::namespace::Namespace;

/// A running role. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Role {
    name: &'static str,
    shutdown: Option<ShutdownHandle>,
    thread: Option<JoinHandle<Result<()>>>,
    cpu: mpsc::UnboundedSender<blocking::Sender<Duration>>,
}

impl Role {
    /// Starts `start` in the namespace and returns when it has succeeded; what it answers then runs until shutdown.
    pub(crate) fn start<S, F>(
        name: &'static str,
        namespace: &Namespace,
        start: impl FnOnce() -> Result<S> + Send + 'static,
        run: impl FnOnce(S, Shutdown) -> F + Send + 'static,
    ) -> Result<Self>
    where
        F: Future<Output = Result<()>>,
    {
        let namespace = namespace.clone();
        let (handle, shutdown) = Shutdown::new();
        let (started, has_started) = blocking::channel();
        let (cpu, mut asked) = mpsc::unbounded_channel::<blocking::Sender<Duration>>();
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || -> Result<()> {
            let runtime = namespace
                .enter()
                .and_then(|()| Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?));
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = started.send(Err(error));
                    return Ok(());
                }
            };
            runtime.block_on(async {
                tokio::spawn(async move {
                    while let Some(answer) = asked.recv().await {
                        let _ = answer.send(node::cpu::thread_time());
                    }
                });
                match start() {
                    Ok(state) => {
                        let _ = started.send(Ok(()));
                        run(state, shutdown).await
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                        Ok(())
                    }
                }
            })
        })?;
        let outcome = has_started.recv().map_err(|_| anyhow!("its thread panicked"));
        outcome.and_then(|outcome| outcome).with_context(|| format!("start the {name}"))?;
        Ok(Self { name, shutdown: Some(handle), thread: Some(thread), cpu })
    }

    /// CPU time that the role has used.
    pub(crate) fn cpu(&self) -> Duration {
        let (answer, answered) = blocking::channel();
        let asked = self.cpu.send(answer).is_ok();
        if asked { answered.recv().unwrap_or_default() } else { Duration::ZERO }
    }

    /// Ends the role and tells how it ended.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        if let Some(shutdown) = self.shutdown.take() {
            shutdown.trigger();
        }
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(ended)) => ended.with_context(|| format!("run the {}", self.name)),
            Some(Err(_)) => Err(anyhow!("the {} panicked", self.name)),
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!("{error:#}");
        }
    }
}
